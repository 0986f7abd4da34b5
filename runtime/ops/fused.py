"""Operations that the CPU computes in fused loops: which arrays they take, and the loop.

The loops come with their first large array, see `backends.cpu.loops`. All else, and everything
where there is no LLVM, stays with the array kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cpu.onednn import layouts
from .activations import (
    log_softmax_gradient,
    log_softmax_over,
    softmax_gradient,
    softmax_over,
)
from .attention import attention, attention_gradient
from .copies import copied
from .cross_entropy import (
    cross_entropy_array,
    cross_entropy_gradient,
    cross_entropy_gradient_array,
    cross_entropy_of_indices,
    holds_classes,
)
from .declare import kernel
from .embedding import embedding_array, embedding_lookup, require_rows
from .extremes import amax, amin
from .normalization import (
    layer_norm_gradient,
    layer_norm_over,
    normalize_gradient,
    normalize_over,
    rms_norm_gradient,
    rms_norm_over,
)
from .reductions import (
    cumsum_along,
    euclidean_norm,
    euclidean_norm_array,
    mean_array,
    mean_over,
    sum_array,
    sum_over,
    var_array,
    var_over,
)
from .shapes import numpy_axis

LARGE = 16_384
"""Elements from which on a loop beats NumPy's passes; its call takes 6 us."""
LEAST_LOGITS = 128
"""Logits from which on a loop beats NumPy's dozen of calls, for the loss and for its gradient."""
LEAST_NORM = 256
"""Elements from which on a loop beats the six passes of a norm."""
LEAST_ROW = 16
"""Columns of a row that fill one vector."""
SINGLE = np.dtype(np.float32)


def _is_fit(x: Any, columns: int, *others: Any, least: int = LARGE) -> bool:
    """Whether x is worth a loop over rows of so many columns, and it and `others` can have one."""
    return (
        x.size >= least
        and columns >= LEAST_ROW
        and all(a is None or (a.dtype == SINGLE and a.flags.c_contiguous) for a in (x, *others))
        and loops.is_available()
    )


def _has_last(x: Any, *others: Any, dim: int) -> bool:
    return x.ndim and dim in (-1, x.ndim - 1) and _is_fit(x, x.shape[-1], *others)


def _has_last_gradient(g: Any, out: Any, dim: int) -> bool:
    """The same for a gradient, which may be one number seen everywhere."""
    return g.dtype == SINGLE and _has_last(out, dim=dim)


def _columns(input: Any, dim: Any) -> int:
    """How many elements each sum over `dim` adds up, if those are all or the last dimensions and
    worth a loop; else 0."""
    if input.size < LARGE or input.dtype != SINGLE:
        return 0
    axis = numpy_axis(dim)
    columns = input.size
    if axis is not None:
        dims = {d % input.ndim for d in ((axis,) if isinstance(axis, int) else axis)}
        if min(dims) != input.ndim - len(dims):
            return 0
        columns = math.prod(input.shape[-len(dims) :])
    return columns if _is_fit(input, columns) else 0


def _shaped(rows: Any, input: Any, columns: int, dim: Any, keepdim: bool) -> Any:
    """One number a row as the result of a reduction over `dim`, in float32."""
    rows = rows.astype(SINGLE, copy=False)
    axis = numpy_axis(dim)
    count = input.ndim if axis is None else 1 if isinstance(axis, int) else len(axis)
    rest = input.shape[: input.ndim - count]
    return rows.reshape(rest + (1,) * count if keepdim else rest)


@kernel(sum_over, "cpu")
def sum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Pieces of rows, then the sums of those."""
    columns = _columns(input, dim)
    if not columns:
        return sum_array(np, input, dim, keepdim)
    from ..backends.cpu.loops import sums

    return _shaped(sums.sum_rows(input, columns), input, columns, dim, keepdim)


@kernel(mean_over, "cpu")
def mean(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The sum divided by the count."""
    columns = _columns(input, dim)
    if not columns:
        return mean_array(np, input, dim, keepdim)
    from ..backends.cpu.loops import sums

    return _shaped(sums.sum_rows(input, columns) / columns, input, columns, dim, keepdim)


