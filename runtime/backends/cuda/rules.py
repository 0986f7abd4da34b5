"""Rules that go element by element, such as optimizer steps, read into CUDA C++.

A rule (see `optim.elementwise`) changes arrays in place. It runs once on symbols that record what
becomes of them as expressions; those are written down as the function `rule(n, a)`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import EllipsisType
from typing import Any

from ...core.expressions import Expression, Maths, walk
from ..trees import put_together

Rule = Callable[..., None]

TEXTS = {
    "add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "div": "{} / {}", "neg": "-{}",
    "square": "{0} * {0}", "sqrt": "sqrt({})", "abs": "fabs({})", "pow": "pow({}, {})",
    "sign": "(Real)(({0} > 0) - ({0} < 0))", "where": "{} ? {} : {}",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}",
    "eq": "{} == {}", "ne": "{} != {}",
}  # fmt: skip
"""What rules may use, as C++ of names."""


class Quantity:
    """An element of an array, or a number computed of some. Operators make new ones; in-place ones
    and `x[mask] = y` change what this one stands for, as they change an array."""

    __hash__ = object.__hash__

    def __init__(self, maths: Maths, expression: Expression) -> None:
        self.maths = maths
        self.expression = expression

    def make(self, op: str, *values: Any) -> Quantity:
        """`op` of quantities and numbers."""
        bare = [v.expression if isinstance(v, Quantity) else v for v in values]
        return Quantity(self.maths, self.maths.make(op, *bare))

    def become(self, value: Any) -> Quantity:
        """Stand for `value` from now on."""
        self.expression = self.make("add", value, 0).expression
        return self

    def __setitem__(self, mask: Any, value: Any) -> None:
        is_all = isinstance(mask, EllipsisType)
        self.become(value if is_all else self.make("where", mask, value, self))

    def __neg__(self) -> Quantity:
        return self.make("neg", self)


def _operators(name: str, op: str) -> dict[str, Any]:
    return {
        f"__{name}__": lambda a, b: a.make(op, a, b),
        f"__r{name}__": lambda a, b: a.make(op, b, a),
        f"__i{name}__": lambda a, b: a.become(a.make(op, a, b)),
    }


for _name in ("add", "sub", "mul", "truediv", "pow"):
    for _method, _function in _operators(_name, _name.removeprefix("true")).items():
        setattr(Quantity, _method, _function)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Quantity, f"__{_name}__", _operators("compare", _name)["__compare__"])


class Functions:
    """What a rule finds in `xp`, under NumPy's names."""

    def absolute(self, x: Quantity) -> Quantity:
        """|x|."""
        return x.make("abs", x)

    def sqrt(self, x: Quantity) -> Quantity:
        """The square root."""
        return x.make("sqrt", x)

    def sign(self, x: Quantity) -> Quantity:
        """-1, 0 or 1."""
        return x.make("sign", x)

    def maximum(self, x: Quantity, y: Any, out: Quantity) -> Quantity:
        """The larger one, NaN if one is, into `out`."""
        return out.become(x.make("maximum", x, y))

    def clip(self, x: Quantity, least: Any, largest: Any, out: Quantity) -> Quantity:
        """x within [least, largest], into `out`."""
        return out.become(x.make("minimum", x.make("maximum", x, least), largest))


def source(rule: Rule, structure: Any, arrays: int) -> tuple[str, list[bool]]:
    """The C++ of `rule` on so many arrays, and which of them it writes."""
    maths = Maths()
    numbers = (Quantity(maths, maths.leaf("parameter", f"n[{k}]")) for k in count())
    given = put_together(structure, numbers)
    leaves = [maths.leaf("input", f"a[{k}]") for k in range(arrays)]
    elements = [Quantity(maths, leaf) for leaf in leaves]
    rule(*given, Functions(), *elements)
    results = [e.expression for e in elements]
    is_written = [new is not old for new, old in zip(results, leaves, strict=True)]
    lines, known = [], {}
    for node in walk(results):
        if not node.args:
            known[id(node)] = _leaf(node)
            continue
        text = TEXTS[node.op].format(*[known[id(a)] for a in node.args])
        known[id(node)] = name = f"t{len(lines)}"
        lines.append(f"    const {'bool' if node.is_boolean else 'Real'} {name} = {text};")
    lines += [
        f"    a[{k}] = {known[id(result)]};" for k, result in enumerate(results) if is_written[k]
    ]
    body = "\n".join(lines)
    return f"__device__ inline void rule(const Real* n, Real* a) {{\n{body}\n}}\n", is_written


def _leaf(node: Expression) -> str:
    return f"(Real){float(node.value)!r}" if node.op == "constant" else str(node.value)
