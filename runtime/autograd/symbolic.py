"""Derivatives of scalar expressions, by reverse accumulation over the expression graph.

The result is again an expression, so a gradient is one fused pass over memory and can be derived
once more, to any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.expressions import BOOLEAN, SQRT_2PI, TWO_OVER_SQRT_PI, Expression, Maths, walk

E = Expression


def trigamma(m: Any, x: Any) -> Any:
    """The derivative of digamma, reflected below 1/2 (Abramowitz and Stegun 6.4.7)."""
    left = m.lt(x, 0.5)
    angle = m.where(left, x, 0.5) * math.pi
    found = m.zeta(2.0, m.where(left, 1.0 - x, x))
    return m.where(left, math.pi**2 / m.square(m.sin(angle)) - found, found)


PARTIALS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "add": lambda m, out, x, y: (1.0, 1.0),
    "sub": lambda m, out, x, y: (1.0, -1.0),
    "mul": lambda m, out, x, y: (y, x),
    "div": lambda m, out, x, y: (m.reciprocal(y), -out / y),
    # At x = 0 the slope of x**0 is 0, not 0 * inf; that of 0**p by p is 0 where p >= 0.
    "pow": lambda m, out, x, p: (
        p * m.pow(x, p - 1.0)
        if p.op == "constant"
        else m.where(m.eq(p, 0), 0.0, p * m.pow(x, p - 1.0)),
        _pow_by_exponent(m, out, x, p),
    ),
    "neg": lambda m, out, x: (-1.0,),
    "abs": lambda m, out, x: (m.sign(x),),
    "square": lambda m, out, x: (2.0 * x,),
    "sqrt": lambda m, out, x: (0.5 / out,),
    "rsqrt": lambda m, out, x: (-0.5 * out * m.square(out),),
    "reciprocal": lambda m, out, x: (-m.square(out),),
    "exp": lambda m, out, x: (out,),
    "exp2": lambda m, out, x: (out * math.log(2.0),),
    "expm1": lambda m, out, x: (out + 1.0,),
    "log": lambda m, out, x: (m.reciprocal(x),),
    "log2": lambda m, out, x: (m.reciprocal(x * math.log(2.0)),),
    "log10": lambda m, out, x: (m.reciprocal(x * math.log(10.0)),),
    "log1p": lambda m, out, x: (m.reciprocal(x + 1.0),),
    "sin": lambda m, out, x: (m.cos(x),),
    "cos": lambda m, out, x: (-m.sin(x),),
    "tan": lambda m, out, x: (m.square(out) + 1.0,),
    "asin": lambda m, out, x: (m.rsqrt(1.0 - m.square(x)),),
    "acos": lambda m, out, x: (-m.rsqrt(1.0 - m.square(x)),),
    "atan": lambda m, out, x: (m.reciprocal(m.square(x) + 1.0),),
    "sinh": lambda m, out, x: (m.cosh(x),),
    "cosh": lambda m, out, x: (m.sinh(x),),
    "tanh": lambda m, out, x: (1.0 - m.square(out),),
    "asinh": lambda m, out, x: (m.rsqrt(m.square(x) + 1.0),),
    "acosh": lambda m, out, x: (m.rsqrt((x - 1.0) * (x + 1.0)),),
    "atanh": lambda m, out, x: (m.reciprocal(1.0 - m.square(x)),),
    "erf": lambda m, out, x: (TWO_OVER_SQRT_PI * m.exp(-m.square(x)),),
    "erfc": lambda m, out, x: (-TWO_OVER_SQRT_PI * m.exp(-m.square(x)),),
    "erfinv": lambda m, out, x: (m.exp(m.square(out)) / TWO_OVER_SQRT_PI,),
    "erfcx": lambda m, out, x: (2.0 * x * out - TWO_OVER_SQRT_PI,),
    "lgamma": lambda m, out, x: (m.digamma(x),),
    "digamma": lambda m, out, x: (trigamma(m, x),),
    "zeta": lambda m, out, x, q: (None, -x * m.zeta(x + 1.0, q)),
    # The incomplete gamma functions have no known derivative by a.
    "gammainc": lambda m, out, a, x: (None, m.exp((a - 1.0) * m.log(x) - x - m.lgamma(a))),
    "gammaincc": lambda m, out, a, x: (None, -m.exp((a - 1.0) * m.log(x) - x - m.lgamma(a))),
    "ndtri": lambda m, out, x: (SQRT_2PI * m.exp(0.5 * m.square(out)),),
    "log_ndtr": lambda m, out, x: (m.exp(-0.5 * m.square(x) - out) / SQRT_2PI,),
    "i0": lambda m, out, x: (m.i1(x),),
    "i0e": lambda m, out, x: (m.i1e(x) - m.sign(x) * out,),
    "i1": lambda m, out, x: (
        m.i0(x) - m.where(m.eq(x, 0), 0.5, out / m.where(m.eq(x, 0), 1.0, x)),
    ),
    "i1e": lambda m, out, x: (
        m.i0e(x) - out * m.sign(x) - m.where(m.eq(x, 0), 0.5, out / m.where(m.eq(x, 0), 1.0, x)),
    ),
    "j0": lambda m, out, x: (-m.j1(x),),
    "j1": lambda m, out, x: (
        m.j0(x) - m.where(m.eq(x, 0), 0.5, out / m.where(m.eq(x, 0), 1.0, x)),
    ),
    "y0": lambda m, out, x: (-m.y1(x),),
    "y1": lambda m, out, x: (m.y0(x) - out / x,),
    "k0": lambda m, out, x: (-m.k1(x),),
    "k1": lambda m, out, x: (-m.k0(x) - out / x,),
    "k0e": lambda m, out, x: (out - m.k1e(x),),
    "k1e": lambda m, out, x: (out - m.k0e(x) - out / x,),
    "sigmoid": lambda m, out, x: (out * (1.0 - out),),
    "softplus": lambda m, out, x: (m.sigmoid(x),),
    # By the difference, so that one infinite argument takes all of the gradient.
    "logaddexp2": lambda m, out, x, y: (
        m.sigmoid((x - y) * math.log(2.0)),
        m.sigmoid((y - x) * math.log(2.0)),
    ),
    "copysign": lambda m, out, x, y: (m.sign(x) * m.sign(out), None),
    "fmax": lambda m, out, x, y: _chosen(m, m.logical_or(x >= y, m.isnan(y))),
    "fmin": lambda m, out, x, y: _chosen(m, m.logical_or(x <= y, m.isnan(y))),
    "logaddexp": lambda m, out, x, y: (m.sigmoid(x - y), m.sigmoid(y - x)),
    "atan2": lambda m, out, y, x: _by_radius(m, m.square(x) + m.square(y), x, -y),
    "hypot": lambda m, out, x, y: (x / out, y / out),
    "nextafter": lambda m, out, x, y: (m.where(m.ne(x, y), 1.0, 0.0), None),
    "fmod": lambda m, out, x, y: (1.0, -m.trunc(x / y)),
    "remainder": lambda m, out, x, y: (1.0, -m.floor_divide(x, y)),
    # Where both are equal each gets half, and where one is NaN both get all, as PyTorch has it.
    "maximum": lambda m, out, x, y: (_share(m, x < y, x, y), _share(m, y < x, x, y)),
    "minimum": lambda m, out, x, y: (_share(m, x > y, x, y), _share(m, y > x, x, y)),
}
"""Partial derivatives by each argument, of the operation's result `out` and its arguments."""

