"""The maths namespace `m` of formulas in fused loops: all functions lane by lane, no branches.

Transcendental functions are float32 only: an exact reduction of the argument, then a polynomial
that interpolates the rest of the function at Chebyshev nodes. They are right to one or two units in
the last place, over all of float32 (the tests have the figures).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .language import Program, Value
from .machine import scales

LN2_HIGH = 0.693145751953125  # ln 2 to 16 bits, so that multiples up to 2**8 of it are exact
LN2_LOW = math.log(2) - LN2_HIGH
ROUNDER = 1.5 * 2.0**23
"""Added to a small float32 number it leaves the nearest integer in the lowest bits."""
INFINITY = math.inf
SQRT_HALF_BITS = int(np.float32(math.sqrt(0.5)).view(np.int32))
SINGLE = np.finfo(np.float32)


@cache
def _fitted(function: Callable[[float], float], low: float, high: float, degree: int) -> Any:
    """Coefficients, of the highest power first, of the polynomial that equals `function` at the
    Chebyshev nodes of [low, high]."""
    fit = np.polynomial.Chebyshev.interpolate(np.vectorize(function), degree, [low, high])
    powers = fit.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1])
    return [float(c) for c in powers.coef[::-1]]


def _exp_rest(r: float) -> float:
    """(exp(r) - 1 - r) / r**2."""
    return (math.expm1(r) - r) / r**2 if abs(r) > 1e-3 else 0.5 + r / 6 + r * r / 24


def _log1p_rest(f: float) -> float:
    """(log(1 + f) - f + f**2 / 2) / f**3."""
    if abs(f) > 1e-2:
        return (math.log1p(f) - f + f * f / 2) / f**3
    return 1 / 3 - f / 4 + f * f / 5 - f**3 / 6 + f**4 / 7


def _tanh_rest(s: float) -> float:
    """(tanh(x) - x) / x**3 with s = x**2."""
    x = math.sqrt(abs(s))
    if x < 0.05:
        return -1 / 3 + s * 2 / 15 - s * s * 17 / 315
    return (math.tanh(x) - x) / x**3


ERF_SLOPE = float(np.float32(2 / math.sqrt(math.pi)))  # erf'(0)
ERF_SLOPE_LOW = 2 / math.sqrt(math.pi) - ERF_SLOPE


def _erfc_rest(x: float) -> float:
    """(-log(erfc(x)) - a x) / x**2 with a = erf'(0)."""
    slope = 2 / math.sqrt(math.pi)
    if x < 1e-3:
        return 2 / math.pi + x * slope * (4 / math.pi - 1) / 3
    logarithm = math.log1p(-math.erf(x)) if x < 0.5 else math.log(math.erfc(x))
    return (-logarithm / x - slope) / x


