"""Layers as functions: `import flambeau.nn.functional as F`."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import activations as _activations
from ..ops import sampling as _sampling
from ..ops.activations import gelu as gelu
from ..ops.activations import log_softmax as _log_softmax
from ..ops.activations import logsigmoid as logsigmoid
from ..ops.activations import softmax as _softmax
from ..ops.activations import softplus as softplus
from ..ops.activations import softsign as softsign
from ..ops.arithmetic import mul as _mul
from ..ops.convolution import conv1d as conv1d
from ..ops.convolution import conv2d as conv2d
from ..ops.convolution import conv3d as conv3d
from ..ops.cross_entropy import cross_entropy as cross_entropy
from ..ops.cross_entropy import nll_loss as nll_loss
from ..ops.elementary import sigmoid as sigmoid
from ..ops.elementary import tanh as tanh
from ..ops.embedding import embedding_lookup as _embedding_lookup
from ..ops.gather import one_hot as one_hot
from ..ops.inplace import overwrite as _overwrite
from ..ops.linalg import linear as linear
from ..ops.losses import binary_cross_entropy as binary_cross_entropy
from ..ops.losses import binary_cross_entropy_with_logits as binary_cross_entropy_with_logits
from ..ops.losses import huber_loss as huber_loss
from ..ops.losses import kl_div as kl_div
from ..ops.losses import l1_loss as l1_loss
from ..ops.losses import mse_loss as mse_loss
from ..ops.losses import reduction_of as reduction_of
from ..ops.losses import smooth_l1_loss as smooth_l1_loss
from ..ops.normalization import batch_norm as batch_norm
from ..ops.normalization import layer_norm as layer_norm
from ..ops.pooling import adaptive_avg_pool1d as adaptive_avg_pool1d
from ..ops.pooling import adaptive_avg_pool2d as adaptive_avg_pool2d
from ..ops.pooling import adaptive_avg_pool3d as adaptive_avg_pool3d
from ..ops.pooling import avg_pool1d as avg_pool1d
from ..ops.pooling import avg_pool2d as avg_pool2d
from ..ops.pooling import avg_pool3d as avg_pool3d
from ..ops.pooling import max_pool1d as max_pool1d
from ..ops.pooling import max_pool2d as max_pool2d
from ..ops.pooling import max_pool3d as max_pool3d

# -- activations -----------------------------------------------------------------------------------


def _stored(input: Tensor, result: Tensor, inplace: bool, name: str) -> Tensor:
    return _overwrite(input, result, name) if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(input, 0), written into the input if `inplace`."""
    return _stored(input, _activations.relu(input), inplace, "relu_")


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input, 0), 6)."""
    return _stored(input, _activations.relu6(input), inplace, "relu6_")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """input where positive, negative_slope * input elsewhere."""
    result = _activations.leaky_relu(input, negative_slope)
    return _stored(input, result, inplace, "leaky_relu_")


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """input where positive, alpha * (exp(input) - 1) elsewhere. Source: arXiv:1511.07289."""
    return _stored(input, _activations.elu(input, alpha), inplace, "elu_")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input). Source: arXiv:1702.03118."""
    return _stored(input, _activations.silu(input), inplace, "silu_")


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(softplus(input)). Source: arXiv:1908.08681."""
    return _stored(input, _activations.mish(input), inplace, "mish_")


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """input limited to [min_val, max_val]."""
    return _stored(input, _activations.hardtanh(input, min_val, max_val), inplace, "hardtanh_")


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6. Source: arXiv:1905.02244."""
    return _stored(input, _activations.hardsigmoid(input), inplace, "hardsigmoid_")


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * hardsigmoid(input). Source: arXiv:1905.02244."""
    return _stored(input, _activations.hardswish(input), inplace, "hardswish_")


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


# -- dropout ---------------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Elements 0 with probability `p`, the others scaled by 1 / (1 - p); the input itself unless
    `training`.

    Raises: ValueError for p outside [0, 1]. Source: arXiv:1207.0580.
    """
    return _stored(input, _sampling.dropout(input, p, training), inplace and training, "dropout_")


def _dropout_channels(input: Tensor, p: float, training: bool, inplace: bool, rank: int) -> Tensor:
    name = f"dropout{rank}d"
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{name}: expected a probability from 0 to 1. Got {p}.")
    if input.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name}: expected input with {rank + 1} or {rank + 2} dimensions. Got shape "
            f"{tuple(input.shape)}."
        )
    if not training or p == 0.0:
        return input
    mask = _sampling.dropout_mask(input, p, (*input.shape[:-rank], *[1] * rank))
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


# -- tables ----------------------------------------------------------------------------------------


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight` (n, d) for the indices `input` (...): (..., d).

    Row `padding_idx` gets no gradient. Raises: IndexError for an index that is not there.
    """
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise IndexError(
                f"embedding: expected padding_idx within the {weight.shape[0]} rows of weight. Got "
                f"{padding_idx}."
            )
        padding_idx %= weight.shape[0]
    return _embedding_lookup(weight, input, padding_idx=padding_idx)
