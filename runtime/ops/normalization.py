"""Normalization: elements shifted and scaled to mean 0 and variance 1, over a layer or a batch."""

from __future__ import annotations

import math
from typing import Any

from ..autograd.grad_mode import no_grad
from ..autograd.node import named
from ..core import dtypes
from ..core.limits import finfo
from ..core.tensor import Tensor
from ..errors import ShapeError
from . import shapes
from .batch_norm import affine_channels, batch_norm, scaled
from .declare import Spec, composite
from .rearrangement import pad_constant
from .shapes import Shape

__all__ = ["group_norm", "layer_norm", "rms_norm"]


@composite(node_name="Normalize")
def normalize_over(F: Any, input: Spec, *, dims: Shape, eps: float) -> tuple[Spec, Spec, Spec]:
    """(input - mean) / sqrt(var + eps) over `dims`, with mean and biased variance, sizes kept 1."""
    shapes.require_float("normalization", "input", input)
    mean = F.mean_over(input, dim=dims, keepdim=True)
    centred = F.minus(input, mean)
    var = F.mean_over(F.square(centred), dim=dims, keepdim=True)
    return F.mul(centred, F.rsqrt(F.plus(var, eps))), mean, var


@normalize_over.array
def normalize_array(xp: Any, input: Any, dims: Shape, eps: float) -> tuple[Any, Any, Any]:
    """Two passes, as the mean of squares minus the squared mean would cancel."""
    if input.dtype.kind in "biu":
        raise TypeError("normalization of integers")
    mean = input.mean(dims, keepdims=True)
    out = input - mean
    var = xp.square(out).mean(dims, keepdims=True)
    out /= xp.sqrt(var + input.dtype.type(eps))
    return out, mean, var


@normalize_over.vjp(saves="input out")
def normalize_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dims: Any, eps: Any) -> Any:
    """What statistics get back comes into play where they are used, as in second derivatives."""
    normalized, _, var = out
    parts = []
    if g[0] is not None:
        parts.append(F.normalize_gradient(g[0], normalized, var, dims=dims, eps=eps))
    if g[1] is not None:
        parts.append(F.expand_mean(g[1], like=input, dim=dims, keepdim=True))
    if g[2] is not None:
        # d var / d input = 2 (input - mean) / n
        doubled = F.mul(F.mul(g[2], F.sqrt(F.plus(var, eps))), 2.0)
        share = F.expand_mean(doubled, like=input, dim=dims, keepdim=True)
        parts.append(F.mul(share, normalized))
    total = parts[0]
    for part in parts[1:]:
        total = F.plus(total, part)
    return total


@composite
def normalize_gradient(
    F: Any, g: Spec, normalized: Spec, var: Spec, *, dims: Shape, eps: float
) -> Spec:
    """(g - mean(g) - normalized * mean(g * normalized)) / sqrt(var + eps), means over `dims`."""
    along = F.mean_over(F.mul(g, normalized), dim=dims, keepdim=True)
    level = F.mean_over(g, dim=dims, keepdim=True)
    rest = F.minus(F.minus(g, level), F.mul(normalized, along))
    return F.mul(rest, F.rsqrt(F.plus(var, eps)))


@normalize_gradient.array
def normalize_gradient_array(
    xp: Any, g: Any, normalized: Any, var: Any, dims: Shape, eps: float
) -> Any:
    """The same in place."""
    out = g * normalized
    along = out.mean(dims, keepdims=True)
    xp.multiply(normalized, along, out=out)
    xp.subtract(g, out, out=out)
    out -= g.mean(dims, keepdims=True)
    out /= xp.sqrt(var + var.dtype.type(eps))
    return out


def _as_narrow(F: Any, out: Any, x: Any) -> Any:
    """`out` in the dtype of x if that is a half type, which parameters in float32 do not widen."""
    return out if out.dtype is x.dtype or x.dtype.itemsize > 2 else F.cast(out, dtype=x.dtype)


# -- over a layer ----------------------------------------------------------------------------------


