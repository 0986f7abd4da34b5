"""A line search for the strong Wolfe conditions.

A step t along a direction d with slope s(t) = g(t) . d is accepted when the loss fell enough and
the slope became flat enough: f(t) <= f(0) + c1 t s(0) and |s(t)| <= c2 |s(0)|.
Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithms 3.5 and 3.6; the cubic
interpolation is their equation 3.59.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.tensor import Tensor

C1 = 1e-4
C2 = 0.9
SMALLEST_MOVE = 1e-9
"""Below this change of every parameter a bracket is not divided further."""

SMALLEST_GROWTH, LARGEST_GROWTH = 0.01, 10
"""A step that is too short grows by at least this part of its last growth, at most to so many times
its length."""

MARGIN = 0.1
"""Trial steps closer to an end of the bracket than this part of its length are moved inwards."""


@dataclass(frozen=True, slots=True)
class Point:
    """A step `t` along the direction: the loss, the gradient and its slope there."""

    t: Any
    loss: float
    gradient: Tensor
    slope: Tensor


def strong_wolfe(
    evaluate: Callable[[Any], Point], t: Any, origin: Point, reach: Tensor, most: int
) -> tuple[Point, int]:
    """The best point found, and how often `evaluate` ran.

    `t` is the first step to try, `reach` the largest element of the direction, `most` the number of
    steps to try after it.
    """
    search = _Search(evaluate, origin, most)
    first, second = search.bracket(t)
    best = first if second is None else search.divide(first, second, reach)
    return best, search.tried + 1


class _Search:
    """The state of one search: how many steps were tried after the first."""

    def __init__(self, evaluate: Callable[[Any], Point], origin: Point, most: int) -> None:
        self.evaluate, self.origin, self.most = evaluate, origin, most
        self.tried = 0

    def bracket(self, t: Any) -> tuple[Point, Point | None]:
        """One point that fulfils the conditions, or two that have one between them."""
        last, point = self.origin, self.evaluate(t)
        while self.tried < self.most:
            if self._is_high(point) or (self.tried > 1 and point.loss >= last.loss):
                return last, point
            if self._is_flat(point):
                return point, None
            if point.slope >= 0:
                return last, point
            least = point.t + SMALLEST_GROWTH * (point.t - last.t)
            t = cubic_minimum(last, point, least, point.t * LARGEST_GROWTH)
            last, point = point, self.evaluate(t)
            self.tried += 1
        return self.origin, point

    def divide(self, first: Point, second: Point, reach: Tensor) -> Point:
        """The lowest point found while the bracket is made smaller."""
        low, high = _sorted(first, second)
        is_stuck = False
        while self.tried < self.most and not abs(high.t - low.t) * reach < SMALLEST_MOVE:
            least, largest = sorted((low.t, high.t))
            t = cubic_minimum(low, high, least, largest)
            t, is_stuck = _inside(t, least, largest, is_stuck)
            point = self.evaluate(t)
            self.tried += 1
            if self._is_high(point) or point.loss >= low.loss:
                low, high = _sorted(low, point)
            elif self._is_flat(point):
                return point
            else:
                high = low if point.slope * (high.t - low.t) >= 0 else high
                low = point
        return low

    def _is_high(self, point: Point) -> bool:
        return bool(point.loss > self.origin.loss + C1 * point.t * self.origin.slope)

    def _is_flat(self, point: Point) -> bool:
        return bool(abs(point.slope) <= -C2 * self.origin.slope)


def _sorted(first: Point, second: Point) -> tuple[Point, Point]:
    return (first, second) if first.loss <= second.loss else (second, first)


def _inside(t: Any, least: Any, largest: Any, is_stuck: bool) -> tuple[Any, bool]:
    """`t`, moved inwards if for the second time it is close to an end; and whether it was for the
    first."""
    margin = MARGIN * (largest - least)
    if not min(largest - t, t - least) < margin:
        return t, False
    if is_stuck or t >= largest or t <= least:
        closer_to_largest = abs(t - largest) < abs(t - least)
        return (largest - margin if closer_to_largest else least + margin), False
    return t, True


def cubic_minimum(a: Point, b: Point, least: Any, largest: Any) -> Any:
    """The minimum, within the bounds, of the cubic with the losses and slopes of both points; the
    middle of the bounds if it has none."""
    if not a.t <= b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    if not square >= 0:
        return (least + largest) / 2.0
    d2 = square.sqrt()
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(t, least), largest)
