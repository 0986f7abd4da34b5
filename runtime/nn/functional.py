"""Layers as functions: `import flambeau.nn.functional as F`."""

from __future__ import annotations

import functools as _functools
from typing import Any

from ..backends.cuda.attention import dropout_part as _attention_part
from ..core.dtypes import bool_ as _bool
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import activations as _activations
from ..ops import dropout as _dropout
from ..ops import noise as _noise
from ..ops import sampling as _sampling
from ..ops.activations import gelu as gelu
from ..ops.activations import glu as glu
from ..ops.activations import hardshrink as hardshrink
from ..ops.activations import log_softmax as _log_softmax
from ..ops.activations import logsigmoid as logsigmoid
from ..ops.activations import prelu as prelu
from ..ops.activations import softmax as _softmax
from ..ops.activations import softplus as softplus
from ..ops.activations import tanhshrink as tanhshrink
from ..ops.arithmetic import mul as _mul
from ..ops.attention import attention as _attention
from ..ops.attention import tiled_attention as _tiled_attention
from ..ops.batch_norm import batch_norm as batch_norm
from ..ops.convolution import conv1d as conv1d
from ..ops.convolution import conv2d as conv2d
from ..ops.convolution import conv3d as conv3d
from ..ops.cross_entropy import cross_entropy as cross_entropy
from ..ops.cross_entropy import nll_loss as nll_loss
from ..ops.ctc import ctc_loss as ctc_loss
from ..ops.elementary import sigmoid as sigmoid
from ..ops.elementary import tanh as tanh
from ..ops.embedding import embedding_renorm_ as _embedding_renorm
from ..ops.embedding import rows_of as _rows_of
from ..ops.embedding_bag import embedding_bag as _embedding_bag
from ..ops.folding import channel_shuffle as channel_shuffle
from ..ops.folding import fold as fold
from ..ops.folding import native_channel_shuffle as native_channel_shuffle
from ..ops.folding import pixel_shuffle as pixel_shuffle
from ..ops.folding import pixel_unshuffle as pixel_unshuffle
from ..ops.folding import unfold as unfold
from ..ops.gather import one_hot as one_hot
from ..ops.inplace import overwrite as _overwrite
from ..ops.irregular_pooling import adaptive_max_pool1d as adaptive_max_pool1d
from ..ops.irregular_pooling import adaptive_max_pool2d as adaptive_max_pool2d
from ..ops.irregular_pooling import adaptive_max_pool3d as adaptive_max_pool3d
from ..ops.irregular_pooling import fractional_max_pool2d as fractional_max_pool2d
from ..ops.irregular_pooling import fractional_max_pool3d as fractional_max_pool3d
from ..ops.irregular_pooling import max_unpool1d as max_unpool1d
from ..ops.irregular_pooling import max_unpool2d as max_unpool2d
from ..ops.irregular_pooling import max_unpool3d as max_unpool3d
from ..ops.linalg import linear as linear
from ..ops.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
from ..ops.losses import binary_cross_entropy as binary_cross_entropy
from ..ops.losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ..ops.losses import huber_loss as huber_loss
from ..ops.losses import kl_div as kl_div
from ..ops.losses import l1_loss as l1_loss
from ..ops.losses import mse_loss as mse_loss
from ..ops.losses import reduction_of as reduction_of
from ..ops.losses import smooth_l1_loss as smooth_l1_loss
from ..ops.margins import cosine_embedding_loss as cosine_embedding_loss
from ..ops.margins import gaussian_nll_loss as gaussian_nll_loss
from ..ops.margins import hinge_embedding_loss as hinge_embedding_loss
from ..ops.margins import margin_ranking_loss as margin_ranking_loss
from ..ops.margins import multi_margin_loss as multi_margin_loss
from ..ops.margins import multilabel_margin_loss as multilabel_margin_loss
from ..ops.margins import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from ..ops.margins import poisson_nll_loss as poisson_nll_loss
from ..ops.margins import soft_margin_loss as soft_margin_loss
from ..ops.margins import triplet_margin_loss as triplet_margin_loss
from ..ops.margins import triplet_margin_with_distance_loss as triplet_margin_with_distance_loss
from ..ops.multi_head import multi_head_attention_forward as multi_head_attention_forward
from ..ops.noise import rrelu_ as rrelu_
from ..ops.normalization import group_norm as group_norm
from ..ops.normalization import instance_norm as instance_norm
from ..ops.normalization import layer_norm as layer_norm
from ..ops.normalization import local_response_norm as local_response_norm
from ..ops.normalization import rms_norm as rms_norm
from ..ops.numbered_losses import bilinear as bilinear
from ..ops.numbered_losses import celu_ as celu_
from ..ops.numbered_losses import elu_ as elu_
from ..ops.numbered_losses import hardtanh_ as hardtanh_
from ..ops.numbered_losses import leaky_relu_ as leaky_relu_
from ..ops.numbered_losses import relu_ as relu_
from ..ops.numbered_losses import selu_ as selu_
from ..ops.numbered_losses import threshold_ as threshold_
from ..ops.padding import pad as pad
from ..ops.pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
from ..ops.pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..ops.pooling import adaptive_avg_pool3d as adaptive_avg_pool3d
from ..ops.pooling import avg_pool1d as avg_pool1d
from ..ops.pooling import avg_pool2d as avg_pool2d
from ..ops.pooling import avg_pool3d as avg_pool3d
from ..ops.pooling import lp_pool1d as lp_pool1d
from ..ops.pooling import lp_pool2d as lp_pool2d
from ..ops.pooling import lp_pool3d as lp_pool3d
from ..ops.pooling import max_pool1d as max_pool1d
from ..ops.pooling import max_pool2d as max_pool2d
from ..ops.pooling import max_pool3d as max_pool3d
from ..ops.resampling import affine_grid as affine_grid
from ..ops.resampling import grid_sample as grid_sample
from ..ops.resampling import interpolate as interpolate
from ..ops.similarity import cosine_similarity as cosine_similarity
from ..ops.similarity import normalize as normalize
from ..ops.similarity import pairwise_distance as pairwise_distance
from ..ops.similarity import pdist as pdist
from ..ops.transposed import conv_transpose1d as conv_transpose1d
from ..ops.transposed import conv_transpose2d as conv_transpose2d
from ..ops.transposed import conv_transpose3d as conv_transpose3d
from ..random import generator_for as _generator_for

