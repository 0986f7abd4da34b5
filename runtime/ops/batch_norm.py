"""Batch normalization: each channel shifted and scaled to mean 0 and variance 1 over a batch."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ..autograd.grad_mode import no_grad
from ..autograd.node import named
from ..backends.cpu.onednn import batch_norm as onednn
from ..backends.cuda import launch
from ..core.callsite import count_write
from ..core.tensor import Tensor
from ..errors import ShapeError
from . import shapes
from .arithmetic import mul
from .copies import as_dtype, cast, widened
from .declare import Spec, composite, kernel, pointwise
from .shapes import Shape


@pointwise(name="scale_shift", node_name="Affine")
def scale_shift(m: Any, input: Spec, weight: Spec, bias: Spec) -> Spec:
    """input * weight + bias."""
    return input * weight + bias


def _affine(F: Any, x: Any, weight: Any, bias: Any) -> Any:
    """x * weight + bias, of which either may be None."""
    if weight is not None and bias is not None:
        return F.scale_shift(x, weight, bias)
    if weight is not None:
        return F.mul(x, weight)
    return x if bias is None else F.plus(x, bias)


def scaled(F: Any, x: Any, weight: Any, bias: Any) -> Any:
    """x * weight + bias, in the dtype of x: parameters in float32 do not widen a half type."""
    out = _affine(F, x, weight, bias)
    return out if out.dtype is x.dtype or x.dtype.itemsize > 2 else F.cast(out, dtype=x.dtype)


def _column(F: Any, x: Any, ndim: int) -> Any:
    """(C,) as (C, 1, ...), which broadcasts against (N, C, ...); None stays None."""
    return x if x is None else F.view_as_shape(x, shape=(-1, *[1] * (ndim - 2)))


@composite(layout="channels_last")
def scale_shift_channels(
    F: Any, input: Spec, weight: Spec | None = None, bias: Spec | None = None
) -> Spec:
    """input * weight + bias with (N, C, ...), (C,) and (C,)."""
    ndim = len(input.shape)
    return _affine(F, input, _column(F, weight, ndim), _column(F, bias, ndim))


@scale_shift_channels.array
def scale_shift_channels_array(xp: Any, input: Any, weight: Any = None, bias: Any = None) -> Any:
    """The same in place."""
    column = (-1, *[1] * (input.ndim - 2))
    out = input.copy() if weight is None else input * weight.reshape(column)
    if bias is not None:
        out += bias.reshape(column)
    return out


@composite(layout="channels_last")
def normalize_by(
    F: Any,
    input: Spec,
    mean: Spec,
    var: Spec,
    weight: Spec | None = None,
    bias: Spec | None = None,
    *,
    eps: float,
) -> Spec:
    """(input - mean) / sqrt(var + eps) * weight + bias with (N, C, ...), all else (C,)."""
    scale = F.rsqrt(F.plus(var, eps))
    scale = scale if weight is None else F.mul(scale, weight)
    shift = F.mul(F.neg(mean), scale)
    shift = shift if bias is None else F.plus(shift, bias)
    return F.scale_shift_channels(input, scale, shift)


@normalize_by.array
def normalize_by_array(
    xp: Any, input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> Any:
    """One scale and one shift per channel."""
    scale = 1 / xp.sqrt(var + var.dtype.type(eps))
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    return scale_shift_channels_array(xp, input, scale, shift if bias is None else shift + bias)


def _axes(ndim: int) -> Shape:
    return (0, *range(2, ndim))


@composite(node_name="NativeBatchNorm", layout="channels_last")
def batch_normalize(
    F: Any,
    input: Spec,
    weight: Spec | None = None,
    bias: Spec | None = None,
    *,
    dims: Shape,
    eps: float,
) -> tuple[Spec, Spec, Spec]:
    """(input - mean) / sqrt(var + eps) * weight + bias per channel of (N, C, ...), with the mean
    and the biased variance (C,); `dims` are all but 1."""
    ndim = len(input.shape)
    mean = F.mean_over(input, dim=dims, keepdim=True)
    centred = F.minus(input, mean)
    var = F.mean_over(F.mul(centred, centred), dim=dims, keepdim=True)
    normalized = F.mul(centred, F.rsqrt(F.plus(var, eps)))
    out = _affine(F, normalized, _column(F, weight, ndim), _column(F, bias, ndim))
    return out, F.view_as_shape(mean, shape=(-1,)), F.view_as_shape(var, shape=(-1,))


@batch_normalize.array
def batch_normalize_array(
    xp: Any, input: Any, weight: Any = None, bias: Any = None, *, dims: Shape, eps: float
) -> tuple[Any, Any, Any]:
    """Two passes, as the mean of squares minus the squared mean would cancel."""
    if input.dtype.kind in "biu":
        raise TypeError("normalization of integers")
    column = (-1, *[1] * (input.ndim - 2))
    mean = input.mean(dims)
    out = input - mean.reshape(column)
    var = xp.square(out).mean(dims)
    factor = 1 / xp.sqrt(var + input.dtype.type(eps))
    out *= (factor if weight is None else factor * weight).reshape(column)
    if bias is not None:
        out += bias.reshape(column)
    return out, mean, var


@batch_normalize.vjp(saves="input weight out[1:]")
def batch_normalize_vjp(
    F: Any, g: Any, needs: Any, input: Any, weight: Any, bias: Any, out: Any, dims: Any, eps: Any
) -> Any:
    """What statistics get back comes into play where they are used, as in second derivatives."""
    return _gradients(F, F.batch_normalize_gradient, g, needs, input, weight, out, dims, eps)


def _gradients(
    F: Any,
    of_result: Any,
    g: Any,
    needs: Any,
    input: Any,
    weight: Any,
    out: Any,
    dims: Any,
    eps: Any,
) -> Any:
    """By input, weight and bias; `of_result` gives those that come through the first result."""
    _, mean, var = out
    grads: list[Any] = [None, None, None]
    if g[0] is not None:
        grads = list(of_result(g[0], input, weight, mean, var, eps=eps))
    grads[0] = _with_statistics(F, grads[0], g, input, mean, dims)
    return tuple(x if need else None for x, need in zip(grads, needs, strict=True))


def _with_statistics(F: Any, by_input: Any, g: Any, input: Any, mean: Any, dims: Any) -> Any:
    """The gradient by the input, with what mean and variance get back."""
    parts = [] if by_input is None else [by_input]
    if g[1] is not None:
        parts.append(F.expand_mean(g[1], like=input, dim=dims, keepdim=False))
    if g[2] is not None:  # d var / d input = 2 (input - mean) / count
        share = F.expand_mean(F.mul(g[2], 2.0), like=input, dim=dims, keepdim=False)
        parts.append(F.mul(share, F.minus(input, F.channel_expand(mean, like=input))))
    return functools.reduce(F.plus, parts)


@composite(layout="channels_last")
def batch_normalize_gradient(
    F: Any, g: Spec, input: Spec, weight: Spec | None, mean: Spec, var: Spec, *, eps: float
) -> tuple[Spec, Spec, Spec]:
    """The gradients by input, weight and bias: with x the normalized input, sums over all but
    channels and means over as many, weight * (g - mean(g) - x * mean(g * x)) / sqrt(var + eps),
    sum(g * x) and sum(g)."""
    ndim, share = len(input.shape), input.shape[1] / max(1, math.prod(input.shape))
    factor = F.rsqrt(F.plus(var, eps))
    x = F.mul(F.minus(input, _column(F, mean, ndim)), _column(F, factor, ndim))
    total, along = F.channel_sum(g), F.channel_sum(F.mul(g, x))
    rest = F.minus(g, F.mul(x, _column(F, F.mul(along, share), ndim)))
    rest = F.minus(rest, _column(F, F.mul(total, share), ndim))
    scale = factor if weight is None else F.mul(factor, weight)
    return F.mul(rest, _column(F, scale, ndim)), along, total


@batch_normalize_gradient.array
def batch_normalize_gradient_array(
    xp: Any, g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float
) -> tuple[Any, Any, Any]:
    """The same in place."""
    dims, column = _axes(input.ndim), (-1, *[1] * (input.ndim - 2))
    count = input.dtype.type(input.size / input.shape[1])
    factor = 1 / xp.sqrt(var + input.dtype.type(eps))
    out = input - mean.reshape(column)
    out *= factor.reshape(column)
    along, total = (g * out).sum(dims), g.sum(dims)
    out *= (along / count).reshape(column)
    xp.subtract(g, out, out=out)
    out -= (total / count).reshape(column)
    out *= (factor if weight is None else factor * weight).reshape(column)
    return out, along, total


# -- halves among float32 --------------------------------------------------------------------------


@composite(node_name="NativeBatchNorm", layout="channels_last", mixes=True)
def mixed_batch_normalize(
    F: Any,
    input: Spec,
    weight: Spec | None = None,
    bias: Spec | None = None,
    *,
    dims: Shape,
    eps: float,
) -> tuple[Spec, Spec, Spec]:
    """`batch_normalize` of an input that may be a half, with parameters, mean and variance in
    float32."""
    out, mean, var = F.batch_normalize(widened(F, input), weight, bias, dims=dims, eps=eps)
    return as_dtype(F, out, input.dtype), mean, var


@mixed_batch_normalize.array
def mixed_batch_normalize_array(
    xp: Any, input: Any, weight: Any = None, bias: Any = None, *, dims: Shape, eps: float
) -> tuple[Any, Any, Any]:
    """Widened first."""
    wide = xp.float32 if input.dtype.itemsize == 2 else input.dtype
    out, mean, var = batch_normalize_array(
        xp, input.astype(wide, copy=False), weight, bias, dims=dims, eps=eps
    )
    return out.astype(input.dtype, copy=False), mean, var


@mixed_batch_normalize.vjp(saves="input weight out[1:]")
def mixed_batch_normalize_vjp(
    F: Any, g: Any, needs: Any, input: Any, weight: Any, bias: Any, out: Any, dims: Any, eps: Any
) -> Any:
    """That of `batch_normalize`."""
    return _gradients(F, F.mixed_batch_normalize_gradient, g, needs, input, weight, out, dims, eps)


@composite(layout="channels_last", mixes=True)
def mixed_batch_normalize_gradient(
    F: Any, g: Spec, input: Spec, weight: Spec | None, mean: Spec, var: Spec, *, eps: float
) -> tuple[Spec, Spec, Spec]:
    """`batch_normalize_gradient`, each in the dtype of what it is the gradient by."""
    found = F.batch_normalize_gradient(widened(F, g), widened(F, input), weight, mean, var, eps=eps)
    wanted = [input, *[mean if weight is None else weight] * 2]
    return tuple(as_dtype(F, x, like.dtype) for x, like in zip(found, wanted, strict=True))


@mixed_batch_normalize_gradient.array
def mixed_batch_normalize_gradient_array(
    xp: Any, g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float
) -> tuple[Any, Any, Any]:
    """Widened first."""
    g, wide = g.astype(mean.dtype, copy=False), input.astype(mean.dtype, copy=False)
    found = batch_normalize_gradient_array(xp, g, wide, weight, mean, var, eps=eps)
    wanted = [input, *[mean if weight is None else weight] * 2]
    return tuple(x.astype(like.dtype, copy=False) for x, like in zip(found, wanted, strict=True))


kernel(batch_normalize, "cpu", onednn.serves)(onednn.batch_normalize)
kernel(batch_normalize_gradient, "cpu", onednn.serves_gradient)(onednn.batch_normalize_gradient)
kernel(normalize_by, "cpu", onednn.serves_given)(onednn.normalize_by)
kernel(scale_shift_channels, "cpu", onednn.serves_scale)(onednn.scale_shift_channels)


# -- what users call -------------------------------------------------------------------------------


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(var + eps) * weight + bias for each channel.

    `input` is (N, C, ...), everything else (C,). In training, mean and biased variance are the
    batch's, and the running ones move towards them by `momentum` (the variance unbiased there);
    else the running ones serve.
    Raises: RuntimeError for shapes that do not fit, ValueError for one value per channel in
    training. Source: arXiv:1502.03167, algorithm 1.
    """
    if tuple(input.shape) == (0,):
        return mul(input, 1)  # as PyTorch, which looks for channels only where something is
    if tuple(input.shape) == (0,):
        return mul(input, 1)  # as PyTorch, which looks for channels only where something is
    shapes.require_ndim("batch_norm", "input", input, *range(2, 8))
    shapes.require_float("batch_norm", "input", input)
    if eps < 0 or (training and eps == 0):
        least = "above 0 in training" if training else "of at least 0"
        raise ValueError(f"batch_norm: expected an eps {least}. Got {eps}.")
    channels = input.shape[1]
    _require_channels(channels, input, running_mean, running_var, weight, bias)
    if training:
        return _batch_norm_training(
            input, running_mean, running_var, weight, bias, momentum=momentum, eps=eps
        )
    if running_mean is None or running_var is None:
        raise RuntimeError(
            "batch_norm: expected running_mean and running_var outside training. Got None. Pass "
            "them, or training=True."
        )
    out = normalize_by(input, running_mean, running_var, weight, bias, eps=eps)
    return named(_as_wide(out, input), "NativeBatchNorm")


