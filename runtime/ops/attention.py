"""Attention as one operation, so that it can be computed in blocks: no T x T matrix in memory."""

from __future__ import annotations

import math
from typing import Any

from ..backends import philox
from ..core import dtypes
from .declare import Mask, Spec, composite, primitive


def _scores(F: Any, query: Any, key: Any, mask: Any, scale: Any, is_causal: bool) -> Any:
    """query @ key.mT * scale + mask, -inf where a query may not look."""
    scores = F.mul(F.matmul(query, F.transpose(key, dim0=-2, dim1=-1)), scale)
    if is_causal:
        ones = F.plus(F.zeros_as(scores), 1.0)
        scores = F.where(F.ne(F.tril(ones, diagonal=0), 0.0), scores, -math.inf)
    return scores if mask is None else F.plus(scores, mask)


def _weights(F: Any, query: Any, key: Any, mask: Any, scale: Any, is_causal: bool) -> Any:
    """The softmax of the scores; 0 for a query that may look nowhere."""
    scores = _scores(F, query, key, mask, scale, is_causal)
    if mask is None:
        return F.softmax_over(scores, dim=-1)
    # The scores there must be finite, or their gradients would be 0 * NaN.
    blind = F.eq(F.amax(scores, dim=-1, keepdim=True), -math.inf)
    weights = F.softmax_over(F.where(blind, 0.0, scores), dim=-1)
    return F.where(blind, 0.0, weights)


@composite(node_name="ScaledDotProductAttention")
def attention(
    F: Any,
    query: Spec,
    key: Spec,
    value: Spec,
    mask: Mask | None = None,
    *,
    scale: float,
    is_causal: bool,
) -> Spec:
    """softmax(query @ key.mT * scale + mask) @ value; `is_causal` lets query i see keys up to i.

    query is (..., L, E), key (..., S, E), value (..., S, Ev) with equal first dimensions, mask
    broadcasts to (..., L, S) and gets no gradient: (..., L, Ev). Source: arXiv:1706.03762, section
    3.2.1.
    """
    return F.matmul(_weights(F, query, key, mask, scale, is_causal), value)


@attention.vjp(saves="query key value mask", static="is_causal")
def attention_vjp(
    F: Any,
    g: Any,
    needs: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    scale: Any,
    is_causal: Any,
) -> Any:
    """The weights are computed again, which is cheaper than to keep them."""
    grads = F.attention_gradient(g, query, key, value, mask, scale=scale, is_causal=is_causal)
    return *[part if need else None for part, need in zip(grads, needs, strict=False)], None


@composite
def attention_gradient(
    F: Any,
    g: Spec,
    query: Spec,
    key: Spec,
    value: Spec,
    mask: Mask | None = None,
    *,
    scale: float,
    is_causal: bool,
) -> tuple[Spec, Spec, Spec]:
    """The gradients of `attention` by query, key and value."""
    weights = _weights(F, query, key, mask, scale, is_causal)
    by_weights = F.matmul(g, F.transpose(value, dim0=-2, dim1=-1))
    by_scores = F.mul(F.softmax_gradient(by_weights, weights, dim=-1), scale)
    return (
        F.matmul(by_scores, key),
        F.matmul(F.transpose(by_scores, dim0=-2, dim1=-1), query),
        F.matmul(F.transpose(weights, dim0=-2, dim1=-1), g),
    )


@primitive(node_name="NativeDropout")
def drop_weights(weights: Spec, *, dropped: float, seed: int, offset: int, held: int) -> Spec:
    """weights (..., queries, keys) with some left out, with the probability `dropped`, and the
    others scaled by 1 / (1 - dropped): see `backends.philox.weight_factors`. `held` is for
    kernels, see `philox_dropout`."""
    return Spec(weights.shape, weights.dtype)


@drop_weights.array
def drop_weights_array(
    xp: Any, weights: Any, dropped: float, seed: int, offset: int, held: int
) -> Any:
    """The words by array code."""
    factors = philox.weight_factors(xp, weights.shape, dropped, seed, offset)
    return weights * factors.astype(weights.dtype)


@drop_weights.vjp()
def drop_weights_vjp(
    F: Any, g: Any, needs: Any, weights: Any, dropped: Any, seed: Any, offset: Any, held: Any
) -> Any:
    """The same map of g."""
    return F.drop_weights(g, dropped=dropped, seed=seed, offset=offset, held=held)


