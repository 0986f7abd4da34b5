"""Derivatives of functions as functions: Jacobians, Hessians and their products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.batched import running
from ..core.tensor import Tensor
from ..errors import GradientError, ShapeError
from .crossing import lifted
from .engine import grad
from .grad_mode import enable_grad, is_grad_enabled
from .node import AccumulateGrad, OutputEdge

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _leaves(inputs: Any, create_graph: bool) -> tuple[Tensor, ...]:
    """Inputs to differentiate by: tied to the caller's graph only if that is to be recorded."""
    found = []
    for x in _tuple(inputs):
        if not isinstance(x, Tensor):
            raise TypeError(f"Expected tensors as inputs. Got {type(x).__name__}.")
        found.append(own_leaf(x, create_graph))
    return tuple(found)


def own_leaf(x: Tensor, tied: bool) -> Tensor:
    """A tensor to differentiate by instead of x, part of x's graph if that is recorded and `tied`
    asks for it.

    Inside `vmap` all slices get a leaf of their own, so that gradients are not summed over them.
    """
    levels = running()
    if levels:
        x = lifted(x, levels[-1].depth)
    if tied and x.requires_grad:
        return x.view_as(x)
    leaf = x.detach()
    leaf.requires_grad = True
    return leaf


def reaches_others(outputs: list[Tensor], leaves: list[Tensor]) -> bool:
    """Whether gradients of `outputs` also flow to tensors that are none of `leaves`: then the
    caller may differentiate by those, and the pass must be recorded."""
    if not is_grad_enabled():
        return False
    own = {id(x._edge) for x in leaves}
    stack = [x._edge for x in outputs] + [e for x in leaves for e in _below(x._edge)]
    seen: set[int] = set()
    while stack:
        edge = stack.pop()
        if edge is None or id(edge) in seen or id(edge) in own:
            continue
        seen.add(id(edge))
        if edge.__class__ is AccumulateGrad:
            return True
        stack.extend(_below(edge))
    return False


def _below(edge: Any) -> Any:
    return [edge.node] if edge.__class__ is OutputEdge else edge.edges


def _called(func: Callable[..., Any], leaves: tuple[Tensor, ...]) -> tuple[bool, tuple[Any, ...]]:
    with enable_grad():
        result = func(*leaves)
    outputs = _tuple(result)
    for out in outputs:
        if not isinstance(out, Tensor):
            raise TypeError(f"Expected func to return tensors. Got {type(out).__name__}.")
    return isinstance(result, tuple | list), outputs


