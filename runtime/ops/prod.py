"""Products over dimensions, with gradients that are right at zeros too."""

from __future__ import annotations

import math
from typing import Any

from . import shapes
from .declare import Spec, composite, primitive
from .reductions import accumulated
from .shapes import Dims, numpy_axis, reduced_shape

__all__ = [
    "prod",
]


@primitive(node_name="Prod", layout="row_major")
def prod_over(input: Spec, *, dim: Dims = None, keepdim: bool = False) -> Spec:
    """The product over `dim`."""
    return Spec(reduced_shape(tuple(input.shape), dim, keepdim, "prod"), input.dtype)


@prod_over.array
def prod_array(xp: Any, input: Any, dim: Dims = None, keepdim: bool = False) -> Any:
    """NumPy's product."""
    if input.dtype.kind == "b":  # whose products NumPy makes integers
        return xp.all(input, axis=numpy_axis(dim), keepdims=keepdim)
    return xp.multiply.reduce(input, numpy_axis(dim), input.dtype, None, keepdim)


@prod_over.vjp(saves="input")
def prod_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, keepdim: Any) -> Any:
    """g times the product of all other elements, which is right at zeros too."""
    expanded = F.expand_reduced(g, like=input, dim=dim, keepdim=keepdim)
    return F.mul(expanded, F.product_of_others(input, dim=dim))


@prod_over.naming
def prod_name(node: Any) -> str:
    """PyTorch numbers the form with `dim` 1."""
    return "ProdBackward0" if node.attributes[0] is None else "ProdBackward1"


@primitive
def product_of_others(input: Spec, *, dim: Dims) -> Spec:
    """For each element, the product over `dim` of all others; same shape."""
    return Spec(input.shape, input.dtype)


@product_of_others.array
def product_of_others_array(xp: Any, input: Any, dim: Dims) -> Any:
    """Products of what stands before and what stands behind, along the reduced dimensions in
    one."""
    if not input.ndim:
        return xp.ones_like(input)
    dims = shapes.normalized_dims(dim, input.ndim, "prod")
    moved = xp.moveaxis(input, dims, range(-len(dims), 0)) if dims else input[..., None]
    kept = moved.shape[: moved.ndim - max(len(dims), 1)]
    flat = moved.reshape(*kept, math.prod(moved.shape[len(kept) :]))
    one = xp.ones_like(flat[..., :1])
    before = xp.cumprod(xp.concatenate([one, flat[..., :-1]], -1), -1)
    behind = xp.cumprod(xp.concatenate([one, flat[..., :0:-1]], -1), -1)[..., ::-1]
    others = (before * behind).reshape(moved.shape)
    return xp.moveaxis(others, range(-len(dims), 0), dims) if dims else others[..., 0]


@product_of_others.vjp(saves="input", static="dim")
def product_of_others_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any) -> Any:
    """Sum over i of g_i times the product of all but i and j, by one masked copy per pair."""
    return F.pairs_of_others(g, input, dim=dim)


@primitive
def pairs_of_others(g: Spec, input: Spec, *, dim: Dims) -> Spec:
    """For each j the sum over i != j of g_i times the product of all elements but i and j."""
    return Spec(input.shape, input.dtype)


@pairs_of_others.array
def pairs_of_others_array(xp: Any, g: Any, input: Any, dim: Dims) -> Any:
    """One pass per element i: its factor set to 1, the products of the others weighted by g_i."""
    dims = shapes.normalized_dims(dim, input.ndim, "prod")
    if not dims or not input.ndim:
        return xp.zeros_like(input)
    moved = xp.moveaxis(input, dims, range(-len(dims), 0))
    kept = moved.shape[: moved.ndim - len(dims)]
    flat = moved.reshape(*kept, math.prod(moved.shape[len(kept) :]))
    weights = xp.moveaxis(g, dims, range(-len(dims), 0)).reshape(flat.shape)
    total = xp.zeros_like(flat)
    for i in range(flat.shape[-1]):
        without = flat.copy()
        without[..., i] = 1
        part = product_of_others_array(xp, without, -1) * weights[..., i : i + 1]
        part[..., i] = 0
        total += part
    return xp.moveaxis(total.reshape(moved.shape), range(-len(dims), 0), dims)


@pairs_of_others.vjp(saves="input")
def pairs_of_others_vjp(F: Any, h: Any, needs: Any, g: Any, input: Any, dim: Any) -> Any:
    """Linear in g, by a symmetric matrix. Third derivatives by input are not there."""
    return F.pairs_of_others(h, input, dim=dim) if needs[0] else None, None


@composite
def prod(
    F: Any, input: Spec, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Spec:
    """The product over `dim`, or of all elements; integers multiply as int64."""
    return F.prod_over(accumulated(F, input, dtype), dim=dim, keepdim=keepdim)
