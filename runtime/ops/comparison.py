"""Comparisons, logic and tests of elements; results are bool and get no gradient."""

from __future__ import annotations

from typing import Any

from .declare import Spec, pointwise

__all__ = [
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "ge",
    "gt",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "le",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "signbit",
]

LOGIC = ("logical_and", "logical_or", "logical_xor")
ORDER = ("lt", "le", "gt", "ge")


def _declared(name: str, doc: str, unary: bool = False, known_as: str = "") -> Any:
    def one(m: Any, input: Spec) -> Spec:
        return getattr(m, name)(input)

    def two(m: Any, input: Spec, other: Spec) -> Spec:
        return getattr(m, name)(input, other)

    formula = one if unary else two
    formula.__name__, formula.__doc__, formula.__module__ = known_as or name, doc, __name__
    takes_numbers = unary or (known_as or name).startswith("bitwise")
    tensors = 0 if takes_numbers else 2 if name in LOGIC else 1
    refuses = "complex" if name in ORDER else ""
    return pointwise(formula, name=known_as or name, tensors=tensors, refuses=refuses)


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
signbit = _declared("signbit", "Whether input is negative, -0.0 included.", unary=True)
bitwise_left_shift = _declared("left_shift", "input * 2**other.", known_as="bitwise_left_shift")
bitwise_right_shift = _declared(
    "right_shift", "input / 2**other, rounded down.", known_as="bitwise_right_shift"
)
bitwise_and = _declared("bitwise_and", "Bitwise and of integers, logical and of bools.")
bitwise_or = _declared("bitwise_or", "Bitwise or of integers, logical or of bools.")
bitwise_xor = _declared("bitwise_xor", "Bitwise exclusive or of integers or bools.")
bitwise_not = _declared(
    "bitwise_not", "Bitwise complement of integers, logical of bools.", unary=True
)


@pointwise(refuses="complex")
def isposinf(m: Any, input: Spec) -> Spec:
    """Whether input is infinite and positive."""
    return m.logical_and(m.isinf(input), input > 0)


@pointwise(refuses="complex")
def isneginf(m: Any, input: Spec) -> Spec:
    """Whether input is infinite and negative."""
    return m.logical_and(m.isinf(input), m.lt(input, 0))
