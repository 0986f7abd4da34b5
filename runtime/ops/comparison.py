"""Comparisons, logic and tests of elements; results are bool and get no gradient."""

from __future__ import annotations

from typing import Any

from .declare import Spec, pointwise


def _declared(name: str, doc: str, unary: bool = False) -> Any:
    def one(m: Any, input: Spec) -> Spec:
        return getattr(m, name)(input)

    def two(m: Any, input: Spec, other: Spec) -> Spec:
        return getattr(m, name)(input, other)

    formula = one if unary else two
    formula.__name__, formula.__doc__, formula.__module__ = name, doc, __name__
    return pointwise(formula, name=name)


eq = _declared("eq", "input == other.")
ne = _declared("ne", "input != other.")
lt = _declared("lt", "input < other.")
le = _declared("le", "input <= other.")
gt = _declared("gt", "input > other.")
ge = _declared("ge", "input >= other.")
logical_and = _declared("logical_and", "Whether both are nonzero.")
logical_or = _declared("logical_or", "Whether one is nonzero.")
logical_xor = _declared("logical_xor", "Whether exactly one is nonzero.")
logical_not = _declared("logical_not", "Whether input is zero.", unary=True)
isnan = _declared("isnan", "Whether input is not a number.", unary=True)
isinf = _declared("isinf", "Whether input is infinite.", unary=True)
isfinite = _declared("isfinite", "Whether input is neither infinite nor NaN.", unary=True)
bitwise_and = _declared("bitwise_and", "Bitwise and of integers, logical and of bools.")
bitwise_or = _declared("bitwise_or", "Bitwise or of integers, logical or of bools.")
bitwise_xor = _declared("bitwise_xor", "Bitwise exclusive or of integers or bools.")
bitwise_not = _declared(
    "bitwise_not", "Bitwise complement of integers, logical of bools.", unary=True
)
