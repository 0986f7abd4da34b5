"""Functions of tensors that work on bare arrays, run slice after slice inside `vmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ..autograd.crossing import crossed, merge, split
from ..core import batched
from ..core.batched import Level, level_at, refuse_randomness, running
from ..core.tensor import Tensor
from ..errors import BatchingError
from ..random import get_rng_state, set_rng_state
from .joins import stack

Function = TypeVar("Function", bound=Callable[..., Any])


def slicewise(function: Function) -> Function:
    """`function`, which inside `vmap` runs once for each slice of its batched arguments.

    Raises: BatchingError there for results that are no tensors of one shape.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if batched.in_use:
            from ..utils._pytree import tree_flatten  # utils builds on operations

            leaves, spec = tree_flatten((args, kwargs))
            depth = max([x._key.level for x in leaves if isinstance(x, Tensor)], default=0)
            if depth:
                return _mapped(wrapped, leaves, spec, level_at(depth))
        return function(*args, **kwargs)

    return wrapped  # type: ignore[return-value]


def drawn_slicewise(function: Function) -> Function:
    """`function`, which draws random numbers for given parameters, so that inside `vmap` it draws
    for each slice, or the same for all, as the vmap's randomness says.

    Raises: BatchingError if that is "error".
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        levels = running()
        if not levels:
            return function(*args, **kwargs)
        from ..utils._pytree import tree_flatten

        level = levels[-1]
        refuse_randomness(level)
        leaves, spec = tree_flatten((args, kwargs))
        tensors = [x for x in leaves if isinstance(x, Tensor)]
        if level.randomness == "different" or any(t._key.level == level.depth for t in tensors):
            return _mapped(wrapped, leaves, spec, level)
        levels.pop()
        try:
            return wrapped(*args, **kwargs)
        finally:
            levels.append(level)

    return wrapped  # type: ignore[return-value]


def _mapped(function: Any, leaves: list[Any], spec: Any, level: Level) -> Any:
    from ..utils._pytree import tree_unflatten

    whole = [
        crossed(merge, x, level, 0)
        if isinstance(x, Tensor) and x._key.level == level.depth
        else None
        for x in leaves
    ]
    levels = running()
    before = list(levels)
    levels[:] = [x for x in levels if x is not level]  # a slice draws numbers of its own
    state = get_rng_state() if level.randomness == "same" else None
    results = []
    try:
        for k in range(level.length):
            if state is not None:
                set_rng_state(state)
            own = [x if w is None else w.select(0, k) for x, w in zip(leaves, whole, strict=True)]
            args, kwargs = tree_unflatten(own, spec)
            results.append(function(*args, **kwargs))
    finally:
        levels[:] = before
    return _stacked(function.__name__, results, level)


def _stacked(name: str, results: list[Any], level: Level) -> Any:
    from ..utils._pytree import tree_flatten, tree_unflatten

    flats = [tree_flatten(r) for r in results]
    if not flats:
        raise BatchingError(f"vmap: expected at least one slice for {name}. Got none.")
    columns = list(zip(*[leaves for leaves, _ in flats], strict=True))
    for column in columns:
        shapes = {tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in column}
        if len(shapes) > 1 or not isinstance(column[0], Tensor):
            raise BatchingError(
                f"vmap: expected {name} to give tensors of one shape for all slices. Got "
                f"{sorted(map(str, shapes))}."
            )
    joined = [crossed(split, stack(list(c)), level, 0) for c in columns]
    return tree_unflatten(joined, flats[0][1])