@kernel(var_over, "cpu")
def var(input: Any, dim: Any = None, keepdim: bool = False, freedom: float = 1.0) -> Any:
    """Two passes over each piece in the cache."""
    columns = _columns(input, dim)
    if not columns:
        return var_array(np, input, dim, keepdim, freedom)
    from ..backends.cpu.loops import sums

    squares = sums.squares_about_means(input, columns)
    return _shaped(squares / np.float64(freedom), input, columns, dim, keepdim)


@kernel(euclidean_norm, "cpu")
def norm(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """The root of sums like those of `sum`."""
    columns = _columns(input, dim)
    if not columns:
        return euclidean_norm_array(np, input, dim, keepdim)
    from ..backends.cpu.loops import sums

    squares = sums.sum_rows(input, columns, "squares")
    return _shaped(np.sqrt(squares), input, columns, dim, keepdim)


def _has_rows(input: Any, dim: Any = None, keepdim: bool = False) -> bool:
    return 0 < _columns(input, dim) < input.size


@kernel(amax, "cpu", when=_has_rows)
def largest(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """One pass, several maxima at a time."""
    from ..backends.cpu.loops import extremes

    columns = _columns(input, dim)
    rows = extremes.of_rows(extremes.LARGEST, input, columns)
    return _shaped(rows, input, columns, dim, keepdim)


@kernel(amin, "cpu", when=_has_rows)
def smallest(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """One pass, several minima at a time."""
    from ..backends.cpu.loops import extremes

    columns = _columns(input, dim)
    rows = extremes.of_rows(extremes.SMALLEST, input, columns)
    return _shaped(rows, input, columns, dim, keepdim)


def _is_strided(input: Any, memory_format: Any = None) -> bool:
    """Whether the copy is to lie row by row, and elements side by side in `input` don't in it."""
    return (
        memory_format is None
        and input.size >= LARGE
        and input.dtype == SINGLE
        and input.strides[-1] != input.itemsize
    )


@kernel(copied, "cpu", when=_is_strided)
def copy(input: Any, memory_format: Any = None) -> Any:
    """In blocks that stay in the cache."""
    is_turned = 2 <= input.ndim <= 4 and input.strides[-2] == input.itemsize
    if not is_turned or min(input.shape[-2:]) < layouts.LEAST_TURNED or not loops.is_available():
        return layouts.row_major(input)
    from ..backends.cpu.loops.transposition import transposed_copy

    out = np.empty(input.shape, SINGLE)
    outer = (None,) * (4 - input.ndim)
    transposed_copy(input.swapaxes(-1, -2)[outer], out[outer])
    return out


def _is_run(input: Any, dim: int) -> bool:
    return bool(input.ndim) and _is_fit(input, math.prod(input.shape[dim % input.ndim :]))


@kernel(cumsum_along, "cpu", when=_is_run)
def cumsum(input: Any, dim: int) -> Any:
    """One pass."""
    from ..backends.cpu.loops import scans

    return scans.running_sums(input, dim % input.ndim)


@kernel(softmax_over, "cpu", when=_has_last)
def softmax(input: Any, dim: int) -> Any:
    """Three passes over a row in the cache."""
    from ..backends.cpu.loops import softmax

    return softmax.mapped(softmax.SOFTMAX, input)


@kernel(log_softmax_over, "cpu", when=_has_last)
def log_softmax(input: Any, dim: int) -> Any:
    """Three passes over a row in the cache."""
    from ..backends.cpu.loops import softmax

    return softmax.mapped(softmax.LOG_SOFTMAX, input)


@kernel(softmax_gradient, "cpu", when=_has_last_gradient)
def softmax_vjp(g: Any, out: Any, dim: int) -> Any:
    """Two passes over a row in the cache."""
    from ..backends.cpu.loops import softmax

    return softmax.mapped(softmax.SOFTMAX_GRADIENT, np.ascontiguousarray(g), out)


@kernel(log_softmax_gradient, "cpu", when=_has_last_gradient)
def log_softmax_vjp(g: Any, out: Any, dim: int) -> Any:
    """Two passes over a row in the cache."""
    from ..backends.cpu.loops import softmax

    return softmax.mapped(softmax.LOG_SOFTMAX_GRADIENT, np.ascontiguousarray(g), out)


def _is_plain(logits: Any, target: Any, weight: Any, how: dict[str, Any]) -> bool:
    """Whether there is one class number for each row, and nothing to weigh."""
    return (
        logits.ndim == 2
        and target.shape == logits.shape[:1]
        and target.flags.c_contiguous
        and weight is None
        and not how["label_smoothing"]
        and logits.size >= LEAST_LOGITS
        and logits.dtype == SINGLE
        and logits.flags.c_contiguous
        and loops.is_available()
        and holds_classes(np, target, logits.shape[1], how)
    )


@kernel(cross_entropy_of_indices, "cpu")
def cross_entropy(input: Any, target: Any, weight: Any = None, **how: Any) -> tuple[Any, Any]:
    """Losses and probabilities in three passes over a row in the cache."""
    if not _is_plain(input, target, weight, how):
        return cross_entropy_array(np, input, target, weight, **how)
    from ..backends.cpu.loops import softmax

    losses, probabilities = softmax.cross_entropy(input, target)
    if how["reduction"] == "none":
        return losses, probabilities
    total = np.add.reduce(losses)
    return (total / len(losses) if how["reduction"] == "mean" else total), probabilities


@kernel(cross_entropy_gradient, "cpu")
def cross_entropy_vjp(
    g: Any, probabilities: Any, target: Any, weight: Any = None, **how: Any
) -> Any:
    """One pass."""
    if not _is_plain(probabilities, target, weight, how):
        return cross_entropy_gradient_array(np, g, probabilities, target, weight, **how)
    from ..backends.cpu.loops import softmax

    if how["reduction"] == "mean":
        g = g / SINGLE.type(len(target))
    if how["reduction"] == "none":
        return softmax.cross_entropy_gradient(probabilities, target, np.ascontiguousarray(g))
    return softmax.mean_gradient(probabilities, target, float(g))


@kernel(embedding_lookup, "cpu")
def rows_of(weight: Any, input: Any, **options: Any) -> Any:
    """Rows copied by all threads."""
    size = input.size * weight.shape[-1] if weight.ndim == 2 else 0
    if size < LARGE or input.dtype != np.int64 or not _is_fit(weight, weight.shape[1]):
        return embedding_array(np, weight, input, **options)
    require_rows(input, weight.shape[0])
    from ..backends.cpu.loops import scattering

    places = np.ascontiguousarray(input).reshape(-1)
    return scattering.take_rows(weight, places).reshape(*input.shape, -1)


def _layer(x: Any, dims: tuple[int, ...]) -> int:
    """How many elements a sample has: the sizes of the last dimensions, `dims`."""
    return math.prod([x.shape[d] for d in dims])


def _is_normal(input: Any, dims: tuple[int, ...], eps: float) -> bool:
    """Whether `dims` are the last ones, and worth a loop."""
    first = input.ndim - len(dims)
    are_last = first >= 0 and sorted([d % input.ndim for d in dims]) == [*range(first, input.ndim)]
    return are_last and _is_fit(input, _layer(input, dims))


@kernel(normalize_over, "cpu", when=_is_normal)
def normalize(input: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """Three passes over a row in the cache."""
    from ..backends.cpu.loops import normalization

    out, *statistics = normalization.normalize(input, _layer(input, dims), eps)
    kept = (*input.shape[: input.ndim - len(dims)], *[1] * len(dims))
    mean, var = [s.reshape(kept) for s in statistics]
    return out, mean, var


def _is_normal_gradient(
    g: Any, normalized: Any, var: Any, dims: tuple[int, ...], eps: float
) -> bool:
    return g.dtype == SINGLE and var.flags.c_contiguous and _is_normal(normalized, dims, eps)


@kernel(normalize_gradient, "cpu", when=_is_normal_gradient)
def normalize_vjp(g: Any, normalized: Any, var: Any, dims: tuple[int, ...], eps: float) -> Any:
    """Three passes over a row in the cache."""
    from ..backends.cpu.loops import normalization

    g = np.ascontiguousarray(g)
    return normalization.normalize_gradient(g, normalized, var, _layer(g, dims), eps)


def _is_layer(input: Any, weight: Any, bias: Any, dims: tuple[int, ...], eps: float) -> bool:
    return _is_fit(input, _layer(input, dims), weight, bias)


@kernel(layer_norm_over, "cpu", when=_is_layer)
def layer_norm(input: Any, weight: Any, bias: Any, dims: tuple[int, ...], eps: float) -> Any:
    """Three passes over a row in the cache."""
    from ..backends.cpu.loops import normalization

    return normalization.layer_norm(input, weight, bias, _layer(input, dims), eps)


def _is_layer_gradient(
    g: Any, input: Any, weight: Any, like: Any, dims: tuple[int, ...], eps: float
) -> bool:
    return g.dtype == SINGLE and _is_fit(input, _layer(input, dims), weight)


@kernel(layer_norm_gradient, "cpu", when=_is_layer_gradient)
def layer_norm_vjp(
    g: Any, input: Any, weight: Any, like: Any, dims: tuple[int, ...], eps: float
) -> tuple[Any, Any, Any]:
    """Five passes over a row in the cache, the sums for weight and bias in parts."""
    from ..backends.cpu.loops import normalization

    by_input, by_weight, by_bias = normalization.layer_norm_gradient(
        np.ascontiguousarray(g), input, weight, _layer(input, dims), eps
    )
    return by_input, by_weight.reshape(like), by_bias.reshape(like)


def _is_root_mean(input: Any, weight: Any, dims: tuple[int, ...], eps: float) -> bool:
    return _is_fit(input, _layer(input, dims), weight, least=LEAST_NORM)


@kernel(rms_norm_over, "cpu", when=_is_root_mean)
def rms_norm(input: Any, weight: Any, dims: tuple[int, ...], eps: float) -> Any:
    """Two passes over a row in the cache."""
    from ..backends.cpu.loops import normalization

    return normalization.rms_norm(input, weight, _layer(input, dims), eps)


def _is_root_mean_gradient(
    g: Any, input: Any, weight: Any, dims: tuple[int, ...], eps: float
) -> bool:
    return g.dtype == SINGLE and _is_root_mean(input, weight, dims, eps)


@kernel(rms_norm_gradient, "cpu", when=_is_root_mean_gradient)
def rms_norm_vjp(
    g: Any, input: Any, weight: Any, dims: tuple[int, ...], eps: float
) -> tuple[Any, Any]:
    """Three passes over a row in the cache, the sum for weight in parts."""
    from ..backends.cpu.loops import normalization

    by_input, by_weight = normalization.rms_norm_gradient(
        np.ascontiguousarray(g), input, weight, _layer(input, dims), eps
    )
    return by_input, by_input if weight is None else by_weight.reshape(weight.shape)


def _is_attention(
    query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> bool:
    """Whether there are enough scores, and all heads of batches of one size."""
    scores = query.size // max(query.shape[-1], 1) * key.shape[-2]
    return (
        query.ndim >= 3
        and scores >= LARGE
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and all(a.dtype == SINGLE and a.size for a in (query, key, value))
        and (mask is None or mask.dtype == SINGLE)
        and loops.is_available()
    )


@kernel(attention, "cpu", when=_is_attention)
def attention_in_blocks(
    query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> Any:
    """Blocks of heads and queries whose scores stay in the cache."""
    from ..backends.cpu.loops import attention

    return attention.attention(query, key, value, mask, scale, is_causal)


@kernel(attention_gradient, "cpu", when=lambda g, *rest, **options: _is_attention(*rest, **options))
def attention_vjp(
    g: Any, query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> tuple[Any, Any, Any]:
    """The same blocks again."""
    from ..backends.cpu.loops import attention

    return attention.attention_gradient(g, query, key, value, mask, scale, is_causal)