@composite
def layer_norm(
    F: Any,
    input: Spec,
    normalized_shape: Any,
    weight: Spec | None = None,
    bias: Spec | None = None,
    eps: float = 1e-5,
) -> Spec:
    """(input - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    `input` is (..., *normalized_shape); weight and bias are `normalized_shape`; var is biased.
    Raises: RuntimeError for shapes that do not fit. Source: arXiv:1607.06450, equation 4.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    _require_layer(shape, input=input, weight=weight, bias=bias)
    dims = tuple(range(-len(shape), 0))
    return _as_narrow(F, F.layer_norm_over(input, weight, bias, dims=dims, eps=eps), input)


@composite(node_name="NativeLayerNorm")
def layer_norm_over(
    F: Any, input: Spec, weight: Spec | None, bias: Spec | None, *, dims: Shape, eps: float
) -> Spec:
    """(input - mean) / sqrt(var + eps) * weight + bias over the last dimensions, `dims`."""
    return scaled(F, F.normalize_over(input, dims=dims, eps=eps)[0], weight, bias)


@layer_norm_over.array
def layer_norm_array(xp: Any, input: Any, weight: Any, bias: Any, dims: Shape, eps: float) -> Any:
    """Scaled and shifted in place."""
    out = normalize_array(xp, input, dims, eps)[0]
    if weight is not None:
        out *= weight
    if bias is not None:
        out += bias
    return out


@layer_norm_over.vjp(saves="input weight")
def layer_norm_vjp(
    F: Any, g: Any, needs: Any, input: Any, weight: Any, bias: Any, dims: Any, eps: Any
) -> Any:
    """The statistics are computed again: the input is there, and has to be read anyway."""
    if weight is None and bias is None:
        normalized, _, var = F.normalize_over(input, dims=dims, eps=eps)
        return F.normalize_gradient(g, normalized, var, dims=dims, eps=eps), None, None
    like = bias if weight is None else weight
    grads = F.layer_norm_gradient(g, input, weight, like=like, dims=dims, eps=eps)
    return tuple([part if need else None for part, need in zip(grads, needs, strict=True)])


@composite
def layer_norm_gradient(
    F: Any, g: Spec, input: Spec, weight: Spec | None, *, like: Shape, dims: Shape, eps: float
) -> tuple[Spec, Spec, Spec]:
    """The gradients of `layer_norm_over` by input, weight and bias; those are of shape `like`."""
    normalized, _, var = F.normalize_over(input, dims=dims, eps=eps)
    weighted = g if weight is None else F.mul(g, weight)
    return (
        F.normalize_gradient(weighted, normalized, var, dims=dims, eps=eps),
        F.sum_to(F.mul(g, normalized), like=like),
        F.sum_to(g, like=like),
    )


@layer_norm_gradient.array
def layer_norm_gradient_array(
    xp: Any, g: Any, input: Any, weight: Any, like: Shape, dims: Shape, eps: float
) -> tuple[Any, Any, Any]:
    """The same on arrays."""
    normalized, _, var = normalize_array(xp, input, dims, eps)
    weighted = g if weight is None else g * weight
    samples = tuple(range(g.ndim - len(like)))
    return (
        normalize_gradient_array(xp, weighted, normalized, var, dims, eps),
        xp.asarray((g * normalized).sum(samples)),
        xp.asarray(g.sum(samples)),
    )


def _require_layer(shape: Shape, *, input: Any, weight: Any, bias: Any) -> None:
    if not shape:
        raise ShapeError("layer_norm: expected normalized_shape of at least one size. Got ().")
    if tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"layer_norm: expected input (..., {', '.join(map(str, shape))}), as normalized_shape "
            f"is {shape}. Got input {tuple(input.shape)}. Change normalized_shape, or the input."
        )
    for name, x in (("weight", weight), ("bias", bias)):
        if x is not None and tuple(x.shape) != shape:
            raise ShapeError(
                f"layer_norm: expected {name} of shape {shape}, as normalized_shape is. Got "
                f"{tuple(x.shape)}."
            )


# -- over groups of channels -----------------------------------------------------------------------


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(N, C, ...) with mean 0 and variance 1 in each of `num_groups` groups of channels, then
    scaled and shifted per channel. Source: arXiv:1803.08494.

    Raises: RuntimeError if the channels do not divide into the groups.
    """
    if input.ndim < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm: expected channels that {num_groups} divides. Got {tuple(input.shape)}."
        )
    if input.is_cuda and input.numel():
        out = group_norm_over(input, weight, bias, groups=num_groups, eps=eps)
        return out.to(input.dtype)
    each = input.shape[1] // num_groups * math.prod(input.shape[2:])
    groups = input.reshape(input.shape[0], num_groups, each)
    out = normalize_over(groups, dims=(2,), eps=eps)[0].reshape(input.shape)
    return named(affine_channels(out, weight, bias), "NativeGroupNorm")


