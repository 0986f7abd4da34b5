"""Function transforms: `grad`, `vjp`, `jvp`, `jacrev`, `hessian`, `vmap`, `functional_call`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .autograd import functional as _functional
from .autograd.engine import grad as _grad
from .autograd.grad_mode import enable_grad as _enable_grad
from .core.tensor import Tensor
from .errors import GradientError, ShapeError
from .ops.joins import stack as _stack
from .utils._pytree import tree_flatten, tree_map, tree_unflatten

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `func` by its arguments `argnums` (trees of tensors)
    and its value; with `has_aux`, func returns (value, extra)."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        given = list(args)
        trees = []
        leaves: list[Tensor] = []
        with _enable_grad():
            for n in numbers:
                flat, spec = tree_flatten(args[n])
                own = [
                    x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in flat
                ]
                trees.append((spec, len(own)))
                leaves += own
                given[n] = tree_unflatten(own, spec)
            result = func(*given, **kwargs)
            value, extra = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.numel() != 1 or value.ndim:
                raise GradientError(
                    "grad: expected func to return a 0-d tensor. Got "
                    f"{tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}."
                )
            tied = any(x.requires_grad for a in args for x in _tensors(a))
            grads = list(
                _grad(value, leaves, create_graph=tied, allow_unused=True, materialize_grads=True)
            )
        found = []
        for spec, count in trees:
            found.append(tree_unflatten(grads[:count], spec))
            del grads[:count]
        slopes = found[0] if isinstance(argnums, int) else tuple(found)
        value = value if tied else value.detach()
        return (slopes, (value, extra)) if has_aux else (slopes, value)

    return wrapped


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `func`, which returns a 0-d tensor.

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


def vjp(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """func(*primals), and the function that multiplies vectors from the left to its Jacobian."""
    with _enable_grad():
        leaves = [_functional.own_leaf(x, True) for x in primals]
        result = func(*leaves)

    def product(*cotangents: Any) -> tuple[Tensor, ...]:
        outputs, weights = _tensors(result), _tensors(cotangents)
        return _grad(outputs, leaves, weights, retain_graph=True, materialize_grads=True)  # type: ignore[return-value]

    return tree_map(lambda x: x.detach(), result), product


def jvp(func: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """func(*primals), and the product of its Jacobian with `tangents`."""
    return _functional.jvp(func, tuple(primals), tuple(tangents))


def jacrev(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of `func` by its arguments `argnums`."""

    @functools.wraps(func)
    def wrapped(*args: Any) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

        def chosen(*xs: Any) -> Any:
            given = list(args)
            for n, x in zip(numbers, xs, strict=True):
                given[n] = x
            return func(*given)

        tied = any(args[n].requires_grad for n in numbers)
        inputs = tuple(args[n] for n in numbers)
        found = _functional.jacobian(chosen, inputs, create_graph=tied)
        return found[0] if isinstance(argnums, int) else found

    return wrapped


jacfwd = jacrev


def hessian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of `func`, which returns one element."""

    @functools.wraps(func)
    def wrapped(*args: Any) -> Any:
        def chosen(x: Any) -> Any:
            return func(*args[:argnums], x, *args[argnums + 1 :])

        return _functional.hessian(chosen, args[argnums])

    return wrapped


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that applies `func` to each slice along `in_dims` of its arguments (None for one
    that all slices share) and joins the results along `out_dims`.

    The slices run one after the other, recorded as usual.
    Raises: RuntimeError if no argument is sliced or the sizes differ.
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        dims = [in_dims] * len(args) if isinstance(in_dims, int) else list(in_dims)
        flat = [_flat_dims(a, d) for a, d in zip(args, dims, strict=True)]
        sizes = {
            x.shape[d] for xs, ds, _ in flat for x, d in zip(xs, ds, strict=True) if d is not None
        }
        if len(sizes) != 1:
            raise ShapeError(
                f"vmap: expected arguments with one size along in_dims. Got {sorted(sizes)}."
            )
        results = []
        for k in range(sizes.pop()):
            one = [
                tree_unflatten(
                    [x if d is None else x.select(d, k) for x, d in zip(xs, ds, strict=True)], spec
                )
                for xs, ds, spec in flat
            ]
            results.append(func(*one, **kwargs))
        return _joined(results, out_dims)

    return wrapped


def _flat_dims(argument: Any, dim: Any) -> tuple[list[Any], list[Any], Any]:
    leaves, spec = tree_flatten(argument)
    dims = [dim] * len(leaves) if dim is None or isinstance(dim, int) else tree_flatten(dim)[0]
    sliced = [d if isinstance(x, Tensor) else None for x, d in zip(leaves, dims, strict=True)]
    return leaves, sliced, spec


def _joined(results: list[Any], out_dims: Any) -> Any:
    flats = [tree_flatten(r) for r in results]
    spec = flats[0][1]
    count = len(flats[0][0])
    dims = [out_dims] * count if isinstance(out_dims, int) else list(out_dims)
    parts = [_stack([f[0][k] for f in flats], dims[k]) for k in range(count)]
    return tree_unflatten(parts, spec)


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the tensors of the dict (or dicts) in the place of its own
    parameters and buffers, by name. The module is left as it was."""
    given: dict[str, Any] = {}
    dicts = parameter_and_buffer_dicts
    for one in dicts if isinstance(dicts, tuple | list) else (dicts,):
        given.update(one)
    names = {n for n, _ in module.named_parameters()} | {n for n, _ in module.named_buffers()}
    unknown = given.keys() - names
    if unknown or (strict and names - given.keys()):
        raise RuntimeError(
            f"functional_call: expected names of parameters and buffers. Unknown: {sorted(unknown)}"
            + (f"; missing: {sorted(names - given.keys())}." if strict else ".")
        )
    places = []
    for name, value in given.items():
        owner_name, _, own = name.rpartition(".")
        owner = module.get_submodule(owner_name)
        registry = owner._parameters if own in owner._parameters else owner._buffers
        places.append((registry, own, registry[own], value))
    for registry, own, _, value in places:
        registry[own] = value
    try:
        positional = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*positional, **(kwargs or {}))
    finally:
        for registry, own, before, _ in places:
            registry[own] = before


def stack_module_state(models: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of several models of one kind, each stacked along a new first
    dimension; the parameters as leaves."""
    parameters = {
        name: _stack([dict(m.named_parameters())[name].detach() for m in models]).requires_grad_()
        for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: _stack([dict(m.named_buffers())[name] for m in models])
        for name, _ in models[0].named_buffers()
    }
    return parameters, buffers
