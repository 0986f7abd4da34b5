"""Scalar expressions: what a pointwise formula becomes when it is read symbolically.

A formula is a Python function of a maths namespace `m` and its arguments. Called with `Maths()` and
input expressions it returns an `Expression`, a graph with shared subexpressions, from which array
code, device code and derivatives are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Number = float | int | bool

ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}
"""Operations that are folded when all their arguments are numbers."""

COMPARISONS = frozenset(["lt", "le", "gt", "ge", "eq", "ne"])
LOGIC = frozenset(["logical_and", "logical_or", "logical_not", "logical_xor"])
PREDICATES = frozenset(["isnan", "isinf", "isfinite", "signbit"])
BOOLEAN = COMPARISONS | LOGIC | PREDICATES
"""Operations whose result is a truth value."""

MATHS = frozenset(
    """
    abs sign floor ceil trunc round exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal
    sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv erfcx lgamma digamma
    zeta gammainc gammaincc ndtri log_ndtr i0 i0e i1 i1e j0 j1 y0 y1 k0 k0e k1 k1e
    sigmoid softplus atan2 fmod remainder floor_divide maximum minimum fmax fmin logaddexp
    logaddexp2 hypot copysign nextafter div pow where gcd lcm left_shift right_shift bitwise_and
    bitwise_or bitwise_xor bitwise_not
    """.split()
)
"""The other operations of the maths namespace."""


class Expression:
    """One node of a formula: an operation on expressions, or a leaf.

    Leaves are `input` (an array), `parameter` (a number given at each call) and `constant`; their
    `value` is the name or the number. Expressions of one `Maths` are unique: equal ones are
    identical.
    """

    __slots__ = ("args", "maths", "op", "value")

    def __init__(self, maths: Maths, op: str, args: tuple[Expression, ...], value: Any) -> None:
        self.maths = maths
        self.op = op
        self.args = args
        self.value = value

    @property
    def is_boolean(self) -> bool:
        """Whether the value is a truth value."""
        return self.op in BOOLEAN or (self.op == "constant" and isinstance(self.value, bool))

    def is_constant(self, value: Number) -> bool:
        """Whether this is the number `value`."""
        return self.op == "constant" and self.value == value and not isinstance(self.value, bool)

    def __add__(self, other: Any) -> Expression:
        return self.maths.make("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return self.maths.make("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return self.maths.make("sub", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return self.maths.make("sub", other, self)

    def __mul__(self, other: Any) -> Expression:
        return self.maths.make("mul", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return self.maths.make("mul", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return self.maths.make("div", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return self.maths.make("div", other, self)

    def __pow__(self, other: Any) -> Expression:
        return self.maths.make("pow", self, other)

    def __rpow__(self, other: Any) -> Expression:
        return self.maths.make("pow", other, self)

    def __neg__(self) -> Expression:
        return self.maths.make("neg", self)

    def __lt__(self, other: Any) -> Expression:
        return self.maths.make("lt", self, other)

    def __le__(self, other: Any) -> Expression:
        return self.maths.make("le", self, other)

    def __gt__(self, other: Any) -> Expression:
        return self.maths.make("gt", self, other)

    def __ge__(self, other: Any) -> Expression:
        return self.maths.make("ge", self, other)

    def __and__(self, other: Any) -> Expression:
        return self.maths.make("logical_and", self, other)

    def __or__(self, other: Any) -> Expression:
        return self.maths.make("logical_or", self, other)

    def __invert__(self) -> Expression:
        return self.maths.make("logical_not", self)

    def __bool__(self) -> bool:
        raise TypeError(
            "A formula cannot branch on the values of its arrays. Use m.where(condition, a, b)."
        )

    def __repr__(self) -> str:
        if self.op in ("input", "parameter", "constant"):
            return str(self.value)
        return f"{self.op}({', '.join(map(repr, self.args))})"


class Maths:
    """The namespace `m` of formulas, and the table that keeps expressions unique.

    Every operation of `MATHS`, `COMPARISONS`, `LOGIC` and `PREDICATES` is a method: `m.exp(x)`.
    """

    def __init__(self) -> None:
        self._known: dict[Any, Expression] = {}

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        if name in MATHS or name in BOOLEAN:
            return lambda *args: self.make(name, *args)
        raise AttributeError(f"The maths of formulas has no {name!r}.")

    def leaf(self, op: str, value: Any) -> Expression:
        """The input, parameter or constant `value`."""
        return self._unique(op, (), value)

    def _unique(self, op: str, args: tuple[Expression, ...], value: Any) -> Expression:
        identity = (op, tuple(map(id, args)), type(value), repr(value))
        found = self._known.get(identity)
        if found is None:
            found = self._known[identity] = Expression(self, op, args, value)
        return found

    def make(self, op: str, *values: Any) -> Expression:
        """`op` applied to expressions and numbers, simplified where that is exact."""
        args = tuple(v if isinstance(v, Expression) else self.leaf("constant", v) for v in values)
        if op in ARITHMETIC and all(a.op == "constant" for a in args):
            return self.leaf("constant", ARITHMETIC[op](*(a.value for a in args)))
        simple = self._simplify(op, args)
        return self._unique(op, args, None) if simple is None else simple

    def _simplify(self, op: str, args: tuple[Expression, ...]) -> Expression | None:
        """A simpler expression of the same value for all finite numbers, or None."""
        a, b = args[0], args[-1]
        if op == "add":
            return b if a.is_constant(0) else a if b.is_constant(0) else None
        if op == "sub" and b.is_constant(0):
            return a
        if op == "mul":
            if a.is_constant(0) or b.is_constant(0):
                return self.leaf("constant", 0.0)
            if a.is_constant(-1):
                return -b
            if b.is_constant(-1):
                return -a
            return b if a.is_constant(1) else a if b.is_constant(1) else None
        if op in ("div", "pow") and b.is_constant(1):
            return a
        if op == "pow" and b.is_constant(2):
            return self.make("square", a)
        if op == "neg" and a.op == "neg":
            return a.args[0]
        return None

    def substitute(self, root: Expression, old: Expression, new: Expression) -> Expression:
        """`root` with every occurrence of `old` replaced by `new`."""
        done = {id(old): new}
        for node in walk([root]):
            if id(node) not in done:
                args = tuple(done[id(a)] for a in node.args)
                done[id(node)] = (
                    node if args == node.args else self._unique(node.op, args, node.value)
                )
        return done[id(root)]


def walk(roots: Iterable[Expression]) -> Iterator[Expression]:
    """Every expression below `roots` once, arguments before what uses them."""
    seen: set[int] = set()
    for root in roots:
        stack = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                yield node
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                stack.extend((a, False) for a in reversed(node.args))


def leaves(root: Expression, op: str) -> list[str]:
    """Names of the leaves of kind `op` ("input" or "parameter") in `root`, in order of use."""
    return [node.value for node in walk([root]) if node.op == op]


def read(
    formula: Callable[..., Any],
    inputs: Iterable[str],
    parameters: Iterable[str],
    statics: dict[str, Any],
) -> Expression:
    """The expression of `formula(m, *inputs, **parameters, **statics)`."""
    m = Maths()
    arrays = [m.leaf("input", name) for name in inputs]
    numbers = {name: m.leaf("parameter", name) for name in parameters}
    result = formula(m, *arrays, **numbers, **statics)
    return result if isinstance(result, Expression) else m.leaf("constant", result)


SQRT_2 = math.sqrt(2.0)
INV_SQRT_2 = 1.0 / SQRT_2
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
SQRT_2PI = math.sqrt(2.0 * math.pi)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