@composite(node_name="NativeGroupNorm")
def group_norm_over(
    F: Any, input: Spec, weight: Spec | None, bias: Spec | None, *, groups: int, eps: float
) -> Spec:
    """`group_norm` in one operation, for devices that have a kernel for it."""
    out = F.normalize_over(_in_groups(F, input, groups), dims=(2,), eps=eps)[0]
    out = F.view_as_shape(out, shape=tuple(input.shape))
    if weight is None and bias is None:
        return out
    return F.scale_shift_channels(out, weight, bias)


def _in_groups(F: Any, x: Any, groups: int) -> Any:
    """(N, C, ...) as (N, groups, elements)."""
    return F.view_as_shape(F.copied(x), shape=(x.shape[0], groups, -1))


@group_norm_over.array
def group_norm_array(xp: Any, input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    """Scaled and shifted in place."""
    rows = input.reshape(input.shape[0], groups, -1)
    out = normalize_array(xp, rows, (2,), eps)[0].reshape(input.shape)
    column = (-1, *[1] * (input.ndim - 2))
    if weight is not None:
        out *= weight.reshape(column)
    if bias is not None:
        out += bias.reshape(column)
    return out


@group_norm_over.vjp(saves="input weight")
def group_norm_vjp(
    F: Any, g: Any, needs: Any, input: Any, weight: Any, bias: Any, groups: Any, eps: Any
) -> Any:
    """The statistics are computed again: the input is there, and has to be read anyway."""
    grads = F.group_norm_gradient(g, input, weight, groups=groups, eps=eps)
    return tuple([part if need else None for part, need in zip(grads, needs, strict=True)])


@composite
def group_norm_gradient(
    F: Any, g: Spec, input: Spec, weight: Spec | None, *, groups: int, eps: float
) -> tuple[Spec, Spec, Spec]:
    """The gradients of `group_norm_over` by input, and by weight and bias (C,)."""
    normalized, _, var = F.normalize_over(_in_groups(F, input, groups), dims=(2,), eps=eps)
    weighted = g if weight is None else F.scale_shift_channels(g, weight, None)
    rows = _in_groups(F, weighted, groups)
    by_input = F.normalize_gradient(rows, normalized, var, dims=(2,), eps=eps)
    shown = F.view_as_shape(normalized, shape=tuple(input.shape))
    return (
        F.view_as_shape(by_input, shape=tuple(input.shape)),
        F.channel_sum(F.mul(g, shown)),
        F.channel_sum(g),
    )


@group_norm_gradient.array
def group_norm_gradient_array(
    xp: Any, g: Any, input: Any, weight: Any, groups: int, eps: float
) -> tuple[Any, Any, Any]:
    """The same on arrays."""
    rows = (input.shape[0], groups, -1)
    normalized, _, var = normalize_array(xp, input.reshape(rows), (2,), eps)
    weighted = g if weight is None else g * weight.reshape(-1, *[1] * (g.ndim - 2))
    by_input = normalize_gradient_array(xp, weighted.reshape(rows), normalized, var, (2,), eps)
    samples = (0, *range(2, g.ndim))
    shown = normalized.reshape(input.shape)
    return (
        by_input.reshape(input.shape),
        xp.asarray((g * shown).sum(samples)),
        xp.asarray(g.sum(samples)),
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`group_norm` of every channel by itself; with running statistics of the batch's mean.
    Source: arXiv:1607.08022."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None and running_var is not None:
        flat = input.detach().reshape(*input.shape[:2], -1)
        with no_grad():
            running_mean.lerp_(flat.mean(2).mean(0), momentum)
            running_var.lerp_(flat.var(2).mean(0), momentum)
    return group_norm(input, input.shape[1], weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """input divided by the root of its mean square over the last dimensions, `normalized_shape`,
    then scaled. Source: arXiv:1910.07467.

    Raises: RuntimeError if the last dimensions are not those.
    """
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if tuple(input.shape[-len(sizes) :]) != sizes:
        raise ShapeError(
            f"rms_norm: expected input that ends in {sizes}. Got {tuple(input.shape)}."
        )
    half = input.dtype.itemsize == 2
    small = finfo(dtypes.float32 if half else input.dtype).eps if eps is None else eps
    dims = tuple(range(-len(sizes), 0))
    wide = input.float() if half and not input.is_cuda else input
    return rms_norm_over(wide, weight, dims=dims, eps=small).to(input.dtype)


@composite(node_name="Mul")
def rms_norm_over(F: Any, input: Spec, weight: Spec | None, *, dims: Shape, eps: float) -> Spec:
    """input / sqrt(mean(input**2) + eps) * weight over the last dimensions, `dims`."""
    mean = F.mean_over(F.squared(input), dim=dims, keepdim=True)
    out = F.mul(input, F.rsqrt(F.plus(mean, eps)))
    return out if weight is None else F.mul(out, weight)


@rms_norm_over.array
def rms_norm_array(xp: Any, input: Any, weight: Any, dims: Shape, eps: float) -> Any:
    """Scaled in place."""
    mean = xp.square(input).mean(dims, keepdims=True)
    out = input / xp.sqrt(mean + input.dtype.type(eps))
    if weight is not None:
        out *= weight
    return out


@rms_norm_over.vjp(saves="input weight")
def rms_norm_vjp(F: Any, g: Any, needs: Any, input: Any, weight: Any, dims: Any, eps: Any) -> Any:
    """The scale is computed again, as the input has to be read anyway."""
    by_input, by_weight = F.rms_norm_gradient(g, input, weight, dims=dims, eps=eps)
    return by_input if needs[0] else None, by_weight if needs[1] else None


@composite
def rms_norm_gradient(
    F: Any, g: Spec, input: Spec, weight: Spec | None, *, dims: Shape, eps: float
) -> tuple[Spec, Spec]:
    """The gradients of `rms_norm_over` by input and weight; without weight the first one twice."""
    scale = F.rsqrt(F.plus(F.mean_over(F.squared(input), dim=dims, keepdim=True), eps))
    normalized = F.mul(input, scale)
    weighted = g if weight is None else F.mul(g, weight)
    along = F.mean_over(F.mul(weighted, normalized), dim=dims, keepdim=True)
    out = F.mul(F.minus(weighted, F.mul(normalized, along)), scale)
    return out, out if weight is None else F.sum_to(F.mul(g, normalized), like=weight)


@rms_norm_gradient.array
def rms_norm_gradient_array(
    xp: Any, g: Any, input: Any, weight: Any, dims: Shape, eps: float
) -> tuple[Any, Any]:
    """The same on arrays."""
    scale = 1 / xp.sqrt(xp.square(input).mean(dims, keepdims=True) + input.dtype.type(eps))
    normalized = input * scale
    weighted = g if weight is None else g * weight
    out = (weighted - normalized * (weighted * normalized).mean(dims, keepdims=True)) * scale
    if weight is None:
        return out, out
    samples = tuple(range(g.ndim - len(dims)))
    return out, xp.asarray((g * normalized).sum(samples))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """input / (k + alpha * mean of squares of `size` neighbouring channels)**beta.
    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3."""
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: expected (N, C, ...). Got {tuple(input.shape)}.")
    if not input.numel():
        return input
    before = size // 2
    squares = input.square().movedim(1, -1)
    padded = pad_constant(squares, pad=(before, (size - 1) // 2), value=0.0)
    total = padded.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    rounding = None if input.is_floating_point() else "trunc"
    mean = total.div(size, rounding_mode=rounding)
    return input / (mean * alpha + k) ** beta
