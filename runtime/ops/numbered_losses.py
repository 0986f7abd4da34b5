"""The layers' functions that PyTorch also keeps in its first package, where reductions are numbers:
0 none, 1 mean, 2 sum. Without one most of them reduce nothing there, unlike `nn.functional`."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from . import activations, ctc, losses, margins
from .activations import hardshrink, prelu
from .inplace import inplace
from .products import einsum
from .similarity import cosine_similarity, pairwise_distance, pdist

__all__ = [
    "bilinear",
    "binary_cross_entropy_with_logits",
    "celu",
    "celu_",
    "cosine_embedding_loss",
    "cosine_similarity",
    "ctc_loss",
    "hardshrink",
    "hinge_embedding_loss",
    "kl_div",
    "margin_ranking_loss",
    "pairwise_distance",
    "pdist",
    "poisson_nll_loss",
    "prelu",
    "relu_",
    "selu",
    "selu_",
    "threshold",
    "threshold_",
    "triplet_margin_loss",
]

REDUCTIONS = ("none", "mean", "sum")


def _named(reduction: int) -> str:
    if reduction not in (0, 1, 2):
        raise ShapeError(f"Expected reduction 0 (none), 1 (mean) or 2 (sum). Got {reduction!r}.")
    return REDUCTIONS[reduction]


# -- losses ----------------------------------------------------------------------------------------


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: int = 1,
    zero_infinity: bool = False,
) -> Tensor:
    """`nn.functional.ctc_loss` with a number as reduction."""
    how = (blank, _named(reduction), zero_infinity)
    return ctc.ctc_loss(log_probs, targets, input_lengths, target_lengths, *how)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = 0,
) -> Tensor:
    """`nn.functional.binary_cross_entropy_with_logits` with a number as reduction."""
    return losses.binary_cross_entropy_with_logits(
        input, target, weight, reduction=_named(reduction), pos_weight=pos_weight
    )


def kl_div(
    input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False
) -> Tensor:
    """`nn.functional.kl_div` with a number as reduction."""
    return losses.kl_div(input, target, reduction=_named(reduction), log_target=log_target)


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int
) -> Tensor:
    """`nn.functional.poisson_nll_loss` with a number as reduction."""
    return margins.poisson_nll_loss(
        input, target, log_input, full, eps=eps, reduction=_named(reduction)
    )


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0
) -> Tensor:
    """`nn.functional.hinge_embedding_loss` with a number as reduction."""
    return margins.hinge_embedding_loss(input, target, margin, reduction=_named(reduction))


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """`nn.functional.margin_ranking_loss` with a number as reduction."""
    return margins.margin_ranking_loss(input1, input2, target, margin, reduction=_named(reduction))


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0
) -> Tensor:
    """`nn.functional.cosine_embedding_loss` with a number as reduction."""
    how = {"reduction": _named(reduction)}
    return margins.cosine_embedding_loss(input1, input2, target, margin, **how)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 0,
) -> Tensor:
    """`nn.functional.triplet_margin_loss` with a number as reduction."""
    how = (margin, p, eps, swap)
    return margins.triplet_margin_loss(
        anchor, positive, negative, *how, reduction=_named(reduction)
    )


# -- activations -----------------------------------------------------------------------------------


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere.

    Raises: RuntimeError for alpha 0. Source: arXiv:1704.07483.
    """
    if alpha == 0:
        raise ShapeError("celu: expected an alpha other than 0. Got 0.")
    return activations.celu(input, alpha)


def selu(input: Tensor) -> Tensor:
    """The self-normalizing exponential unit. Source: arXiv:1706.02515."""
    return activations.selu(input)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """input above `threshold`, `value` elsewhere."""
    return activations.threshold_numbers(input, threshold=threshold, value=value)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[..., o] = the sum over i, j of input1[..., i] * weight[o, i, j] * input2[..., j], plus
    bias[o]."""
    out = einsum("...i,oij,...j->...o", input1, weight, input2)
    return out if bias is None else out + bias


celu_ = inplace(celu, "celu_")
elu_ = inplace(activations.elu, "elu_")
hardtanh_ = inplace(activations.hardtanh, "hardtanh_")
leaky_relu_ = inplace(activations.leaky_relu, "leaky_relu_")
relu_ = inplace(activations.relu, "relu_")
selu_ = inplace(selu, "selu_")
threshold_ = inplace(threshold, "threshold_")
