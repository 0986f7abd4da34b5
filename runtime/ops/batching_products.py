"""How matrix products, convolutions and pooling run on batches."""

from __future__ import annotations

import math
from typing import Any

from ..backends.batched import Batch
from .batching import Rule, batches, batches_each


def _transposed(batch: Batch, x: Any) -> Any:
    return batch.key.transpose(x, dim0=-2, dim1=-1)


def _with_one(batch: Batch, x: Any, dim: int) -> Any:
    """`x` with a dimension of size 1 at `dim`, counted from the end."""
    shape = list(x.shape)
    shape.insert(len(shape) + 1 + dim, 1)
    return batch.key.reshape_like(x, like=tuple(shape))


def _without(batch: Batch, x: Any, dim: int) -> Any:
    return batch.key.select_at(x, dim=dim, index=0)


@batches("matmul")
def matmul(batch: Batch, a: Any, b: Any) -> Any:
    """One product of matrices; a shared matrix on the right multiplies all rows at once."""
    inner = batch.inner
    if not batch.is_batched(b) and len(b.shape) <= 2 and len(a.shape):
        if len(a.shape) == 1 or len(b.shape) == 1:
            return inner.matmul(a.value, batch.value(b))
        rows = batch.reshaped(a.value, (batch.length * math.prod(a.shape[:-1]), a.shape[-1]))
        out = inner.matmul(rows, batch.value(b))
        return batch.reshaped(out, (batch.length, *a.shape[:-1], b.shape[-1]))
    row, column = len(a.shape) == 1, len(b.shape) == 1
    x = _with_one(batch, a, -2) if row else a
    y = _with_one(batch, b, -1) if column else b
    ndim = max(len(x.shape), len(y.shape))
    out = inner.matmul(batch.padded(x, ndim), batch.padded(y, ndim))
    shape = list(out.shape)
    if row:
        del shape[-2]
    if column:
        del shape[-1]
    return out if len(shape) == len(out.shape) else batch.reshaped(out, shape)


@batches("matmul_input_gradient")
def matmul_input_gradient(batch: Batch, g: Any, other: Any, *, like: Any) -> Any:
    key = batch.key
    if len(other.shape) == 1:
        full = key.mul(_with_one(batch, g, -1), other)
    elif len(like) == 1:
        full = _without(batch, key.matmul(_with_one(batch, g, -2), _transposed(batch, other)), -2)
    else:
        full = key.matmul(g, _transposed(batch, other))
    return key.sum_to(full, like=like)


@batches("matmul_other_gradient")
def matmul_other_gradient(batch: Batch, g: Any, input: Any, *, like: Any) -> Any:
    key = batch.key
    if len(like) == 2 and len(input.shape) > 1:
        return linear_weight_gradient(batch, input, g, like=like)
    if len(input.shape) == 1:
        if not g.shape:
            return key.mul(input, g)
        full = key.mul(_with_one(batch, input, -1), _with_one(batch, g, -2))
    elif len(like) == 1:
        full = _without(batch, key.matmul(_transposed(batch, input), _with_one(batch, g, -1)), -1)
    else:
        full = key.matmul(_transposed(batch, input), g)
    return key.sum_to(full, like=like)


@batches("linear")
def linear(batch: Batch, input: Any, weight: Any, bias: Any = None) -> Any:
    """A shared weight multiplies the rows of all slices; else one product per slice."""
    if len(weight.shape) != 2 or not len(input.shape):
        raise ValueError("no matrix product")
    if not batch.is_batched(weight):
        shared = None if batch.is_batched(bias) else bias
        out = batch.inner.linear(input.value, batch.value(weight), batch.value(shared))
        if shared is bias:
            return out
        ndim = len(input.shape)
        return batch.inner.plus(out, batch.padded(bias, ndim))
    out = batch.key.matmul(input, _transposed(batch, weight))
    return out if bias is None else batch.key.plus(out, bias)


@batches("linear_weight_gradient")
def linear_weight_gradient(batch: Batch, g: Any, input: Any, *, like: Any) -> Any:
    """One product per slice over its own rows; of single rows, one multiplication."""
    rows = math.prod(input.shape[:-1])
    left = batch.reshaped(batch.front(g), (batch.length, rows, like[0]))
    right = batch.reshaped(batch.front(input), (batch.length, rows, like[1]))
    if rows != 1:
        return batch.inner.matmul(batch.inner.transpose(left, dim0=1, dim1=2), right)
    column = batch.reshaped(left, (batch.length, like[0], 1))
    return batch.inner.mul(column, right)


