"""Products and convolutions of 8-bit codes by oneDNN, scaled, shifted, cut off at 0 and quantized
again in the same pass.

Codes are uint8 or int8, weights int8 that stand for multiples of one scale per output. On
processors with VNNI four products are added up at once; on older ones two uint8-by-int8 products
may saturate 16 bits, which is why PyTorch's default settings quantize activations to 7 bits.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple

import numpy as np

from . import packed
from .convolution import Shape, output_shape
from .layouts import channel_axes, is_channels_last, reorder, steps
from .library import Library, library
from .primitives import (
    BIAS,
    DST,
    FORWARD_INFERENCE,
    SRC,
    WEIGHTS,
    Attributes,
    Description,
    Descriptor,
    Float,
    Handle,
    Primitive,
    dims,
    kept,
)

LEAST = 1 << 14
"""Multiplications from which on oneDNN is called."""

DIRECT = 1  # dnnl_convolution_direct
RELU = 0x20  # dnnl_eltwise_relu
SCALES, ZERO_POINTS = 4096, 8192  # DNNL_ARG_ATTR_SCALES, DNNL_ARG_ATTR_ZERO_POINTS
CODES = (np.dtype(np.uint8), np.dtype(np.int8))


class Finish(NamedTuple):
    """What becomes of the sums: * scale + bias, max(., 0), and codes again if `out` is a type."""

    has_bias: bool
    relu: bool
    out: str  # float32, uint8 or int8
    has_zero: bool  # whether a code other than 0 means 0


class Compiled(NamedTuple):
    """A primitive, and the copy of a weight into the layout that it wants."""

    primitive: Primitive
    weight_copy: Primitive
    weight_bytes: int

    def own(self, weight: Any, given: Any) -> Any:
        """`given`, a view of the user's array `weight`, in that layout."""

        def copied() -> Any:
            out = np.empty(self.weight_bytes, np.uint8)
            self.weight_copy.run(given, out)
            return out

        return packed.copy_of(weight, self, copied)


def _attributes(found: Library, finish: Finish, mask: int) -> Attributes:
    """Scales of the weight by `mask`, a zero point of the source, and what `finish` says."""
    made = Attributes(found)
    found.call("primitive_attr_set_scales_mask", made, WEIGHTS, mask)
    if finish.has_zero:
        found.call("primitive_attr_set_zero_points_mask", made, SRC, 0)
    if finish.out != "float32":
        found.call("primitive_attr_set_scales_mask", made, DST, 0)
        found.call("primitive_attr_set_zero_points_mask", made, DST, 0)
    if finish.relu:
        chain = Handle()
        found.call("post_ops_create", ctypes.byref(chain))
        found.call("post_ops_append_eltwise", chain, RELU, Float(0), Float(0))
        found.call("primitive_attr_set_post_ops", made, chain)
        found.functions.dnnl_post_ops_destroy(chain)
    return made


def _arguments(found: Library, finish: Finish, outputs: int) -> tuple[list[int], dict[int, Any]]:
    """The numbers of the arguments in the order of `_operands`, and the layouts of those that the
    primitive does not tell."""
    one_float, one_int = Descriptor(found, (1,), (1,)), Descriptor(found, (1,), (1,), "int32")
    own: dict[int, Any] = {SCALES | WEIGHTS: Descriptor(found, (outputs,), (1,))}
    if finish.has_zero:
        own[ZERO_POINTS | SRC] = one_int
    if finish.out != "float32":
        own |= {SCALES | DST: one_float, ZERO_POINTS | DST: one_int}
    return [SRC, WEIGHTS, *own, *([BIAS] if finish.has_bias else []), DST], own


def _operands(
    finish: Finish, x: Any, weight: Any, scale: Any, zero_point: int, bias: Any,
    out_scale: float | None, out_zero_point: int, out: Any,
) -> list[Any]:  # fmt: skip
    given = [x, weight, np.ascontiguousarray(scale)]
    if finish.has_zero:
        given.append(np.array([zero_point], np.int32))
    if finish.out != "float32":
        given += [np.array([out_scale], np.float32), np.array([out_zero_point], np.int32)]
    return [*given, *([] if bias is None else [np.ascontiguousarray(bias)]), out]


# -- products --------------------------------------------------------------------------------------


def serves_linear(input: Any, weight: Any, *others: Any, **options: Any) -> bool:
    """Whether `linear` can compute this."""
    fits = input.ndim >= 1 and weight.ndim == 2 and input.shape[-1] == weight.shape[1]
    is_large = fits and input.size * len(weight) >= LEAST and input.dtype in CODES
    return is_large and weight.dtype == np.int8 and library() is not None


def linear(
    input: Any, weight: Any, scale: Any, bias: Any = None, row_scale: Any = None, *,
    zero_point: int = 0, relu: bool = False, out_scale: float | None = None,
    out_zero_point: int = 0,
) -> Any:  # fmt: skip
    """See `ops.int8.int8_linear`; with `row_scale` the result is float32 and `relu` off."""
    found = library()
    assert found is not None
    x = np.ascontiguousarray(input.reshape(math.prod(input.shape[:-1]), input.shape[-1]))
    kind = "float32" if out_scale is None else x.dtype.name
    added = bias if row_scale is None else None
    finish = Finish(added is not None, relu, kind, zero_point != 0)
    out = np.empty((len(x), len(weight)), kind)
    whole = np.ascontiguousarray(weight)
    identity = ("int8 product", x.shape, x.dtype.name, whole.shape, finish)
    made: Any = kept(identity, lambda: _product(found, x, whole, finish))
    own = made.own(weight, whole.T)
    made.primitive.run(
        *_operands(finish, x, own, scale, zero_point, added, out_scale, out_zero_point, out)
    )
    if row_scale is not None:
        from ..loops import quantization

        quantization.scale_rows(out, row_scale, bias)
    return out.reshape(*input.shape[:-1], len(weight))


