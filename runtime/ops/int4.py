"""Weights of 4 bits, in groups of columns that have a scale and a smallest value each.

A code c from 0 to 15 stands for c * scale + least. How codes lie in bytes: see
`backends.cpu.loops.four_bits`. Source: arXiv:2206.01861, section 3.1, group-wise quantization.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cpu.onednn import products
from ..core import dtypes
from ..core.tensor import Tensor
from .copies import as_dtype
from .declare import Index, Spec, composite, kernel, primitive
from .extremes import amax, amin
from .int8 import FEW_ROWS, SINGLE

MOST = 15
"""The largest code."""
SHIFT = 16
"""What a code in the upper half of a byte counts."""


def quantize_groups(weight: Tensor, group_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The codes of weight (m, k), uint8 (m, k / group_size, group_size / 2), and scale and least
    (m, k / group_size), float32, of the range of each group."""
    groups = weight.float().reshape(len(weight), -1, group_size)
    least, most = amin(groups, -1), amax(groups, -1)
    scale = ((most - least) / MOST).clamp(min=1e-8)
    whole = ((groups - least.unsqueeze(-1)) / scale.unsqueeze(-1)).round().clamp(0, MOST)
    low, high = whole.to(dtypes.uint8).chunk(2, -1)
    return low + high * SHIFT, scale, least


@primitive
def widen_groups(codes: Index, scale: Index, least: Index) -> Spec:
    """The weight (m, k) in float32 that `quantize_groups` made codes of."""
    outputs, groups, half = codes.shape
    return Spec((outputs, groups * half * 2), dtypes.float32)


@widen_groups.array
def widen_groups_array(xp: Any, codes: Any, scale: Any, least: Any) -> Any:
    """Lower halves of bytes before upper ones."""
    whole = xp.concatenate([codes & MOST, codes >> 4], -1).astype(SINGLE)
    wide = whole * scale.astype(SINGLE)[..., None] + least.astype(SINGLE)[..., None]
    return wide.reshape(len(codes), -1)


def _is_single(*arrays: Any) -> bool:
    return loops.is_available() and all(
        a.dtype in (SINGLE, np.uint8) and a.flags.c_contiguous for a in arrays
    )


@kernel(widen_groups, "cpu", when=_is_single)
def widen_groups_loop(codes: Any, scale: Any, least: Any) -> Any:
    """One pass over memory."""
    from ..backends.cpu.loops import four_bits

    return four_bits.widened(codes, scale, least)


@composite
def int4_weight_linear(
    F: Any, input: Spec, codes: Index, scale: Index, least: Index, bias: Spec | None = None
) -> Spec:
    """input @ weight.T + bias: float (..., k), a weight (m, k) as `quantize_groups` gives it, (m,)
    -> (..., m). The gradient goes to input and bias."""
    wide = as_dtype(F, F.widen_groups(codes, scale, least), input.dtype)
    return F.linear(input, wide, bias)


def _multiplies(input: Any, codes: Any, scale: Any, least: Any, bias: Any = None) -> bool:
    given = input, codes, scale, least, *(() if bias is None else (bias,))
    fits = input.ndim >= 1 and input.shape[-1] == codes[0].size * 2
    return fits and input.dtype == SINGLE and _is_single(*given)


@kernel(int4_weight_linear, "cpu", when=_multiplies)
def int4_weight_linear_loop(
    input: Any, codes: Any, scale: Any, least: Any, bias: Any = None
) -> Any:
    """A few rows with the codes as they are; for more the weight is widened first."""
    from ..backends.cpu.loops import four_bits

    rows = input.reshape(math.prod(input.shape[:-1]), input.shape[-1])
    if len(rows) <= FEW_ROWS:
        out = four_bits.product(rows, codes, scale, least, bias)
    else:
        out = products.linear(rows, four_bits.widened(codes, scale, least), bias)
    return out.reshape(*input.shape[:-1], len(codes))
