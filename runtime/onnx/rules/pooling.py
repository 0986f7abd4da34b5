"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes
from ..builder import Builder, Value
from .registry import rule


@rule("max_pool")
def max_pool(
    b: Builder, x: Value, *, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], ceil_mode: bool,
) -> Value:  # fmt: skip
    """The largest of each window."""
    return b.MaxPool(
        x, kernel_shape=list(kernel), strides=list(stride), pads=[*padding, *padding],
        dilations=list(dilation), ceil_mode=int(ceil_mode),
    )  # fmt: skip


@rule("max_pool_indices")
def max_pool_indices(
    b: Builder, x: Value, best: Value, *, kernel: Sequence[int], stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int],
) -> Value:  # fmt: skip
    """MaxPool's second result, which counts through all images, within one of them."""
    given, wanted = (b.node.args[k].meta["vals"][0].shape[2:] for k in (0, 1))
    fitting = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(given, padding, dilation, kernel, stride, strict=True)
    ]
    _, places = b.add(
        "MaxPool", x, outputs=2, kernel_shape=list(kernel), strides=list(stride),
        pads=[*padding, *padding], dilations=list(dilation), ceil_mode=int(fitting != [*wanted]),
    )  # fmt: skip
    places.dtype = b.dtypes[places.name] = dtypes.int64
    count = b.constant(1, dtypes.int64)
    for k in range(2, x.ndim):
        size = b.size_of(x, k)
        count = b.Mul(count, size if isinstance(size, Value) else b.constant(size, dtypes.int64))
    return b.Mod(places, count)


@rule("avg_pool")
def avg_pool(
    b: Builder, x: Value, *, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> Value:  # fmt: skip
    """The mean of each window; a divisor of one's own scales sums."""
    if ceil_mode and any(padding):
        b.require(19, "avg_pool with padding and ceil_mode")
    counts = bool(count_include_pad or divisor_override)
    out = b.AveragePool(
        x, kernel_shape=list(kernel), strides=list(stride), pads=[*padding, *padding],
        ceil_mode=int(ceil_mode), count_include_pad=int(counts),
    )  # fmt: skip
    if divisor_override:
        return b.Mul(out, math.prod(kernel) / divisor_override)
    return out


@rule("adaptive_avg_pool", "adaptive_avg_pool_like")
def adaptive(b: Builder, x: Value, *, sizes: Sequence[Any] = (), like: Any = None) -> Value:
    """GlobalAveragePool for one window, AveragePool where windows are alike, else products with
    matrices of shares."""
    if all(n == 1 for n in sizes):
        return b.GlobalAveragePool(x)
    given = [x.size(k) for k in range(2, x.ndim)]
    if all(n % m == 0 for n, m in zip(given, sizes, strict=True)):
        kernel = [n // m for n, m in zip(given, sizes, strict=True)]
        return b.AveragePool(x, kernel_shape=kernel, strides=kernel)
    for k, (n, m) in enumerate(zip(given, sizes, strict=True)):
        shares = b.constant(_shares(n, m).astype(x.dtype.numpy))
        order = [*range(x.ndim)]
        order[k + 2], order[-1] = order[-1], order[k + 2]
        ndim = x.ndim
        x = b.permuted(b.MatMul(b.permuted(x, order), shares), order)
        x.dims = (None,) * ndim
    return x


def _shares(n: int, m: int) -> Any:
    """The matrix (n, m) whose column j averages positions floor(j n / m) to ceil((j + 1) n / m)."""
    found = np.zeros((n, m))
    for j in range(m):
        start, stop = j * n // m, -(-(j + 1) * n // m)
        found[start:stop, j] = 1 / (stop - start)
    return found
