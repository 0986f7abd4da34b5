"""Rules that go element by element, such as optimizer steps, read into CUDA C++.

A rule (see `optim.elementwise`) changes arrays in place. It runs once on symbols that record what
becomes of them as expressions; those are written down as the function `rule(n, a)`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import EllipsisType
from typing import Any

from ...core.expressions import Expression, Maths
from ..trees import put_together
from .formulas import statements

Rule = Callable[..., None]


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


def source(
    rule: Rule, structure: Any, arrays: int, number: str
) -> tuple[str, list[bool], list[bool]]:
    """The C++ of `rule` on so many arrays, computed in the dtype `number`, and which of the arrays
    it reads and writes."""
    maths = Maths()
    numbers = (Quantity(maths, maths.leaf("parameter", f"n[{k}]")) for k in count())
    given = put_together(structure, numbers)
    leaves = [maths.leaf("input", f"a[{k}]") for k in range(arrays)]
    elements = [Quantity(maths, leaf) for leaf in leaves]
    rule(*given, Functions(), *elements)
    results = [e.expression for e in elements]
    is_written = [new is not old for new, old in zip(results, leaves, strict=True)]
    lines, names = statements(results, lambda leaf: (str(leaf.value), False), number)
    written = [(k, name) for k, name in enumerate(names) if is_written[k]]
    used = "".join([*lines, *[name for _, name in written]])
    is_read = [f"a[{k}]" in used for k in range(arrays)]
    body = "".join([*lines, *[f"    a[{k}] = {name};\n" for k, name in written]])
    return f"INLINE void rule(const {number}* n, {number}* a) {{\n{body}}}\n", is_read, is_written
