"""Attention as one operation, so that it can be computed in blocks: no T x T matrix in memory."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from .declare import Mask, Spec, composite


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
) -> tuple[Spec, Spec]:
    """`attention`, and what spares a kernel in tiles half of its work in the backward pass: the
    logarithm of the sum of each query's exponentials, (..., L) in float64, which has no gradient
    of its own."""
    scores = _scores(F, query, key, mask, scale, is_causal)
    sums = F.logsumexp_over(scores, dim=-1, keepdim=False)
    out = F.attention(query, key, value, mask, scale=scale, is_causal=is_causal)
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


@tiled_attention.array
def tiled_attention_array(
    xp: Any, query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> tuple[Any, Any]:
    """All scores at once."""
    scores = _array_scores(xp, query, key, mask, scale, is_causal)
    weights, sums = _array_weights(xp, scores)
    return xp.matmul(weights, value), sums.astype(xp.float64)


@tiled_attention.vjp(saves="query key value mask out", static="is_causal")
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
) -> Any:
    """As `attention_vjp`, with what the forward pass knew."""
    if g[0] is None:
        return None, None, None, None
    grads = F.tiled_attention_gradient(
        g[0], query, key, value, *out, mask, scale=scale, is_causal=is_causal
    )
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
) -> tuple[Spec, Spec, Spec]:
    """`attention_gradient`; `out` and `sums` are the results of `tiled_attention`."""
    return F.attention_gradient(g, query, key, value, mask, scale=scale, is_causal=is_causal)  # type: ignore[no-any-return]


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
) -> tuple[Any, Any, Any]:
    """All scores at once, again."""
    weights, _ = _array_weights(xp, _array_scores(xp, query, key, mask, scale, is_causal))
    by_weights = xp.matmul(g, value.swapaxes(-1, -2))
    along = (by_weights * weights).sum(-1, keepdims=True)
    by_scores = weights * (by_weights - along) * query.dtype.type(scale)
    return (
        xp.matmul(by_scores, key),
        xp.matmul(by_scores.swapaxes(-1, -2), query),
        xp.matmul(weights.swapaxes(-1, -2), g),
    )
