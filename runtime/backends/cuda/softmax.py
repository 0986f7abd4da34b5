"""Softmax and log-softmax along the last dimension, and their gradients."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .registry import kernel
from .rows import ROW_PARAMETERS, as_rows, empty

LOG: dict[str, Any] = {"IS_LOG": (False, True)}
ROWS = Template("softmax", "softmax_rows", "PPqqq", **ROW_PARAMETERS, **LOG)
GRADIENT_ROWS = Template("softmax", "softmax_gradient_rows", "PPPqqq", **ROW_PARAMETERS, **LOG)


def _mapped(template: Template, is_log: bool, arrays: list[Any], dim: int) -> Any:
    """The result of a kernel on arrays of one shape, in the shape of the first."""
    first = arrays[0]
    given = as_rows(arrays, (dim,)) if first.ndim else None
    if given is None:
        return None
    how, out = given.how, empty(first.shape, first.dtype)
    chosen = template[first.dtype.name, how.is_vector, how.pieces, is_log]
    places = [a.data.ptr for a in (*given.arrays, out)]
    chosen(how.blocks, how.threads, *places, given.rows, given.columns, how.threads_per_row)
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
