"""Softmax and log-softmax along the last dimension, cross-entropy, and their gradients."""

from __future__ import annotations

import sys
from typing import Any

from . import bounds
from .launch import Template
from .registry import FLOATS, kernel
from .rows import ROW_PARAMETERS, VECTOR_BYTES, Rows, aligned, as_rows, empty, wide

KEPT: dict[str, Any] = {**ROW_PARAMETERS, "PIECES": (1, 4)}
LOG: dict[str, Any] = {"IS_LOG": (False, True)}
ROWS = Template("softmax", "softmax_rows", "PPqqq", **KEPT, **LOG)
GRADIENT_ROWS = Template("softmax", "softmax_gradient_rows", "PPPqqq", **KEPT, **LOG)
ENTROPY_ROWS = Template("softmax", "cross_entropy_rows", "PPPPqqqq", **KEPT)
ENTROPY_TOTAL = Template("softmax", "cross_entropy_total", "PPPPqqq", T=FLOATS)
LONG_ROWS = Template("long_rows", "softmax_rows_streamed", "PPq", T=FLOATS, **LOG)
LONG_GRADIENT_ROWS = Template(
    "long_rows", "softmax_gradient_rows_streamed", "PPPq", T=FLOATS, **LOG
)
LONG_ENTROPY_ROWS = Template("long_rows", "cross_entropy_rows_streamed", "PPPPqq", T=FLOATS)
ENTROPY_GRADIENT = Template("long_rows", "cross_entropy_gradient", "PPPPPqqq", T=FLOATS)
LEAST_LONG = 1024
"""Columns from which on rows that do not fill vectors are streamed by such as there are in them."""
SPAN_THREADS, IN_FLIGHT = 512, 4
"""Threads of a block that streams a row, at most, and vectors that each has under way."""


def _is_streamed(given: Rows) -> bool:
    how = given.how
    return not how.pieces or (not how.is_vector and given.columns >= LEAST_LONG)


def _threads(columns: int, itemsize: int) -> int:
    """Threads that stream a row, or a part of it."""
    reads = columns * itemsize // (VECTOR_BYTES * IN_FLIGHT)
    return min(SPAN_THREADS, max(32, 1 << reads.bit_length()))


def _mapped(templates: tuple[Template, Template], is_log: bool, arrays: list[Any], dim: int) -> Any:
    """The result of a kernel on arrays of one shape, in the shape of the first; `templates` are for
    rows that are kept and for those that are streamed."""
    first = arrays[0]
    given = as_rows(arrays, (dim,)) if first.ndim else None
    if given is None:
        return None
    how, out = given.how, empty(first.shape, first.dtype)
    places = [a.data.ptr for a in (*given.arrays, out)]
    if _is_streamed(given):
        threads = _threads(given.columns, first.itemsize)
        templates[1][first.dtype.name, is_log](given.rows, threads, *places, given.columns)
    else:
        chosen = templates[0][first.dtype.name, how.is_vector, how.pieces, is_log]
        chosen(how.blocks, how.threads, *places, given.rows, given.columns, how.threads_per_row)
    return out


@kernel("softmax_over")
def softmax(input: Any, dim: int) -> Any:
    """exp(input - max) / sum, read and written once."""
    return _mapped((ROWS, LONG_ROWS), False, [input], dim)


@kernel("log_softmax_over")
def log_softmax(input: Any, dim: int) -> Any:
    """input - max - log(sum), read and written once."""
    return _mapped((ROWS, LONG_ROWS), True, [input], dim)


@kernel("softmax_gradient")
def softmax_gradient(g: Any, out: Any, dim: int) -> Any:
    """out * (g - sum(g * out)), read and written once."""
    return _mapped((GRADIENT_ROWS, LONG_GRADIENT_ROWS), False, [g, out], dim)


@kernel("log_softmax_gradient")
def log_softmax_gradient(g: Any, out: Any, dim: int) -> Any:
    """g - exp(out) * sum(g), read and written once."""
    return _mapped((GRADIENT_ROWS, LONG_GRADIENT_ROWS), True, [g, out], dim)


# -- cross-entropy ---------------------------------------------------------------------------------


def _is_plain(x: Any, target: Any, weight: Any, how: dict[str, Any]) -> bool:
    """Whether there is one class number for each row, and nothing to weigh."""
    return (
        x.ndim == 2
        and x.size > 0
        and target.shape == x.shape[:1]
        and target.dtype.name == "int64"
        and weight is None
        and not how["label_smoothing"]
    )


def _total(x: Any, losses: Any, target: Any, how: dict[str, Any]) -> tuple[Any, Any]:
    """The sum or mean of losses, 0-d (nothing without losses), and the count of targets that are
    not ignored."""
    loss, count = empty((), x.dtype), empty((), wide(x))
    ENTROPY_TOTAL[x.dtype.name](
        1, 1024, 0 if losses is None else losses.data.ptr, target.data.ptr, loss.data.ptr,
        count.data.ptr, len(target), how["ignore_index"], int(how["reduction"] == "mean"),
    )  # fmt: skip
    return loss, count


@kernel("cross_entropy_of_indices")
def cross_entropy(input: Any, target: Any, weight: Any = None, **how: Any) -> Any:
    """Losses and probabilities, read and written once. A target that is no class makes its loss
    NaN, and an error when that is fetched, see `bounds`."""
    if not _is_plain(input, target, weight, how):
        return None
    given = as_rows([input], (1,))
    if given is None:
        return None
    cupy, classes = sys.modules["cupy"], input.shape[1]
    bounds.note(cupy, target, 0, classes, how["ignore_index"], "cross_entropy")
    target, shape = aligned(target), given.how
    probabilities = empty(input.shape, input.dtype)
    losses = empty(target.shape, wide(input))
    places = [given.arrays[0].data.ptr, target.data.ptr, probabilities.data.ptr, losses.data.ptr]
    dtype, ignored = input.dtype.name, how["ignore_index"]
    if _is_streamed(given):
        threads = _threads(classes, input.itemsize)
        LONG_ENTROPY_ROWS[dtype](given.rows, threads, *places, classes, ignored)
    else:
        chosen = ENTROPY_ROWS[dtype, shape.is_vector, shape.pieces]
        sizes = given.rows, classes, shape.threads_per_row, ignored
        chosen(shape.blocks, shape.threads, *places, *sizes)
    if how["reduction"] == "none":
        return losses.astype(input.dtype, copy=False), probabilities
    return _total(input, losses, target, how)[0], probabilities


@kernel("cross_entropy_gradient")
def cross_entropy_gradient(
    g: Any, probabilities: Any, target: Any, weight: Any = None, **how: Any
) -> Any:
    """(probabilities - 1 at the target) * g, read and written once."""
    if not _is_plain(probabilities, target, weight, how):
        return None
    p, target, g = aligned(probabilities), aligned(target), aligned(g)
    rows, columns = p.shape
    count = _total(p, None, target, how)[1] if how["reduction"] == "mean" else None
    out = empty(p.shape, p.dtype)
    threads = min(256, _threads(columns, p.itemsize))
    parts = -(-columns * p.itemsize // (threads * IN_FLIGHT * VECTOR_BYTES))
    ENTROPY_GRADIENT[p.dtype.name](
        (rows, parts), threads, p.data.ptr, target.data.ptr, g.data.ptr,
        0 if count is None else count.data.ptr, out.data.ptr,
        columns, int(g.ndim == 1), how["ignore_index"],
    )  # fmt: skip
    return out
