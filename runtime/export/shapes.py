"""What programs say of open dimensions: `dynamic_axes` and `dynamic_shapes`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core.tensor import Tensor
from ..nn import Module
from ..utils import _pytree
from .sizes import Dim, OpenDims

__all__ = ["opened_by_axes", "opened_by_shapes"]

Opening = Callable[[list[str]], OpenDims]


def opened_by_axes(
    args: tuple[Any, ...], kwargs: dict[str, Any], axes: Mapping[str, Any],
    output_names: Sequence[str] = (),
) -> Opening:  # fmt: skip
    """By input name, a dict from dimension to name or a list of dimensions; what is said of outputs
    follows from the model."""
    tensors = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]

    def opened(names: list[str]) -> OpenDims:
        unknown = set(axes) - set(names) - set(output_names)
        if unknown and not output_names:
            unknown = {n for n in unknown if not n.startswith("output")}
        if unknown:
            raise ValueError(
                f"torch.onnx.export: expected names of inputs ({', '.join(names)}) in "
                f"dynamic_axes. Got {', '.join(sorted(unknown))}."
            )
        found = []
        for name, tensor in zip(names, tensors, strict=True):
            given = axes.get(name, {})
            by_dim = given if isinstance(given, Mapping) else {d: f"{name}_dim_{d}" for d in given}
            found.append({_dim(d, tensor, name): str(n) for d, n in by_dim.items()})
        return OpenDims(found)

    return opened


def _dim(dim: int, tensor: Tensor, name: str) -> int:
    if not -tensor.ndim <= dim < tensor.ndim:
        raise IndexError(
            f"dynamic shapes: expected a dimension of {name}, whose shape is "
            f"{tuple(tensor.shape)}. Got {dim}."
        )
    return dim % tensor.ndim


def opened_by_shapes(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Any
) -> Opening:
    """By argument, in the shape of the arguments: per tensor None, a dict from dimension to Dim,
    name or None, or a sequence of those."""
    given = given_arguments(function, args, kwargs)
    if isinstance(shapes, Mapping):
        unknown = set(shapes) - {name for name, _ in given}
        if unknown:
            raise ValueError(
                f"dynamic_shapes: expected names of arguments "
                f"({', '.join(name for name, _ in given)}). Got {', '.join(map(str, unknown))}."
            )
        pairs = [(value, shapes.get(name)) for name, value in given]
    else:
        pairs = list(zip([value for _, value in given], shapes, strict=False))
    tensors: list[tuple[Tensor, Any]] = []
    for value, shape in pairs:
        _collect(value, shape, tensors)

    def opened(names: list[str]) -> OpenDims:
        opening = OpenDims([])
        for (tensor, shape), name in zip(tensors, names, strict=True):
            listed = shape.items() if isinstance(shape, Mapping) else enumerate(shape or ())
            by_dim: dict[int, str] = {}
            for d, dim in listed:
                found = _name_of(dim, f"{name}_dim_{d}", opening)
                if found is not None:
                    by_dim[_dim(d, tensor, name)] = found
            opening.names.append(by_dim)
        return opening

    return opened


def given_arguments(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Any]]:
    """The arguments of a call, in its order, with the names that the function has for them; what
    `*args` takes is numbered."""
    called = function.forward if isinstance(function, Module) else function
    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "input")
    first = len(named) if parameters else 0
    names = [named[k] if k < first else f"{rest}_{k - first}" for k in range(len(args))]
    return [*zip(names, args, strict=True), *kwargs.items()]


def _collect(value: Any, shape: Any, found: list[tuple[Tensor, Any]]) -> None:
    """The tensors of an argument with what is said of each."""
    if isinstance(value, Tensor):
        found.append((value, shape))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            _collect(part, None if shape is None else shape.get(key), found)
    elif isinstance(value, tuple | list):
        for k, part in enumerate(value):
            _collect(part, None if shape is None else shape[k], found)


def _name_of(dim: Any, automatic: str, opening: OpenDims) -> str | None:
    """The name of an open dimension; None for a fixed one."""
    if dim is None or dim is Dim.STATIC or isinstance(dim, int):
        return None
    if dim is Dim.AUTO or dim is Dim.DYNAMIC:
        return automatic
    if isinstance(dim, str):
        return dim
    opening.bounds[dim.__name__] = (dim.min, dim.max)
    return str(dim.__name__)
