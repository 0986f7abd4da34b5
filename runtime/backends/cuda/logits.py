"""Cross-entropy of rows of logits, and its gradient: logits read once in each, and nothing kept but
a number for each row."""

from __future__ import annotations

import sys
from typing import Any

from . import bounds
from .launch import Template
from .registry import FLOATS, kernel
from .rows import MOST_ROW_THREADS, ROW_PARAMETERS, VECTOR_BYTES, aligned, as_rows, empty, wide

LOSS: dict[str, Any] = {"T": FLOATS, "IS_WIDE": (False, True)}
ROWS = Template("logits", "logits_rows", "PPPPPqqqqq", **{**ROW_PARAMETERS, "PIECES": (1, 4)})
LONG_ROWS = Template("logits", "logits_long_rows", "PPPPPqqq", T=FLOATS)
TOTAL = Template("logits", "logits_total", "PPPPqqq", **LOSS)
GRADIENT = Template("logits", "logits_gradient", "PPPPPPqqq", **LOSS)
THREADS = 256
VECTORS = 4
"""Of a thread of the gradient: enough to be read before the first is computed."""


@kernel("cross_entropy_of_logits")
def cross_entropy(
    input: Any, target: Any, *, ignore_index: int, reduction: str, is_wide: bool
) -> Any:
    """Losses, and the logarithms of sums. A target that is no class makes its loss NaN, and an
    error when that is fetched, see `bounds`."""
    given = as_rows([input], (1,))
    if given is None or target.dtype.name != "int64":
        return None
    classes, name, x = input.shape[1], input.dtype.name, given.arrays[0]
    target = aligned(target)
    note = bounds.place(sys.modules["cupy"], 0, classes, "cross_entropy")
    log_sums, losses = (empty(target.shape, wide(input)) for _ in range(2))
    places = [a.data.ptr for a in (x, target, log_sums, losses)]
    how = given.how
    if how.pieces:
        chosen = ROWS[name, how.is_vector, how.pieces]
        sizes = given.rows, classes, how.threads_per_row
        chosen(how.blocks, how.threads, *places, *note, *sizes, ignore_index)
    else:
        chosen = LONG_ROWS[name]
        chosen(given.rows, MOST_ROW_THREADS, *places, *note, classes, ignore_index)
    bounds.tell_if_blocking(sys.modules["cupy"])
    kind = losses.dtype if is_wide else input.dtype
    is_each = reduction == "none"
    loss, count = empty((), kind), empty((), losses.dtype)
    TOTAL[name, is_wide](
        1, 1024, losses.data.ptr, target.data.ptr, 0 if is_each else loss.data.ptr,
        count.data.ptr, given.rows, ignore_index, int(reduction == "mean"),
    )  # fmt: skip
    return losses.astype(kind, copy=False) if is_each else loss, log_sums, count


@kernel("logits_gradient")
def logits_gradient(
    g: Any,
    input: Any,
    target: Any,
    log_sums: Any,
    count: Any,
    *,
    ignore_index: int,
    reduction: str,
) -> Any:
    """(softmax - 1 at the target) * g; logits read and gradients written once."""
    x, target, g = aligned(input), aligned(target), aligned(g)
    rows, columns = x.shape
    out = empty(x.shape, x.dtype)
    lanes = VECTOR_BYTES // x.itemsize
    threads = min(THREADS, max(32, 1 << (-(-columns // lanes) - 1).bit_length()))
    blocks = rows, min(64, -(-columns // (lanes * threads * VECTORS)))
    places = [a.data.ptr for a in (x, target, g, log_sums)]
    divisor = count.data.ptr if reduction == "mean" else 0
    chosen = GRADIENT[x.dtype.name, x.itemsize == 2 and g.itemsize == 4]
    chosen(blocks, threads, *places, divisor, out.data.ptr, columns, int(g.ndim == 1), ignore_index)
    return out
