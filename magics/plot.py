"""`%plot`: numbers as a chart, in a notebook and in a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau import Tensor
from flambeau.nn import Module

from .base import Instrument, UsageError, preformatted
from .charts import BARS, line_chart
from .statistics import values_of

ROWS, COLUMNS = 8, 64  # of a chart in a terminal
BINS = 40  # of a histogram
LINES = 12  # in one chart


@dataclass
class Plot:
    """Lines over their positions, or over `xs`."""

    lines: dict[str, list[float]]
    log: bool = False
    xs: list[float] | None = None

    def __str__(self) -> str:
        return "\n\n".join(_blocks(name, values, self.log) for name, values in self.lines.items())

    __repr__ = __str__

    def svg(self) -> str:
        """The chart as SVG."""
        return line_chart(self.lines, self.xs, log=self.log, title=", ".join(self.lines))

    def _repr_html_(self) -> str:
        text = f"<summary>as text</summary>{preformatted(str(self))}"
        return f"{self.svg()}<details>{text}</details>"


def plot(value: Any, name: str = "", log: bool = False, histogram: bool = False) -> Plot:
    """`value` as lines: a tensor or list of numbers is one, a matrix one a row, a dict one a key, a
    module the norms of its parameters and gradients, parameter by parameter.

    Raises: TypeError for what is no numbers, ValueError for more than LINES lines.
    """
    lines = _lines(value, name or "values")
    if len(lines) > LINES:
        raise ValueError(f"plot: expected at most {LINES} lines. Got {len(lines)}.")
    if not histogram:
        return Plot(lines, log)
    known = [v for values in lines.values() for v in values if math.isfinite(v)]
    if not known:
        raise ValueError("plot: no finite number to count.")
    edges = np.histogram_bin_edges(known, BINS)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    counts = {k: np.histogram(v, edges)[0].astype(float).tolist() for k, v in lines.items()}
    return Plot(counts, log, middles)


def _lines(value: Any, name: str) -> dict[str, list[float]]:
    if isinstance(value, Module):
        return _of_module(value)
    if isinstance(value, Mapping):
        return {str(key): _numbers(v) for key, v in value.items()}
    array = values_of(value) if isinstance(value, Tensor) else None
    if array is None and isinstance(value, np.ndarray):
        array = value
    if array is not None and array.ndim == 2 and array.shape[0] <= LINES:
        return {f"{name}[{k}]": _numbers(row) for k, row in enumerate(array)}
    return {name: _numbers(value)}


def _of_module(module: Module) -> dict[str, list[float]]:
    norms, grads = [], []
    for p in module.parameters():
        norms.append(float(p.detach().norm()))
        grads.append(float(p.grad.norm()) if p.grad is not None else math.nan)
    return {"parameter norm": norms, "gradient norm": grads}


def _numbers(value: Any) -> list[float]:
    if isinstance(value, Tensor):
        value = values_of(value)
    try:
        if isinstance(value, np.ndarray):
            return [float(v) for v in value.reshape(-1)]
        return [float(v) for v in value]
    except (TypeError, ValueError):
        raise TypeError(f"plot: expected numbers. Got {type(value).__name__}.") from None


def _blocks(name: str, values: Sequence[float], log: bool) -> str:
    """Columns of block characters, each the mean of its share of `values`."""
    columns = _shrunk([math.log10(v) if log and v > 0 else math.nan if log else v for v in values])
    known = [v for v in columns if math.isfinite(v)]
    if not known:
        return f"{name}: no finite number"
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    rows = []
    for row in range(ROWS - 1, -1, -1):
        cells = ""
        for v in columns:
            eighths = (
                round((v - low) / span * (ROWS * 8 - 1)) + 1 - 8 * row if math.isfinite(v) else 0
            )
            cells += " " if eighths <= 0 else BARS[min(eighths, 8) - 1]
        label = high if row == ROWS - 1 else low if row == 0 else None
        edge = "" if label is None else f"{10**label if log else label:.4g}"
        rows.append(f"{edge:>10} │{cells}".rstrip())
    return "\n".join([*rows, f"{'':>10} └{'─' * len(columns)}  {name}, {len(values)} values"])


def _shrunk(values: list[float]) -> list[float]:
    if len(values) <= COLUMNS:
        return values
    edges = np.linspace(0, len(values), COLUMNS + 1).astype(int)
    parts = ([v for v in values[a:b] if math.isfinite(v)] for a, b in pairwise(edges))
    return [sum(part) / len(part) if part else math.nan for part in parts]


@magics_class
class PlotMagics(Instrument):
    """Draws numbers."""

    @magic_arguments()
    @argument("expression", nargs="+", help="numbers: a list, a tensor, a dict of them, a module")
    @argument("--log", action="store_true", help="a logarithmic axis")
    @argument("--hist", action="store_true", help="how often values come")
    @argument("-o", "--output", metavar="FILE", help="write it to an .svg file")
    @line_magic("plot")
    def plot(self, line: str) -> None:
        """Plot numbers: a history, a tensor, a dict of histories, the norms of a module's
        parameters and gradients; blocks of characters in a terminal, a chart in a notebook.

        Examples: %plot losses, %plot --log losses, %plot --hist net[0].weight, %plot net
        """
        arguments = self.arguments(self.plot, line)
        expression = " ".join(arguments.expression)
        value = self.evaluate("%plot", expression)
        try:
            found = plot(value, expression, arguments.log, arguments.hist)
        except (TypeError, ValueError) as error:
            raise UsageError(f"%{error}") from None
        if arguments.output is None:
            display(found)
            return
        path = Path(arguments.output)
        if path.suffix != ".svg":
            raise UsageError(f"%plot: expected a file that ends in .svg. Got {path}.")
        path.write_text(found.svg())
        print(f"{path}: {len(found.lines)} lines")
