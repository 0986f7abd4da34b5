"""Sizes that are not known, as numbers that give themselves away.

A symbolic size is a prime times 1440, so that it can be halved, split into heads and joined
as real sizes are, and all real shape rules run on it. What comes of it still tells where it came
from: `symbols.text` of three quarters of `C` is `3*C//4`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

from flambeau.core.tensor import Tensor

FACTOR = 1440  # 2**5 * 3**2 * 5: halved five times, and split into most numbers of heads
FIRST = 1009  # the first prime: large, but what goes through all sizes still ends soon
LEAST = 10_000  # below which a size counts as a plain number
MOST = 1_000_000  # from which on it is made of symbolic ones, even if nobody can tell how
NEAR = 64  # how much may be added to a symbolic size so that it is still known


class Symbols:
    """The symbolic sizes of one run."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # by prime
        self._primes = _primes(FIRST)
        self._texts: dict[int, str | None] = {}

    def fresh(self, name: str) -> int:
        """A new size called `name`."""
        prime = next(self._primes)
        self.names[prime] = name
        self._texts.clear()
        return prime * FACTOR

    def is_symbolic(self, value: Any) -> bool:
        """Whether `value` is a size that comes from a symbolic one."""
        return value.__class__ is int and value >= LEAST and self.text(value) is not None

    def any_in(self, values: Iterable[Any]) -> bool:
        """Whether a size, or a tensor with a size, among `values` is symbolic."""
        if not self.names:
            return False
        for value in values:
            if isinstance(value, Tensor):
                if any(self.is_symbolic(n) for n in value.shape):
                    return True
            elif isinstance(value, list | tuple):
                if self.any_in(value):
                    return True
            elif self.is_symbolic(value):
                return True
        return False

    def text(self, value: int) -> str | None:
        """A symbolic size in words, `T`, `4*C`, `B*T`, `T - 1`, `T + S`, `?` where it is too
        intricate for these; None for a plain number."""
        if value < LEAST or not self.names:
            return None
        if value not in self._texts:
            self._texts[value] = self._text(value)
        return self._texts[value]

    def _text(self, value: int) -> str | None:
        found = self._product(value)
        if found is not None:
            return found
        for step in range(1, NEAR + 1):
            for sign, base in (("-", value + step), ("+", value - step)):
                found = self._product(base)
                if found is not None:
                    return f"{found} {sign} {step}"
        for prime, name in self.names.items():
            found = self._product(value - prime * FACTOR)
            if found is not None:
                return f"{name} + {found}"
        return "?" if value >= MOST else None

    def _product(self, value: int) -> str | None:
        rest, factors = Fraction(value), []
        for prime, name in self.names.items():
            while rest.numerator % prime == 0:
                rest /= prime * FACTOR
                factors.append(name)
        if not factors or rest.denominator > FACTOR or rest.numerator > FACTOR * NEAR:
            return None
        words = "*".join(factors)
        if rest.numerator != 1:
            words = f"{rest.numerator}*{words}"
        return words if rest.denominator == 1 else f"{words}//{rest.denominator}"


def _primes(first: int) -> Iterator[int]:
    number = first
    while True:
        if all(number % k for k in range(2, int(number**0.5) + 1)):
            yield number
        number += 2
