"""Attention as one operation, so that it can be computed in blocks: no T x T matrix in memory."""

from __future__ import annotations

import math
from typing import Any

from .declare import Mask, Spec, composite


def _weights(F: Any, query: Any, key: Any, mask: Any, scale: Any, is_causal: bool) -> Any:
    """softmax(query @ key.mT * scale + mask); 0 for a query that may look nowhere."""
    scores = F.mul(F.matmul(query, F.transpose(key, dim0=-2, dim1=-1)), scale)
    if is_causal:
        ones = F.plus(F.zeros_as(scores), 1.0)
        scores = F.where(F.ne(F.tril(ones, diagonal=0), 0.0), scores, -math.inf)
    if mask is None:
        return F.softmax_over(scores, dim=-1)
    scores = F.plus(scores, mask)
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
