"""Small charts without a plotting library: sparklines for text, line charts as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

BARS = "▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 640.0, 260.0  # px of a chart
LEFT, RIGHT, TOP, BOTTOM = 62.0, 150.0, 14.0, 34.0  # px around it; names stand at the right
NAMED = 13  # lines whose names stand beside the chart
POSITIONS = 9  # up to so many are all named, as whole numbers
COLOURS = ("#4c78a8", "#e07a1f", "#4c9a45", "#c0392b", "#8e6bb0", "#8d6e4b", "#d56fa5", "#6f7b87")
"""Of lines, in turn; each can be told from its neighbours without seeing colours well."""


def sparkline(values: Sequence[float], width: int = 16, log: bool = True) -> str:
    """`▁▃▅█`: the course of `values`, the last `width` of them; `✗` where one is not finite."""
    shown = [float(v) for v in values][-width:]
    heights = [_scaled(v, log) for v in shown]
    known = [h for h in heights if math.isfinite(h)]
    if not known:
        return "✗" * len(shown)
    low, high = min(known), max(known)
    span = high - low or 1.0
    return "".join(
        BARS[int((h - low) / span * (len(BARS) - 1) + 0.5)] if math.isfinite(h) else "✗"
        for h in heights
    )


def _scaled(value: float, log: bool) -> float:
    if not log or not math.isfinite(value):
        return value
    return math.log10(max(abs(value), 1e-30))


def line_chart(
    lines: Mapping[str, Sequence[float]],
    xs: Sequence[float] | None = None,
    log: bool = False,
    log_x: bool = False,
    labels: Sequence[str] = (),
    title: str = "",
    mark: float | None = None,
) -> str:
    """An SVG chart of `lines` over `xs` (their positions unless given); `labels` name positions.

    `log` gives the y axis powers of ten, `log_x` the x axis; `mark` is an x with a line through it.
    What is not finite leaves a gap.
    """
    longest = max((len(values) for values in lines.values()), default=0)
    places = [float(x) for x in xs] if xs is not None else [float(k) for k in range(longest)]
    x_axis = _Axis(places, log_x, LEFT, WIDTH - RIGHT)
    y_axis = _Axis([v for values in lines.values() for v in values], log, HEIGHT - BOTTOM, TOP)
    if xs is None and not labels and 0 < longest <= POSITIONS:
        labels = [str(k) for k in range(longest)]
    body = [_grid(y_axis), _x_labels(x_axis, places, labels)]
    if mark is not None:
        x = x_axis.at(mark)
        body.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="m"/>'
        )
    for k, (name, values) in enumerate(lines.items()):
        colour = COLOURS[k % len(COLOURS)]
        points = [(x_axis.at(x), y_axis.at(v)) for x, v in zip(places, values, strict=False)]
        body.append(_line(points, colour))
        if k < NAMED:
            place = f'x="{WIDTH - RIGHT + 12}" y="{TOP + 12 + 16 * k}"'
            body.append(f'<text {place} style="fill:{colour}">{escape(name[:22])}</text>')
    if len(lines) > NAMED:
        rest = f"and {len(lines) - NAMED} more"
        body.append(f'<text x="{WIDTH - RIGHT + 12}" y="{TOP + 12 + 16 * NAMED}">{rest}</text>')
    return _document("".join(body), title)


class _Axis:
    """Maps values to pixels between `start` and `end`."""

    def __init__(self, values: Sequence[float], log: bool, start: float, end: float) -> None:
        self.log, self.start, self.end = log, start, end
        known = [_scaled(v, log) for v in values if math.isfinite(v) and (v > 0 or not log)]
        self.low, self.high = (min(known), max(known)) if known else (0.0, 1.0)
        if self.low == self.high:
            self.low, self.high = self.low - 0.5, self.high + 0.5

    def at(self, value: float) -> float:
        """The pixel of `value`; NaN if it has none."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        share = (_scaled(value, self.log) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """About five round values with their texts."""
        if self.log:
            step = max(1, math.ceil((self.high - self.low) / 5))
            powers = range(math.ceil(self.low), math.floor(self.high) + 1, step)
            if len(powers) >= 2:
                return [(10.0**p, f"1e{p}") for p in powers]
            return [(10.0**x, f"{10.0**x:.2g}") for x in (self.low, self.high)]
        span = self.high - self.low
        step = 10.0 ** math.floor(math.log10(span / 4))
        step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 6)
        first = math.ceil(self.low / step)
        count = int((self.high - first * step) / step + 1e-9) + 1
        return [((first + k) * step, f"{(first + k) * step:.4g}") for k in range(count)]


def _grid(axis: _Axis) -> str:
    parts = []
    for value, text in axis.ticks():
        y = axis.at(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="g"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    return "".join(parts)


def _x_labels(axis: _Axis, places: Sequence[float], labels: Sequence[str]) -> str:
    if labels:
        every = max(1, math.ceil(len(labels) / 8))
        ticks = [(places[k], labels[k]) for k in range(0, len(labels), every)]
    else:
        ticks = axis.ticks()
    y = HEIGHT - BOTTOM + 18
    return "".join(
        f'<text x="{axis.at(x):.1f}" y="{y}" text-anchor="middle">{escape(text[-18:])}</text>'
        for x, text in ticks
    )


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path, is_open = "", False
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            is_open = False
            continue
        path += f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}"
        is_open = True
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>'
        for x, y in points
        if len(points) <= 40 and math.isfinite(x) and math.isfinite(y)
    )
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>{dots}'


def _document(body: str, title: str) -> str:
    style = (
        ".flambeau-chart text{font:11px system-ui,sans-serif;fill:#5a6675}"
        ".flambeau-chart .g{stroke:#e3e7ed}"
        ".flambeau-chart .m{stroke:#c0392b;stroke-dasharray:4 3}"
    )
    return (
        f'<svg class="flambeau-chart" xmlns="http://www.w3.org/2000/svg" '
        f'width="{WIDTH:.0f}" height="{HEIGHT:.0f}" '
        f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="#ffffff" rx="8"/>'
        f"{body}</svg>"
    )