max_pool1d_with_indices = _functools.partial(max_pool1d, return_indices=True)
max_pool2d_with_indices = _functools.partial(max_pool2d, return_indices=True)
max_pool3d_with_indices = _functools.partial(max_pool3d, return_indices=True)
adaptive_max_pool1d_with_indices = _functools.partial(adaptive_max_pool1d, return_indices=True)
adaptive_max_pool2d_with_indices = _functools.partial(adaptive_max_pool2d, return_indices=True)
adaptive_max_pool3d_with_indices = _functools.partial(adaptive_max_pool3d, return_indices=True)
fractional_max_pool2d_with_indices = _functools.partial(fractional_max_pool2d, return_indices=True)
fractional_max_pool3d_with_indices = _functools.partial(fractional_max_pool3d, return_indices=True)

# -- activations -----------------------------------------------------------------------------------


def _stored(input: Tensor, result: Tensor, inplace: bool, name: str) -> Tensor:
    return _overwrite(input, result, name, is_new=True) if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0), written into the input if `inplace`."""
    return _stored(input, _activations.relu(input), inplace, "relu_")


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where positive, negative_slope * input elsewhere."""
    result = _activations.leaky_relu(input, negative_slope)
    return _stored(input, result, inplace, "leaky_relu_")


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, alpha * (exp(input) - 1) elsewhere. Source: arXiv:1511.07289."""
    return _stored(input, _activations.elu(input, alpha), inplace, "elu_")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input). Source: arXiv:1702.03118."""
    if input.dtype.is_complex:
        return _stored(input, input / ((-input).exp() + 1), inplace, "silu_")
    return _stored(input, _activations.silu(input), inplace, "silu_")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(softplus(input)). Source: arXiv:1908.08681."""
    return _stored(input, _activations.mish(input), inplace, "mish_")


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """input limited to [min_val, max_val], which are rounded to 0 for integers.
    Raises: ValueError if min_val is above max_val, NotImplementedError for bool.
    """
    if min_val > max_val:
        raise ValueError(f"hardtanh: expected min_val not above max_val. Got {min_val}, {max_val}.")
    if input.dtype is _bool:
        raise NotImplementedError("hardtanh: expected numbers. Got torch.bool.")
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        return _stored(input, input.clamp(int(min_val), int(max_val)), inplace, "hardtanh_")
    return _stored(input, _activations.hardtanh(input, min_val, max_val), inplace, "hardtanh_")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6. Source: arXiv:1905.02244."""
    return _stored(input, _activations.hardsigmoid(input), inplace, "hardsigmoid_")


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * hardsigmoid(input). Source: arXiv:1905.02244."""
    return _stored(input, _activations.hardswish(input), inplace, "hardswish_")


def softsign(input: Tensor) -> Tensor:
    """input / (1 + |input|)."""
    if input.dtype.is_floating_point:
        return _activations.softsign(input)
    return input / (input.abs() + 1)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input moved by lambd towards 0, and 0 where it would cross it. Raises: RuntimeError for a
    negative lambd."""
    if lambd < 0:
        raise ShapeError(f"softshrink: expected a lambd not below 0. Got {lambd}.")
    return _activations.softshrink(input, lambd)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere."""
    return _stored(input, _activations.celu(input, alpha), inplace, "celu_")


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalizing exponential unit. Source: arXiv:1706.02515."""
    return _stored(input, _activations.selu(input), inplace, "selu_")


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """input above `threshold`, `value` elsewhere."""
    result = _activations.threshold_numbers(input, threshold=threshold, value=value)
    return _stored(input, result, inplace, "threshold_")


