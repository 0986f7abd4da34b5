"""Batch normalization folded into the layer before it, for evaluation."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ...core.creation import ones_like, zeros_like
from ...ops.elementary import rsqrt
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]

M = TypeVar("M", bound=Module)


def _require_eval(function: str, *modules: Module) -> None:
    if any(m.training for m in modules):
        raise AssertionError(f"{function}: expected modules in evaluation. Call eval() before.")


def fuse_conv_bn_eval(conv: M, bn: Any, transpose: bool = False) -> M:
    """A copy of the convolution `conv` that computes bn(conv(x)) by itself; `transpose` for
    transposed ones. Raises: AssertionError unless both are in evaluation with running
    statistics."""
    _require_eval("fuse_conv_bn_eval", conv, bn)
    fused: Any = copy.deepcopy(conv)
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("fuse_conv_bn_eval: expected running statistics. Got none.")
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a convolution, scaled by s = bn_w / sqrt(bn_rv + bn_eps) per output and
    shifted by bn_b - bn_rm * s."""
    outputs = 1 if transpose else 0
    sizes = [-1 if d == outputs else 1 for d in range(conv_w.ndim)]
    scale, bias = _scale_and_bias(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    weight = (conv_w * scale.reshape(sizes)).to(dtype=conv_w.dtype)
    bias = bias.to(dtype=conv_w.dtype if conv_b is None else conv_b.dtype)
    rest = conv_w.requires_grad if conv_b is None else conv_b.requires_grad
    return Parameter(weight.detach(), conv_w.requires_grad), Parameter(bias.detach(), rest)


def fuse_linear_bn_eval(linear: M, bn: Any) -> M:
    """A copy of the `nn.Linear` `linear` that computes bn(linear(x)) by itself.

    Raises: AssertionError unless both are in evaluation with running statistics, and of as many
    features (or bn of one).
    """
    _require_eval("fuse_linear_bn_eval", linear, bn)
    fused: Any = copy.deepcopy(linear)
    if fused.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            f"fuse_linear_bn_eval: expected {fused.out_features} features, or 1, of the "
            f"normalization. Got {bn.num_features}."
        )
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("fuse_linear_bn_eval: expected running statistics. Got none.")
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Parameter, Parameter]:
    """Weight and bias of a linear map, scaled and shifted as by `fuse_conv_bn_weights`."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def _scale_and_bias(b: Any, mean: Any, var: Any, eps: float, w: Any, shift: Any) -> tuple[Any, Any]:
    b = zeros_like(mean) if b is None else b
    w = ones_like(mean) if w is None else w
    shift = zeros_like(mean) if shift is None else shift
    scale = w * rsqrt(var + eps)
    return scale, (b - mean) * scale + shift
