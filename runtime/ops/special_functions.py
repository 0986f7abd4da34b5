"""Functions of mathematical physics and statistics: gamma, Bessel, normal distribution, entropy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd.symbolic import trigamma
from ..errors import ShapeError
from . import shapes
from .declare import Spec, composite, pointwise, primitive
from .elementary import unary

__all__ = ["digamma", "i0", "igamma", "igammac", "logit", "mvlgamma", "polygamma", "sinc", "xlogy"]

digamma = unary("digamma", "The derivative of lgamma.", refuses="complex")
erfcx = unary("erfcx", "exp(input**2) * erfc(input), without overflow.")
ndtri = unary("ndtri", "The number below which a standard normal variable lies with probability p.")
log_ndtr = unary("log_ndtr", "log(ndtr(input)), also where ndtr is too small for its dtype.")
i0 = unary("i0", "The modified Bessel function of the first kind of order 0.")
i0e = unary("i0e", "exp(-|input|) * i0(input).")
i1 = unary("i1", "The modified Bessel function of the first kind of order 1.")
i1e = unary("i1e", "exp(-|input|) * i1(input).")
bessel_j0 = unary("j0", "The Bessel function of the first kind of order 0.", "bessel_j0")
bessel_j1 = unary("j1", "The Bessel function of the first kind of order 1.", "bessel_j1")
bessel_y0 = unary("y0", "The Bessel function of the second kind of order 0.", "bessel_y0")
bessel_y1 = unary("y1", "The Bessel function of the second kind of order 1.", "bessel_y1")
modified_bessel_k0 = unary(
    "k0", "The modified Bessel function of the second kind of order 0.", "modified_bessel_k0"
)
modified_bessel_k1 = unary(
    "k1", "The modified Bessel function of the second kind of order 1.", "modified_bessel_k1"
)
scaled_modified_bessel_k0 = unary("k0e", "exp(input) * k0(input).", "scaled_modified_bessel_k0")
scaled_modified_bessel_k1 = unary("k1e", "exp(input) * k1(input).", "scaled_modified_bessel_k1")


@pointwise(float_result=True)
def spherical_bessel_j0(m: Any, input: Spec) -> Spec:
    """sin(input) / input, 1 at 0: the spherical Bessel function of the first kind of order 0."""
    safe = m.where(m.eq(input, 0), 1.0, m.where(m.isinf(input), 1.0, input))
    return m.where(m.eq(input, 0), 1.0, m.where(m.isinf(input), 0.0, m.sin(safe) / safe))


@primitive
def airy_ai(input: Spec) -> Spec:
    """The Airy function Ai."""
    return Spec(input.shape, input.dtype)


airy_ai.operation.float_result = True


@airy_ai.array
def airy_ai_array(xp: Any, input: Any) -> Any:
    """SciPy's, on the host."""
    from scipy.special import airy

    host = input if xp is np else xp.asnumpy(input)
    return xp.asarray(airy(host)[0].astype(host.dtype))


@pointwise(float_result=True)
def ndtr(m: Any, input: Spec) -> Spec:
    """The probability that a standard normal variable lies below input."""
    return 0.5 * m.erfc(input * -math.sqrt(0.5))


@pointwise(float_result=True)
def entr(m: Any, input: Spec) -> Spec:
    """-input * log(input): an entropy's term; 0 at 0, -inf below."""
    positive = m.where(input > 0, input, 1.0)
    outside = m.where(m.lt(input, 0), -math.inf, input)  # 0, or NaN as it came
    return m.where(input > 0, -(positive * m.log(positive)), outside)


@entr.gradient
def entr_gradient(m: Any, g: Any, out: Any, input: Any) -> Any:
    """-(1 + log(input)) * g."""
    return g * (-1.0 - m.log(input))


@pointwise(float_result=True)
def xlogy(m: Any, input: Spec, other: Spec) -> Spec:
    """input * log(other), 0 where input is 0 (unless other is NaN)."""
    zero = m.logical_and(m.eq(input, 0), m.logical_not(m.isnan(other)))
    return m.where(zero, 0.0, input * m.log(m.where(zero, 1.0, other)))


@xlogy.gradient
def xlogy_gradient(m: Any, g: Any, out: Any, input: Any, other: Any) -> Any:
    """By input log(other), 0 where input is 0 and other not positive; by other input / other."""
    zero = m.logical_and(m.eq(input, 0), other <= 0)
    by_input = m.where(zero, 0.0, m.log(m.where(zero, 1.0, other)))
    return g * by_input, g * input / other


