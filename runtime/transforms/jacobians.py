"""Jacobians and Hessians, all rows or columns at once by `vmap`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..ops.joins import split as split_rows
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import vmap
from .gradients import Argnums, jvp, value_and_aux, vjp, with_chosen


def basis(tensors: list[Tensor]) -> list[Tensor]:
    """For every element of `tensors` the one-hot vectors, row by row over all of them:
    (elements of all, *shape) for each."""
    total = sum(math.prod(x.shape) for x in tensors)
    found, start = [], 0
    for x in tensors:
        n = math.prod(x.shape)
        rows = x.new_zeros((total, n))
        rows[start : start + n].fill_diagonal_(1)
        found.append(rows.reshape(total, *x.shape))
        start += n
    return found


def _rows(rows: Tensor, outputs: list[Tensor]) -> list[Tensor]:
    """The rows of a Jacobian (elements, ...) by output: (*its shape, ...)."""
    parts = split_rows(rows, [math.prod(x.shape) for x in outputs])
    return [p.reshape(*x.shape, *rows.shape[1:]) for p, x in zip(parts, outputs, strict=True)]


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func` by its arguments `argnums`: the tree of the
    output with, for each leaf, the tree of the arguments, of shapes (*output, *argument).

    One backward pass gives all rows at once, or `chunk_size` of them at a time. With `has_aux`,
    func returns (output, extra) and this (Jacobian, extra).
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"jacrev: expected a positive chunk_size, or None. Got {chunk_size}.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, replaced = with_chosen(args, argnums)

        def narrowed(*xs: Any) -> Any:
            return func(*replaced(*xs), **kwargs)

        result, product, *aux = vjp(narrowed, *chosen, has_aux=has_aux)
        outputs, spec = tree_flatten(result)
        weights = basis(outputs)

        def row(*parts: Tensor) -> Any:
            return product(tree_unflatten(list(parts), spec))

        jacobian = vmap(row, chunk_size=chunk_size)(*weights)
        flat, input_spec = tree_flatten(jacobian)
        columns = [_rows(x, outputs) for x in flat]
        trees = [tree_unflatten([c[k] for c in columns], input_spec) for k in range(len(outputs))]
        found = tree_unflatten([t[0] if isinstance(argnums, int) else t for t in trees], spec)
        return (found, aux[0]) if has_aux else found

    return wrapped


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Callable[..., Any]:
    """What `jacrev` returns, column by column: for functions with more outputs than inputs."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, replaced = with_chosen(args, argnums)
        inputs, input_spec = tree_flatten(chosen)

        def column(*parts: Tensor) -> Any:
            tangents = tree_unflatten(list(parts), input_spec)
            _, out, *aux = jvp(
                lambda *xs: func(*replaced(*xs), **kwargs), chosen, tangents, has_aux=has_aux
            )
            return (out, aux[0]) if has_aux else out

        run = vmap(column, out_dims=(-1, None) if has_aux else -1, randomness=randomness)
        columns, aux = value_and_aux(run(*basis(inputs)), has_aux)
        flat, spec = tree_flatten(columns)
        sizes = [math.prod(x.shape) for x in inputs]
        leaves = []
        for out in flat:
            parts = split_rows(out, sizes, dim=-1)
            shaped = [
                p.reshape(*out.shape[:-1], *x.shape) for p, x in zip(parts, inputs, strict=True)
            ]
            tree = tree_unflatten(shaped, input_spec)
            leaves.append(tree[0] if isinstance(argnums, int) else tree)
        found = tree_unflatten(leaves, spec)
        return (found, aux) if has_aux else found

    return wrapped


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `func`: the Jacobian of its Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)