def _for_each_head(F: Any, x: Any, query: Any) -> Any:
    """x (..., heads, S, E), its heads repeated for those of query that share them."""
    heads = tuple(query.shape[:-2])
    if tuple(x.shape[:-2]) == heads:
        return x
    *lead, own, n, width = x.shape
    spread = F.expand_shape(F.unsqueeze(x, dim=-3), shape=(*lead, own, heads[-1] // own, n, width))
    return F.reshape_like(spread, like=(*heads, n, width))


def _over_heads(F: Any, g: Any, like: Any) -> Any:
    """The gradient by `like`, of that by what `_for_each_head` made of it."""
    if tuple(g.shape) == tuple(like.shape):
        return g
    *lead, own, n, width = like.shape
    parts = F.reshape_like(g, like=(*lead, own, g.shape[-3] // own, n, width))
    return F.sum_over(parts, dim=-3, keepdim=False)


@composite(node_name="ScaledDotProductAttention")
def tiled_attention(
    F: Any,
    query: Spec,
    key: Spec,
    value: Spec,
    mask: Mask | None = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> tuple[Spec, Spec]:
    """`attention`, and what spares a kernel in tiles half of its work in the backward pass: the
    logarithm of the sum of each query's exponentials, (..., L) in float64 (some kernels for half
    types give float32), which has no gradient of its own. Each head of key and value may serve
    several heads of query, one after the other. With the probability `dropped` a weight is left
    out, see `drop_weights`."""
    key, value = _for_each_head(F, key, query), _for_each_head(F, value, query)
    scores = _scores(F, query, key, mask, scale, is_causal)
    sums = F.logsumexp_over(scores, dim=-1, keepdim=False)
    weights = _weights(F, query, key, mask, scale, is_causal)
    if dropped:
        weights = F.drop_weights(weights, dropped=dropped, seed=seed, offset=offset, held=held)
    out = F.matmul(weights, value)
    return out, F.cast(sums, dtype=dtypes.float64)


def _array_scores(xp: Any, query: Any, key: Any, mask: Any, scale: float, is_causal: bool) -> Any:
    """`_scores` of bare arrays."""
    scores = xp.matmul(query, key.swapaxes(-1, -2)) * query.dtype.type(scale)
    if is_causal:
        sees = xp.tril(xp.ones(scores.shape[-2:], bool))
        scores = xp.where(sees, scores, query.dtype.type(-math.inf))
    return scores if mask is None else scores + mask.astype(query.dtype)


def _array_weights(xp: Any, scores: Any) -> tuple[Any, Any]:
    """The weights, 0 for a query that may look nowhere, and the logarithms of their sums."""
    top = scores.max(-1, keepdims=True)
    powers = xp.exp(scores - xp.where(xp.isinf(top), 0, top).astype(scores.dtype))
    total = powers.sum(-1, keepdims=True)
    weights = powers / xp.where(total == 0, 1, total).astype(scores.dtype)
    sums = xp.where(total == 0, -math.inf, top + xp.log(xp.where(total == 0, 1, total)))
    return weights, sums[..., 0]


def _group(query: Any, key: Any) -> int:
    """How many heads of query share one of key."""
    return int(query.shape[-3] // key.shape[-3]) if query.ndim > 2 else 1


@tiled_attention.array
def tiled_attention_array(
    xp: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> tuple[Any, Any]:
    """All scores at once."""
    group = _group(query, key)
    if group > 1:
        key, value = key.repeat(group, -3), value.repeat(group, -3)
    scores = _array_scores(xp, query, key, mask, scale, is_causal)
    weights, sums = _array_weights(xp, scores)
    if dropped:
        weights = drop_weights_array(xp, weights, dropped, seed, offset, held)
    return xp.matmul(weights, value), sums.astype(xp.float64)


@tiled_attention.vjp(saves="query key value mask out", static="is_causal dropped")
def tiled_attention_vjp(
    F: Any,
    g: Any,
    needs: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    out: Any,
    scale: Any,
    is_causal: Any,
    dropped: Any,
    seed: Any,
    offset: Any,
    held: Any,
) -> Any:
    """As `attention_vjp`, with what the forward pass knew."""
    if g[0] is None:
        return None, None, None, None
    grads = F.tiled_attention_gradient(
        g[0], query, key, value, *out, mask, scale=scale, is_causal=is_causal, dropped=dropped,
        seed=seed, offset=offset, held=held,
    )  # fmt: skip
    return *[part if need else None for part, need in zip(grads, needs, strict=False)], None


@composite
def tiled_attention_gradient(
    F: Any,
    g: Spec,
    query: Spec,
    key: Spec,
    value: Spec,
    out: Mask,
    sums: Mask,
    mask: Mask | None = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> tuple[Spec, Spec, Spec]:
    """`attention_gradient`; `out` and `sums` are the results of `tiled_attention`."""
    keys, values = _for_each_head(F, key, query), _for_each_head(F, value, query)
    weights = kept = _weights(F, query, keys, mask, scale, is_causal)
    by_weights = F.matmul(g, F.transpose(values, dim0=-2, dim1=-1))
    if dropped:
        how = {"dropped": dropped, "seed": seed, "offset": offset, "held": held}
        kept, by_weights = F.drop_weights(weights, **how), F.drop_weights(by_weights, **how)
    by_scores = F.mul(F.softmax_gradient(by_weights, weights, dim=-1), scale)
    by_keys = F.matmul(F.transpose(by_scores, dim0=-2, dim1=-1), query)
    by_values = F.matmul(F.transpose(kept, dim0=-2, dim1=-1), g)
    return (
        F.matmul(by_scores, keys),
        _over_heads(F, by_keys, key),
        _over_heads(F, by_values, value),
    )


@tiled_attention_gradient.array
def tiled_attention_gradient_array(
    xp: Any,
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    sums: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> tuple[Any, Any, Any]:
    """All scores at once, again."""
    group = _group(query, key)
    if group > 1:
        key, value = key.repeat(group, -3), value.repeat(group, -3)
    weights, _ = _array_weights(xp, _array_scores(xp, query, key, mask, scale, is_causal))
    by_weights, kept = xp.matmul(g, value.swapaxes(-1, -2)), weights
    if dropped:
        how = dropped, seed, offset, held
        kept = drop_weights_array(xp, weights, *how)
        by_weights = drop_weights_array(xp, by_weights, *how)
    along = (by_weights * weights).sum(-1, keepdims=True)
    by_scores = weights * (by_weights - along) * query.dtype.type(scale)
    by_key = xp.matmul(by_scores.swapaxes(-1, -2), query)
    by_value = xp.matmul(kept.swapaxes(-1, -2), g)
    if group > 1:
        by_key, by_value = (
            x.reshape(*x.shape[:-3], -1, group, *x.shape[-2:]).sum(-3) for x in (by_key, by_value)
        )
    return xp.matmul(by_scores, key), by_key, by_value
