"""Rows added to a table at places that may repeat: sorted by place, or as they come."""

from __future__ import annotations

from typing import Any

from .launch import Template
from .registry import FLOATS, kernel
from .rows import aligned, empty

THREADS = 256
VECTOR_BYTES = 16
PIECE = 64
"""Sorted rows that are summed one after the other, as in `segments.cu`."""
FEW_BYTES = 64
"""Bytes of rows up to which sorting them costs more than adding them as they come."""
NUMBERS = (*FLOATS, "int32", "int64")

OPERATIONS = ("Sum", "Product", "Maximum", "Minimum")
SEGMENTS = Template(
    "segments", "add_segments", "PPPPPqqq",
    T=NUMBERS, IS_VECTOR=(False, True), OPERATION=OPERATIONS,
)  # fmt: skip
PIECES = Template("segments", "add_pieces", "PPPqqq", T=NUMBERS, OPERATION=OPERATIONS)
AS_THEY_COME = Template("segments", "add_as_they_come", "PPPqqq", T=("float32", "float64", "int32"))


def add_rows(
    out: Any, places: Any, rows: Any, *, operation: str = "Sum", is_ordered: bool = True
) -> None:
    """out[places[i]] += rows[i] for contiguous `out` (n, columns), `rows` (count, columns) and
    int64 `places` (count,); those outside [0, n) are left out. What is made of the elements may be
    another one of OPERATIONS.

    The order of sums is that of the rows if `is_ordered`, else that may be anything for short rows.
    """
    count, columns = rows.shape
    if not rows.size or not out.size:
        return
    rows = aligned(rows)
    name = out.dtype.name
    if (
        not is_ordered
        and columns * out.itemsize <= FEW_BYTES
        and operation == "Sum"
        and name in AS_THEY_COME.parameters["T"]
    ):
        AS_THEY_COME[name](
            -(-count * columns // THREADS), THREADS, out.data.ptr, rows.data.ptr, places.data.ptr,
            count, columns, len(out),
        )  # fmt: skip
        return
    order = places.argsort()
    ordered = places[order]
    lanes = VECTOR_BYTES // out.itemsize
    is_vector = columns % lanes == 0 and out.data.ptr % VECTOR_BYTES == 0
    blocks = -(-count // PIECE)
    wide = "float32" if out.itemsize == 2 else name
    partial = empty((2 * blocks, columns), wide)
    threads = count * columns // (lanes if is_vector else 1)
    SEGMENTS[name, is_vector, operation](
        -(-threads // THREADS), THREADS, out.data.ptr, rows.data.ptr, ordered.data.ptr,
        order.data.ptr, partial.data.ptr, count, columns, len(out),
    )  # fmt: skip
    if blocks > 1:
        PIECES[name, operation](
            -(-(blocks - 1) * columns // THREADS), THREADS, out.data.ptr, ordered.data.ptr,
            partial.data.ptr, count, columns, len(out),
        )  # fmt: skip


@kernel("embedding_weight_gradient")
def embedding_gradient(
    g: Any,
    input: Any,
    like: tuple[int, ...],
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    """The vectors of each row in order; divided once, where that is asked for."""
    import cupy

    out = cupy.zeros(like, g.dtype)
    places = input.reshape(-1).astype(cupy.int64, copy=False)
    if padding_idx is not None:
        places = cupy.where(places == padding_idx, -1, places)
    add_rows(out, places, g.reshape(-1, like[1]))
    if scale_grad_by_freq:
        counts = cupy.zeros((like[0], 1), cupy.int32)
        add_rows(counts, places, cupy.ones((places.size, 1), cupy.int32), is_ordered=False)
        out = out / cupy.maximum(counts, 1).astype(out.dtype)
    return out
