"""Integers that change with the sizes of inputs, as expressions of those sizes.

A model is run at several sizes. What an integer was in each run tells how it follows from the sizes
that are known: an affine function, a quotient rounded down, or a product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Expression", "Source", "fit"]

Expression = Any
"""An int; a Source; or (name of a function of `operator`, expression, expression)."""

LARGEST_STRIDE = 64
"""Up to which divisor quotients are looked for: five halvings and one more, as in encoders."""


@dataclass(frozen=True)
class Source:
    """A size that is known when the model runs: that of dimension `dim` of `of`."""

    of: Any
    dim: int
    values: tuple[int, ...]
    name: str = ""


def fit(values: Sequence[int], sources: Sequence[Source]) -> Expression | None:
    """The first expression of `sources` that has the `values`; None if none was found."""
    if len(set(values)) == 1:
        return values[0]
    varying = [s for s in sources if len(set(s.values)) > 1]
    for found in itertools.chain(
        (s for s in varying if s.values == tuple(values)),
        (_affine(values, s) for s in varying),
        _products(values, varying),
        (_quotient(values, s) for s in varying),
    ):
        if found is not None:
            return found
    return None


def _affine(values: Sequence[int], source: Source) -> Expression | None:
    """(p * source + r) // q, an exact division."""
    pairs = sorted(set(zip(source.values, values, strict=True)))
    (x0, y0), (x1, y1) = pairs[0], pairs[-1]
    if x0 == x1:
        return None
    slope = Fraction(y1 - y0, x1 - x0)
    offset = y0 - slope * x0
    if slope == 0 or any(slope * x + offset != y for x, y in pairs):
        return None
    q = offset.denominator * slope.denominator
    return _over(_plus(_times(source, int(slope * q)), int(offset * q)), q)


def _quotient(values: Sequence[int], source: Source) -> Expression | None:
    """(source + r) // q."""
    pairs = list(zip(source.values, values, strict=True))
    for q in range(2, LARGEST_STRIDE + 1):
        low = max(q * y - x for x, y in pairs)
        high = min(q * y - x for x, y in pairs) + q - 1
        if low <= high:
            likely = [r for r in (0, q - 1, -1, 1) if low <= r <= high]
            return _over(_plus(source, likely[0] if likely else low), q)
    return None


def _products(values: Sequence[int], sources: Sequence[Source]) -> Iterator[Expression]:
    """Products of two or three sources and a number, exactly divided."""
    for count in (2, 3):
        for factors in itertools.combinations_with_replacement(sources[:12], count):
            products = [math.prod(xs) for xs in zip(*(f.values for f in factors), strict=True)]
            ratios = {
                Fraction(y, product) if product else None
                for y, product in zip(values, products, strict=True)
            }
            (ratio, *others) = ratios
            if others or not ratio:
                continue
            found: Expression = factors[0]
            for factor in factors[1:]:
                found = ("mul", found, factor)
            yield _over(_times(found, ratio.numerator), ratio.denominator)


def _times(a: Expression, number: int) -> Expression:
    return a if number == 1 else ("mul", a, number)


def _plus(a: Expression, number: int) -> Expression:
    return a if number == 0 else ("add", a, number)


def _over(a: Expression, number: int) -> Expression:
    return a if number == 1 else ("floordiv", a, number)
