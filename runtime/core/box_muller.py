"""Normal numbers of float32 from uniform ones, rounded step by step as PyTorch's vector code does.

Logarithm, sine and cosine are the polynomials of the Cephes library (Moshier), in float32 with
multiplications and additions fused; so seeds give PyTorch's own numbers to the last bit. NumPy has
no fused operation: a product of two float32 is exact in float64, and so is rounded once here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SINGLE, DOUBLE = np.float32, np.float64
BLOCK = 8192
"""Numbers at a time, so that the steps find them in the cache."""

LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
LN2 = (-2.12194440e-4, 0.693359375)  # a small and a large part, whose sum is ln 2
QUARTER_PI = (-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # negative, likewise

Array = Any


def fused(a: Array, b: Any, c: Any) -> Array:
    """a * b + c, rounded once."""
    product = np.multiply(a, b if isinstance(b, np.ndarray) else SINGLE(b), dtype=DOUBLE)
    product += c if isinstance(c, np.ndarray) else SINGLE(c)
    return product.astype(SINGLE)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y = fused(y, x, c)
    return y


def _log(x: Array) -> Array:
    """ln x of positive numbers: x = 2**e * m with m near 1, and a polynomial of m - 1."""
    bits = np.maximum(x, np.finfo(SINGLE).tiny).view(np.int32)
    e = ((bits >> 23) - 126).astype(SINGLE)
    m = ((bits & 0x007FFFFF) | 0x3F000000).view(SINGLE)
    is_low = m < SINGLE(math.sqrt(0.5))
    e -= is_low
    m = (m - SINGLE(1)) + np.where(is_low, m, SINGLE(0))
    square = m * m
    y = _polynomial(LOG, m) * m
    y = fused(y, square, e * SINGLE(LN2[0]))
    y = fused(square, -0.5, y)
    return fused(e, LN2[1], m + y)


def _sine_and_cosine(x: Array) -> tuple[Array, Array]:
    """Of angles from 0 to 2 pi, reduced by multiples of a quarter of pi."""
    octant = ((x * SINGLE(4 / math.pi)).astype(np.int32) + 1) & ~1
    turns = octant.astype(SINGLE)
    for part in QUARTER_PI:
        x = fused(turns, part, x)
    square = x * x
    cosine = _polynomial(COSINE, square) * square
    cosine = fused(cosine, square, square * SINGLE(-0.5)) + SINGLE(1)
    sine = fused(_polynomial(SINE, square) * square, x, x)
    is_plain = (octant & 2) == 0
    signs = (
        np.where(octant & 4, SINGLE(-1), SINGLE(1)),
        np.where((octant - 2) & 4, SINGLE(1), SINGLE(-1)),
    )
    return np.where(is_plain, sine, cosine) * signs[0], np.where(is_plain, cosine, sine) * signs[1]


def normal_float32(u: Array) -> Array:
    """Blocks of 16 uniform numbers as 16 normal ones: the first 8 give radii, the others angles.

    Source: Box and Muller, "A note on the generation of random normal deviates" (1958).
    """
    out = np.empty_like(u)
    for start in range(0, len(u), BLOCK):
        part = u[start : start + BLOCK].reshape(-1, 2, 8)
        radius = np.sqrt(SINGLE(-2) * _log(SINGLE(1) - part[:, 0]))
        sine, cosine = _sine_and_cosine(SINGLE(2 * math.pi) * part[:, 1])
        made = np.stack([radius * cosine, radius * sine], 1)
        out[start : start + BLOCK] = made.reshape(-1)
    return out
