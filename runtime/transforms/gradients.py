"""Gradients and products with Jacobians, of functions of trees of tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..autograd import functional
from ..autograd.engine import grad as engine_grad
from ..autograd.grad_mode import enable_grad, is_grad_enabled, set_grad_enabled
from ..core.tensor import Tensor
from ..errors import DTypeError, GradientError, ShapeError
from ..utils._pytree import tree_flatten, tree_map_only, tree_unflatten

Argnums = int | tuple[int, ...]


def own_leaf(x: Tensor) -> Tensor:
    """A tensor to differentiate by instead of x, part of x's graph if that is recorded."""
    if not isinstance(x, Tensor):
        raise TypeError(f"Expected tensors to differentiate by. Got {type(x).__name__}.")
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        raise DTypeError(f"Expected floating-point tensors to differentiate by. Got {x.dtype}.")
    return functional.own_leaf(x, True)


def own_leaves(tree: Any) -> tuple[list[Tensor], Any]:
    """Leaves to differentiate by, and the tree of them."""
    flat, spec = tree_flatten(tree)
    with enable_grad():
        leaves = [own_leaf(x) for x in flat]
    return leaves, tree_unflatten(leaves, spec)


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors of a tree."""
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def freed(tree: Any, tied: bool) -> Any:
    """The tree of results, without their past unless others than our leaves have a part in it."""
    return tree if tied else tree_map_only(Tensor, lambda x: x.detach(), tree)


def with_chosen(
    args: tuple[Any, ...], argnums: Argnums
) -> tuple[tuple[Any, ...], Callable[..., Any]]:
    """The arguments numbered `argnums`, and the function that puts others in their place."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    count = len(args)
    for n in numbers:
        if not -count <= n < count:
            raise RuntimeError(f"Expected argnums from {-count} to {count - 1}. Got {n}.")

    def replaced(*chosen: Any) -> list[Any]:
        given = list(args)
        for n, x in zip(numbers, chosen, strict=True):
            given[n] = x
        return given

    return tuple(args[n] for n in numbers), replaced


