"""Numbers that describe a tensor or a gradient in a row of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau import Tensor
from flambeau.core.quantized_arrays import QuantizedArray
from flambeau.core.sparse_arrays import SparseArray
from flambeau.core.tensor import held
from flambeau.ops.quantized import dequantized

HEADINGS = ("shape", "norm", "mean", "min", "max", "zeros", "")
"""Of the columns that `Statistics.words` gives."""


@dataclass(frozen=True)
class Statistics:
    """Of one array: Euclidean norm, mean and extremes of its finite elements (of their absolute
    values if complex), share of zeros, counts of NaN and infinity."""

    shape: tuple[int, ...]
    norm: float
    mean: float
    low: float
    high: float
    zeros: float
    nan: int
    infinite: int

    @classmethod
    def of(cls, array: Any) -> Statistics:
        """The statistics of a NumPy array."""
        values = np.asarray(array)
        shape = values.shape
        if not values.size:
            return cls(shape, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
        flat = values.reshape(-1)
        if flat.dtype.kind not in "fc":
            flat = flat.astype(np.float64)
        elif flat.dtype.kind == "c":
            flat = np.abs(flat)
        elif flat.itemsize < 4:
            flat = flat.astype(np.float32)
        zeros = 1.0 - np.count_nonzero(flat) / flat.size
        with np.errstate(all="ignore"):
            square = float(np.dot(flat, flat))  # in the array's own precision: fast, may overflow
        nan = infinite = 0
        if not math.isfinite(square):
            finite = np.isfinite(flat)
            nan = int(np.isnan(flat).sum())
            infinite = int(flat.size - finite.sum()) - nan
            flat = flat[finite].astype(np.float64)
            square = float(np.dot(flat, flat))
        if not flat.size:
            return cls(shape, 0.0, math.nan, math.nan, math.nan, zeros, nan, infinite)
        mean = float(flat.mean(dtype=np.float64))
        low, high = float(flat.min()), float(flat.max())
        return cls(shape, math.sqrt(square), mean, low, high, zeros, nan, infinite)

    @property
    def is_finite(self) -> bool:
        """Whether there is neither NaN nor infinity."""
        return not (self.nan or self.infinite)

    def trouble(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        bad = [f"{self.nan} NaN"] if self.nan else []
        bad += [f"{self.infinite} Inf"] if self.infinite else []
        if self.zeros == 1.0:
            bad.append("all zero")
        return ", ".join(bad)

    def words(self) -> tuple[str, ...]:
        """The cells of a row, under `HEADINGS`."""
        shape = "×".join(str(n) for n in self.shape) or "scalar"
        if math.isnan(self.mean):  # nothing finite is there to be described
            return (shape, "", "", "", "", f"{self.zeros:.0%}", self.trouble())
        numbers = (f"{x:.3g}" for x in (self.norm, self.mean, self.low, self.high))
        return (shape, *numbers, f"{self.zeros:.0%}", self.trouble())


def values_of(value: Any) -> Any:
    """The values of a tensor or a bare array as a NumPy array, from any device and any layout;
    None for one without values (meta) and for what is no array."""
    if isinstance(value, Tensor):
        if value.is_meta:
            return None
        if value._key.level:
            return values_of(held(value))
        return values_of(value._array)
    if isinstance(value, SparseArray):
        return values_of(value.to_dense())
    if isinstance(value, QuantizedArray):
        return values_of(dequantized(value))
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "get") and hasattr(value, "nbytes"):  # CuPy
        return value.get()
    return np.asarray(value) if isinstance(value, np.generic) else None
