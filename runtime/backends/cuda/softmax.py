"""Softmax and log-softmax along the last dimension, and their gradients."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .registry import kernel
from .rows import ROW_PARAMETERS, aligned, empty, geometry

ROWS = Template("softmax", "softmax_rows", "PPqqq", **ROW_PARAMETERS, IS_LOG=(False, True))
GRADIENT_ROWS = Template(
    "softmax", "softmax_gradient_rows", "PPPqqq", **ROW_PARAMETERS, IS_LOG=(False, True)
)


def _mapped(template: Template, is_log: bool, arrays: list[Any], dim: int) -> Any:
    """The result of a kernel on arrays of one shape, in the shape of the first."""
    first = arrays[0]
    if not first.ndim or dim not in (-1, first.ndim - 1):
        return None
    columns = first.shape[-1]
    rows = first.size // columns if columns else 0
    how = geometry(rows, columns, first.itemsize)
    if how is None:
        return None
    arrays = [aligned(a) for a in arrays]
    out = empty(first.shape, first.dtype)
    chosen = template[first.dtype.name, how.is_vector, how.pieces, is_log]
    places = [a.data.ptr for a in (*arrays, out)]
    chosen(how.blocks, how.threads, *places, rows, columns, how.threads_per_row)
    return out


@kernel("softmax_over")
def softmax(input: Any, dim: int) -> Any:
    """exp(input - max) / sum, read and written once."""
    return _mapped(ROWS, False, [input], dim)


@kernel("log_softmax_over")
def log_softmax(input: Any, dim: int) -> Any:
    """input - max - log(sum), read and written once."""
    return _mapped(ROWS, True, [input], dim)


@kernel("softmax_gradient")
def softmax_gradient(g: Any, out: Any, dim: int) -> Any:
    """out * (g - sum(g * out)), read and written once."""
    return _mapped(GRADIENT_ROWS, False, [g, out], dim)


@kernel("log_softmax_gradient")
def log_softmax_gradient(g: Any, out: Any, dim: int) -> Any:
    """g - exp(out) * sum(g), read and written once."""
    return _mapped(GRADIENT_ROWS, True, [g, out], dim)
