"""Products with weights of 4 or 8 bits whose groups of columns have scales, as in GGUF files.

A weight (m, k) is three tensors: `codes`, `scales` and perhaps `offsets`, where code q of a group
stands for q * scale + offset. `scales` and `offsets` are (m, k / 16) or (m, k / 32), one for each
16 or 32 columns, in float32 if it is to be fast. `codes` are int8 (m, k), or uint8 (m, k / 2) with
two codes of 4 bits in a byte: each 16 bytes hold 32 columns, the first 16 in their low halves. k is
a multiple of 32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cpu.onednn import products
from ..core import dtypes
from ..core.tensor import Tensor
from ..errors import DTypeError, ShapeError
from . import shapes
from .copies import as_dtype
from .declare import Index, Spec, composite, kernel, primitive

GROUPS = (16, 32)
CHUNK = 32
"""Columns whose codes of 4 bits lie in 16 bytes."""
FEW_ROWS = 8
"""Rows up to which a product widens codes in registers, once a row; for more the weight is widened
first (measured: 3.5 ms a row against 12 to 25 ms, for 57 million codes of 4 bits)."""
LEAST_LOOP = 4096
"""Columns times rows of a weight from which on a loop, whose call takes 6 us, beats NumPy."""
SINGLE = np.dtype(np.float32)


def columns_of(codes: Any) -> int:
    """The columns of the weight."""
    return int(codes.shape[1]) * (1 if codes.dtype in (dtypes.int8, np.int8) else 2)


def nearest_codes(weight: Tensor, bits: int, group: int = CHUNK) -> dict[str, Tensor | None]:
    """`codes`, `scales` and `offsets`, by name, that come nearest to a weight (m, k). With 8 bits
    the largest magnitude of a group of columns is code 127, with 4 its least number is code 0 and
    its largest 15. `group` is a multiple of 32 that divides k; scales of longer groups stand once
    for each 32.

    Source: arXiv:2206.01861, section 3.1, group-wise quantization.
    """
    rows, columns = weight.shape
    values = weight.detach().float().reshape(rows, columns // group, group)
    if bits == 8:
        scales = _not_zero(values.abs().amax(-1) / 127)
        codes = (values / scales[..., None]).round().to(dtypes.int8).reshape(rows, columns)
        return {"codes": codes, "scales": _spread(scales, group), "offsets": None}
    least = values.amin(-1)
    scales = _not_zero((values.amax(-1) - least) / 15)
    whole = ((values - least[..., None]) / scales[..., None]).round().clamp(0, 15)
    low, high = whole.to(dtypes.uint8).reshape(rows, -1, CHUNK).chunk(2, -1)
    codes = (low | high << 4).reshape(rows, columns // 2)
    return {"codes": codes, "scales": _spread(scales, group), "offsets": _spread(least, group)}


def _spread(values: Tensor, group: int) -> Tensor:
    """One for each 32 columns instead of each `group`."""
    return values if group == CHUNK else values.repeat_interleave(group // CHUNK, 1)


def _not_zero(scales: Tensor) -> Tensor:
    """1 for groups whose numbers are all the same, so that nothing is divided by 0."""
    return scales.masked_fill(scales == 0, 1.0)


@primitive
def unpacked_codes(codes: Index) -> Spec:
    """The codes of a weight as int8 (m, k): 0 to 15 if they have 4 bits."""
    if codes.dtype not in (dtypes.int8, dtypes.uint8):
        raise DTypeError(f"unpacked_codes: expected codes of int8 or uint8. Got {codes.dtype}.")
    shapes.require_ndim("unpacked_codes", "codes", codes, 2)
    columns = columns_of(codes)
    if columns % CHUNK:
        raise ShapeError(
            f"unpacked_codes: expected a multiple of {CHUNK} columns. Got {columns}, as codes are "
            f"{tuple(codes.shape)} of {codes.dtype}."
        )
    return Spec((codes.shape[0], columns), dtypes.int8)


@unpacked_codes.array
def unpacked_codes_array(xp: Any, codes: Any) -> Any:
    """Low halves of 16 bytes, then high ones."""
    rows, columns = len(codes), columns_of(codes)
    if codes.dtype == np.uint8:
        packed = codes.reshape(rows, columns // CHUNK, CHUNK // 2)
        codes = xp.concatenate([packed & 15, packed >> 4], -1).reshape(rows, columns)
    return codes.astype(np.int8)


@composite
def grouped_weight(F: Any, codes: Index, scales: Spec, offsets: Spec | None = None) -> Spec:
    """The weight (m, k): codes * scales + offsets, in the precision of these.

    Raises: ShapeError, DTypeError for tensors that make no weight.
    """
    rows, columns = codes.shape[0], columns_of(codes)
    fitting = [(rows, columns // group) for group in GROUPS]
    if tuple(scales.shape) not in fitting or (
        offsets is not None and offsets.shape != scales.shape
    ):
        others = "" if offsets is None else f" and offsets {tuple(offsets.shape)}"
        raise ShapeError(
            f"grouped_weight: expected scales and offsets {fitting[0]} or {fitting[1]} for codes "
            f"{tuple(codes.shape)}, which have {columns} columns. Got scales "
            f"{tuple(scales.shape)}{others}."
        )
    groups = scales.shape[1]
    parts = (rows, groups, columns // groups)
    found = F.reshape_like(as_dtype(F, F.unpacked_codes(codes), scales.dtype), like=parts)
    found = F.mul(found, F.unsqueeze(scales, dim=2))
    if offsets is not None:
        found = F.plus(found, F.unsqueeze(offsets, dim=2))
    return F.reshape_like(found, like=(rows, columns))


def _has_loop(codes: Any, scales: Any, offsets: Any = None) -> bool:
    given = (scales, *(() if offsets is None else (offsets,)))
    is_fit = all(a.dtype == SINGLE and a.flags.c_contiguous for a in given)
    is_large = codes.size >= LEAST_LOOP and codes.flags.c_contiguous
    return is_fit and bool(is_large) and loops.is_available()


@kernel(grouped_weight, "cpu", when=_has_loop)
def grouped_weight_loop(codes: Any, scales: Any, offsets: Any = None) -> Any:
    """One pass over memory."""
    from ..backends.cpu.loops import grouped

    return grouped.decoded(codes, scales, offsets)


@composite
def grouped_linear(
    F: Any,
    input: Spec,
    codes: Index,
    scales: Spec,
    offsets: Spec | None = None,
    bias: Spec | None = None,
) -> Spec:
    """input @ weight.T + bias: float (..., k), the weight (m, k) of `grouped_weight`, (m,) ->
    (..., m).

    Raises: ShapeError, DTypeError for a weight that is none.
    """
    if not input.shape or input.shape[-1] != columns_of(codes):
        raise ShapeError(
            f"grouped_linear: expected rows of {columns_of(codes)} elements for codes "
            f"{tuple(codes.shape)} of {codes.dtype}. Got input {tuple(input.shape)}."
        )
    return F.linear(input, F.grouped_weight(codes, scales, offsets), bias)


def _multiplies(input: Any, codes: Any, scales: Any, offsets: Any = None, bias: Any = None) -> bool:
    given = (input, *(() if bias is None else (bias,)))
    is_single = all(a.dtype == SINGLE and a.flags.c_contiguous for a in given)
    return is_single and _has_loop(codes, scales, offsets)


@kernel(grouped_linear, "cpu", when=_multiplies)
def grouped_linear_loop(
    input: Any, codes: Any, scales: Any, offsets: Any = None, bias: Any = None
) -> Any:
    """A few rows with the codes as they are; for more the weight is widened first."""
    from ..backends.cpu.loops import grouped

    rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    if len(rows) <= FEW_ROWS:
        out = grouped.product(rows, codes, scales, offsets, bias)
    else:
        out = products.linear(rows, grouped.decoded(codes, scales, offsets), bias)
    return out.reshape(*input.shape[:-1], len(codes))