def _batch_norm_training(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    momentum: float,
    eps: float,
) -> Tensor:
    dims = _axes(input.ndim)
    count = math.prod(input.shape[d] for d in dims)
    if count == 1:
        raise ValueError(
            "batch_norm: expected more than one value per channel in training. Got input of shape "
            f"{tuple(input.shape)}. Use a larger batch, or model.eval()."
        )
    if count == 0:  # nothing was seen that running statistics could follow
        return affine_channels(input, weight, bias)
    normalize = mixed_batch_normalize if input.is_cuda and input.itemsize == 2 else batch_normalize
    out, mean, var = normalize(input, weight, bias, dims=dims, eps=eps)
    with no_grad():
        _follow(running_mean, running_var, mean, var, momentum, count / (count - 1))
    return _as_wide(out, input)


def _follow(
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor,
    var: Tensor,
    momentum: float,
    correction: float,
) -> None:
    """Let the running statistics come nearer to the batch's, on a GPU in one launch."""
    if running_mean is not None and running_var is not None and running_mean.is_cuda:
        tensors = running_mean, running_var, mean, var
        if all(t._key.level == 0 and t._array.flags.c_contiguous for t in tensors) and (
            launch.driver.is_available()
        ):
            from ..backends.cuda import steps

            given = momentum, momentum * correction
            with running_mean._key.guard:
                steps.run(_follow_rule, given, [[t._array for t in tensors]])
            for tensor in tensors[:2]:
                count_write(tensor._writes, "batch_norm")
            return
    for running, now in ((running_mean, mean), (running_var, var * correction)):
        if running is not None:
            running.mul_(1 - momentum).add_(now, alpha=momentum)


def _follow_rule(
    share: Any, of_var: Any, xp: Any, running_mean: Any, running_var: Any, mean: Any, var: Any
) -> None:
    """The running statistics give up a share of themselves for one of the batch's."""
    rest = 1 - share
    running_mean *= rest
    running_mean += mean * share
    running_var *= rest
    running_var += var * of_var


def affine_channels(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`scale_shift_channels` in the dtype of the input, whatever that of its parameters."""
    return _as_wide(scale_shift_channels(input, weight, bias), input)


def _as_wide(out: Tensor, input: Tensor) -> Tensor:
    """`out` in the dtype of a half `input`, which parameters in float32 do not widen."""
    return out if out.dtype is input.dtype or input.itemsize > 2 else cast(out, dtype=input.dtype)


def _require_channels(channels: int, input: Tensor, *vectors: Tensor | None) -> None:
    names: Sequence[str] = ("running_mean", "running_var", "weight", "bias")
    for name, x in zip(names, vectors, strict=True):
        if x is not None and tuple(x.shape) != (channels,):
            raise ShapeError(
                f"batch_norm: expected {name} of shape {(channels,)}, one per channel of input "
                f"{tuple(input.shape)}. Got {tuple(x.shape)}. Change num_features, or the input."
            )