def _gradients(
    outputs: Any, leaves: Any, weights: Any, create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    """Gradients with zeros where an input does not enter. Raises: GradientError there if strict."""
    given = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    found: tuple[Any, ...] = (None,) * len(leaves)
    if given:
        found = grad(
            [o for o, _ in given], leaves, [w for _, w in given],
            retain_graph=True, create_graph=create_graph, allow_unused=True,
        )  # fmt: skip
    if strict and any(g is None for g in found):
        raise GradientError("strict=True: expected the outputs to depend on every input.")
    return tuple(
        x.new_zeros(x.shape) if g is None else g for g, x in zip(found, leaves, strict=True)
    )


def _freed(values: Any, create_graph: bool) -> Any:
    return tuple(v if create_graph else v.detach() for v in values)


def _shaped(values: tuple[Any, ...], like: Any) -> Any:
    return values if isinstance(like, tuple | list) or like is True else values[0]


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of every output element by every input element, in the shape of the output
    followed by that of the input; nested tuples for several outputs and inputs.

    `vectorize` finds all rows in one backward pass inside `vmap`, whatever the strategy.
    Raises: RuntimeError for an unknown strategy, or strict together with vectorize.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise GradientError(
            f"jacobian: expected strategy 'reverse-mode' or 'forward-mode'. Got {strategy!r}."
        )
    if strategy == "forward-mode" and (create_graph or not vectorize):
        raise NotImplementedError(
            "jacobian: expected vectorize=True and create_graph=False with forward-mode."
        )
    if strict and vectorize:
        raise GradientError("jacobian: expected strict or vectorize. Got both.")
    leaves = _leaves(inputs, create_graph)
    several, outputs = _called(func, leaves)
    rows = []
    for out in outputs:
        if vectorize:
            rows.append(_all_rows(out, leaves, create_graph))
            continue
        parts: list[list[Tensor]] = [[] for _ in leaves]
        flat = out.reshape(-1)
        for k in range(flat.numel()):
            grads = _gradients([flat[k]], leaves, [None], create_graph, strict)
            for part, g in zip(parts, grads, strict=True):
                part.append(g)
        rows.append(_assembled(out, leaves, parts, create_graph))
    found = [_shaped(row, inputs) for row in rows]
    return tuple(found) if several else found[0]


def _all_rows(out: Tensor, leaves: Any, create_graph: bool) -> tuple[Tensor, ...]:
    """The Jacobian of one output, by one pass for all of its elements."""
    n = out.numel()
    found: tuple[Any, ...] = (None,) * len(leaves)
    if out.requires_grad and n:
        found = grad(
            [out.reshape(-1)], leaves, [out.new_zeros((n, n)).fill_diagonal_(1)],
            retain_graph=True, create_graph=create_graph, allow_unused=True, is_grads_batched=True,
        )  # fmt: skip
    shapes = [(*out.shape, *x.shape) for x in leaves]
    made = [
        x.new_zeros(shape) if g is None else g.reshape(shape)
        for g, x, shape in zip(found, leaves, shapes, strict=True)
    ]
    return tuple(_freed(made, create_graph))


def _assembled(out: Tensor, leaves: Any, parts: Any, create_graph: bool) -> tuple[Tensor, ...]:
    from ..ops.joins import stack

    made = []
    for x, part in zip(leaves, parts, strict=True):
        shape = (*out.shape, *x.shape)
        made.append(stack(part).reshape(shape) if part else x.new_zeros(shape))
    return tuple(_freed(made, create_graph))


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function with one output element.

    Raises: GradientError if func returns more than one element.
    """
    several = isinstance(inputs, tuple | list)

    def slope(*xs: Tensor) -> Any:
        _, (out,) = _called(func, xs)
        if out.numel() != 1:
            raise GradientError(
                f"hessian: expected func to return one element. Got shape {tuple(out.shape)}."
            )
        grads = _gradients([out.reshape(())], xs, [None], True, strict)
        return grads if several else grads[0]

    return jacobian(slope, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(inputs), and the product of `v` (of the outputs' shapes) with the Jacobian."""
    leaves = _leaves(inputs, create_graph)
    several, outputs = _called(func, leaves)
    weights = _weights(v, outputs, "vjp")
    grads = _gradients(outputs, leaves, weights, create_graph, strict)
    return (
        _shaped(_freed(outputs, create_graph), several),
        _shaped(_freed(grads, create_graph), inputs),
    )


def _weights(v: Any, outputs: tuple[Tensor, ...], name: str) -> tuple[Any, ...]:
    if v is None:
        if len(outputs) != 1 or outputs[0].numel() != 1:
            raise GradientError(f"{name}: expected v, as the function has more than one element.")
        return (outputs[0].new_ones(outputs[0].shape),)
    weights = _tuple(v)
    shapes = [tuple(o.shape) for o in outputs]
    if [tuple(w.shape) for w in weights] != shapes:
        raise ShapeError(
            f"{name}: expected v of the shapes {shapes}. Got {[tuple(w.shape) for w in weights]}."
        )
    return weights


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(inputs), and the product of the Jacobian with `v` (of the inputs' shapes), by two
    backward passes."""
    leaves = _leaves(inputs, create_graph)
    directions = _weights(v, leaves, "jvp")
    several, outputs = _called(func, leaves)
    weights = tuple(own_leaf(o.new_zeros(o.shape), False) for o in outputs)
    with enable_grad():
        grads = _gradients(outputs, leaves, weights, True, strict)
        products = _gradients(grads, weights, directions, create_graph, False)
    return (
        _shaped(_freed(outputs, create_graph), several),
        _shaped(_freed(products, create_graph), several),
    )


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """func(inputs), and the product of `v` with the Hessian of a function of one element."""
    leaves = _leaves(inputs, create_graph)
    _, outputs = _called(func, leaves)
    directions = _weights(v, leaves, "vhp")
    with enable_grad():
        slopes = _gradients(outputs, leaves, [None] * len(outputs), True, strict)
    products = _gradients(slopes, leaves, directions, create_graph, False)
    value = _freed(outputs, create_graph)[0]
    return value, _shaped(_freed(products, create_graph), inputs)


hvp = vhp
"""The Hessian is symmetric: its product with a vector is the same from both sides."""
