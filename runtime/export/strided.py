"""Which elements of a tensor a view by strides shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["places", "shown_elements"]


def places(size: Sequence[int], stride: Sequence[int], offset: int = 0) -> Any:
    """The place of each element in memory."""
    found = np.full(tuple(size), offset, np.int64)
    for k, (n, step) in enumerate(zip(size, stride, strict=True)):
        found += (np.arange(n) * step).reshape([n if j == k else 1 for j in range(len(size))])
    return found


def shown_elements(
    geometry: tuple[Sequence[int], Sequence[int]], size: Sequence[int], stride: Sequence[int],
    offset: int = 0,
) -> Any:  # fmt: skip
    """The numbers, in reading order, of the elements of a tensor of sizes and strides `geometry`
    that a view of `size`, `stride` and `offset` shows."""
    own = places(*geometry)
    numbers = np.zeros(int(own.max(initial=0)) + 1, np.int64)
    numbers[own] = np.arange(own.size).reshape(own.shape)
    return numbers[places(size, stride, offset)]
