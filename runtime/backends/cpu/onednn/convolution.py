"""The three maps of convolutions by oneDNN, on images with their channels innermost.

Shapes as in `ops.convolution`: input (N, C, *sizes), weight (O, C / groups, *kernel), output
(N, O, *sizes'), `padding` a pair per spatial dimension. Results have their channels innermost too,
which saves the next layer a copy.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import packed
from .layouts import FLOAT32, channels_last, empty_channels_last, reorder, row_major, steps
from .library import Library, library
from .primitives import (
    BIAS,
    DIFF_DST,
    DIFF_SRC,
    DIFF_WEIGHTS,
    DST,
    FORWARD_TRAINING,
    SRC,
    WEIGHTS,
    Description,
    Descriptor,
    Primitive,
    dims,
    kept,
)

LEAST = 1 << 17
"""Multiplications from which on oneDNN is called."""

DIRECT = 1  # dnnl_convolution_direct

Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """All that a convolution's code depends on."""

    input: Shape
    weight: Shape
    output: Shape
    has_bias: bool
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape
    groups: int

    @property
    def grouped_weight(self) -> Shape:
        """The weight's shape as the library wants it: groups first, if there are several."""
        if self.groups == 1:
            return self.weight
        return (self.groups, self.weight[0] // self.groups, *self.weight[1:])

    def is_large(self) -> bool:
        """Whether the sizes fit each other and there is enough to do."""
        fits = self.input[1] == self.weight[1] * self.groups and not self.weight[0] % self.groups
        rank = len(self.stride)
        if not fits or len(self.input) != rank + 2 or len(self.output) != rank + 2:
            return False
        if min(self.input) <= 0 or min(self.output) <= 0:
            return False
        return math.prod(self.output) * math.prod(self.weight[1:]) >= LEAST


def output_shape(input: Shape, weight: Shape, stride: Any, padding: Any, dilation: Any) -> Shape:
    """The shape of the result; `padding` a pair per spatial dimension."""
    sizes = zip(input[2:], weight[2:], stride, padding, dilation, strict=True)
    spatial = ((n + low + high - d * (k - 1) - 1) // s + 1 for n, k, s, (low, high), d in sizes)
    return (input[0], weight[0], *spatial)


# -- primitives ------------------------------------------------------------------------------------


class Map(NamedTuple):
    """A compiled map, and the copy between the weight as users have it and as the map wants it."""

    primitive: Primitive
    weight_copy: Primitive
    weight_bytes: int


def _window(geometry: Geometry) -> tuple[Any, ...]:
    """Strides, dilations counted from 0, and padding before and after."""
    low, high = zip(*geometry.padding, strict=True)
    gaps = [d - 1 for d in geometry.dilation]
    return dims(geometry.stride), dims(gaps), dims(low), dims(high)


def _image(found: Library, shape: Shape) -> Descriptor:
    """Channels innermost."""
    channels = shape[1]
    spatial = [channels * math.prod(shape[k + 1 :]) for k in range(2, len(shape))]
    return Descriptor(found, shape, (channels * math.prod(shape[2:]), 1, *spatial))


def _forward_description(found: Library, geometry: Geometry) -> Description:
    bias = Descriptor(found, geometry.weight[:1], (1,)) if geometry.has_bias else None
    return Description(
        found, "convolution_forward", FORWARD_TRAINING, DIRECT, _image(found, geometry.input),
        Descriptor(found, geometry.grouped_weight), bias, _image(found, geometry.output),
        *_window(geometry),
    )  # fmt: skip


def _map(name: str, geometry: Geometry, weight_steps: Shape) -> Any:
    """The map `name` (forward, input or weight) for weights with these strides; None if oneDNN
    has none."""
    identity = (name, geometry, weight_steps)
    return kept(identity, partial(MAKERS[name], geometry, weight_steps))


def _forward(geometry: Geometry, weight_steps: Shape) -> Map:
    found = _loaded()
    arguments = (SRC, WEIGHTS, *([BIAS] if geometry.has_bias else []), DST)
    primitive = Primitive(_forward_description(found, geometry), arguments)
    return _with_copy(found, primitive, WEIGHTS, geometry, weight_steps)


def _input(geometry: Geometry, weight_steps: Shape) -> Map:
    found = _loaded()
    hint = _forward_description(found, geometry)
    description = Description(
        found, "convolution_backward_data", DIRECT, _image(found, geometry.input),
        Descriptor(found, geometry.grouped_weight), _image(found, geometry.output),
        *_window(geometry), hint,
    )  # fmt: skip
    primitive = Primitive(description, (DIFF_DST, WEIGHTS, DIFF_SRC))
    return _with_copy(found, primitive, WEIGHTS, geometry, weight_steps)


def _weight(geometry: Geometry, weight_steps: Shape) -> Map:
    found = _loaded()
    hint = _forward_description(found, geometry)
    description = Description(
        found, "convolution_backward_weights", DIRECT, _image(found, geometry.input),
        Descriptor(found, geometry.grouped_weight), None, _image(found, geometry.output),
        *_window(geometry), hint,
    )  # fmt: skip
    primitive = Primitive(description, (SRC, DIFF_DST, DIFF_WEIGHTS))
    return _with_copy(found, primitive, DIFF_WEIGHTS, geometry, weight_steps)


MAKERS = {"forward": _forward, "input": _input, "weight": _weight}


def _with_copy(
    found: Library, primitive: Primitive, argument: int, geometry: Geometry, weight_steps: Shape
) -> Map:
    users = Descriptor(found, geometry.grouped_weight, weight_steps)
    own = primitive.description.layout(argument)
    pair = (own, users) if argument == DIFF_WEIGHTS else (users, own)
    return Map(primitive, reorder(found, *pair), primitive.description.bytes_of(argument))


def _loaded() -> Library:
    found = library()
    assert found is not None
    return found


# -- the maps --------------------------------------------------------------------------------------


def _grouped(weight: Any, groups: int) -> Any:
    """The weight with its groups as a dimension of their own."""
    if groups == 1:
        return weight if min(weight.strides) > 0 else np.ascontiguousarray(weight)
    whole = row_major(weight)
    return whole.reshape(groups, whole.shape[0] // groups, *whole.shape[1:])


def _row_major_steps(shape: Shape) -> Shape:
    return tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))


def _own_weight(found: Map, weight: Any, groups: int) -> Any:
    """The weight copied into the layout that the map wants."""

    def copied() -> Any:
        own = np.empty(found.weight_bytes, np.uint8)
        found.weight_copy.run(_grouped(weight, groups), own)
        return own

    return packed.copy_of(weight, found, copied)


def forward_geometry(
    input: Any, weight: Any, bias: Any = None, *, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> Geometry:  # fmt: skip
    """The geometry of a convolution of `input`."""
    output = output_shape(input.shape, weight.shape, stride, padding, dilation)
    return Geometry(
        input.shape, weight.shape, output, bias is not None, stride, padding, dilation, groups
    )


def _serves(name: str, geometry: Geometry, weight_steps: Shape, *arrays: Any) -> bool:
    if not geometry.is_large() or any(a.dtype != FLOAT32 for a in arrays) or library() is None:
        return False
    return _map(name, geometry, weight_steps) is not None


def likes(g: Any, *, like: Shape, stride: Shape, groups: int) -> bool:
    """Whether rearranging g for several maps with weights of shape `like` pays."""
    if max(like[2:]) == 1 < max(stride):  # they read a part of it, see `thinned`
        return False
    return 3 <= g.ndim <= 5 and g.size >= LEAST and g.dtype == FLOAT32 and library() is not None


def arranged(g: Any, **how: Any) -> Any:
    """g with its channels innermost."""
    return channels_last(g)


def serves_convolution(input: Any, weight: Any, bias: Any = None, **how: Any) -> bool:
    """Whether `convolution` can compute this."""
    geometry = forward_geometry(input, weight, bias, **how)
    if bias is not None and bias.shape != weight.shape[:1]:
        return False
    weight_steps = tuple(steps(_grouped(weight, geometry.groups)))
    return _serves("forward", geometry, weight_steps, input, weight)


def convolution(input: Any, weight: Any, bias: Any = None, **how: Any) -> Any:
    """The forward map."""
    geometry = forward_geometry(input, weight, bias, **how)
    found = _map("forward", geometry, tuple(steps(_grouped(weight, geometry.groups))))
    out = empty_channels_last(geometry.output)
    biases = () if bias is None else (np.ascontiguousarray(bias),)
    found.primitive.run(
        channels_last(input), _own_weight(found, weight, geometry.groups), *biases, out
    )
    return out


def serves_input(g: Any, weight: Any, *, like: Shape, **how: Any) -> bool:
    """Whether `convolution_input` can compute this."""
    geometry = Geometry(tuple(like), weight.shape, g.shape, False, **how)
    weight_steps = tuple(steps(_grouped(weight, geometry.groups)))
    return _serves("input", geometry, weight_steps, g, weight)


def convolution_input(g: Any, weight: Any, *, like: Shape, **how: Any) -> Any:
    """The gradient by the input: the transposed convolution."""
    geometry = Geometry(tuple(like), weight.shape, g.shape, False, **how)
    found = _map("input", geometry, tuple(steps(_grouped(weight, geometry.groups))))
    out = empty_channels_last(like)
    found.primitive.run(channels_last(g), _own_weight(found, weight, geometry.groups), out)
    return out


def serves_weight(g: Any, input: Any, *, like: Shape, **how: Any) -> bool:
    """Whether `convolution_weight` can compute this."""
    geometry = Geometry(input.shape, tuple(like), g.shape, False, **how)
    return _serves("weight", geometry, _row_major_steps(geometry.grouped_weight), g, input)


def convolution_weight(g: Any, input: Any, *, like: Shape, **how: Any) -> Any:
    """The gradient by the weight."""
    geometry = Geometry(input.shape, tuple(like), g.shape, False, **how)
    found = _map("weight", geometry, _row_major_steps(geometry.grouped_weight))
    own = np.empty(found.weight_bytes, np.uint8)
    found.primitive.run(channels_last(input), channels_last(g), own)
    out = np.empty(like, FLOAT32)
    found.weight_copy.run(own, out)
    return out
