"""Softmax and log-softmax along the last dimension, cross-entropy, and their gradients."""

from __future__ import annotations

import sys
from typing import Any

from . import bounds
from .launch import Template
from .movement import contiguous
from .registry import FLOATS, kernel
from .rows import ROW_PARAMETERS, VECTOR_BYTES, aligned, as_rows, empty, wide

KEPT: dict[str, Any] = {**ROW_PARAMETERS, "PIECES": (1, 4)}
LOG: dict[str, Any] = {"IS_LOG": (False, True)}
ROWS = Template("softmax", "softmax_rows", "PPqqq", **KEPT, **LOG)
GRADIENT_ROWS = Template("softmax", "softmax_gradient_rows", "PPPqqq", **KEPT, **LOG)
LONG_ROWS = Template("long_rows", "softmax_rows_streamed", "PPq", T=FLOATS, **LOG)
LONG_GRADIENT_ROWS = Template(
    "long_rows", "softmax_gradient_rows_streamed", "PPPq", T=FLOATS, **LOG
)
ENTROPY_ROWS = Template("softmax", "cross_entropy_rows", "PPPPPqqqqd", **ROW_PARAMETERS)
ENTROPY_TOTAL = Template("softmax", "cross_entropy_total", "PPPPPqqqq", T=FLOATS)
ENTROPY_GRADIENT = Template(
    "softmax", "cross_entropy_gradient", "PPPPPPqqqqd", T=FLOATS, IS_VECTOR=(True, False)
)


LEAST_LONG = 1024
"""Columns from which on rows that do not fill vectors are streamed by such as there are in them."""
SPAN_THREADS, IN_FLIGHT = 512, 4
"""Threads of a block that streams a row, at most, and vectors that each has under way."""


def _mapped(templates: tuple[Template, Template], is_log: bool, arrays: list[Any], dim: int) -> Any:
    """The result of a kernel on arrays of one shape, in the shape of the first; `templates` are for
    rows that are kept and for those that are streamed."""
    first = arrays[0]
    given = as_rows(arrays, (dim,)) if first.ndim else None
    if given is None:
        return None
    how, out = given.how, empty(first.shape, first.dtype)
    places = [a.data.ptr for a in (*given.arrays, out)]
    if not how.pieces or (not how.is_vector and given.columns >= LEAST_LONG):
        reads = given.columns * first.itemsize // (VECTOR_BYTES * IN_FLIGHT)
        threads = min(SPAN_THREADS, max(32, 1 << reads.bit_length()))
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
    """Whether there is one class number for each row or place of an image; weights with smooth
    labels are left to the array kernel."""
    return (
        x.ndim > 1
        and x.size > 0
        and target.shape == (*x.shape[:1], *x.shape[2:])
        and target.dtype.name == "int64"
        and (weight is None or _is_weight(x, weight, how))
    )


def _is_weight(x: Any, weight: Any, how: dict[str, Any]) -> bool:
    fits = weight.dtype == x.dtype and weight.shape == x.shape[1:2] and weight.flags.c_contiguous
    return fits and not how["label_smoothing"]


def _place(array: Any) -> int:
    return 0 if array is None else int(array.data.ptr)


def _class_rows(x: Any) -> Any:
    """(N, C, ...) as rows of classes."""
    laid = sys.modules["cupy"].moveaxis(x, 1, -1) if x.ndim > 2 else x
    return aligned(contiguous(laid)).reshape(-1, x.shape[1])


def _as_given(rows: Any, shape: tuple[int, ...]) -> Any:
    """The opposite, as a view."""
    if len(shape) == 2:
        return rows
    return sys.modules["cupy"].moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _total(x: Any, losses: Any, target: Any, weight: Any, how: dict[str, Any]) -> tuple[Any, Any]:
    """The sum or mean of losses, 0-d (nothing without losses), and the count of targets that are
    not ignored, or what they weigh."""
    loss, count = empty((), x.dtype), empty((), wide(x))
    ENTROPY_TOTAL[x.dtype.name](
        1, 1024, _place(losses), target.data.ptr, _place(weight), loss.data.ptr, count.data.ptr,
        len(target), x.shape[1], how["ignore_index"], int(how["reduction"] == "mean"),
    )  # fmt: skip
    return loss, count


@kernel("cross_entropy_of_indices")
def cross_entropy(input: Any, target: Any, weight: Any = None, **how: Any) -> Any:
    """Losses and probabilities, read and written once. A target that is no class makes its loss
    NaN, and an error when that is fetched, see `bounds`."""
    if not _is_plain(input, target, weight, how):
        return None
    rows = _class_rows(input)
    given = as_rows([rows], (1,))
    if given is None:
        return None
    cupy, classes = sys.modules["cupy"], input.shape[1]
    bounds.note(cupy, target, 0, classes, how["ignore_index"], "cross_entropy")
    flat, shape = aligned(target).reshape(-1), given.how
    probabilities = empty(rows.shape, input.dtype)
    losses = empty(flat.shape, wide(input))
    arrays = given.arrays[0], flat, weight, probabilities, losses
    chosen = ENTROPY_ROWS[input.dtype.name, shape.is_vector, shape.pieces]
    chosen(
        shape.blocks, shape.threads, *map(_place, arrays), given.rows, given.columns,
        shape.threads_per_row, how["ignore_index"], how["label_smoothing"],
    )  # fmt: skip
    out = _as_given(probabilities, input.shape)
    if how["reduction"] == "none":
        return losses.astype(input.dtype, copy=False).reshape(target.shape), out
    return _total(input, losses, flat, weight, how)[0], out


@kernel("cross_entropy_gradient")
def cross_entropy_gradient(
    g: Any, probabilities: Any, target: Any, weight: Any = None, **how: Any
) -> Any:
    """(probabilities - targets) * g, read and written once."""
    if not _is_plain(probabilities, target, weight, how):
        return None
    p, g = _class_rows(probabilities), aligned(g).reshape(-1)
    flat = aligned(target).reshape(-1)
    rows, columns = p.shape
    is_vector = columns % (VECTOR_BYTES // p.itemsize) == 0
    width = VECTOR_BYTES // p.itemsize if is_vector else 1
    count = _total(p, None, flat, weight, how)[1] if how["reduction"] == "mean" else None
    out = empty(p.shape, p.dtype)
    threads = min(256, max(32, 1 << (-(-columns // width) - 1).bit_length()))
    blocks = (rows, min(64, -(-columns // (width * threads * 4))))
    ENTROPY_GRADIENT[p.dtype.name, is_vector](
        blocks, threads, *map(_place, (p, flat, weight, g, count, out)), rows, columns,
        int(how["reduction"] == "none"), how["ignore_index"], how["label_smoothing"],
    )  # fmt: skip
    return _as_given(out, probabilities.shape)
