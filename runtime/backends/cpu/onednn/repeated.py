"""A matrix by which many others are multiplied in turn, as a recurrent layer does at each time."""

from __future__ import annotations

from typing import Any

import numpy as np

from .layouts import FLOAT32, reorder, steps
from .library import Library, library
from .primitives import DST, SRC, WEIGHTS, Description, Descriptor, Primitive, kept
from .products import FEW_ROWS, LEAST, matmul


class Multiplier:
    """`x @ y` for many x of the same shape (rows, n), each written into an array that is there.

    y (n, m) is copied once into the layout that oneDNN's product of such matrices likes best, where
    a product by itself would rearrange it each time: 152 us instead of 183 for 32 x 256 x 1024.
    What has other numbers of rows, or is small, is multiplied as it is.
    """

    def __init__(self, y: Any, rows: int) -> None:
        self._y, self._rows = y, rows
        self._multiply: Primitive | None = None
        found = library() if y.dtype == FLOAT32 and rows * y.size >= LEAST else None
        if found is not None and rows >= FEW_ROWS and min(y.strides) > 0:
            identity = "repeated product", rows, y.shape
            self._multiply = kept(identity, lambda: _product(found, rows, *y.shape))
        if self._multiply is not None:
            self._own = _arranged(self._multiply, y)

    def __call__(self, x: Any, out: Any) -> None:
        """out = x @ y; both row by row in memory."""
        if self._multiply is not None and len(x) == self._rows:
            self._multiply.run(x, self._own, out)
        else:
            out[...] = matmul(x, self._y)


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
