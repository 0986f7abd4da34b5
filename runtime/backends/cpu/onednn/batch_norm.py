"""Batch normalization by oneDNN, on images with their channels innermost or row-major ones.

Shapes: input and g (N, C, *sizes), all else (C,).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .layouts import FLOAT32, is_channels_last, steps
from .library import Library, library
from .primitives import (
    BACKWARD,
    DIFF_DST,
    DIFF_SCALE,
    DIFF_SHIFT,
    DIFF_SRC,
    DST,
    FORWARD_INFERENCE,
    FORWARD_TRAINING,
    MEAN,
    SCALE,
    SHIFT,
    SRC,
    VARIANCE,
    Description,
    Descriptor,
    Float,
    Primitive,
    kept,
)

LEAST = 1 << 14
"""Elements from which on oneDNN is called."""

GLOBAL, AFFINE = 1, 2 | 4
"""Flags: statistics are given; there are a scale and a shift."""


def _arranged(x: Any, like: Any = None) -> Any:
    """x row-major or with its channels innermost; as `like` lies, if given."""
    if x.flags.c_contiguous and (like is None or like.flags.c_contiguous):
        return x
    if is_channels_last(x) and (like is None or x.strides == like.strides):
        return x
    if like is None:
        return np.ascontiguousarray(x)
    out = np.empty_like(like)
    out[...] = x
    return out


def _vector(x: Any, channels: int, default: float) -> Any:
    return np.full(channels, default, FLOAT32) if x is None else np.ascontiguousarray(x)


def _is_large(input: Any, *vectors: Any) -> bool:
    return (
        input.size >= LEAST
        and 2 <= input.ndim <= 5
        and input.dtype == FLOAT32
        and all(v is None or (v.dtype == FLOAT32 and v.shape == input.shape[1:2]) for v in vectors)
        and library() is not None
    )


def serves(input: Any, weight: Any = None, bias: Any = None, *, dims: Any, eps: float) -> bool:
    """Whether `batch_normalize` can compute this."""
    return _is_large(input, weight, bias)


def serves_gradient(g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float) -> bool:
    """Whether `batch_normalize_gradient` can compute this."""
    return _is_large(input, weight, mean, var) and g.dtype == FLOAT32 and g.shape == input.shape


def serves_given(
    input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> bool:
    """Whether `normalize_by` can compute this."""
    return _is_large(input, mean, var, weight, bias)


def serves_scale(input: Any, weight: Any = None, bias: Any = None) -> bool:
    """Whether `scale_shift_channels` can compute this."""
    return _is_large(input, weight, bias)


def _forward(found: Library, x: Any, kind: int, eps: float, flags: int) -> Description:
    layout = Descriptor(found, x.shape, steps(x))
    name = "batch_normalization_forward"
    return Description(found, name, kind, layout, layout, Float(eps), flags)


def batch_normalize(
    input: Any, weight: Any = None, bias: Any = None, *, dims: Any, eps: float
) -> tuple[Any, Any, Any]:
    """(input - mean) / sqrt(var + eps) * weight + bias, mean and biased variance."""
    found = library()
    assert found is not None
    x, channels = _arranged(input), input.shape[1]
    primitive = kept(
        ("batch_norm", x.shape, x.strides, eps),
        lambda: Primitive(
            _forward(found, x, FORWARD_TRAINING, eps, AFFINE),
            (SRC, SCALE, SHIFT, DST, MEAN, VARIANCE),
        ),
    )
    out, mean, var = np.empty_like(x), np.empty(channels, FLOAT32), np.empty(channels, FLOAT32)
    scale, shift = _vector(weight, channels, 1), _vector(bias, channels, 0)
    primitive.run(x, scale, shift, out, mean, var)
    return out, mean, var


def batch_normalize_gradient(
    g: Any, input: Any, weight: Any, mean: Any, var: Any, *, eps: float
) -> tuple[Any, Any, Any]:
    """The gradients by input, weight and bias."""
    found = library()
    assert found is not None
    x, channels = _arranged(input), input.shape[1]
    g = _arranged(g, x)

    def make() -> Primitive:
        layout = Descriptor(found, x.shape, steps(x))
        hint = _forward(found, x, FORWARD_TRAINING, eps, AFFINE)
        description = Description(
            found, "batch_normalization_backward", BACKWARD, layout, layout, layout, Float(eps),
            AFFINE, hint,
        )  # fmt: skip
        arguments = (SRC, MEAN, VARIANCE, DIFF_DST, SCALE, DIFF_SRC, DIFF_SCALE, DIFF_SHIFT)
        return Primitive(description, arguments)

    primitive = kept(("batch_norm_gradient", x.shape, x.strides, eps), make)
    out, along, total = np.empty_like(x), np.empty(channels, FLOAT32), np.empty(channels, FLOAT32)
    statistics = np.ascontiguousarray(mean), np.ascontiguousarray(var)
    primitive.run(x, *statistics, g, _vector(weight, channels, 1), out, along, total)
    return out, along, total


def normalize_by(
    input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, *, eps: float
) -> Any:
    """(input - mean) / sqrt(var + eps) * weight + bias; None stands for mean 0 and variance 1."""
    found = library()
    assert found is not None
    x, channels = _arranged(input), input.shape[1]
    primitive = kept(
        ("normalize_by", x.shape, x.strides, eps),
        lambda: Primitive(
            _forward(found, x, FORWARD_INFERENCE, eps, GLOBAL | AFFINE),
            (SRC, MEAN, VARIANCE, SCALE, SHIFT, DST),
        ),
    )
    out = np.empty_like(x)
    defaults = ((mean, 0), (var, 1), (weight, 1), (bias, 0))
    primitive.run(x, *[_vector(v, channels, d) for v, d in defaults], out)
    return out


def scale_shift_channels(input: Any, weight: Any = None, bias: Any = None) -> Any:
    """input * weight + bias: a normalization by mean 0 and variance 1."""
    return normalize_by(input, None, None, weight, bias, eps=0.0)
