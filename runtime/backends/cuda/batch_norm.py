"""Batch norm: moments per channel in one reduction, then one pass that scales and shifts.

That is a kernel of its own where channels lie innermost, else a formula.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

from ...core.expressions import read
from ..layout import is_channels_last
from . import launch
from .launch import Template
from .movement import copy_into
from .pointwise import Formula
from .reductions import reduced
from .registry import FLOATS, kernel
from .rows import VECTOR_BYTES, WARP, empty, wide

THREADS = 256
IN_FLIGHT = 4
"""Rows that a thread reads before it computes the first; `batch_norm.cu` has the same."""
BLOCKS_PER_MULTIPROCESSOR = 8
PARAMETERS: dict[str, Any] = {"T": FLOATS, "IS_WIDE": (False, True)}
NORMALIZE = Template("batch_norm", "normalize_channels", "PPPPPPqqqqd", **PARAMETERS)
GRADIENT = Template("batch_norm", "normalize_channels_gradient", "PPPPPPPPPqqqqdd", **PARAMETERS)

# -- formulas, of which operands that are None are left out ---------------------------------------


def normalized(m: Any, x: Any, mean: Any, var: Any, *, eps: Any) -> Any:
    """(x - mean) / sqrt(var + eps)."""
    return (x - mean) * m.rsqrt(var + eps)


def by_weight(m: Any, along: Any, level: Any, shift: Any, mean: Any, var: Any, *, eps: Any) -> Any:
    """sum(g * x) with x normalized, from what `ShiftedProducts` has."""
    return (along + (shift - mean) * level) * m.rsqrt(var + eps)


@cache
def forward(dtype: str, has_weight: bool, has_bias: bool) -> Formula:
    """`normalized`, times the weight plus the bias, as far as there are."""
    names = ["x", "mean", "var"] + ["weight"] * has_weight + ["bias"] * has_bias

    def formula(m: Any, x: Any, mean: Any, var: Any, *rest: Any, eps: Any) -> Any:
        out = normalized(m, x, mean, var, eps=eps)
        out = out * rest[0] if has_weight else out
        return out + rest[-1] if has_bias else out

    return Formula("batch_norm", read(formula, names, ["eps"], {}), names, ["eps"], dtype)


@cache
def _scaled(dtype: str, has_weight: bool, has_bias: bool) -> Formula:
    names = ["x"] + ["weight"] * has_weight + ["bias"] * has_bias

    def formula(m: Any, x: Any, *rest: Any) -> Any:
        out = x * rest[0] if has_weight else x
        return out + rest[-1] if has_bias else out

    return Formula("scale_channels", read(formula, names, [], {}), names, [], dtype)


@cache
def _backward(dtype: str, has_weight: bool) -> Formula:
    names = ["g", "x", "mean", "var", "along", "level", "shift"] + ["weight"] * has_weight

    def formula(
        m: Any, g: Any, x: Any, mean: Any, var: Any, *rest: Any, eps: Any, share: Any
    ) -> Any:
        along = by_weight(m, *rest[:3], mean, var, eps=eps)
        shown = normalized(m, x, mean, var, eps=eps)
        out = (g - (rest[1] + shown * along) * share) * m.rsqrt(var + eps)
        return out * rest[3] if has_weight else out

    parameters = ["eps", "share"]
    expression = read(formula, names, parameters, {})
    return Formula("batch_norm_gradient", expression, names, parameters, dtype)


@cache
def _weight_gradient(dtype: str) -> Formula:
    names = ["along", "level", "shift", "mean", "var"]
    expression = read(by_weight, names, ["eps"], {})
    return Formula("batch_norm_weight_gradient", expression, names, ["eps"], dtype)


# -- kernels ---------------------------------------------------------------------------------------


def lies_well(x: Any) -> bool:
    """Whether results may lie as x does: row by row, or with the channels innermost."""
    import cupy

    return x.ndim > 1 and x.size > 0 and (x.flags.c_contiguous or is_channels_last(cupy, x))


def laid_as(g: Any, x: Any) -> Any:
    """g, or a copy that lies in memory as x does."""
    if g.strides == x.strides:
        return g
    import cupy

    out = cupy.empty_like(x, g.dtype)
    if not copy_into(out, g):
        out[...] = g
    return out


class Innermost(NamedTuple):
    """The launch of a kernel on channels that lie innermost: its grid, and the words from `rows` to
    `chunk`."""

    grid: tuple[int, int]
    sizes: tuple[int, int, int, int]


def _innermost(x: Any, *parameters: Any) -> Innermost | None:
    """None where channels lie otherwise or do not fill vectors, or parameters are of another dtype
    than the first of them, or of one that the kernels are not compiled for."""
    channels, lanes = x.shape[1], VECTOR_BYTES // x.itemsize
    given = [p for p in parameters if p is not None]
    if x.ndim > 2 and x.flags.c_contiguous and x.size != x.shape[0] * channels:
        return None
    if (
        channels % lanes
        or x.data.ptr % VECTOR_BYTES
        or not all(p.flags.c_contiguous for p in given)
    ):
        return None
    if any(p.dtype != given[0].dtype or p.dtype not in (x.dtype, wide(x)) for p in given):
        return None
    rows, vectors = x.size // channels, channels // lanes
    across = min(WARP, 1 << (vectors - 1).bit_length())
    blocks, depth = -(-vectors // across), THREADS // across * IN_FLIGHT
    wanted = max(1, launch.driver.multiprocessors() * BLOCKS_PER_MULTIPROCESSOR // blocks)
    chunk = -(-rows // (wanted * depth)) * depth
    return Innermost((blocks, -(-rows // chunk)), (rows, channels, across, chunk))


def _places(*arrays: Any) -> list[int]:
    return [0 if a is None else a.data.ptr for a in arrays]


def _given(x: Any, *channels: Any) -> list[Any]:
    """(C,) as (C, 1, ...), which is broadcast against x; None is left out."""
    column = (-1, *[1] * (x.ndim - 2))
    return [c.reshape(column) for c in channels if c is not None]


def _normalized_by_batch(
    input: Any, weight: Any, bias: Any, dims: tuple[int, ...], eps: float
) -> tuple[Any, Any, Any] | None:
    """The result in the dtype of the input, mean and variance in that of sums."""
    if not lies_well(input):
        return None
    count = math.prod([input.shape[d] for d in dims])
    moments = reduced("Moments", input, tuple(dims), wide(input), number=count)
    if moments is None:
        return None
    how = _innermost(input, weight, bias)
    if how is not None:
        import cupy

        out = cupy.empty_like(input)
        parameter = next((p for p in (weight, bias) if p is not None), moments)
        chosen = NORMALIZE[input.dtype.name, parameter.dtype != input.dtype]
        places = _places(input, *moments, weight, bias, out)
        chosen(how.grid, THREADS, *places, *how.sizes, eps)
        return out, *moments
    formula = forward(input.dtype.name, weight is not None, bias is not None)
    out = formula(input, *_given(input, *moments, weight, bias), eps=eps)
    return None if out is None else (out, *moments)


@kernel("mixed_batch_normalize")
def mixed_batch_normalize(
    input: Any, weight: Any = None, bias: Any = None, *, dims: tuple[int, ...], eps: float
) -> Any:
    """The input is read twice and the result written once."""
    return _normalized_by_batch(input, weight, bias, dims, eps)


@kernel("batch_normalize")
def batch_normalize(
    input: Any, weight: Any = None, bias: Any = None, *, dims: tuple[int, ...], eps: float
) -> Any:
    """The input is read twice and the result written once."""
    found = _normalized_by_batch(input, weight, bias, dims, eps)
    if found is None:
        return None
    return (found[0], *[m.astype(input.dtype, copy=False) for m in found[1:]])


@kernel("mixed_batch_normalize_gradient")
@kernel("batch_normalize_gradient")
def batch_normalize_gradient(
    g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float
) -> Any:
    """Both arrays are read twice and the result written once; the gradients by weight and bias are
    in the dtype of the weight, or of the mean."""
    if not lies_well(input):
        return None
    g = laid_as(g, input)
    dims = (0, *range(2, g.ndim))
    sums = reduced("ShiftedProducts", g, dims, wide(g), other=input)
    if sums is None:
        return None
    share = g.shape[1] / g.size
    kind = mean.dtype if weight is None else weight.dtype
    how = _innermost(input, weight)
    if how is not None and mean.dtype == sums.dtype:
        import cupy

        out = cupy.empty_like(input)
        by_weight, by_bias = empty(mean.shape, kind), empty(mean.shape, kind)
        places = _places(g, input, mean, var, sums, weight, out, by_weight, by_bias)
        chosen = GRADIENT[g.dtype.name, kind != g.dtype]
        chosen(how.grid, THREADS, *places, *how.sizes, eps, share)
        return out, by_weight, by_bias
    formula = _backward(g.dtype.name, weight is not None)
    out = formula(g, input, *_given(g, mean, var, *sums, weight), eps=eps, share=share)
    along = _weight_gradient(sums.dtype.name)(*sums, mean, var, eps=eps)
    if out is None or along is None:
        return None
    return out, along.astype(kind, copy=False), sums[1].astype(kind, copy=False)


@kernel("normalize_by")
def normalize_by(
    input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> Any:
    """One pass."""
    if not lies_well(input):
        return None
    formula = forward(input.dtype.name, weight is not None, bias is not None)
    return formula(input, *_given(input, mean, var, weight, bias), eps=eps)


@kernel("scale_shift_channels")
def scale_shift_channels(input: Any, weight: Any = None, bias: Any = None) -> Any:
    """One pass."""
    if not lies_well(input) or (weight is None and bias is None):
        return None
    formula = _scaled(input.dtype.name, weight is not None, bias is not None)
    return formula(input, *_given(input, weight, bias))
