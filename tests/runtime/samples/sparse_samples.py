"""Samples of the products that sparse matrices are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kit import Sample, array

ROWS, COLUMNS = np.array([0, 2, 2, 0, 1]), np.array([3, 0, 3, 3, 1])
"""Places in a (3, 4) matrix: one twice, not in order, one column without any."""
NOWHERE = np.zeros(0, np.int64)


def product(rows: Any, columns: Any, values: Any, dense: Any, like: Any) -> Any:
    """The matrix written out, times dense."""
    matrix = np.zeros((like[0], len(dense)))
    np.add.at(matrix, (rows, columns), values)
    return matrix @ dense


def sampled(rows: Any, columns: Any, left: Any, right: Any) -> Any:
    """The whole product, looked up."""
    return (left @ right.T)[rows, columns]


SAMPLES: dict[str, list[Sample]] = {
    "place_product": [
        Sample((ROWS, COLUMNS, array(5), array(4, 2, seed=1)), {"like": (3,)}, product),
        Sample((ROWS, COLUMNS, array(5), array(4, 1, seed=2)), {"like": (5,)}, product),
        Sample((NOWHERE, NOWHERE, array(0), array(4, 2, seed=3)), {"like": (3,)}, product),
    ],
    "sampled_product": [
        Sample((ROWS, COLUMNS, array(3, 2), array(4, 2, seed=1)), {}, sampled),
        Sample((NOWHERE, NOWHERE, array(3, 2), array(4, 2, seed=2)), {}, sampled),
    ],
}