@pointwise(float_result=True)
def xlog1py(m: Any, input: Spec, other: Spec) -> Spec:
    """input * log(1 + other), 0 where input is 0 (unless other is NaN)."""
    zero = m.logical_and(m.eq(input, 0), m.logical_not(m.isnan(other)))
    return m.where(zero, 0.0, input * m.log1p(m.where(zero, 0.0, other)))


@xlog1py.gradient
def xlog1py_gradient(m: Any, g: Any, out: Any, input: Any, other: Any) -> Any:
    """By input log(1 + other), 0 where input is 0 and other <= -1; by other input/(1+other)."""
    zero = m.logical_and(m.eq(input, 0), other <= -1)
    by_input = m.where(zero, 0.0, m.log1p(m.where(zero, 0.0, other)))
    return g * by_input, g * input / (other + 1.0)


@pointwise(float_result=True)
def sinc(m: Any, input: Spec) -> Spec:
    """sin(pi * input) / (pi * input), 1 at 0."""
    angle = input * math.pi
    at_zero = m.eq(angle, 0)
    return m.where(at_zero, 1.0, m.sin(angle) / m.where(at_zero, 1.0, angle))


@pointwise(name="polygamma_of", node_name="Polygamma", float_result=True)
def polygamma_of(m: Any, input: Spec, *, n: Any = 1) -> Spec:
    """The n-th derivative of digamma (Abramowitz and Stegun 6.4.10)."""
    if n < 2:
        return trigamma(m, input) if n else m.digamma(input)
    return (-1.0) ** (n + 1) * math.factorial(n) * m.zeta(n + 1.0, input)


def polygamma(n: int, input: Spec) -> Spec:
    """The n-th derivative of digamma. Raises: RuntimeError for a negative n."""
    if n < 0:
        raise RuntimeError(f"polygamma: expected n of at least 0. Got {n}.")
    return polygamma_of(input, n=n)


@composite
def mvlgamma(F: Any, input: Spec, p: int) -> Spec:
    """The logarithm of the multivariate gamma function of dimension p.

    Raises: RuntimeError for p below 1.
    """
    if p < 1:
        raise ShapeError(f"mvlgamma: expected p of at least 1. Got {p}.")
    total = F.lgamma(input)
    for k in range(1, p):
        total = F.plus(total, F.lgamma(F.minus(input, k / 2)))
    return F.plus(total, p * (p - 1) / 4 * math.log(math.pi))


@composite
def igamma(F: Any, input: Spec, other: Spec) -> Spec:
    """The regularized lower incomplete gamma function P(input, other)."""
    shapes.require_tensors("igamma", input=input, other=other)
    return F.gammainc(input, other)


@pointwise(float_result=True, tensors=2)
def igammac(m: Any, input: Spec, other: Spec) -> Spec:
    """The regularized upper incomplete gamma function Q(input, other)."""
    return m.gammaincc(input, other)


@pointwise(float_result=True)
def zeta(m: Any, input: Spec, other: Spec) -> Spec:
    """The Hurwitz zeta function of exponent input and shift other."""
    return m.zeta(input, other)


@pointwise(name="logit_within", node_name="Logit", float_result=True)
def logit_within(m: Any, input: Spec, *, eps: Any = None) -> Spec:
    """log(input / (1 - input)), input first limited to [eps, 1 - eps]."""
    if eps is not None:
        input = m.minimum(m.maximum(input, eps), 1.0 - eps)
    return m.log(input / (1.0 - input))


@logit_within.gradient
def logit_gradient(m: Any, g: Any, out: Any, input: Any, eps: Any = None) -> Any:
    """1 / (x * (1 - x)) inside the limits; outside 0, or NaN without eps."""
    low, high = (0.0, 1.0) if eps is None else (eps, 1.0 - eps)
    inside = m.logical_and(input >= low, input <= high)
    return m.where(inside, g / (input * (1.0 - input)), math.nan if eps is None else 0.0)


def logit(input: Spec, eps: float | None = None) -> Spec:
    """log(input / (1 - input)); with `eps`, input is first limited to [eps, 1 - eps]."""
    return logit_within(input, eps=eps)
