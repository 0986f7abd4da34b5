"""A matrix times a vector: what a model that writes does for each token, at the rate of memory.

Weights of bfloat16 are widened as they are read, in half of the time that float32 takes. The
threads are those of the other loops; NumPy's library has its own, which spin beside them.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from .language import Position, Value
from .rows import Passes, Row, RowLoop

SINGLE, BFLOAT16 = np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)


def _product(p: Passes, index: Value, out: Row, weights: Row, x: Row) -> None:
    """out = sum of weights * x; bfloat16 comes as its bits, the upper half of a float32's."""

    def term(at: Position) -> Value:
        weight = weights[at]
        if weights.kind == "int16":
            weight = (weight.to("int32") << 16).as_float()
        return weight * x[at]

    out.set_element(p.zero, p.sum(term))


LOOPS = {
    SINGLE: RowLoop(_product, "one real", "real", "shared real"),
    BFLOAT16: RowLoop(_product, "one real", "int16", "shared real"),
}


def product(weight: Any, x: Any) -> Any:
    """weight (n, k) @ x (k,), both contiguous: (n,) in float32, the type of x."""
    out = np.empty(len(weight), SINGLE)
    LOOPS[weight.dtype]([out, weight, x], *weight.shape)
    return out
