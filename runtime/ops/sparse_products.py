"""Products of a matrix given by the places and values of its elements, and their gradients.

With M[rows[k], columns[k]] += values[k], `place_product` is M @ dense; the gradient of the values
is `sampled_product`, that of dense the product with M transposed. Each one's gradient is written in
the two, which gives every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ShapeError
from .declare import Index, Spec, primitive
from .shapes import Shape

CHUNK = 16_384
"""Elements for which rows of both factors are gathered at once."""


@primitive(node_name="SparseAddmm")
def place_product(rows: Index, columns: Index, values: Spec, dense: Spec, *, like: Shape) -> Spec:
    """out[rows[k]] += values[k] * dense[columns[k]]: (nnz,) three times, (n, m) -> (like[0], m)."""
    if len(dense.shape) != 2 or len(values.shape) != 1:
        raise ShapeError(
            f"mm: expected a sparse matrix without dense dimensions and a dense matrix. Got values "
            f"{tuple(values.shape)} and {tuple(dense.shape)}."
        )
    return Spec((like[0], dense.shape[1]), values.dtype)


@place_product.array
def place_product_array(
    xp: Any, rows: Any, columns: Any, values: Any, dense: Any, like: Shape
) -> Any:
    """The library's product of compressed rows."""
    if xp is np:
        from scipy import sparse
    else:
        from cupyx.scipy import sparse

    if not len(values):
        return xp.zeros((like[0], dense.shape[1]), dense.dtype)
    if xp is not np and values.dtype.kind not in "fc":
        out = xp.zeros((like[0], dense.shape[1]), dense.dtype)  # CUDA's library has no integers
        xp.add.at(out, rows, values[:, None] * dense[columns])
        return out
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(like[0], dense.shape[0]))
    return matrix @ xp.ascontiguousarray(dense)


@place_product.vjp(saves="rows columns values dense")
def place_product_vjp(
    F: Any, g: Any, needs: Any, rows: Any, columns: Any, values: Any, dense: Any, like: Any
) -> Any:
    """g against dense at the places; the product with the transposed matrix."""
    return (
        None,
        None,
        F.sampled_product(rows, columns, g, dense) if needs[2] else None,
        F.place_product(columns, rows, values, g, like=dense) if needs[3] else None,
    )


@primitive(node_name="SampledProduct")
def sampled_product(rows: Index, columns: Index, left: Spec, right: Spec) -> Spec:
    """out[k] = sum of left[rows[k]] * right[columns[k]]: the elements of left @ right.mT at the
    places."""
    return Spec(tuple(rows.shape), left.dtype)


@sampled_product.array
def sampled_product_array(xp: Any, rows: Any, columns: Any, left: Any, right: Any) -> Any:
    """In chunks, so that the gathered rows stay in the cache."""
    out = xp.empty(len(rows), left.dtype)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        out[part] = xp.einsum("ij,ij->i", left[rows[part]], right[columns[part]])
    return out


@sampled_product.vjp(saves="rows columns left right")
def sampled_product_vjp(
    F: Any, h: Any, needs: Any, rows: Any, columns: Any, left: Any, right: Any
) -> Any:
    """The products with the matrix of values h, and with its transpose."""
    return (
        None,
        None,
        F.place_product(rows, columns, h, right, like=left) if needs[2] else None,
        F.place_product(columns, rows, h, left, like=right) if needs[3] else None,
    )
