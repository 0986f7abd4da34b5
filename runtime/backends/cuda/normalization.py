"""Layer and RMS norm, and rows brought to mean 0 and variance 1, with their gradients."""

from __future__ import annotations

from typing import Any

from . import counters, launch
from .launch import Template
from .reductions import MOST_CHUNKS
from .registry import FLOATS, kernel
from .rows import ROW_PARAMETERS, VECTOR_BYTES, Rows, aligned, as_rows, empty, wide

ROWS = Template("normalization", "normalize_rows", "PPPPPPqqqd", **ROW_PARAMETERS)
GRADIENT = Template("normalization", "normalize_rows_gradient", "PPPPPPqqqd", **ROW_PARAMETERS)
NORMALIZED = Template("normalization", "normalized_gradient", "PPPPqqqd", **ROW_PARAMETERS)
SCALE = Template("normalization", "scale_rows", "PPPqqqd", **ROW_PARAMETERS)
SCALE_GRADIENT = Template("normalization", "scale_rows_gradient", "PPPPPqqqd", **ROW_PARAMETERS)
WEIGHTS = Template(
    "normalization", "normalize_weight_gradient", "PPPPPPPqqq", T=FLOATS, IS_VECTOR=(True, False)
)
ROWS_AT_ONCE, COLUMNS_AT_ONCE = 8, 32
"""Threads of a block of `normalize_weight_gradient` along rows, and along vectors of columns."""
BLOCKS_PER_MULTIPROCESSOR = 2
"""Of it: more would have their sums added up by one block for longer than they save."""


def _launched(template: Template, given: Rows, *others: Any, eps: float) -> None:
    """Launch a kernel on rows; of `others`, arrays that follow them, some may be None."""
    how, dtype = given.how, given.arrays[0].dtype.name
    places = [0 if a is None else a.data.ptr for a in (*given.arrays, *others)]
    chosen = template[dtype, how.is_vector, how.pieces]
    chosen(how.blocks, how.threads, *places, given.rows, given.columns, how.threads_per_row, eps)


def _parameters(x: Any, *given: Any) -> list[Any] | None:
    """Weight and bias, aligned; None if one has another dtype."""
    if any(a is not None and a.dtype != x.dtype for a in given):
        return None
    return [None if a is None else aligned(a) for a in given]


@kernel("layer_norm_over")
def layer_norm(input: Any, weight: Any, bias: Any, dims: tuple[int, ...], eps: float) -> Any:
    """(input - mean) / sqrt(var + eps) * weight + bias, read and written once."""
    given, parameters = as_rows([input], dims), _parameters(input, weight, bias)
    if given is None or parameters is None:
        return None
    out = empty(input.shape, input.dtype)
    _launched(ROWS, given, *parameters, out, None, None, eps=eps)
    return out


@kernel("normalize_over")
def normalize(input: Any, dims: tuple[int, ...], eps: float) -> Any:
    """(input - mean) / sqrt(var + eps), the means and the variances, read and written once."""
    given = as_rows([input], dims)
    if given is None:
        return None
    out = empty(input.shape, input.dtype)
    kept = input.shape[: input.ndim - len(dims)] + (1,) * len(dims)
    mean, var = empty(kept, input.dtype), empty(kept, input.dtype)
    _launched(ROWS, given, None, None, out, mean, var, eps=eps)
    return out, mean, var


@kernel("normalize_gradient")
def normalize_gradient(g: Any, normalized: Any, var: Any, dims: tuple[int, ...], eps: float) -> Any:
    """(g - mean(g) - normalized * mean(g * normalized)) / sqrt(var + eps)."""
    given = as_rows([g, normalized], dims)
    if given is None:
        return None
    out = empty(g.shape, g.dtype)
    _launched(NORMALIZED, given, aligned(var), out, eps=eps)
    return out


@kernel("layer_norm_gradient")
def layer_norm_gradient(
    g: Any, input: Any, weight: Any, like: tuple[int, ...], dims: tuple[int, ...], eps: float
) -> Any:
    """The gradient by the input in one pass, those by weight and bias in a second."""
    given, parameters = as_rows([g, input], dims), _parameters(input, weight)
    if given is None or parameters is None:
        return None
    out = empty(input.shape, input.dtype)
    means, scales = (empty((given.rows,), wide(input)) for _ in range(2))
    _launched(GRADIENT, given, *parameters, out, means, scales, eps=eps)
    by_weight, by_bias = _summed(given, means, scales)
    return out, by_weight.reshape(like), by_bias.reshape(like)


def _summed(given: Rows, means: Any, scales: Any) -> Any:
    """The gradients by weight and by bias, (2, columns); the means may be None, for 0."""
    x, rows, columns = given.arrays[1], given.rows, given.columns
    width = VECTOR_BYTES // x.itemsize if given.how.is_vector else 1
    blocks = -(-columns // (COLUMNS_AT_ONCE * width))
    wanted = launch.driver.multiprocessors() * BLOCKS_PER_MULTIPROCESSOR // blocks
    chunk = -(-rows // max(1, min(wanted, rows // (4 * ROWS_AT_ONCE), MOST_CHUNKS)))
    chunks = -(-rows // chunk)
    out = empty((2, columns), x.dtype)
    arrays = *given.arrays, means, scales, out
    places = [0 if a is None else a.data.ptr for a in arrays]
    between, counted = 0, 0
    if chunks > 1:
        parts = empty((2, chunks, columns), scales.dtype)
        between, counted = parts.data.ptr, counters.address(blocks)
    threads = ROWS_AT_ONCE * COLUMNS_AT_ONCE
    WEIGHTS[x.dtype.name, given.how.is_vector](
        (blocks, chunks), threads, *places, between, counted, rows, columns, chunk
    )
    return out


@kernel("rms_norm_over")
def rms_norm(input: Any, weight: Any, dims: tuple[int, ...], eps: float) -> Any:
    """input / sqrt(mean(input**2) + eps) * weight, read and written once."""
    given, parameters = as_rows([input], dims), _parameters(input, weight)
    if given is None or parameters is None:
        return None
    out = empty(input.shape, input.dtype)
    _launched(SCALE, given, *parameters, out, eps=eps)
    return out


@kernel("rms_norm_gradient")
def rms_norm_gradient(g: Any, input: Any, weight: Any, dims: tuple[int, ...], eps: float) -> Any:
    """The gradient by the input in one pass, that by the weight in a second if there is one."""
    given, parameters = as_rows([g, input], dims), _parameters(input, weight)
    if given is None or parameters is None:
        return None
    out, scales = empty(input.shape, input.dtype), empty((given.rows,), wide(input))
    _launched(SCALE_GRADIENT, given, *parameters, out, scales, eps=eps)
    if weight is None:
        return out, out
    return out, _summed(given, None, scales)[0].reshape(weight.shape)
