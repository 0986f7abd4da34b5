"""`vmap`: a function of one slice as a function of a whole batch, each operation run once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..autograd.crossing import crossed, merge, split
from ..core.batched import Level, opened
from ..core.tensor import Tensor, held
from ..ops.joins import cat
from ..utils._pytree import TreeSpec, tree_flatten, tree_unflatten

RANDOMNESS = ("error", "different", "same")


def name_of(func: Any) -> str:
    """The function's name for errors."""
    if isinstance(func, functools.partial):
        return f"functools.partial({name_of(func.func)}, ...)"
    return getattr(func, "__name__", None) or repr(func)


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that applies `func` to each slice along `in_dims` of its arguments, and returns
    the results joined along `out_dims`; every operation runs once, on all slices.

    `in_dims` is a number, or a tuple with the structure of the arguments or its beginning; None
    stands for what all slices share, as keyword arguments always are. `out_dims` likewise.
    `randomness` says whether random operations raise, differ from slice to slice, or are the same;
    `chunk_size`, how many slices are done at a time. Operations without a rule for batches run
    slice by slice.

    Raises: ValueError for arguments or results that the dimensions do not fit, RuntimeError where
    `func` looks at values, as in `if x.sum() > 0`.

    Example:
        >>> torch.vmap(torch.dot)(torch.ones(2, 3), torch.arange(6.0).reshape(2, 3))
        tensor([ 3., 12.])
    """
    if randomness not in RANDOMNESS:
        raise RuntimeError(f"vmap: expected randomness among {RANDOMNESS}. Got {randomness!r}.")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: expected a positive chunk_size, or None. Got {chunk_size}.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, spec = _inputs(func, in_dims, args)
        length = _length(leaves, dims)
        step = chunk_size or max(length, 1)
        parts = []
        for start in range(0, max(length, 1), step):
            some = [
                x if d is None or step >= length else x.narrow(d, start, min(step, length - start))
                for x, d in zip(leaves, dims, strict=True)
            ]
            with opened(min(step, length - start), randomness) as level:
                given = [
                    x if d is None else crossed(split, x, level, d)
                    for x, d in zip(some, dims, strict=True)
                ]
                result = func(*tree_unflatten(given, spec), **kwargs)
                parts.append(_outputs(func, out_dims, result, level))
        return _joined(parts)

    return wrapped


def debug_unwrap(tensor: Any, *, recurse: bool = True) -> Any:
    """What a tensor inside `vmap` holds, the batch as its first dimension; through all levels with
    `recurse`. A tensor outside is returned as it is."""
    while tensor._key.level:
        tensor = held(tensor)
        if not recurse:
            break
    return tensor


def _inputs(
    func: Any, in_dims: Any, args: tuple[Any, ...]
) -> tuple[list[Any], list[int | None], TreeSpec]:
    """The leaves of the arguments, their dimensions, and the structure."""
    name = f"vmap({name_of(func)})"
    if not isinstance(in_dims, int | tuple):
        raise ValueError(
            f"{name}: expected in_dims to be an int, or a tuple with the structure of the "
            f"arguments. Got {type(in_dims).__name__}."
        )
    if not args:
        raise ValueError(f"{name}: expected arguments to map over. Got none.")
    leaves, spec = tree_flatten(args)
    dims = spread(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"{name}: expected in_dims with the structure of the arguments. Got {in_dims}."
        )
    for k, (x, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(f"{name}: expected in_dims of ints and None. Got {dim!r}.")
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: expected a tensor to map over. Got in_dim {dim} for a "
                f"{type(x).__name__}. Use None as its in_dim."
            )
        if not -x.ndim <= dim < x.ndim:
            raise ValueError(
                f"{name}: expected in_dim from {-x.ndim} to {x.ndim - 1}. Got {dim} for a tensor "
                f"of shape {tuple(x.shape)}."
            )
        dims[k] = dim % x.ndim
    return leaves, dims, spec


def spread(dims: Any, spec: TreeSpec) -> list[Any] | None:
    """One of `dims` for every leaf, where a number or None stands for a whole branch; None if the
    structures differ."""
    if dims is None or isinstance(dims, int):
        return [dims] * spec.num_leaves
    if spec.type is None:
        return [dims]
    children, own = tree_flatten(dims, is_leaf=lambda x: x is not dims)
    if own.type is not spec.type or len(children) != len(spec.children_specs):
        return None
    if own.context != spec.context:
        return None
    found = [spread(d, s) for d, s in zip(children, spec.children_specs, strict=True)]
    if any(f is None for f in found):
        return None
    return [d for f in found if f is not None for d in f]


def _length(leaves: list[Any], dims: list[int | None]) -> int:
    sizes = [x.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError("vmap: expected at least one tensor to map over. All in_dims are None.")
    if len(set(sizes)) > 1:
        raise ValueError(f"vmap: expected one size in all mapped dimensions. Got {sizes}.")
    return int(sizes[0])


def _outputs(
    func: Any, out_dims: Any, result: Any, level: Level
) -> tuple[list[Any], list[int | None], TreeSpec]:
    """The leaves of the result, led out of the level, with the places of their batch."""
    name = f"vmap({name_of(func)})"
    leaves, spec = tree_flatten(result)
    if spec.type is None and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    dims = spread(out_dims, spec)
    if dims is None:
        raise ValueError(
            f"{name}: expected out_dims with the structure of the results. Got {out_dims}."
        )
    for k, (x, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is None:
            if isinstance(x, Tensor) and x._key.level == level.depth:
                if x._array.is_batched:
                    raise ValueError(
                        f"{name}: expected a result that all slices share, as its out_dim is None. "
                        f"Got one that differs from slice to slice, of shape {tuple(x.shape)}."
                    )
                leaves[k] = crossed(merge, x, level, 0)[0]
            continue
        if not isinstance(dim, int):
            raise ValueError(f"{name}: expected out_dims of ints and None. Got {dim!r}.")
        if not isinstance(x, Tensor):
            raise ValueError(
                f"{name}: expected the function to return tensors. Got {type(x).__name__}. Did "
                "you mean None as its out_dim?"
            )
        if not -x.ndim - 1 <= dim <= x.ndim:
            raise IndexError(
                f"{name}: expected out_dim from {-x.ndim - 1} to {x.ndim}. Got {dim} for a result "
                f"of shape {tuple(x.shape)}."
            )
        dims[k] = dim % (x.ndim + 1)
        leaves[k] = crossed(merge, x, level, dims[k])
    return leaves, dims, spec


def _joined(parts: list[Any]) -> Any:
    """The results of all chunks as one."""
    first, dims, spec = parts[0]
    if len(parts) == 1:
        return tree_unflatten(first, spec)
    columns = zip(*[leaves for leaves, _, _ in parts], strict=True)
    joined = [
        xs[0] if d is None else cat(list(xs), dim=d) for xs, d in zip(columns, dims, strict=True)
    ]
    return tree_unflatten(joined, spec)
