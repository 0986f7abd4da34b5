"""`--expect`: what a script may cost, checked against the receipts of its cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIZES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
         "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}  # fmt: skip
TIMES = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
QUANTITIES: dict[str, tuple[dict[str, Any], bool]] = {
    "time": (TIMES, True),
    "cpu_time": (TIMES, True),
    "peak": (SIZES, False),
    "gpu_peak": (SIZES, False),
    "net": (SIZES, True),
    "gpu_net": (SIZES, True),
    "graph": ({"": 1}, True),
    "tensors": ({"": 1}, True),
}
"""Figures of a receipt: their units, and whether cells add up (else the highest counts)."""

LIMIT = re.compile(r"(\w+)\s*(<=|<|>=|>)\s*([\d.]+(?:e[+-]?\d+)?)\s*([A-Za-z]*)")
HOLDS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
NO_NAN = "no-nan"


@dataclass(frozen=True)
class Expectation:
    """`text` as it was given; `figure` and its limit in seconds, bytes or a count, empty for
    `no-nan`."""

    text: str
    figure: str = ""
    sign: str = "<"
    limit: float = 0.0

    @property
    def needs_watching(self) -> bool:
        """Whether every operation must be watched to tell."""
        return self.figure in ("", "tensors")

    def failure(self, receipts: Sequence[dict[str, Any]]) -> str:
        """In words, how the cells fail it; empty if they meet it."""
        if not self.figure:
            where = [f"cell {k + 1} in {', '.join(r['nan_in'])}" for k, r in _with_nan(receipts)]
            return f"expected {self.text}. NaN came up: {'; '.join(where)}." if where else ""
        values = [(r[self.figure], -k) for k, r in enumerate(receipts)]  # the first of the highest
        if not values or any(value is None for value, _ in values):
            return f"expected {self.text}. {self.figure} is not known on this machine."
        adds_up = QUANTITIES[self.figure][1]
        total = sum(v for v, _ in values) if adds_up else max(values)[0]
        if HOLDS[self.sign](total, self.limit):
            return ""
        largest, cell = max(values)
        of_all = f", {_with_unit(self.figure, largest)} of it in cell {1 - cell}" if adds_up else (
            f" in cell {1 - cell}")  # fmt: skip
        return f"expected {self.text}. Got {_with_unit(self.figure, total)}{of_all}."


def _with_nan(receipts: Sequence[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    return [(k, receipt) for k, receipt in enumerate(receipts) if receipt["nan"]]


def _with_unit(figure: str, value: float) -> str:
    units = QUANTITIES[figure][0]
    if units is TIMES:
        return f"{value:.3g} s"
    if units is SIZES:
        return f"{value / 2**20:,.1f} MiB"
    return f"{value:,}"


def expectation(text: str) -> Expectation:
    """What `--expect` was given: `no-nan`, or a figure, a sign and a limit such as `peak<2GiB`.

    Raises: ValueError for anything else.
    """
    if text.strip() == NO_NAN:
        return Expectation(text)
    found = LIMIT.fullmatch(text.strip())
    if found is None or found[1] not in QUANTITIES:
        known = ", ".join(QUANTITIES)
        raise ValueError(
            f"--expect: expected no-nan, or a limit such as 'peak<2GiB' or 'time<10s' (known: "
            f"{known}). Got {text!r}."
        )
    figure, sign, number, unit = found.groups()
    units = QUANTITIES[figure][0]
    if unit not in units and not (float(number) == 0):
        raise ValueError(
            f"--expect: expected a unit of {figure} ({', '.join(units) or 'none'}). Got {text!r}."
        )
    return Expectation(text, figure, sign, float(number) * units.get(unit, 1))