FLAT = BOOLEAN | {"sign", "floor", "ceil", "trunc", "round", "floor_divide"}
FLAT |= {
    "gcd",
    "lcm",
    "left_shift",
    "right_shift",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
}
"""Operations whose derivative is zero wherever there is one."""


def _chosen(m: Maths, first: E) -> tuple[E, E]:
    return m.where(first, 1.0, 0.0), m.where(first, 0.0, 1.0)


def _share(m: Maths, loses: E, x: E, y: E) -> E:
    return m.where(loses, 0.0, m.where(m.eq(x, y), 0.5, 1.0))


def _pow_by_exponent(m: Maths, out: E, x: E, p: E) -> E:
    """x**p log(x), and 0 for x = 0 with p >= 0."""
    is_flat = m.logical_and(m.eq(x, 0), p >= 0)
    return m.where(is_flat, 0.0, out * m.log(m.where(is_flat, 1.0, x)))


def _by_radius(m: Maths, radius: E, *slopes: E) -> tuple[E, ...]:
    """`slopes` over the squared `radius`, and 0 at the origin."""
    is_origin = m.eq(radius, 0)
    inverse = m.where(is_origin, 0.0, m.reciprocal(m.where(is_origin, 1.0, radius)))
    return tuple(slope * inverse for slope in slopes)


def _contributions(m: Maths, node: E, g: E) -> list[tuple[E, E]]:
    """The gradients that `node`, reached by `g`, hands to its arguments."""
    if node.op in FLAT:
        return []
    if node.op == "where":
        condition, a, b = node.args
        return [(a, m.where(condition, g, 0.0)), (b, m.where(condition, 0.0, g))]
    if node.op not in PARTIALS:
        raise TypeError(f"The derivative of {node.op} is not known; give the formula a gradient.")
    partials = PARTIALS[node.op](m, node, *node.args)
    return [(a, _scaled(g, p)) for a, p in zip(node.args, partials, strict=True) if p is not None]


def _scaled(g: E, partial: Any) -> E:
    """g * partial, as a division where the partial is a reciprocal."""
    if isinstance(partial, Expression) and partial.op == "reciprocal":
        return g / partial.args[0]
    return g * partial


def gradients(root: E, g: E, wanted: list[E]) -> list[E]:
    """The gradients g * d(root)/d(leaf) for the leaves `wanted` of `root`.

    Occurrences of `root` itself stay in the result; the caller may replace them by the saved
    output.
    """
    m = root.maths
    order = list(walk([root]))
    reached = _depends_on(order, wanted)
    total: dict[int, E] = {id(root): g}
    for node in reversed(order):
        if id(node) not in total or id(node) not in reached or not node.args:
            continue
        for argument, gradient in _contributions(m, node, total[id(node)]):
            if id(argument) in reached:
                before = total.get(id(argument))
                total[id(argument)] = gradient if before is None else before + gradient
    zero = m.leaf("constant", 0.0)
    return [total.get(id(leaf), zero) for leaf in wanted]


def _depends_on(order: list[E], wanted: list[E]) -> set[int]:
    """Identities of the expressions in `order` that some leaf of `wanted` enters."""
    reached = {id(leaf) for leaf in wanted}
    for node in order:
        if any(id(a) in reached for a in node.args):
            reached.add(id(node))
    return reached