def value_and_aux(result: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a function with auxiliary results returned. Raises: RuntimeError unless two came."""
    if not has_aux:
        return result, None
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError("Expected a function that returns (output, aux), as has_aux is set.")
    return result


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `func` by its arguments `argnums` (trees of tensors)
    and its value, a 0-d tensor; with `has_aux`, func returns (value, extra) and this
    (gradient, (value, extra)).
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen, replaced = with_chosen(args, argnums)
        leaves, trees = own_leaves(chosen)
        with enable_grad():
            value, aux = value_and_aux(func(*replaced(*trees), **kwargs), has_aux)
        if not isinstance(value, Tensor) or value.ndim:
            kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise GradientError(
                f"grad: expected the function to return a 0-d tensor. Got {kind}. Use vjp or "
                "jacrev for more elements."
            )
        tied = functional.reaches_others([value], leaves)
        slopes = gradients([value], leaves, None, tied, False)
        tree = tree_unflatten(slopes, tree_flatten(chosen)[1])
        slope = tree[0] if isinstance(argnums, int) else tree
        value, aux = freed((value, aux), tied)
        return (slope, (value, aux)) if has_aux else (slope, value)

    return wrapped


def gradients(
    outputs: list[Tensor], leaves: list[Tensor], weights: Any, create_graph: bool, retain: bool
) -> list[Tensor]:
    """The gradients by `leaves`, zeros where one does not enter."""
    pairs = [(o, None if weights is None else weights[k]) for k, o in enumerate(outputs)]
    pairs = [(o, w) for o, w in pairs if o.requires_grad]
    if not pairs:
        return [x.new_zeros(x.shape) for x in leaves]
    found = engine_grad(
        [o for o, _ in pairs],
        leaves,
        None if weights is None else [w for _, w in pairs],
        retain_graph=retain or create_graph,
        create_graph=create_graph,
        allow_unused=True,
    )
    return [x.new_zeros(x.shape) if g is None else g for g, x in zip(found, leaves, strict=True)]


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which returns a 0-d tensor, by its arguments
    `argnums`; with `has_aux`, func returns (value, extra) and this (gradient, extra).

    Example:
        >>> torch.func.grad(torch.sin)(torch.tensor(0.0))
        tensor(1.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        slopes, value = both(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return wrapped


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """func(*primals), and the function that multiplies vectors from the left to its Jacobian: it
    takes a tree like the output and returns one like the primals. With `has_aux`, func returns
    (output, extra), and extra comes third.

    Example:
        >>> y, product = torch.func.vjp(torch.sin, torch.tensor(0.0))
        >>> product(torch.tensor(2.0))
        (tensor(2.),)
    """
    leaves, trees = own_leaves(primals)
    primal_spec = tree_flatten(primals)[1]
    with enable_grad():
        result, aux = value_and_aux(func(*trees), has_aux)
    flat, spec = tree_flatten(result)
    outputs = tensors_of(result)
    if len(outputs) != len(flat):
        raise RuntimeError("vjp: expected the function to return tensors only.")
    tied = functional.reaches_others(outputs, leaves)

    def product(
        *cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None
    ) -> Any:
        given = cotangents if spec.type is tuple and len(cotangents) != 1 else cotangents[0]
        weights, own = tree_flatten(given)
        if own != spec:
            raise RuntimeError(
                f"vjp: expected a cotangent with the structure of the output. Got {own}, and "
                f"the output is {spec}."
            )
        recorded = is_grad_enabled() and (tied or any(w.requires_grad for w in weights))
        recorded = recorded if create_graph is None else create_graph
        found = gradients(outputs, leaves, weights, recorded, retain_graph)
        return tree_unflatten(found, primal_spec)

    result = freed(result, tied)
    return (result, product, freed(aux, tied)) if has_aux else (result, product)


def jvp(
    func: Callable[..., Any],
    primals: Any,
    tangents: Any,
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """func(*primals), and the product of its Jacobian with `tangents`, of the primals' structure;
    with `has_aux`, func returns (output, extra), and extra comes third.

    By two backward passes: the product with a vector from the left is linear in that vector, and
    its derivative is the product from the right.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError("jvp: expected tuples of primals and tangents.")
    result, push, aux = _linear(func, primals, strict, has_aux)
    out = (result, push(*tangents, retain=False))
    return (*out, aux) if has_aux else out


def _linear(
    func: Callable[..., Any], primals: tuple[Any, ...], strict: bool, has_aux: bool
) -> tuple[Any, Callable[..., Any], Any]:
    """The result, the function that multiplies tangents by the Jacobian, and what comes besides."""
    leaves, trees = own_leaves(primals)
    primal_spec = tree_flatten(primals)[1]
    with enable_grad():
        result, aux = value_and_aux(func(*trees), has_aux)
    outputs, spec = tree_flatten(result)
    for out in outputs:
        if not isinstance(out, Tensor):
            raise RuntimeError(
                f"jvp: expected the function to return tensors. Got {type(out).__name__}."
            )
        if strict and not out.requires_grad:
            raise RuntimeError("jvp: expected outputs that depend on the primals (strict=True).")
    tied = functional.reaches_others(outputs, leaves)
    with enable_grad():
        # One for each output, and of its level: what is unknown when the slopes are recorded.
        weights = [
            functional.own_leaf(x.detach() * 0, False) if x.dtype.category >= 2 else x
            for x in outputs
        ]
        slopes = gradients(outputs, leaves, weights, True, True)

    def push(*tangents: Any, retain: bool = True) -> Any:
        directions, own = tree_flatten(tangents)
        if own != primal_spec:
            raise RuntimeError("jvp: expected tangents with the structure of the primals.")
        for x, v in zip(leaves, directions, strict=True):
            if not isinstance(v, Tensor) or tuple(x.shape) != tuple(v.shape):
                raise ShapeError(
                    f"jvp: expected a tangent of shape {tuple(x.shape)}, as its primal. Got "
                    f"{tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__}."
                )
        recorded = is_grad_enabled() and (tied or any(v.requires_grad for v in directions))
        pairs = [(s, v) for s, v in zip(slopes, directions, strict=True) if s.requires_grad]
        active = [w for w in weights if w.requires_grad]
        found = iter(
            gradients([s for s, _ in pairs], active, [v for _, v in pairs], recorded, retain)
        )
        parts = [next(found) if w.requires_grad else w.new_zeros(w.shape) for w in weights]
        return tree_unflatten(parts, spec)

    return freed(result, tied), push, freed(aux, tied)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """func(*primals), and the function that multiplies tangents by its Jacobian there, without
    running func again.

    Example:
        >>> y, push = torch.func.linearize(torch.sin, torch.tensor(0.0))
        >>> push(torch.tensor(2.0))
        tensor(2.)
    """
    result, push, _ = _linear(func, primals, False, False)
    return result, push


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """`func` itself: operations in place give the gradients and results that others would.

    Raises: RuntimeError for a `remove` other than "mutations" and "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize: expected remove 'mutations' or 'mutations_and_views'. Got {remove!r}."
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with set_grad_enabled(is_grad_enabled()):
            return func(*args, **kwargs)

    return wrapped
