"""Elementary functions: exponentials, logarithms, roots, trigonometry, the error function."""

from __future__ import annotations

from typing import Any

from .declare import Spec, pointwise


def _unary(name: str, doc: str) -> Any:
    """Declare the function `name` of the maths namespace as an operation."""

    def formula(m: Any, input: Spec) -> Spec:
        return getattr(m, name)(input)

    formula.__name__ = name
    formula.__doc__ = doc
    formula.__module__ = __name__
    return pointwise(formula, name=name, float_result=True)


exp = _unary("exp", "e**input.")
exp2 = _unary("exp2", "2**input.")
expm1 = _unary("expm1", "e**input - 1, exact near 0.")
log = _unary("log", "The natural logarithm; -inf at 0, NaN below.")
log2 = _unary("log2", "The logarithm to base 2.")
log10 = _unary("log10", "The logarithm to base 10.")
log1p = _unary("log1p", "log(1 + input), exact near 0.")
sqrt = _unary("sqrt", "The square root; NaN below 0.")
rsqrt = _unary("rsqrt", "1 / sqrt(input).")
sin = _unary("sin", "The sine of input radians.")
cos = _unary("cos", "The cosine of input radians.")
tan = _unary("tan", "The tangent of input radians.")
asin = _unary("asin", "The arc sine, in radians.")
acos = _unary("acos", "The arc cosine, in radians.")
atan = _unary("atan", "The arc tangent, in radians.")
sinh = _unary("sinh", "The hyperbolic sine.")
cosh = _unary("cosh", "The hyperbolic cosine.")
tanh = _unary("tanh", "The hyperbolic tangent.")
asinh = _unary("asinh", "The inverse hyperbolic sine.")
acosh = _unary("acosh", "The inverse hyperbolic cosine; NaN below 1.")
atanh = _unary("atanh", "The inverse hyperbolic tangent; NaN outside [-1, 1].")
erf = _unary("erf", "The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0.")
erfc = _unary("erfc", "1 - erf(input), exact for large input.")
erfinv = _unary("erfinv", "The inverse of erf.")
lgamma = _unary("lgamma", "The logarithm of |gamma(input)|.")
sigmoid = _unary("sigmoid", "1 / (1 + exp(-input)).")


@pointwise(float_result=True)
def atan2(m: Any, input: Spec, other: Spec) -> Spec:
    """The angle of the point (other, input), in radians between -pi and pi."""
    return m.atan2(input, other)


@pointwise
def logaddexp(m: Any, input: Spec, other: Spec) -> Spec:
    """log(exp(input) + exp(other)), without overflow."""
    return m.logaddexp(input, other)
