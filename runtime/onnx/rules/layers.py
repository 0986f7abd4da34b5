"""Convolutions, normalizations and resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder, OnnxExporterError, Value
from .reductions import last_axes
from .registry import rule


@rule("convolution")
def convolution(
    b: Builder, x: Value, weight: Value, bias: Value | None = None, *, stride: Sequence[int],
    padding: Sequence[tuple[int, int]], dilation: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    """Cross-correlation, as in ONNX."""
    pads = [p[0] for p in padding] + [p[1] for p in padding]
    return b.Conv(
        x, weight, bias, strides=list(stride), pads=pads, dilations=list(dilation), group=groups,
        kernel_shape=[weight.size(k) for k in range(2, weight.ndim)],
    )  # fmt: skip


@rule("convolution_input")
def transposed(
    b: Builder, x: Value, weight: Value, *, like: Sequence[Any], stride: Sequence[int],
    padding: Sequence[tuple[int, int]], dilation: Sequence[int], groups: int,
) -> Value:  # fmt: skip
    """The rows that the sizes of the output have beyond the least are its padding."""
    given, wanted = b.node.args[0].meta["vals"][0].shape, b.node.meta["vals"][0].shape
    kernel = [weight.size(k) for k in range(2, weight.ndim)]
    extra = [
        wanted[k + 2] - ((given[k + 2] - 1) * s - sum(padding[k]) + d * (kernel[k] - 1) + 1)
        for k, (s, d) in enumerate(zip(stride, dilation, strict=True))
    ]
    pads = [p[0] for p in padding] + [p[1] for p in padding]
    return b.ConvTranspose(
        x, weight, strides=list(stride), pads=pads, dilations=list(dilation), group=groups,
        output_padding=extra, kernel_shape=kernel,
    )  # fmt: skip


def column(b: Builder, x: Value | None, ndim: int) -> Value | None:
    """(C,) as (C, 1, ...), which broadcasts against (N, C, ...)."""
    return x if x is None or ndim < 2 else b.Reshape(x, b.ints([-1, *[1] * (ndim - 2)]))


def affine(b: Builder, x: Value, weight: Value | None, bias: Value | None) -> Value:
    """x * weight + bias, of which either may be None, in the dtype of x."""
    out = x if weight is None else b.Mul(x, b.cast(weight, x.dtype))
    return out if bias is None else b.Add(out, b.cast(bias, x.dtype))


@rule("scale_shift_channels")
def scale_shift(
    b: Builder, x: Value, weight: Value | None = None, bias: Value | None = None
) -> Value:
    """One factor and one summand for each channel."""
    return affine(b, x, column(b, weight, x.ndim), column(b, bias, x.ndim))


@rule("normalize_by")
def batch_norm(
    b: Builder, x: Value, mean: Value, var: Value, weight: Value | None = None,
    bias: Value | None = None, *, eps: float,
) -> Value:  # fmt: skip
    """BatchNormalization; where nothing scales, by ones and zeros."""
    weight = weight if weight is not None else _filled(b, mean, 1.0)
    bias = bias if bias is not None else _filled(b, mean, 0.0)
    parameters = [b.cast(p, x.dtype) for p in (weight, bias, mean, var)]
    return b.BatchNormalization(x, *parameters, epsilon=float(eps))


def _filled(b: Builder, like: Value, number: float) -> Value:
    return b.Expand(b.constant(number, like.dtype), b.ints([like.size(0)]))


def normalized(b: Builder, x: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value, Value]:
    """(x - mean) / sqrt(var + eps), mean and biased variance with sizes kept 1."""
    mean = b.reduce("ReduceMean", x, axes, True)
    centred = b.Sub(x, mean)
    var = b.reduce("ReduceMean", b.Mul(centred, centred), axes, True)
    return b.Div(centred, b.Sqrt(b.Add(var, float(eps)))), mean, var


@rule("normalize_over")
def normalize_over(b: Builder, x: Value, *, dims: Sequence[int], eps: float) -> Any:
    """Over any dimensions."""
    return normalized(b, x, dims, eps)


@rule("batch_normalize", "mixed_batch_normalize")
def batch_statistics(
    b: Builder, x: Value, weight: Value | None = None, bias: Value | None = None, *,
    dims: Sequence[int], eps: float,
) -> Any:  # fmt: skip
    """By the statistics of the batch itself."""
    out, mean, var = normalized(b, x, dims, eps)
    out = affine(b, out, column(b, weight, x.ndim), column(b, bias, x.ndim))
    flat = b.ints([-1])
    return out, b.Reshape(mean, flat), b.Reshape(var, flat)


@rule("layer_norm_over")
def layer_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    *,
    dims: Sequence[int],
    eps: float,
) -> Value:
    """LayerNormalization over the last dimensions."""
    if weight is not None and last_axes(dims, x.ndim) and b.opset >= 17:
        parameters = [None if p is None else b.cast(p, x.dtype) for p in (weight, bias)]
        return b.LayerNormalization(x, *parameters, axis=-len(dims), epsilon=float(eps))
    return affine(b, normalized(b, x, dims, eps)[0], weight, bias)


@rule("rms_norm_over")
def rms_norm(
    b: Builder, x: Value, weight: Value | None, *, dims: Sequence[int], eps: float
) -> Value:
    """x / sqrt(mean(x**2) + eps) * weight."""
    mean = b.reduce("ReduceMean", b.Mul(x, x), dims, True)
    return affine(b, b.Div(x, b.Sqrt(b.Add(mean, float(eps)))), weight, None)


@rule("group_norm_over")
def group_norm(
    b: Builder, x: Value, weight: Value | None, bias: Value | None, *, groups: int, eps: float
) -> Value:
    """InstanceNormalization of each group as a channel, which every opset has."""
    rows = b.Reshape(x, b.ints([0, groups, -1]))
    one = [b.Expand(b.constant(n, x.dtype), b.ints([groups])) for n in (1.0, 0.0)]
    out = b.Reshape(b.InstanceNormalization(rows, *one, epsilon=float(eps)), b.Shape(x))
    return affine(b, out, column(b, weight, x.ndim), column(b, bias, x.ndim))


RESIZE = {"nearest": ("nearest", "asymmetric", "floor"),
          "nearest-exact": ("nearest", "half_pixel", "round_prefer_ceil"),
          "linear": ("linear", "half_pixel", ""), "bilinear": ("linear", "half_pixel", ""),
          "trilinear": ("linear", "half_pixel", ""), "bicubic": ("cubic", "half_pixel", ""),
          "cubic": ("cubic", "half_pixel", "")}  # fmt: skip


@rule("resample", "resample_like")
def resample(
    b: Builder, x: Value, *, sizes: Sequence[Any], factors: Sequence[Any], mode: str,
    align_corners: bool, like: Any = None,
) -> Value:  # fmt: skip
    """Resize to `sizes`, or by the factors where they tell the spacing."""
    if mode not in RESIZE:
        raise OnnxExporterError(
            f"ONNX: expected a mode of interpolate among {list(RESIZE)}. Got {mode}."
        )
    kind, where, rounding = RESIZE[mode]
    options: dict[str, Any] = {"nearest_mode": rounding} if rounding else {"cubic_coeff_a": -0.75}
    options["coordinate_transformation_mode"] = "align_corners" if align_corners else where
    pairs = list(zip(sizes, x.shape[2:], factors, strict=True))
    apart = [f is not None and not _is_ratio(n, m, f) for n, m, f in pairs]
    if any(apart) and any(f is None for f in factors):
        raise OnnxExporterError("ONNX: interpolate by factors wants one for each dimension.")
    if any(apart):
        scales = b.constant(np.asarray([1.0, 1.0, *factors], np.float32))
        return b.Resize(x, None, scales, mode=kind, **options)
    whole = b.Concat(b.Slice(b.Shape(x), b.ints([0]), b.ints([2])), b.ints(sizes), axis=0)
    return b.Resize(x, None, None, whole, mode=kind, **options)


def _is_ratio(size: Any, given: Any, factor: float) -> bool:
    """Whether a factor is what the sizes tell."""
    return isinstance(size, int) and given is not None and math.isclose(size / given, factor)