class Maths:
    """What formulas and optimizer rules call on values of `program`, under the names of
    `core.expressions` and NumPy's where those differ."""

    def __init__(self, program: Program) -> None:
        self.program = program

    # -- arithmetic ------------------------------------------------------------------------------

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """a * b + c, rounded once where the processor can."""
        return self.program.intrinsic("fmuladd", *self._values(a, b, c))

    def _values(self, *values: Any) -> list[Value]:
        like = next(v for v in values if isinstance(v, Value))
        return [v if isinstance(v, Value) else self.program.alike(like, v)[1] for v in values]

    def polynomial(self, coefficients: list[float], x: Value) -> Value:
        """The polynomial of x with `coefficients`, of the highest power first."""
        result = self.program.alike(x, coefficients[0])[1]
        for c in coefficients[1:]:
            result = self.fma(result, x, c)
        return result

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def sub(self, a: Any, b: Any) -> Any:
        return a - b

    def mul(self, a: Any, b: Any) -> Any:
        return a * b

    def div(self, a: Any, b: Any) -> Any:
        return a / b

    def neg(self, a: Any) -> Any:
        return -a

    def square(self, x: Value) -> Value:
        return x * x

    def reciprocal(self, x: Value) -> Value:
        return 1 / x

    def sqrt(self, x: Value) -> Value:
        return self.program.intrinsic("sqrt", x)

    def rsqrt(self, x: Value) -> Value:
        return 1 / self.sqrt(x)

    def abs(self, x: Value) -> Value:
        return self.program.intrinsic("fabs", x)

    absolute = abs

    def floor(self, x: Value) -> Value:
        return self.program.intrinsic("floor", x)

    def ceil(self, x: Value) -> Value:
        return self.program.intrinsic("ceil", x)

    def trunc(self, x: Value) -> Value:
        return self.program.intrinsic("trunc", x)

    def round(self, x: Value) -> Value:
        """To the nearest integer, halves to even ones."""
        return self.program.intrinsic("rint", x)

    def copysign(self, x: Any, sign: Any) -> Value:
        return self.program.intrinsic("copysign", *self._values(x, sign))

    def sign(self, x: Value) -> Value:
        """-1, 0 or 1; 0 for NaN."""
        return (x > 0).to(x.kind) - (x < 0).to(x.kind)

    # -- comparison ------------------------------------------------------------------------------

    def _compared(self, operator: str, a: Any, b: Any) -> Value:
        a, b = self._values(a, b)
        return a.compare(operator, b)

    def lt(self, a: Any, b: Any) -> Value:
        return self._compared("<", a, b)

    def le(self, a: Any, b: Any) -> Value:
        return self._compared("<=", a, b)

    def gt(self, a: Any, b: Any) -> Value:
        return self._compared(">", a, b)

    def ge(self, a: Any, b: Any) -> Value:
        return self._compared(">=", a, b)

    def eq(self, a: Any, b: Any) -> Value:
        return self._compared("==", a, b)

    def ne(self, a: Any, b: Any) -> Value:
        return self._compared("!=", a, b)

    def isnan(self, x: Value) -> Value:
        return x.compare("!=", x)

    def isinf(self, x: Value) -> Value:
        return self.abs(x).compare("==", INFINITY)

    def isfinite(self, x: Value) -> Value:
        return self.abs(x) < INFINITY

    def signbit(self, x: Value) -> Value:
        return x.bits() < 0

    def _truth(self, x: Any) -> Value:
        return x if x.kind == "bool" else x.compare("!=", 0)

    def logical_and(self, a: Any, b: Any) -> Value:
        return self._truth(a) & self._truth(b)

    def logical_or(self, a: Any, b: Any) -> Value:
        return self._truth(a) | self._truth(b)

    def logical_xor(self, a: Any, b: Any) -> Value:
        return self._truth(a) ^ self._truth(b)

    def logical_not(self, a: Any) -> Value:
        return ~self._truth(a)

    def where(self, condition: Any, a: Any, b: Any) -> Value:
        return self.program.where(self._truth(condition), a, b)

    def maximum(self, a: Any, b: Any, out: Value | None = None) -> Value:
        """The larger one; NaN if one is."""
        a, b = self._values(a, b)
        return self._into(out, self.where((a > b) | self.isnan(a), a, b))

    def minimum(self, a: Any, b: Any, out: Value | None = None) -> Value:
        """The smaller one; NaN if one is."""
        a, b = self._values(a, b)
        return self._into(out, self.where((a < b) | self.isnan(a), a, b))

    def fmax(self, a: Any, b: Any) -> Value:
        """The larger one; the other one if one is NaN."""
        a, b = self._values(a, b)
        return self.where((a > b) | self.isnan(b), a, b)

    def fmin(self, a: Any, b: Any) -> Value:
        """The smaller one; the other one if one is NaN."""
        a, b = self._values(a, b)
        return self.where((a < b) | self.isnan(b), a, b)

    def clip(self, x: Value, least: Any, largest: Any, out: Value | None = None) -> Value:
        """x within [least, largest]; NaN stays."""
        x, least, largest = self._values(x, least, largest)
        x = self.where(x < least, least, x)
        return self._into(out, self.where(x > largest, largest, x))

    def _into(self, out: Value | None, value: Value) -> Value:
        if out is None:
            return value
        out[...] = value
        return out

    # -- exponentials ----------------------------------------------------------------------------

    def _bounded(self, x: Value, low: float, high: float) -> Value:
        x = self.where(x > high, high, x)
        return self.where(x < low, low, x)

    def _nearest(self, x: Value, scale: float) -> tuple[Value, Value]:
        """The nearest integer to x * scale, as a float and as an integer."""
        shifted = self.fma(x, scale, ROUNDER)
        integer = shifted.bits() - int(np.float32(ROUNDER).view(np.int32))
        return shifted - ROUNDER, integer

    def _rest(self, x: Value, k: Value) -> Value:
        """x - k ln 2, to more digits than x has."""
        return self.fma(k, -LN2_LOW, self.fma(k, -LN2_HIGH, x))

    def _power_of_two(self, k: Value) -> Value:
        """2**k for integers k of normal float32 numbers."""
        return ((k + 127) << 23).as_float()

    def _expm1_small(self, r: Value) -> Value:
        """exp(r) - 1 for abs(r) <= ln(2) / 2."""
        half = math.log(2) / 2
        rest = self.polynomial(_fitted(_exp_rest, -half, half, 4), r)
        return self.fma(r * r, rest, r)

    def exp(self, x: Value) -> Value:
        """2**k exp(r)."""
        x = self._bounded(x, -104.0, 89.0)  # exp is 0 and infinite there
        k, integer = self._nearest(x, 1 / math.log(2))
        return self._scaled(self._expm1_small(self._rest(x, k)) + 1, k, integer)

    def exp2(self, x: Value) -> Value:
        x = self._bounded(x, -151.0, 129.0)
        k, integer = self._nearest(x, 1.0)
        return self._scaled(self._expm1_small((x - k) * math.log(2)) + 1, k, integer)

    def _scaled(self, x: Value, k: Value, integer: Value) -> Value:
        """x * 2**k, rounded once where that is below 2**-126: by an instruction of AVX-512, or by
        two factors."""
        if scales() and x.lanes > 1:
            return self.program.scaled(x, k)
        half = integer >> 1
        return x * self._power_of_two(half) * self._power_of_two(integer - half)

    def _exp_moderate(self, x: Value) -> Value:
        """exp of what is known to lie within +-87."""
        k, integer = self._nearest(x, 1 / math.log(2))
        near = self._expm1_small(self._rest(x, k)) + 1
        return near * self._power_of_two(integer)

    def expm1(self, x: Value) -> Value:
        """2**k (expm1(r) + 1 - 2**-k); computed with half the power, which stays finite."""
        x = self._bounded(x, -18.0, 89.0)  # -1 to the last digit below
        k, integer = self._nearest(x, 1 / math.log(2))
        small = self._expm1_small(self._rest(x, k))
        power = self._power_of_two(integer - 1)
        result = self.fma(small, power, power - 0.5) * 2
        return self.copysign(self.where(integer.compare("==", 0), small, result), x)

    def log(self, x: Value) -> Value:
        """e ln 2 + log(m), where x = 2**e m and m lies between the square roots of 1/2 and 2."""
        tiny = x < float(SINGLE.tiny)
        bits = self.where(tiny, x * 2.0**25, x).bits()
        e = (bits - SQRT_HALF_BITS) >> 23
        f = (bits - (e << 23)).as_float() - 1
        k = e.to("float32") - self.where(tiny, 25.0, 0.0)
        fit = _fitted(_log1p_rest, math.sqrt(0.5) - 1, math.sqrt(2) - 1, 9)
        square = f * f
        rest = self.fma(self.polynomial(fit, f) * f, square, k * LN2_LOW)
        rest = self.fma(square, -0.5, rest)
        result = self.fma(k, LN2_HIGH, f + rest)
        result = self.where(x.compare("==", INFINITY), INFINITY, result)
        result = self.where(x.compare("==", 0.0), -INFINITY, result)
        return self.where((x < 0) | self.isnan(x), math.nan, result)

    def log2(self, x: Value) -> Value:
        """Exact for powers of 2."""
        return self.log(x) * (1 / math.log(2))

    def log10(self, x: Value) -> Value:
        return self.log(x) * (1 / math.log(10))

    def log1p(self, x: Value) -> Value:
        """log(1 + x), with the share of x that 1 + x rounds away."""
        u = 1 + x
        result = self.log(u) + (x - (u - 1)) / u
        ends = u.compare("==", INFINITY) | u.compare("==", 0.0)
        return self.copysign(self.where(ends, self.log(u), result), x)

    def tanh(self, x: Value) -> Value:
        """A polynomial near 0, else 1 - 2 / (exp(2 abs(x)) + 1)."""
        size = self.abs(x)
        square = x * x
        near = self.fma(self.polynomial(_fitted(_tanh_rest, 0.0, 0.4, 6), square) * square, x, x)
        bounded = self.where(size > 10.0, 10.0, size)  # 1 to the last digit there
        far = 1 - 2 / (self._exp_moderate(bounded * 2) + 1)
        return self.copysign(self.where(square < 0.4, near, far), x)

    def sigmoid(self, x: Value) -> Value:
        """1 / (1 + exp(-x)), from exp(-abs(x)), which never overflows."""
        z = self.exp(-self.abs(x))
        return self.where(x < 0, z, 1.0) / (1 + z)

    def softplus(self, x: Value) -> Value:
        """log(1 + exp(x)) = max(x, 0) + log1p(exp(-abs(x)))."""
        return self.maximum(x, 0.0) + self._log1p_of_share(self.exp(-self.abs(x)))

    def _log1p_of_share(self, z: Value) -> Value:
        """log1p of z in [0, 1]."""
        u = 1 + z
        return self.log(u) + (z - (u - 1)) / u

    def logaddexp(self, a: Any, b: Any) -> Value:
        """log(exp(a) + exp(b)), equal infinities included."""
        a, b = self._values(a, b)
        gap = self.where(a.compare("==", b), 0.0, self.abs(a - b))
        return self.maximum(a, b) + self._log1p_of_share(self.exp(-gap))

    # -- the error function ----------------------------------------------------------------------

    def erf(self, x: Value) -> Value:
        """1 - exp(-p) = (1 - 2**k) - 2**k (exp(r) - 1), where p = -log(erfc(abs(x))), nearly a
        polynomial, and -p = k ln 2 + r."""
        size = self.abs(x)
        size = self.where(size > 4.0, 4.0, size)  # 1 to the last digit there
        rest = self.polynomial(_fitted(_erfc_rest, 0.0, 4.0, 8), size)
        rest = self.fma(rest, size, ERF_SLOPE_LOW) * size
        exponent = -self.fma(size, ERF_SLOPE, rest)
        k, integer = self._nearest(exponent, 1 / math.log(2))
        power = self._power_of_two(integer)
        small = self._expm1_small(self._rest(exponent, k))
        return self.copysign(self.fma(-power, small, 1 - power), x)


ARITHMETIC = frozenset(
    """
    add sub mul div neg square reciprocal sqrt rsqrt abs floor ceil trunc round copysign sign lt le
    gt ge eq ne isnan isinf isfinite signbit logical_and logical_or logical_xor logical_not where
    maximum minimum fmax fmin
    """.split()
)
"""Operations for float32 and float64."""

TRANSCENDENTAL = frozenset(
    "exp exp2 expm1 log log2 log10 log1p tanh sigmoid softplus logaddexp erf".split()
)
"""Operations for float32 alone."""


def supports(operation: str, real: str) -> bool:
    """Whether loops in `real` can compute `operation`."""
    return operation in ARITHMETIC or (real == "float32" and operation in TRANSCENDENTAL)
