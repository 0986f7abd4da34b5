"""Depthwise convolutions of images that lie row by row: each channel by a small kernel of its own.

A plane of an image stays in the cache while vectors of its columns walk down it; what stands
outside is masked, not padded. Shapes: input and g (N, C, H, W), weight (C, 1, kh, kw).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from .language import Program, Value
from .machine import Code
from .maths import Maths
from .threads import pool

CHUNK = 32_768
"""Elements of the planes that a thread takes at a time, about."""

Pair = tuple[int, int]


def correlate(input: Any, weight: Any, bias: Any, sizes: Pair, start: Pair, gaps: Pair) -> Any:
    """out[n, c, y, x] = bias[c] + the sum over i, j of weight[c, 0, i, j] times
    input[n, c, y + start[0] + gaps[0] * i, x + start[1] + gaps[1] * j]; `sizes` are those of out.
    """
    out = np.empty((*input.shape[:2], *sizes), np.float32)
    taps = np.ascontiguousarray(weight)
    shift = np.zeros(len(weight), np.float32) if bias is None else np.ascontiguousarray(bias)
    _run(_correlation(*weight.shape[2:]), (input, out, taps, shift), start, gaps)
    return out


def correlate_weight(input: Any, g: Any, kernel: Pair, start: Pair, gaps: Pair) -> Any:
    """The gradient of `correlate` by its weight, for the gradient g of its result."""
    sums = np.empty((*g.shape[:2], *kernel), np.float32)
    _run(_weight_correlation(*kernel), (input, g, sums), start, gaps)
    return sums.sum(0)[:, None]


def _run(code: Code, arrays: tuple[Any, ...], start: Pair, gaps: Pair) -> None:
    """Over all planes; the second array has the sizes of the result."""
    input, out = arrays[:2]
    words = *map(id, arrays), input.shape[1], *input.shape[2:], *out.shape[2:], *start, *gaps
    planes, size = input.shape[0] * input.shape[1], input.shape[2] * input.shape[3]
    pool.run(code, struct.pack(f"={len(words)}q", *words), planes, max(1, CHUNK // size))


class _Planes:
    """The geometry of a program, whose words from number `first` on hold it."""

    def __init__(self, p: Program, first: int, kernel: Pair) -> None:
        self.p = p
        words = [p.word(first + k) for k in range(9)]
        self.channels, self.height, self.width, self.rows, self.columns = words[:5]
        self.down, self.right = (
            [start + gap * k for k in range(count)]
            for start, gap, count in zip(words[5:7], words[7:], kernel, strict=True)
        )

    def each(self, plane: Value, x: Value, body: Callable[[Value, list[Value]], None]) -> None:
        """Run `body(y, around)` for all rows y of the result; `around` are the vectors of the input
        around (y, x), one for each place of the kernel, with zeros outside the plane. Rows in the
        middle, whose surroundings all exist, have a loop without that question."""
        p = self.p
        inside = []
        for right in self.right:
            before, rest = p.constant(0) - (x + right), self.width - (x + right)
            inside.append(~p.first_lanes(before) & p.first_lanes(rest))

        def around(y: Value, is_middle: bool) -> list[Value]:
            found = []
            for down in self.down:
                row = y + down
                exists = p.spread(~(row < 0) & (row < self.height), p.lanes)
                for right, mask in zip(self.right, inside, strict=True):
                    mask = mask if is_middle else mask & exists
                    place = row * self.width + x + right
                    found.append(p.load(plane, place, "float32", p.lanes, mask))
            return found

        zero = p.constant(0)
        first = self._bounded(zero - self.down[0], zero)
        last = self._bounded(self.height - self.down[-1], first)
        for begin, end, is_middle in ((zero, first, False), (first, last, True),
                                      (last, self.rows, False)):  # fmt: skip
            with p.loop(begin, end) as y:
                body(y, around(y, is_middle))

    def _bounded(self, y: Value, least: Value) -> Value:
        """y, but not below `least` nor beyond the rows of the result."""
        y = self.p.where(y < least, least, y)
        return self.p.where(y < self.rows, y, self.rows)


@cache
def _correlation(*kernel: int) -> Code:
    p = Program(f"depthwise_{'_'.join(map(str, kernel))}")
    fma, count = Maths(p).fma, kernel[0] * kernel[1]
    input, out, taps, shift = (p.array(k) for k in range(4))
    planes = _Planes(p, 4, kernel)
    with p.loop(p.begin, p.end) as number:
        channel = number % planes.channels
        plane = input + number * planes.height * planes.width * 4
        target = out + number * planes.rows * planes.columns * 4
        weights = [
            p.spread(p.load(taps, channel * count + k, "float32"), p.lanes) for k in range(count)
        ]
        bias = p.spread(p.load(shift, channel, "float32"), p.lanes)
        with p.loop(p.constant(0), planes.columns, p.lanes) as x:
            mask = p.first_lanes(planes.columns - x)

            def write(y: Value, around: list[Value]) -> None:
                total = bias
                for weight, value in zip(weights, around, strict=True):
                    total = fma(weight, value, total)
                p.store(total, target, y * planes.columns + x, mask)

            planes.each(plane, x, write)
    return Code(p.name, p.text())


@cache
def _weight_correlation(*kernel: int) -> Code:
    p = Program(f"depthwise_weight_{'_'.join(map(str, kernel))}")
    m, count = Maths(p), kernel[0] * kernel[1]
    input, g, sums = (p.array(k) for k in range(3))
    planes = _Planes(p, 3, kernel)
    zeros = p.spread(p.constant(0.0, "float32"), p.lanes)
    totals = [p.variable(zeros) for _ in range(count)]
    with p.loop(p.begin, p.end) as number:
        plane = input + number * planes.height * planes.width * 4
        gradient = g + number * planes.rows * planes.columns * 4
        for total in totals:
            total.value = zeros
        with p.loop(p.constant(0), planes.columns, p.lanes) as x:
            mask = p.first_lanes(planes.columns - x)

            def add(y: Value, around: list[Value]) -> None:
                place = y * planes.columns + x
                cotangent = p.load(gradient, place, "float32", p.lanes, mask)
                for total, value in zip(totals, around, strict=True):
                    total.value = m.fma(cotangent, value, total.value)

            planes.each(plane, x, add)
        for k, total in enumerate(totals):
            p.store(p.combine(total.value, m.add), sums, number * count + k)
    return Code(p.name, p.text())
