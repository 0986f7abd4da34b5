"""Elementary functions: exponentials, logarithms, roots, trigonometry, the error function."""

from __future__ import annotations

import math
from typing import Any

from .declare import Spec, pointwise

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]


def unary(name: str, doc: str, known_as: str = "", refuses: str = "") -> Any:
    """Declare the function `name` of the maths namespace as an operation, `known_as` by users."""

    def formula(m: Any, input: Spec) -> Spec:
        return getattr(m, name)(input)

    formula.__name__ = known_as or name
    formula.__doc__ = doc
    formula.__module__ = __name__
    return pointwise(formula, name=known_as or name, float_result=True, refuses=refuses)


exp = unary("exp", "e**input.")
exp2 = unary("exp2", "2**input.")
expm1 = unary("expm1", "e**input - 1, exact near 0.")
log = unary("log", "The natural logarithm; -inf at 0, NaN below.")
log2 = unary("log2", "The logarithm to base 2.")
log10 = unary("log10", "The logarithm to base 10.")
log1p = unary("log1p", "log(1 + input), exact near 0.")
sqrt = unary("sqrt", "The square root; NaN below 0.")
rsqrt = unary("rsqrt", "1 / sqrt(input).")
sin = unary("sin", "The sine of input radians.")
cos = unary("cos", "The cosine of input radians.")
tan = unary("tan", "The tangent of input radians.")
asin = unary("asin", "The arc sine, in radians.")
acos = unary("acos", "The arc cosine, in radians.")
atan = unary("atan", "The arc tangent, in radians.")
sinh = unary("sinh", "The hyperbolic sine.")
cosh = unary("cosh", "The hyperbolic cosine.")
tanh = unary("tanh", "The hyperbolic tangent.")
asinh = unary("asinh", "The inverse hyperbolic sine.")
acosh = unary("acosh", "The inverse hyperbolic cosine; NaN below 1.")
atanh = unary("atanh", "The inverse hyperbolic tangent; NaN outside [-1, 1].")
ERF = "The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0."
erf = unary("erf", ERF, refuses="complex")
erfc = unary("erfc", "1 - erf(input), exact for large input.", refuses="complex")
erfinv = unary("erfinv", "The inverse of erf.", refuses="complex")
sigmoid = unary("sigmoid", "1 / (1 + exp(-input)).")


@pointwise(float_result=True, refuses="complex")
def lgamma(m: Any, input: Spec) -> Spec:
    """The logarithm of |gamma(input)|."""
    # C's lgamma has infinity at minus infinity, scipy's gammaln the opposite.
    return m.where(m.eq(input, -math.inf), math.inf, m.lgamma(input))


@pointwise(float_result=True, tensors=2)
def atan2(m: Any, input: Spec, other: Spec) -> Spec:
    """The angle of the point (other, input), in radians between -pi and pi."""
    return m.atan2(input, other)


@pointwise(tensors=2)
def logaddexp(m: Any, input: Spec, other: Spec) -> Spec:
    """log(exp(input) + exp(other)), without overflow."""
    return m.logaddexp(input, other)


@pointwise(float_result=True, tensors=2)
def logaddexp2(m: Any, input: Spec, other: Spec) -> Spec:
    """log2(2**input + 2**other), without overflow."""
    return m.logaddexp2(input, other)
