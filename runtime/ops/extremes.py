"""Reductions to the largest or the smallest element, and where it stands."""

from __future__ import annotations

from typing import Any

from ..autograd.node import named
from ..core import dtypes
from ..errors import ShapeError
from . import shapes
from .declare import Spec, composite, primitive
from .return_types import SELECTIONS
from .shapes import Dims, Shape, numpy_axis, reduced_shape

__all__ = [
    "amax",
    "amin",
    "argmax",
    "argmin",
    "max",
    "min",
]


def require_elements(name: str, shape: Shape, dims: Shape) -> None:
    """Raises: ShapeError if one of the dimensions `dims` is empty."""
    for d in dims:
        if shape and shape[d] == 0:
            raise ShapeError(f"{name}: expected elements in dimension {d}. Got shape {shape}.")


def _extreme(name: str, doc: str) -> Any:
    def rule(input: Spec, dim: Dims = None, keepdim: bool = False) -> Spec:
        shape = tuple(input.shape)
        require_elements(name, shape, shapes.normalized_dims(dim, len(shape), name))
        return Spec(reduced_shape(shape, dim, keepdim, name), input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name, layout="row_major", refuses="complex")

    @function.array
    def array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
        return getattr(xp, "max" if name == "amax" else "min")(
            input, axis=numpy_axis(dim), keepdims=keepdim
        )

    @function.vjp(saves="input out")
    def vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any, keepdim: Any) -> Any:
        """g shared evenly among all elements that equal the extreme."""
        extreme = F.expand_reduced(out, like=input, dim=dim, keepdim=keepdim)
        hits = F.cast(F.eq(input, extreme), dtype=input.dtype)
        count = F.sum_over(hits, dim=dim, keepdim=True)
        expanded = F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)
        return F.mul(expanded, F.divide(hits, count))

    return function


amax = _extreme("amax", "The largest element over `dim`; ties share the gradient.")


amin = _extreme("amin", "The smallest element over `dim`; ties share the gradient.")


def _arg_extreme(name: str, doc: str) -> Any:
    def rule(input: Spec, dim: int | None = None, keepdim: bool = False) -> Spec:
        shape = tuple(input.shape)
        require_elements(name, shape, shapes.normalized_dims(dim, len(shape), name))
        return Spec(reduced_shape(shape, dim, keepdim, name), dtypes.int64)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name, layout="row_major", refuses="complex")

    @function.array
    def array(xp: Any, input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if not input.ndim:
            return xp.zeros((), xp.int64)
        found = getattr(xp, name)(input, axis=dim, keepdims=keepdim)
        return xp.asarray(found, xp.int64)

    return function


argmax = _arg_extreme(
    "argmax", "Index of the largest element along `dim`, or in the flat tensor; int64."
)


argmin = _arg_extreme(
    "argmin", "Index of the smallest element along `dim`, or in the flat tensor; int64."
)


def _max_or_min(F: Any, name: str, input: Any, dim: Any, keepdim: bool, other: Any) -> Any:
    if hasattr(dim, "shape"):
        other, dim = dim, None
    if other is not None:
        return getattr(F, "maximum" if name == "max" else "minimum")(input, other)
    if dim is None:
        require_elements(name, tuple(input.shape), tuple(range(len(input.shape))))
        return named(getattr(F, f"a{name}")(input), f"{name.capitalize()}1")
    indices = getattr(F, f"arg{name}")(input, dim=dim, keepdim=True)
    if not len(input.shape):
        return SELECTIONS[name](F.copied(input), indices)
    values = F.take_along_dim(input, indices, dim=dim)
    if not keepdim:
        values, indices = F.squeeze(values, dim=dim), F.squeeze(indices, dim=dim)
    return SELECTIONS[name](named(values, name.capitalize()), indices)


@composite
def max(F: Any, input: Spec, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; over `dim`, values and indices; of two tensors, the larger of each
    pair."""
    return _max_or_min(F, "max", input, dim, keepdim, other)


@composite
def min(F: Any, input: Spec, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; over `dim`, values and indices; of two tensors, the smaller of each
    pair."""
    return _max_or_min(F, "min", input, dim, keepdim, other)
