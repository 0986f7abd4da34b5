"""A matrix by which many others are multiplied in turn, as a recurrent layer does at each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from .layouts import FLOAT32, reorder, steps
from .library import Library, library
from .primitives import DST, SRC, WEIGHTS, Description, Descriptor, Primitive, kept
from .products import LEAST, matmul

LEAST_TIMES = 12
"""Products from which on the copy pays: it takes as long as ten products gain by it."""


class Multiplier:
    """`x @ y` for many x, each written into an array that is there.

    y (n, m) is copied once into the layout in which the products are fastest: that of oneDNN, where
    a product by itself would rearrange y each time (152 us instead of 183 for 32 x 256 x 1024), or
    row by row for small ones by NumPy, which has no good code for a few rows times a transposed
    matrix (16 x 64 x 256: 5 us instead of 14). `counts` are the rows of each x; the copy is for the
    most frequent number of them, if there are enough.
    """

    def __init__(self, y: Any, counts: Iterable[int]) -> None:
        self._y = y
        self._rows, times = Counter(counts).most_common(1)[0]
        self._multiply: Primitive | None = None
        if times < LEAST_TIMES or self._rows < 2:  # NumPy turns a matrix for a vector itself
            return
        found = library() if self._is_large(self._rows) and min(y.strides) > 0 else None
        if found is not None:
            identity = "repeated product", self._rows, y.shape
            self._multiply = kept(identity, lambda: _product(found, self._rows, *y.shape))
        if self._multiply is not None:
            self._own = _arranged(self._multiply, y)
        else:
            self._y = np.ascontiguousarray(y)

    def _is_large(self, rows: int) -> bool:
        return rows * self._y.size >= LEAST and self._y.dtype == FLOAT32

    def __call__(self, x: Any, out: Any) -> None:
        """out = x @ y; both row by row in memory."""
        if self._multiply is not None and len(x) == self._rows:
            self._multiply.run(x, self._own, out)
        elif self._is_large(len(x)):
            out[...] = matmul(x, self._y)
        else:
            np.dot(x, self._y, out)


def _product(found: Library, rows: int, n: int, m: int) -> Primitive:
    x, out = Descriptor(found, (rows, n), (n, 1)), Descriptor(found, (rows, m), (m, 1))
    description = Description(found, "matmul", x, Descriptor(found, (n, m)), None, out)
    return Primitive(description, (SRC, WEIGHTS, DST))


def _arranged(multiply: Primitive, y: Any) -> Any:
    """y in the layout that `multiply` wants."""
    found = library()
    assert found is not None
    description = multiply.description
    own = np.empty(description.bytes_of(WEIGHTS), np.uint8)
    identity = "repeated copy", multiply, y.strides
    copy = kept(
        identity,
        lambda: reorder(found, Descriptor(found, y.shape, steps(y)), description.layout(WEIGHTS)),
    )
    assert copy is not None
    copy.run(y, own)
    return own
