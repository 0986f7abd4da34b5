"""Orthogonal polynomials of degree n at x, both tensors or one a number.

Negative degrees give 0. PyTorch defines no gradients for them.
Source: Abramowitz & Stegun, "Handbook of Mathematical Functions", chapter 22.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .declare import Spec, primitive
from .shapes import broadcast

NAMES = """
chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w
hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p
shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
shifted_chebyshev_polynomial_w
""".split()

__all__ = NAMES

Values = Callable[[Any, Any, Any], Any]


def _declared(name: str, doc: str, values: Values) -> Any:
    """The operation `name`, from a formula of arrays x and n >= 0 in float64."""

    def rule(input: Spec, n: Spec) -> Spec:
        return Spec(broadcast(name, {"input": input, "n": n}), input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name)
    function.operation.float_result = True

    @function.array
    def array(xp: Any, input: Any, n: Any) -> Any:
        """In float64."""
        x, degree = xp.broadcast_arrays(input.astype(xp.float64), xp.trunc(n).astype(xp.float64))
        with np.errstate(all="ignore"):
            out = xp.where(degree < 0, 0.0, values(xp, x, xp.maximum(degree, 0)))
        return out.astype(input.dtype)

    return function


# -- Chebyshev: trigonometric inside [-1, 1], hyperbolic outside -----------------------------------


def _mirrored(xp: Any, n: Any) -> Any:
    """(-1)**n."""
    return 1.0 - 2.0 * xp.remainder(n, 2)


def _inside_and_outside(xp: Any, x: Any, inside: Any, outside: Any) -> Any:
    """inside(angle) where |x| < 1, outside(angle) of |x| elsewhere."""
    angle = xp.arccos(xp.clip(x, -1, 1))
    rapidity = xp.arccosh(xp.maximum(xp.absolute(x), 1))
    return xp.where(xp.absolute(x) < 1, inside(angle), outside(rapidity))


def _ratio(xp: Any, numerator: Any, denominator: Any, limit: Any) -> Any:
    """The quotient, `limit` where it is 0 by 0."""
    safe = xp.where(denominator == 0, 1.0, denominator)
    return xp.where(denominator == 0, limit, numerator / safe)


def _chebyshev_t(xp: Any, x: Any, n: Any) -> Any:
    sign = xp.where(x < 0, _mirrored(xp, n), 1.0)
    return _inside_and_outside(xp, x, lambda a: xp.cos(n * a), lambda a: sign * xp.cosh(n * a))


def _chebyshev_u(xp: Any, x: Any, n: Any) -> Any:
    sign = xp.where(x < 0, _mirrored(xp, n), 1.0)
    return _inside_and_outside(
        xp,
        x,
        lambda a: _ratio(xp, xp.sin((n + 1) * a), xp.sin(a), n + 1),
        lambda a: sign * _ratio(xp, xp.sinh((n + 1) * a), xp.sinh(a), n + 1),
    )


def _cosines(xp: Any, n: Any, a: Any) -> Any:
    return xp.cosh((n + 0.5) * a) / xp.cosh(0.5 * a)


def _sines(xp: Any, n: Any, a: Any) -> Any:
    return _ratio(xp, xp.sinh((n + 0.5) * a), xp.sinh(0.5 * a), 2 * n + 1)


def _chebyshev_v(xp: Any, x: Any, n: Any) -> Any:
    def outside(a: Any) -> Any:
        return xp.where(x > 0, _cosines(xp, n, a), _mirrored(xp, n) * _sines(xp, n, a))

    return _inside_and_outside(xp, x, lambda a: xp.cos((n + 0.5) * a) / xp.cos(0.5 * a), outside)


def _chebyshev_w(xp: Any, x: Any, n: Any) -> Any:
    def inside(a: Any) -> Any:
        return _ratio(xp, xp.sin((n + 0.5) * a), xp.sin(0.5 * a), 2 * n + 1)

    def outside(a: Any) -> Any:
        return xp.where(x > 0, _sines(xp, n, a), _mirrored(xp, n) * _cosines(xp, n, a))

    return _inside_and_outside(xp, x, inside, outside)


def _shifted(values: Values) -> Values:
    """The same on [0, 1]."""
    return lambda xp, x, n: values(xp, 2 * x - 1, n)


# -- the others: three-term recurrences ------------------------------------------------------------


def _by_recurrence(first: Any, step: Callable[[Any, int, Any, Any], Any]) -> Values:
    """From P0 = 1 and P1 = first(x): P(k + 1) = step(x, k, P(k), P(k - 1))."""

    def values(xp: Any, x: Any, n: Any) -> Any:
        before, now = xp.ones_like(x), first(x)
        out = xp.where(n == 0, before, now)
        for k in range(1, int(n.max()) if n.size else 0):
            before, now = now, step(x, k, now, before)
            out = xp.where(n == k + 1, now, out)
        return out

    return values


_FORMULAS: dict[str, tuple[str, Values]] = {
    "chebyshev_polynomial_t": ("Chebyshev polynomials of the first kind.", _chebyshev_t),
    "chebyshev_polynomial_u": ("Chebyshev polynomials of the second kind.", _chebyshev_u),
    "chebyshev_polynomial_v": ("Chebyshev polynomials of the third kind.", _chebyshev_v),
    "chebyshev_polynomial_w": ("Chebyshev polynomials of the fourth kind.", _chebyshev_w),
    "hermite_polynomial_h": (
        "Physicist's Hermite polynomials.",
        _by_recurrence(lambda x: 2 * x, lambda x, k, p, q: 2 * x * p - 2 * k * q),
    ),
    "hermite_polynomial_he": (
        "Probabilist's Hermite polynomials.",
        _by_recurrence(lambda x: x, lambda x, k, p, q: x * p - k * q),
    ),
    "laguerre_polynomial_l": (
        "Laguerre polynomials.",
        _by_recurrence(lambda x: 1 - x, lambda x, k, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1)),
    ),
    "legendre_polynomial_p": (
        "Legendre polynomials.",
        _by_recurrence(lambda x: x, lambda x, k, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1)),
    ),
}
for _kind in "tuvw":
    _doc, _values = _FORMULAS[f"chebyshev_polynomial_{_kind}"]
    _FORMULAS[f"shifted_chebyshev_polynomial_{_kind}"] = (
        _doc.replace("Chebyshev", "Shifted Chebyshev"), _shifted(_values)
    )  # fmt: skip

(
    chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w,
    hermite_polynomial_h, hermite_polynomial_he, laguerre_polynomial_l, legendre_polynomial_p,
    shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
) = [_declared(_name, *_FORMULAS[_name]) for _name in NAMES]  # fmt: skip
