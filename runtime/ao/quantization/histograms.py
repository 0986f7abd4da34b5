"""Calibration by a histogram: the range that loses least, rare values left outside."""

from __future__ import annotations

import warnings
from bisect import bisect_left, bisect_right
from typing import Any

import numpy as np

from ...core import dtypes
from ...core.creation import tensor, zeros
from ...core.quantized_arrays import per_tensor_affine, qscheme
from ...core.ranges import linspace
from ...core.tensor import Tensor
from ...ops.histograms import histc
from .calibration import UniformQuantizationObserverBase

FINER = 16
"""Parts into which each bin is cut before it goes into wider ones."""
STEP = 1e-5
"""The share of values that the search tries to leave outside at a time."""


class HistogramObserver(UniformQuantizationObserverBase):
    """The range, within what was seen, with the least squared error of quantization.

    The histogram of `bins` grows with the range. The search moves the ends inward as long as the
    error falls, the end before which fewer values lie first. Source: norm minimization in Caffe2's
    quantization library, as PyTorch documents it.
    """

    per_channel = False
    min_val: Any
    max_val: Any
    histogram: Any

    def __init__(
        self,
        bins: int = 2048,
        dtype: dtypes.dtype = dtypes.quint8,
        qscheme: qscheme = per_tensor_affine,
        *args: Any,
        **options: Any,
    ) -> None:
        if options.get("is_dynamic"):
            raise NotImplementedError(
                "HistogramObserver: expected a static scheme. Got is_dynamic=True."
            )
        self.bins, self.dst_nbins = bins, 2 ** (8 * dtype.itemsize)
        super().__init__(dtype, qscheme, *args, **options)

    def reset_min_max_vals(self) -> None:
        """Forget what was seen."""
        self.register_buffer("histogram", zeros(self.bins))
        self.register_buffer("min_val", tensor(float("inf")))
        self.register_buffer("max_val", tensor(float("-inf")))

    def forward(self, x: Tensor) -> Tensor:
        """x itself, whose values count; infinite ones don't."""
        values = x.detach().float()
        if not values.numel():
            return x
        least, most = values.min(), values.max()
        if least.isinf() or most.isinf():
            warnings.warn("HistogramObserver: infinite values are left out.", stacklevel=2)
            values = values[~values.isinf()]
            if not values.numel():
                return x
            least, most = values.min(), values.max()
        if not self.min_val.isinf():
            least, most = least.minimum(self.min_val), most.maximum(self.max_val)
        counts = histc(values, self.bins, least.item(), most.item())
        if not self.min_val.isinf():
            counts = counts + self._rebinned(least, most)
        self.histogram, self.min_val, self.max_val = counts, least, most
        return x

    def _rebinned(self, least: Tensor, most: Tensor) -> Tensor:
        """The histogram so far over the wider range."""
        if least == self.min_val and most == self.max_val:
            return self.histogram
        if self.min_val == self.max_val:
            place = histc(self.min_val, self.bins, least.item(), most.item())
            return place * self.histogram.sum()
        parts = self.bins * FINER
        width = (self.max_val - self.min_val) / parts
        middles = linspace(self.min_val.item(), self.max_val.item(), parts + 1)[:-1] + 0.5 * width
        edges = linspace(least.item(), most.item(), self.bins + 1).numpy_values()
        places = np.searchsorted(edges, middles.cpu().numpy_values(), "right") - 1
        shares = np.repeat(self.histogram.cpu().numpy_values(), FINER) / np.float32(FINER)
        found = np.bincount(places.clip(0, self.bins - 1), shares, self.bins)
        return tensor(found.astype(np.float32), device=self.histogram.device)

    def calculate_qparams(self, **options: Any) -> tuple[Tensor, Tensor]:
        """The scale and the zero point of the range that loses least."""
        if self.min_val.isinf() and self.max_val.isinf():
            return self._calculate_qparams(self.min_val, self.max_val)
        first, last = self._best_bins()
        width = (self.max_val - self.min_val) / self.bins
        return self._calculate_qparams(
            self.min_val + width * first, self.min_val + width * (last + 1)
        )

    def _best_bins(self) -> tuple[int, int]:
        """The first and the last bin of the best range."""
        counts = self.histogram.cpu().numpy_values()
        below = np.cumsum(counts, dtype=np.float32).astype(np.float64).tolist()
        total = float(counts.sum())
        width = (self.max_val.item() - self.min_val.item()) / self.bins
        density = counts / width if width else counts
        first, last, least = 0, self.bins - 1, float("inf")
        low, high = 0.0, 1.0
        while low < high:
            left = bisect_left(below, (low + STEP) * total, first, last)
            right = bisect_right(below, (high - STEP) * total, first + 1, last + 1) - 1
            if left - first > last - right:
                ends, low = (left, last), low + STEP
            else:
                ends, high = (first, right), high - STEP
            if ends == (first, last):
                continue
            error = self._error(density, width, *ends)
            if error > least:
                break
            (first, last), least = ends, error
        return first, last

    def _error(self, density: Any, width: float, first: int, last: int) -> float:
        """The squared error of values spread evenly within bins, when codes cover the bins `first`
        to `last`."""
        step = width * (last - first + 1) / self.dst_nbins
        if not step:
            return 0.0
        begin = (np.arange(self.bins) - first) * width
        end = begin + width
        codes = [np.clip(np.floor(x / step), 0, self.dst_nbins - 1) for x in (begin, end)]
        centres = [(code + 0.5) * step for code in codes]
        cube = (step / 2) ** 3
        # From the bin's begin to its code's upper edge, whole codes, and on to the bin's end.
        parts = cube - (begin - centres[0]) ** 3
        parts += (codes[1] - codes[0] - 1) * 2 * cube
        parts += (end - centres[1]) ** 3 + cube
        return float((density * parts).sum() / 3)

    def extra_repr(self) -> str:
        """The range."""
        return f"min_val={self.min_val}, max_val={self.max_val}"
