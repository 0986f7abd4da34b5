"""Poisson and gamma samples from the generator's words, in PyTorch's order.

Sources: for Poisson rates from 10 on the transformed rejection PTRS of W. Hörmann, "The transformed
rejection method for generating Poisson random variables", Insurance: Mathematics and Economics 12,
1993; below, products of uniform numbers, as in D. Knuth, The Art of Computer Programming 2, 3.4.1;
for gamma variables G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables",
ACM TOMS 26(3), 2000.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..random import Generator

REJECTED_FROM = 10
BLOCK = 1024  # uniform numbers drawn ahead


class _Uniforms:
    """Uniform doubles one by one, drawn in blocks; `give_back` leaves the stream behind the last
    one that was used."""

    def __init__(self, stream: Generator) -> None:
        self._stream, self._begin = stream, stream.get_state()
        self._spare = stream._spare_normal
        self._block: list[float] = []
        self._place = self._used = 0

    def __call__(self) -> float:
        if self._place == len(self._block):
            self._block = self._stream.uniform(BLOCK, np.float64).tolist()
            self._place = 0
        self._place += 1
        self._used += 1
        return self._block[self._place - 1]

    def normal(self) -> float:
        """A standard normal number; every second one is the spare of the one before."""
        spare = self._spare
        if spare is not None:
            self._spare = None
            return spare
        u, v = self(), self()
        radius = math.sqrt(-2.0 * math.log1p(-v))
        self._spare = radius * math.sin(2.0 * math.pi * u)
        return radius * math.cos(2.0 * math.pi * u)

    def give_back(self) -> None:
        """Put back what was drawn ahead."""
        self._stream.set_state(self._begin)
        self._stream.uniform(self._used, np.float64)
        self._stream._spare_normal = self._spare


def counts(stream: Generator, rates: Any) -> Any:
    """A count for each of `rates`, doubles of 0 or more, in their shape."""
    uniform = _Uniforms(stream)
    found = [
        _by_rejection(rate, uniform) if rate >= REJECTED_FROM else _by_products(rate, uniform)
        for rate in rates.ravel().tolist()
    ]
    uniform.give_back()
    return np.array(found, np.float64).reshape(rates.shape)


def gammas(stream: Generator, concentrations: Any) -> Any:
    """A gamma variable of rate 1 for each of `concentrations`, doubles of 0 or more, in their
    shape."""
    uniform = _Uniforms(stream)
    found = [_gamma(a, uniform) for a in concentrations.ravel().tolist()]
    uniform.give_back()
    return np.array(found, np.float64).reshape(concentrations.shape)


THIRD = float(np.float32(1) / np.float32(3))  # as PyTorch rounds it


def _gamma(concentration: float, uniform: _Uniforms) -> float:
    """The article's method, with its names; below 1 by its section 6."""
    if concentration == 0:
        return 0.0
    scale = 1.0
    if concentration < 1:
        scale = (1 - uniform()) ** (1 / concentration)
        concentration += 1
    d = concentration - THIRD
    c = 1 / math.sqrt(9 * d)
    while True:
        x = uniform.normal()
        y = 1 + c * x
        if y <= 0:
            continue
        v, u, square = y * y * y, 1 - uniform(), x * x
        if u < 1 - 0.0331 * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


def _by_products(rate: float, uniform: Callable[[], float]) -> int:
    """How many uniform numbers multiply to more than exp(-rate)."""
    if rate == 0:
        return 0
    least = math.exp(-rate)
    count, product = 0, uniform()
    while product > least:
        count += 1
        product *= uniform()
    return count


def _by_rejection(rate: float, uniform: Callable[[], float]) -> int:
    """Algorithm PTRS, with the article's constants and names."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    surely = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = uniform() - 0.5, uniform()
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
        if us >= 0.07 and v <= surely:
            return k
        if k < 0 or (us < 0.013 and v > us) or v == 0:
            continue
        height = math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if height <= -rate + k * math.log(rate) - math.lgamma(k + 1):
            return k
