"""Branches and loops as functions of functions, which PyTorch's compiler follows; here they run as
the Python statements that they stand for, and gradients follow what ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .ops.joins import cat
from .ops.stacking import stack
from .utils._pytree import tree_flatten, tree_unflatten

__all__ = ["cond", "while_loop"]


def cond(
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    operands: Sequence[Any] = (),
) -> Any:
    """`true_fn(*operands)` if `pred`, a bool or a tensor of one, else `false_fn(*operands)`.

    Raises: RuntimeError for a tensor of several elements, TypeError for what is no function.

    Example:
        >>> torch.cond(torch.tensor(True), torch.sin, torch.cos, (torch.zeros(1),))
        tensor([0.])
    """
    if not (callable(true_fn) and callable(false_fn)):
        raise TypeError(
            f"cond: expected two functions. Got {type(true_fn).__name__} and "
            f"{type(false_fn).__name__}."
        )
    return (true_fn if pred else false_fn)(*operands)


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Sequence[Any]
) -> tuple[Any, ...]:
    """`carried_inputs`, replaced by what `body_fn(*carried)` gives as long as `cond_fn(*carried)`.

    Raises: RuntimeError if the body gives another number of values.
    """
    carried = tuple(carried_inputs)
    while cond_fn(*carried):
        found = body_fn(*carried)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) != len(carried):
            raise RuntimeError(
                f"while_loop: expected as many values from body_fn as are carried, {len(carried)}. "
                f"Got {len(found)}."
            )
        carried = found
    return carried


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