def _product(found: Library, x: Any, weight: Any, finish: Finish) -> Any:
    (n, k), m = x.shape, len(weight)
    description = Description(
        found, "matmul", Descriptor(found, x.shape, (k, 1), x.dtype.name),
        Descriptor(found, (k, m), None, "int8"),
        Descriptor(found, (1, m), (m, 1)) if finish.has_bias else None,
        Descriptor(found, (n, m), (m, 1), finish.out),
        attributes=_attributes(found, finish, 2),
    )  # fmt: skip
    primitive = Primitive(description, *_arguments(found, finish, m))
    users = Descriptor(found, (k, m), (1, k), "int8")
    return _with_copy(found, primitive, users)


def _with_copy(found: Library, primitive: Primitive, users: Descriptor) -> Compiled:
    description = primitive.description
    copy = reorder(found, users, description.layout(WEIGHTS))
    return Compiled(primitive, copy, description.bytes_of(WEIGHTS))


# -- convolutions ----------------------------------------------------------------------------------


def serves_convolution(
    input: Any, weight: Any, scale: Any, bias: Any = None, *, stride: Any, padding: Any,
    dilation: Any, groups: int, **options: Any,
) -> bool:  # fmt: skip
    """Whether `convolution` can compute this."""
    fits = 3 <= input.ndim <= 5 and input.shape[1] == weight.shape[1] * groups
    if not fits or input.dtype not in CODES or weight.dtype != np.int8:
        return False
    output = output_shape(input.shape, weight.shape, stride, _pairs(padding), dilation)
    is_large = min(*input.shape, *output) > 0 and math.prod(output) * weight[0].size >= LEAST
    return is_large and library() is not None


def convolution(
    input: Any, weight: Any, scale: Any, bias: Any = None, *, stride: Shape, padding: Shape,
    dilation: Shape, groups: int, zero_point: int = 0, relu: bool = False,
    out_scale: float | None = None, out_zero_point: int = 0,
) -> Any:  # fmt: skip
    """See `ops.int8.int8_convolution`; the result has its channels innermost."""
    found = library()
    assert found is not None
    kind = "float32" if out_scale is None else input.dtype.name
    finish = Finish(bias is not None, relu, kind, zero_point != 0)
    shape = output_shape(input.shape, weight.shape, stride, _pairs(padding), dilation)
    x, out = _channels_last(found, input), _empty_channels_last(shape, kind)
    whole = np.ascontiguousarray(weight)
    if groups > 1:
        whole = whole.reshape(groups, len(weight) // groups, *weight.shape[1:])
    window = (tuple(stride), tuple(padding), tuple(dilation))
    identity = ("int8 convolution", x.shape, x.dtype.name, whole.shape, window, finish)
    made: Any = kept(identity, lambda: _convolution(found, x, whole, out, window, finish))
    own = made.own(weight, whole)
    made.primitive.run(
        *_operands(finish, x, own, scale, zero_point, bias, out_scale, out_zero_point, out)
    )
    return out


def _convolution(
    found: Library, x: Any, weight: Any, out: Any, window: Any, finish: Finish
) -> Compiled:
    stride, padding, dilation = window
    outputs = out.shape[1]
    mask = 3 if weight.ndim > x.ndim else 1
    bias = Descriptor(found, (outputs,), (1,)) if finish.has_bias else None
    description = Description(
        found, "convolution_forward", FORWARD_INFERENCE, DIRECT,
        Descriptor(found, x.shape, steps(x), x.dtype.name),
        Descriptor(found, weight.shape, None, "int8"), bias,
        Descriptor(found, out.shape, steps(out), finish.out), dims(stride),
        dims([d - 1 for d in dilation]), dims(padding), dims(padding),
        attributes=_attributes(found, finish, mask),
    )  # fmt: skip
    primitive = Primitive(description, *_arguments(found, finish, outputs))
    return _with_copy(
        found, primitive, Descriptor(found, weight.shape, steps(weight), weight.dtype.name)
    )


def _pairs(padding: Any) -> tuple[tuple[int, int], ...]:
    return tuple((p, p) for p in padding)


def _empty_channels_last(shape: Shape, dtype: Any) -> Any:
    batch, channels, *sizes = shape
    return np.empty((batch, *sizes, channels), dtype).transpose(channel_axes(len(shape))[1])


def _channels_last(found: Library, x: Any) -> Any:
    """The images x with their channels innermost."""
    if is_channels_last(x):
        return x
    out = _empty_channels_last(x.shape, x.dtype)
    if min(x.strides) <= 0:
        out[...] = x
        return out
    identity = ("copy of codes", x.shape, x.strides, x.dtype.name)

    def make() -> Primitive:
        layouts = [Descriptor(found, a.shape, steps(a), a.dtype.name) for a in (x, out)]
        return reorder(found, *layouts)

    copy = kept(identity, make)
    assert copy is not None
    copy.run(x, out)
    return out