def _implied_dim(name: str, input: Tensor, dim: int | None) -> int:
    if dim is None:
        raise TypeError(
            f"{name}: expected a dim to add up to 1 along. Got None, for shape "
            f"{tuple(input.shape)}. For logits (N, C) it is dim=1, or dim=-1."
        )
    return dim


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """exp(input) / sum(exp(input)) along `dim`. Raises: TypeError without a `dim`."""
    return _softmax(input, _implied_dim("softmax", input, dim), dtype=dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """log(softmax(input)) along `dim`. Raises: TypeError without a `dim`."""
    return _log_softmax(input, _implied_dim("log_softmax", input, dim), dtype=dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """softmax(-input) along `dim`. Raises: TypeError without a `dim`."""
    return softmax(-input, dim, dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Samples of the Gumbel-softmax distribution along `dim`; `hard` gives one-hot vectors with the
    soft ones' gradient. Source: arXiv:1611.01144."""
    noise = -logits.detach().clone().exponential_().log()
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    one = (soft.detach() * 0).scatter(dim, soft.max(dim, keepdim=True)[1], 1.0)
    return one - soft.detach() + soft


def _share_heads(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> bool:
    """Whether key and value have the heads of query, or, `enable_gqa`, an equal part of them."""
    if query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        return True
    return (
        enable_gqa
        and query.shape[:-3] == key.shape[:-3] == value.shape[:-3]
        and key.shape[-3] == value.shape[-3]
        and query.shape[-3] % key.shape[-3] == 0
    )


def _added_to_scores(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """A mask as numbers: of bools, -inf where one may not look."""
    if mask is None or mask.dtype is not _bool:
        return mask
    return query.new_zeros(()).masked_fill(mask.logical_not(), float("-inf"))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.mT * scale + mask) @ value over (..., L, E), (..., S, E), (..., S, Ev).

    A bool mask says where to look, another one is added; `is_causal` looks only back. `enable_gqa`
    repeats heads of key and value. Source: arXiv:1706.03762, section 3.2.1.
    Raises: RuntimeError if a mask comes with `is_causal`.
    """
    if attn_mask is not None and is_causal:
        raise RuntimeError(
            "scaled_dot_product_attention: expected attn_mask or is_causal, not both."
        )
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    has_numbers = attn_mask is None or not attn_mask.requires_grad
    is_plain = dropout_p == 0.0 and has_numbers
    draws = dropout_p < 1.0 and _sampling.is_launched(query._key)
    if (
        query.is_cuda
        and has_numbers
        and _share_heads(query, key, value, enable_gqa)
        and (is_plain or draws)
    ):
        mask, how = _added_to_scores(attn_mask, query), {"scale": factor, "is_causal": is_causal}
        if dropout_p:
            stream = _generator_for(query.device).philox
            how |= {"dropped": dropout_p, **_attention_part(stream, key.shape[-2])}
        return _tiled_attention(query, key, value, mask, **how)[0]
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    if is_plain and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]:
        mask = _added_to_scores(attn_mask, query)
        return _attention(query, key, value, mask, scale=factor, is_causal=is_causal)
    scores = query @ key.mT * factor
    if is_causal:
        attn_mask = scores.new_ones(scores.shape[-2:], dtype=_bool).tril()
    if attn_mask is None:
        return dropout(softmax(scores, -1), dropout_p) @ value
    if attn_mask.dtype is _bool:
        blocked = attn_mask.logical_not()
        scores = scores.masked_fill(blocked, float("-inf"))
    else:
        blocked = attn_mask == float("-inf")
        scores = scores + attn_mask
    # What may look nowhere gets 0; its scores must be finite, or its gradients would be 0 * NaN.
    blind = blocked.all(-1, keepdim=True)
    weights = softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
    return dropout(weights, dropout_p) @ value


# -- dropout ---------------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements 0 with probability `p`, the others scaled by 1 / (1 - p); the input itself unless
    `training`.

    Raises: ValueError for p outside [0, 1]. Source: arXiv:1207.0580.
    """
    return _stored(input, _dropout.dropout(input, p, training), inplace and training, "dropout_")


def _dropout_channels(input: Tensor, p: float, training: bool, inplace: bool, rank: int) -> Tensor:
    name = f"dropout{rank}d"
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability from 0 to 1. Got {p}.")
    if rank == 2 and input.ndim == 3:
        rank = 1  # whole channels of (N, C, L), as PyTorch reads three dimensions
    if input.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name}: expected input with {rank + 1} or {rank + 2} dimensions. Got shape "
            f"{tuple(input.shape)}."
        )
    if not training or p == 0.0:
        return input
    mask = _dropout.dropout_mask(input, p, (*input.shape[:-rank], *[1] * rank))
    return _stored(input, _mul(input, mask), inplace, name)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of (N, C, L)."""
    return _dropout_channels(input, p, training, inplace, 1)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W). Source: arXiv:1411.4280."""
    return _dropout_channels(input, p, training, inplace, 2)


def _require_probability(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability from 0 to 1. Got {p}.")


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Elements set to the floor of `selu` with probability `p`, then all moved so that mean 0 and
    variance 1 stay. Source: arXiv:1706.02515, section 3. Raises: ValueError for p outside
    [0, 1]."""
    _require_probability("alpha_dropout", p)
    return (_noise.alpha_dropout_ if inplace else _noise.alpha_dropout)(input, p, training)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...). Raises: ValueError for p outside [0, 1]."""
    _require_probability("feature_alpha_dropout", p)
    function = _noise.feature_alpha_dropout_ if inplace else _noise.feature_alpha_dropout
    return function(input, p, training)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """input where positive, slope * input elsewhere: slopes drawn from [lower, upper) in training,
    their mean else. Source: arXiv:1505.00853. Raises: RuntimeError if lower is above upper."""
    return (_noise.rrelu_ if inplace else _noise.rrelu)(input, lower, upper, training)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its earlier name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W)."""
    return _dropout_channels(input, p, training, inplace, 3)


# -- tables ----------------------------------------------------------------------------------------


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` (n, d) for the indices `input` (...): (..., d).

    Row `padding_idx` gets no gradient. Named rows longer than `max_norm`, in the norm `norm_type`,
    are first scaled to it in place. `scale_grad_by_freq` divides a row's gradient by how often it
    is named. If `sparse`, the gradient of a leaf is a sparse tensor.
    Raises: IndexError for an index that is not there, AssertionError for such a padding_idx.
    """
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise AssertionError(
                f"embedding: expected padding_idx within the {weight.shape[0]} rows of weight. Got "
                f"{padding_idx}."
            )
        padding_idx %= weight.shape[0]
    if max_norm is not None:
        _embedding_renorm(weight, input, max_norm, norm_type)
    return _rows_of(weight, input, padding_idx, scale_grad_by_freq, sparse)


_BAG_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of `weight` (n, d): (bags, d).

    The bags are the rows of a matrix `input`, or begin at `offsets` in a vector. See
    `torch.embedding_bag` for the other arguments, `embedding` for `max_norm`.
    Raises: ValueError or RuntimeError for what does not fit, NotImplementedError for
    `per_sample_weights` in another mode than sum.
    """
    if mode not in _BAG_MODES:
        raise ValueError(f"embedding_bag: expected mode sum, mean or max. Got {mode!r}.")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError("embedding_bag: mode max has neither scale_grad_by_freq nor sparse.")
    if weight.ndim != 2 or input.ndim not in (1, 2) or (input.ndim == 1) == (offsets is None):
        raise ValueError(
            "embedding_bag: expected weight (n, d), and input (bags, length) without or (length,) "
            f"with offsets. Got weight {tuple(weight.shape)}, input {tuple(input.shape)} and "
            f"offsets {None if offsets is None else tuple(offsets.shape)}."
        )
    if per_sample_weights is not None:
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ValueError(
                f"embedding_bag: expected per_sample_weights {tuple(input.shape)}, as input is. "
                f"Got {tuple(per_sample_weights.shape)}."
            )
        if mode != "sum":
            raise NotImplementedError(
                f"embedding_bag: per_sample_weights need mode sum. Got {mode!r}."
            )
        per_sample_weights = per_sample_weights.reshape(-1)
    if offsets is None:
        rows, length = input.shape
        offsets = input.new_ones(rows).cumsum(0).sub(1).mul(length)
        include_last_offset = False
    if max_norm is not None:
        _embedding_renorm(weight, input, max_norm, norm_type)
    return _embedding_bag(
        weight,
        input.reshape(-1),
        offsets,
        scale_grad_by_freq,
        _BAG_MODES.index(mode),
        sparse,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )[0]
