"""Normalizations, attention and losses."""

from __future__ import annotations

import math
from typing import Any

from ...core.tensor import Tensor
from ...nn import functional as F
from .registry import operator, torch


def _column(x: Tensor, ndim: int) -> Tensor:
    """(C,), to broadcast with (N, C, ...)."""
    return x.reshape(-1, *[1] * (ndim - 2))


@operator("BatchNormalization")
def batch_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, training_mode: int = 0, spatial: int = 1, is_test: int = 1,
    consumed_inputs: Any = None, outputs: int,
) -> Any:  # fmt: skip
    """By running statistics; in training by those of the batch, with the new running ones."""
    if not training_mode:
        out = F.batch_norm(x, mean, var, scale, bias, eps=epsilon)
        return out if outputs == 1 else (out, mean, var)
    dims = (0, *range(2, x.ndim))
    found, spread = x.mean(dims), x.var(dims, correction=0)
    out = F.batch_norm(x, found, spread, scale, bias, eps=epsilon)
    kept = [old * momentum + new * (1 - momentum) for old, new in ((mean, found), (var, spread))]
    return (out, *kept) if outputs > 1 else out


@operator("InstanceNormalization")
def instance_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, consumed_inputs: Any = None
) -> Tensor:
    """Each channel of each sample by itself."""
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@operator("LayerNormalization")
def layer_normalization(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1,
    epsilon: float = 1e-5, stash_type: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """Over the dimensions from `axis` on."""
    first = axis % x.ndim
    shape = tuple(x.shape[first:])
    if tuple(scale.shape) == shape:
        out = F.layer_norm(x, shape, scale, bias, epsilon)
    else:
        out = F.layer_norm(x, shape, eps=epsilon) * scale
        out = out if bias is None else out + bias
    if outputs == 1:
        return out
    dims = tuple(range(first, x.ndim))
    mean, var = x.mean(dims, keepdim=True), x.var(dims, correction=0, keepdim=True)
    return (out, mean, torch.rsqrt(var + epsilon))


@operator("RMSNormalization")
def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """By the root of the mean square."""
    dims = tuple(range(axis % x.ndim, x.ndim))
    wide = x.float() if x.dtype.itemsize == 2 else x
    out = wide * torch.rsqrt((wide * wide).mean(dims, keepdim=True) + epsilon)
    return out.to(x.dtype) * scale  # type: ignore[no-any-return]


@operator("GroupNormalization")
def group_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Tensor:  # fmt: skip
    """By groups of channels; before opset 21 with one scale for each group."""
    if scale.numel() != x.shape[1]:
        each = x.shape[1] // num_groups
        scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@operator("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Divided by the norm; what is 0 stays."""
    size = torch.linalg.vector_norm(x, p, axis, keepdim=True)
    return torch.where(size == 0, torch.zeros_like(x), x / size)  # type: ignore[no-any-return]


@operator("MeanVarianceNormalization")
def mean_variance_normalization(x: Tensor, *, axes: Any = (0, 2, 3)) -> Tensor:
    """Mean 0 and variance 1 over some dimensions."""
    dims = tuple(axes)
    centred = x - x.mean(dims, keepdim=True)
    return centred / ((centred * centred).mean(dims, keepdim=True).sqrt() + 1e-9)


@operator("LRN")
def lrn(
    x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Tensor:
    """By the squares of neighbouring channels."""
    before = (size - 1) // 2
    rows = (x * x).unsqueeze(1).flatten(3) if x.ndim > 2 else (x * x)[:, None, :, None]
    padded = F.pad(rows, (0, 0, before, size - 1 - before))
    sums = padded.unfold(2, size, 1).sum(-1).reshape(x.shape)
    return x / (bias + alpha / size * sums) ** beta


@operator("NegativeLogLikelihoodLoss")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean",
    ignore_index: int = -100,
) -> Tensor:  # fmt: skip
    """Minus the log-probability of the class."""
    return F.nll_loss(x, target.long(), weight, ignore_index=ignore_index, reduction=reduction)


@operator("SoftmaxCrossEntropyLoss")
def cross_entropy(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean",
    ignore_index: int = -100, outputs: int,
) -> Any:  # fmt: skip
    """The same of log-softmax, which may be the second result."""
    logs = torch.log_softmax(x, 1)
    out = nll_loss(logs, target, weight, reduction=reduction, ignore_index=ignore_index)
    return (out, logs) if outputs > 1 else out


@operator("Attention")
def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, *, is_causal: int = 0, scale: float | None = None,
    q_num_heads: int | None = None, kv_num_heads: int | None = None, softcap: float = 0.0,
    qk_matmul_output_mode: int = 0, softmax_precision: int | None = None, outputs: int,
) -> Any:  # fmt: skip
    """softmax(q k.T * scale + mask) v by heads, with earlier keys and values before the new."""
    is_flat = q.ndim == 3
    if is_flat:
        q, k, v = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2)
            for x, heads in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads))
        )
    before = 0 if past_key is None else past_key.shape[2]
    k = k if past_key is None else torch.cat([past_key, k], 2)
    v = v if past_value is None else torch.cat([past_value, v], 2)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    times = q.shape[1] // k.shape[1]
    keys, values = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    raw = (q * math.sqrt(factor)) @ (keys * math.sqrt(factor)).mT
    bias = torch.zeros(raw.shape[-2:], dtype=raw.dtype)
    if is_causal:
        seen = torch.ones(raw.shape[-2:], dtype=torch.bool).tril(before)
        bias = bias.masked_fill(~seen, -math.inf)
    if mask is not None:
        if mask.shape[-1] < raw.shape[-1]:
            rest = raw.shape[-1] - mask.shape[-1]
            mask = F.pad(mask, (0, rest), value=0 if mask.dtype is torch.bool else -math.inf)
        if mask.dtype is torch.bool:
            mask = torch.zeros(mask.shape, dtype=raw.dtype).masked_fill(~mask, -math.inf)
        bias = bias + mask
    capped = softcap * torch.tanh(raw / softcap) if softcap else raw
    biased = capped + bias
    sees_nothing = biased.amax(-1, keepdim=True) == -math.inf
    weights = torch.softmax(biased, -1).masked_fill(sees_nothing, 0.0)
    out = weights @ values
    out = out.transpose(1, 2).flatten(2) if is_flat else out
    shown = {0: raw, 1: capped, 2: biased, 3: weights}[qk_matmul_output_mode]
    return (out, k, v, shown)[:outputs] if outputs > 1 else out
