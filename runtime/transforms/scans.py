"""Running combinations of any associative function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops.joins import cat, stack
from ..utils._pytree import tree_flatten, tree_unflatten

__all__ = ["associative_scan"]


def associative_scan(
    combine_fn: Callable[..., Any],
    xs: Any,
    dim: int,
    reverse: bool = False,
    combine_mode: str = "pointwise",
) -> Any:
    """Running combinations along `dim` of a tensor, or of nested tensors of one length:
    `combine_fn(a, b)` of what came before and what comes, for an associative `combine_fn`.

    Takes 2 log2(n) calls on halves, not n. Source: Blelloch 1990, "Prefix sums and their
    applications". Raises: ValueError for tensors of different lengths.
    """
    leaves, spec = tree_flatten(xs)
    moved = [x.movedim(dim, 0) for x in leaves]
    lengths = {x.shape[0] for x in moved}
    if len(lengths) != 1:
        raise ValueError(f"associative_scan: expected one length along {dim}. Got {lengths}.")

    def combined(a: list[Any], b: list[Any]) -> list[Any]:
        return tree_flatten(combine_fn(tree_unflatten(a, spec), tree_unflatten(b, spec)))[0]

    moved = [x.flip(0) for x in moved] if reverse else moved
    found = _scanned(combined, moved)
    found = [x.flip(0) for x in found] if reverse else found
    return tree_unflatten([x.movedim(0, dim) for x in found], spec)


def _scanned(combined: Callable[[list[Any], list[Any]], list[Any]], xs: list[Any]) -> list[Any]:
    """Pairs first, then what lies between them."""
    length = xs[0].shape[0]
    if length < 2:
        return xs
    pairs = combined([x[: length - 1 : 2] for x in xs], [x[1::2] for x in xs])
    odd = _scanned(combined, pairs)
    even = [x[:1] for x in xs]
    if length > 2:
        before = [x[: (length - 1) // 2] for x in odd]
        later = combined(before, [x[2::2] for x in xs])
        even = [cat([first, rest]) for first, rest in zip(even, later, strict=True)]
    return [_interleaved(a, b) for a, b in zip(even, odd, strict=True)]


def _interleaved(a: Any, b: Any) -> Any:
    """a[0], b[0], a[1], ...; `a` may have one row more."""
    both = stack([a[: len(b)], b], 1).flatten(0, 1)
    return both if len(a) == len(b) else cat([both, a[-1:]])
