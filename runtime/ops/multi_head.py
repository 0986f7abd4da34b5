"""Attention of several heads, with its projections."""

from __future__ import annotations

import math
from typing import Any

from ..core.creation import zeros_like
from ..core.dtypes import bool_
from ..core.tensor import Tensor
from ..errors import ShapeError
from .activations import softmax
from .dropout import dropout
from .joins import cat
from .linalg import linear
from .products import baddbmm
from .rearrangement import pad_constant


class AttentionError(ShapeError, AssertionError):
    """Arguments that do not fit; PyTorch raises AssertionError for them."""


def _require(condition: bool, expected: str, got: Any) -> None:
    if not condition:
        raise AttentionError(f"multi_head_attention_forward: expected {expected}. Got {got}.")


def additive_mask(name: str, mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask to be added: 0 and minus infinity for False and True; others stay as they are.

    Raises: AttentionError for integers.
    """
    if mask is None or mask.dtype.is_floating_point:
        return mask
    _require(mask.dtype is bool_, f"{name} of bool or floating-point numbers", mask.dtype)
    return zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)


def _check_ranks(query: Tensor, key: Tensor, value: Tensor, padding: Any, mask: Any) -> bool:
    """Whether there is a batch."""
    rank = query.ndim
    shapes = f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
    fits = rank in (2, 3) and key.ndim == value.ndim == rank
    _require(fits, "query, key and value (L, N, E), or all (L, E)", shapes)
    if padding is not None:
        words = f"key_padding_mask with {rank - 1} dimensions, as query has {rank}"
        _require(padding.ndim == rank - 1, words, tuple(padding.shape))
    if mask is not None:
        words = "attn_mask (L, S) or (N * num_heads, L, S)"
        _require(mask.ndim in (2, 3), words, tuple(mask.shape))
    return rank == 3


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], weights: Any, bias: Tensor | None
) -> list[Tensor]:
    """query, key and value by their weights, one for each or one for all; equal inputs at once."""
    query, key, value = inputs
    if isinstance(weights, Tensor):
        if query is key and key is value:
            return list(linear(query, weights, bias).chunk(3, -1))
        weights = weights.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]


def _merged(
    mask: Tensor | None, padding: Tensor | None, heads: int, count: int, length: int
) -> Tensor | None:
    """Both masks as one (N * heads or 1, L or 1, S)."""
    if padding is None:
        return mask
    fits = tuple(padding.shape) == (count, length)
    _require(fits, f"key_padding_mask {(count, length)}", tuple(padding.shape))
    wide = padding.reshape(count, 1, 1, length).expand(-1, heads, -1, -1)
    wide = wide.reshape(count * heads, 1, length)
    return wide if mask is None else mask + wide


def _longer(mask: Tensor | None) -> Tensor | None:
    """The mask for one more key, which may be looked at."""
    return None if mask is None else pad_constant(mask, pad=(0, 1), value=0.0)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """softmax(q @ k.mT / sqrt(E / heads) + masks) @ v for each head, between linear projections.

    query (L, N, E), key (S, N, Ek), value (S, N, Ev), or all without N. in_proj_weight (3 E, E)
    projects all three, or q_, k_ and v_proj_weight (E, Ek...) do. bias_k and bias_v (1, 1, E) are
    one more key and value, add_zero_attn another one of zeros; static_k and static_v
    (N * heads, S, E / heads) stand in for projected ones. attn_mask (L, S) or (N * heads, L, S) and
    key_padding_mask (N, S) are added, or say by True where not to look; `is_causal` says that
    attn_mask is the causal one. Returns (L, N, E), and the weights (N, L, S), the mean of the heads
    unless `average_attn_weights` is off, or None without `need_weights`.
    Raises: AssertionError or RuntimeError for what does not fit.
    Source: arXiv:1706.03762, section 3.2.2.
    """
    is_batched = _check_ranks(query, key, value, key_padding_mask, attn_mask)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    weights: Any = separate if use_separate_proj_weight else in_proj_weight
    missing = any(w is None for w in separate) if use_separate_proj_weight else weights is None
    _require(not missing, "q_, k_ and v_proj_weight, or in_proj_weight", "None")
    if is_causal and attn_mask is None:
        raise ShapeError("multi_head_attention_forward: is_causal needs the causal attn_mask.")
    inputs = (query, key, value)
    if not is_batched:
        same = query is key and key is value
        query = query.unsqueeze(1)
        inputs = (query, query, query) if same else (query, key.unsqueeze(1), value.unsqueeze(1))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    targets, count, width = query.shape
    sources = inputs[1].shape[0]
    words = f"query (..., {embed_dim_to_check}), which {num_heads} heads divide"
    _require(width == embed_dim_to_check and width % num_heads == 0, words, tuple(query.shape))
    ends = 2 if use_separate_proj_weight else 3
    words = "key and value of one shape" + (" but for the last size" if ends == 2 else "")
    got = f"{tuple(key.shape)} and {tuple(value.shape)}"
    _require(inputs[1].shape[:ends] == inputs[2].shape[:ends], words, got)

    mask = additive_mask("attn_mask", attn_mask, query)
    padding = additive_mask("key_padding_mask", key_padding_mask, query)
    if mask is not None:
        wanted = (targets, sources) if mask.ndim == 2 else (count * num_heads, targets, sources)
        if tuple(mask.shape) != wanted:
            raise ShapeError(
                f"multi_head_attention_forward: expected attn_mask {wanted}. Got "
                f"{tuple(mask.shape)}."
            )
        mask = mask.unsqueeze(0) if mask.ndim == 2 else mask
    if is_causal and padding is None and not need_weights:
        # As in PyTorch the hint is believed, whatever the mask holds.
        ones = query.new_ones((targets, sources), dtype=bool_)
        mask = additive_mask("attn_mask", ones.triu(1), query).unsqueeze(0)  # type: ignore[union-attr]

    q, k, v = _projected(inputs, weights, in_proj_bias)
    _require((bias_k is None) == (bias_v is None), "both bias_k and bias_v, or neither", "one")
    if bias_k is not None and bias_v is not None:
        _require(static_k is None and static_v is None, "no bias with static keys", "both")
        k, v = (cat([x, b.repeat(1, count, 1)]) for x, b in ((k, bias_k), (v, bias_v)))
        mask, padding = _longer(mask), _longer(padding)

    def by_head(x: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], count * num_heads, width // num_heads)
        return rows.transpose(0, 1)

    q = by_head(q)
    k, v = (by_head(x) if s is None else s for x, s in ((k, static_k), (v, static_v)))
    for name, x in (("static_k", k), ("static_v", v)):
        shape = (count * num_heads, x.shape[1], width // num_heads)
        _require(tuple(x.shape) == shape, f"{name} {shape}", tuple(x.shape))
    if add_zero_attn:
        k, v = (cat([x, x.new_zeros(x.shape[0], 1, x.shape[2])], 1) for x in (k, v))
        mask, padding = _longer(mask), _longer(padding)

    merged = _merged(mask, padding, num_heads, count, k.shape[1])
    scores = q * math.sqrt(1.0 / q.shape[-1])
    scores = scores @ k.mT if merged is None else baddbmm(merged, scores, k.mT)
    if merged is None or need_weights:
        attention = softmax(scores, -1)
    else:
        # PyTorch's fused attention gives 0 to what may look nowhere, its plain one NaN.
        blind = (merged == -math.inf).all(-1, keepdim=True)
        attention = softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
    attention = dropout(attention, dropout_p, training)
    out = (attention @ v).transpose(0, 1).reshape(targets, count, width)
    out = linear(out, out_proj_weight, out_proj_bias)
    out = out if is_batched else out.squeeze(1)
    if not need_weights:
        return out, None
    shown = attention.reshape(count, num_heads, targets, k.shape[1])
    shown = shown.mean(1) if average_attn_weights else shown
    return out, shown if is_batched else shown.squeeze(0)
