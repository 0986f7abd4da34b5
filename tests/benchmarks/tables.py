"""All tables, by name."""

from __future__ import annotations

from . import (
    compiled,
    convolutions,
    images,
    importing,
    kernel,
    loading,
    optimizers,
    perceptrons,
    pointwise,
    processes,
    products,
    quantized,
    recurrent,
    small,
    terminal,
    text,
    transformers,
)
from .case import Case, Measurable
from .memory import PeakMemory

TABLES: dict[str, list[Measurable]] = {
    "small": [*small.CASES, *perceptrons.CASES],
    "products": [*products.CASES],
    "pointwise": [*pointwise.CASES],
    "compiled": [*compiled.CASES],
    "convolutions": [*convolutions.CASES],
    "images": [*images.CASES],
    "sequences": [*recurrent.CASES, *transformers.CASES],
    "text": [*text.CASES],
    "quantized": [*quantized.CASES],
    "optimizers": [*optimizers.CASES],
    "data": [*loading.CASES],
    "processes": [*processes.CASES],
    "import": [*importing.CASES],
    "kernel": [*kernel.CASES],
    "terminal": [*terminal.CASES],
}
TABLES["memory"] = [
    PeakMemory(case)
    for table in TABLES.values()
    for case in table
    if isinstance(case, Case) and case.trains
]

WITHOUT_PYTORCH = {"kernel"}
"""Tables whose other side is another program."""

GEOMETRIC_MEAN = {"pointwise": 0.7}
"""Limits of the geometric mean of a table's ratios."""


def find(name: str) -> Measurable:
    """The row of that name."""
    return next(case for table in TABLES.values() for case in table if case.name == name)