# -- convolutions ----------------------------------------------------------------------------------
#
# A batch of images that share a kernel are more images; kernels of their own are more groups.


def _as_channels(batch: Batch, x: Any) -> Any:
    """(N, C, ...) as (N, B * C, ...)."""
    value = batch.moved(batch.front(x), 0, 1)
    shape = value.shape
    return batch.reshaped(value, (shape[0], shape[1] * shape[2], *shape[3:]))


def _from_channels(batch: Batch, value: Any) -> Any:
    shape = value.shape
    sizes = (shape[0], batch.length, shape[1] // batch.length, *shape[2:])
    return batch.moved(batch.reshaped(value, sizes), 1, 0)


@batches("convolution")
def convolution(
    batch: Batch, input: Any, weight: Any, bias: Any = None, *, groups: int, **how: Any
) -> Any:
    ours = None if batch.is_batched(bias) else bias
    if not batch.is_batched(weight) and batch.is_batched(input):
        values = batch.folded(input), batch.value(weight), batch.value(ours)
        out = batch.unfolded(batch.inner.convolution(*values, groups=groups, **how))
    else:
        values = _as_channels(batch, input), batch.folded(weight)
        ours = None
        many = batch.inner.convolution(*values, None, groups=groups * batch.length, **how)
        out = _from_channels(batch, many)
    if bias is None or ours is not None:
        return out
    spread = batch.reshaped(
        batch.front(bias), (batch.length, 1, *bias.shape, *(1,) * (len(out.shape) - 3))
    )
    return batch.inner.plus(out, spread)


@batches("convolution_input")
def convolution_input(
    batch: Batch, g: Any, weight: Any, *, like: Any, groups: int, **how: Any
) -> Any:
    run = batch.inner.convolution_input
    if not batch.is_batched(weight):
        many = (batch.length * like[0], *like[1:])
        found = run(batch.folded(g), batch.value(weight), like=many, groups=groups, **how)
        return batch.unfolded(found)
    many = (like[0], batch.length * like[1], *like[2:])
    values = _as_channels(batch, g), batch.folded(weight)
    return _from_channels(batch, run(*values, like=many, groups=groups * batch.length, **how))


@batches("convolution_weight")
def convolution_weight(
    batch: Batch, g: Any, input: Any, *, like: Any, groups: int, **how: Any
) -> Any:
    many = (batch.length * like[0], *like[1:])
    values = _as_channels(batch, g), _as_channels(batch, input)
    return batch.unfolded(
        batch.inner.convolution_weight(*values, like=many, groups=groups * batch.length, **how)
    )


@batches("arranged")
def arranged(batch: Batch, x: Any, **how: Any) -> Any:
    return x.value  # the slices are arranged when they are folded


@batches("channel_sum")
def channel_sum(batch: Batch, x: Any) -> Any:
    dims = (1, *range(3, len(x.shape) + 1))
    return batch.inner.sum_over(x.value, dim=dims, keepdim=False)


@batches("channel_expand")
def channel_expand(batch: Batch, g: Any, *, like: Any) -> Any:
    spread = batch.reshaped(g.value, (batch.length, 1, *g.shape, *(1,) * (len(like) - 2)))
    return batch.inner.expand_to(spread, like=(batch.length, *like))


@batches_each("""
avg_pool avg_pool_gradient adaptive_avg_pool adaptive_avg_pool_gradient adaptive_avg_pool_like
max_pool max_pool_gradient max_pool_picks max_pool_indices
""")
def folding(name: str) -> Rule:
    """Images of all slices are one batch of images."""

    def rule(batch: Batch, *arrays: Any, **attributes: Any) -> Any:
        if "like" in attributes:
            rows, *rest = attributes["like"]
            attributes["like"] = (batch.length * rows, *rest)
        values = [batch.folded(x) for x in arrays]
        return batch.unfolded(getattr(batch.inner, name)(*values, **attributes))

    return rule
