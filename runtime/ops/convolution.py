"""Convolutions of any spatial rank: three bilinear maps, each one's gradient in the other two.

On the CPU oneDNN computes large ones; other kernels gather windows into the rows of a matrix and
leave the arithmetic to matrix products. Shapes: input (N, C, *sizes), weight (O, C / groups,
*kernel), output (N, O, *sizes'). `padding` holds a pair (before, after) per spatial dimension.
Source: Dumoulin and Visin, arXiv:1603.07285, for the arithmetic of sizes.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.record import TAPE
from ..backends.cpu.onednn import convolution as onednn
from ..backends.cpu.onednn import packed
from ..errors import ShapeError
from . import shapes
from .declare import Spec, composite, kernel, primitive
from .shapes import Shape
from .window_matrices import (
    BLOCK,
    Pairs,
    correlation_first,
    correlation_last,
    prefers_last,
    product_first,
    product_last,
    taps,
    windows_first,
    windows_last,
)

__all__ = ["conv1d", "conv2d", "conv3d"]


# -- shapes ----------------------------------------------------------------------------------------


def output_sizes(
    sizes: Shape, kernel: Shape, stride: Shape, padding: Pairs, dilation: Shape
) -> Shape:
    """Spatial sizes of a convolution's output."""
    return tuple(
        (n + low + high - d * (k - 1) - 1) // s + 1
        for n, k, s, (low, high), d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )


def output_shape(
    input: Shape, weight: Shape, stride: Shape, padding: Pairs, dilation: Shape, groups: int
) -> Shape:
    """The shape of the output. Raises: ShapeError for operands that do not fit."""
    if input[1] != weight[1] * groups:
        raise _channels_error(input, weight, groups)
    if weight[0] % groups:
        raise ShapeError(
            f"{_name(weight)}: expected a number of output channels that {groups} groups divide. "
            f"Got weight {weight} with {weight[0]}."
        )
    sizes = output_sizes(input[2:], weight[2:], stride, padding, dilation)
    if (min(sizes) <= 0 and min(input[2:]) > 0) or min(sizes) < 0:
        raise ShapeError(
            f"{_name(weight)}: expected an input at least as large as the kernel. Got input "
            f"{input} with padding {_shown(padding)} and weight {weight} with dilation {dilation}. "
            "Pad the input, or use a smaller kernel."
        )
    return (input[0], weight[0], *sizes)


def _channels_error(input: Shape, weight: Shape, groups: int) -> ShapeError:
    grouped = f" in each of {groups} groups" if groups > 1 else ""
    return ShapeError(
        f"{_name(weight)}: expected input with {weight[1] * groups} channels, as weight {weight} "
        f"takes {weight[1]}{grouped}. Got input {input}, which has {input[1]} in dimension 1. "
        "Change in_channels, or the input."
    )


def _name(weight: Shape) -> str:
    return f"conv{len(weight) - 2}d"


def _shown(padding: Pairs) -> Any:
    return tuple(low if low == high else (low, high) for low, high in padding)


# -- the three maps --------------------------------------------------------------------------------


@primitive(promotes=False, layout="channels_last")
def convolution(
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Spec:
    """out[n, o, p] = bias[o] + the sum over c, k of weight[o, c, k] * input[n, c, stride * p + k].

    Zeros stand outside the input.
    """
    name = _name(tuple(weight.shape))
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ShapeError(
            f"{name}: expected bias of shape {(weight.shape[0],)}, one per output channel of "
            f"weight {tuple(weight.shape)}. Got {tuple(bias.shape)}."
        )
    shape = output_shape(tuple(input.shape), tuple(weight.shape), stride, padding, dilation, groups)
    return Spec(shape, input.dtype)


@convolution.array
def convolution_array(
    xp: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """Windows along channels where there are enough of them, else along the last dimension."""
    shape = output_shape(input.shape, weight.shape, stride, padding, dilation, groups)
    gather = windows_last if prefers_last(weight.shape, groups) else windows_first
    windows = gather(xp, input, weight.shape[2:], shape[2:], stride, padding, dilation)
    multiply = product_last if gather is windows_last else product_first
    out = multiply(xp, windows, weight, shape, groups)
    if bias is not None:
        if bias.shape != (shape[1],):
            raise ValueError("bias does not fit")
        out += bias.reshape(-1, *[1] * (len(shape) - 2))
    return out


@convolution.vjp(saves="input:weight weight:input", static="stride")
def convolution_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """The other two maps, and g summed over all but channels."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if needs[0] and needs[1]:
        whole = (1,) * len(stride)  # all of g is read, whatever the stride
        g = F.arranged(g, like=weight, stride=whole, groups=groups)
    return (
        F.convolution_input(g, weight, like=input, **how) if needs[0] else None,
        F.convolution_weight(g, input, like=weight, **how) if needs[1] else None,
        F.channel_sum(g) if needs[2] else None,
    )


@primitive(layout="channels_last")
def convolution_input(
    g: Spec,
    weight: Spec,
    *,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Spec:
    """The gradient of a convolution by its input of shape `like`: the transposed convolution."""
    return Spec(like, g.dtype)


@convolution_input.array
def convolution_input_array(
    xp: Any,
    g: Any,
    weight: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """For stride 1 a convolution with the mirrored weight; else products scattered and added."""
    if all(s == 1 for s in stride):
        mirrored, outside = _mirrored(xp, g.shape, weight, like, padding, dilation, groups)
        return convolution_array(
            xp, g, mirrored, stride=stride, padding=outside, dilation=dilation, groups=groups
        )
    kernel, rank = weight.shape[2:], len(stride)
    batch, positions = g.shape[0], math.prod(g.shape[2:])
    matrix = weight.reshape(groups, weight.shape[0] // groups, -1).swapaxes(1, 2)
    padded = xp.zeros(
        (*like[:2], *(n + a + b for n, (a, b) in zip(like[2:], padding, strict=True))),
        matrix.dtype,
    )
    step = max(1, BLOCK // max(1, like[1] * math.prod(kernel) * positions))
    for start in range(0, batch, step):
        part = g[start : start + step].reshape(-1, groups, matrix.shape[2], positions)
        terms = xp.matmul(matrix, part).reshape(len(part), like[1], *kernel, *g.shape[2:])
        for offset in itertools.product(*map(range, kernel)):
            place = taps(offset, g.shape[2:], stride, dilation)
            padded[(slice(start, start + step), slice(None), *place)] += terms[
                (slice(None), slice(None), *offset)
            ]
    inside = [slice(low, low + n) for n, (low, _) in zip(like[2:], padding[:rank], strict=True)]
    return xp.ascontiguousarray(padded[(slice(None), slice(None), *inside)])


@convolution_input.vjp(saves="g weight")
def convolution_input_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    weight: Any,
    like: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """The map is bilinear: the convolution of h by g, and the third map by weight."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (
        F.convolution(h, weight, **how) if needs[0] else None,
        F.convolution_weight(g, h, like=weight, **how) if needs[1] else None,
    )


@primitive
def convolution_weight(
    g: Spec,
    input: Spec,
    *,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Spec:
    """The gradient of a convolution by its weight of shape `like`."""
    return Spec(like, g.dtype)


@convolution_weight.array
def convolution_weight_array(
    xp: Any,
    g: Any,
    input: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """Products of windows and gradients over all positions at once."""
    gather = windows_last if prefers_last(like, groups) else windows_first
    windows = gather(xp, input, like[2:], g.shape[2:], stride, padding, dilation)
    correlate = correlation_last if gather is windows_last else correlation_first
    return correlate(xp, windows, g, like, groups)


@convolution_weight.vjp(saves="g input")
def convolution_weight_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    input: Any,
    like: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    """The map is bilinear: the convolution with h by g, and the second map by input."""
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (
        F.convolution(input, h, **how) if needs[0] else None,
        F.convolution_input(g, h, like=input, **how) if needs[1] else None,
    )


# Its result may be its operand, which nothing that is shown to users is made of.
@primitive(moves=True)
def arranged(g: Spec, *, like: Shape, stride: Shape, groups: int) -> Spec:
    """g, as the convolutions of its device like it to lie: rearranged once for several of them,
    with weights of the shape `like`."""
    return Spec(tuple(g.shape), g.dtype)


@arranged.array
def arranged_array(xp: Any, g: Any, like: Shape, stride: Shape, groups: int) -> Any:
    """As it is."""
    return g


@arranged.vjp()
def arranged_vjp(
    F: Any, h: Any, needs: Any, g: Any, like: Any, stride: Any, groups: Any
) -> Any:  # fmt: skip
    """The same for h."""
    return h


@primitive
def channel_sum(input: Spec) -> Spec:
    """The sum over all dimensions but 1: (N, C, ...) -> (C,)."""
    return Spec(tuple(input.shape[1:2]), input.dtype)


@channel_sum.array
def channel_sum_array(xp: Any, input: Any) -> Any:
    """By a product with ones, which NumPy does five times as fast as a sum over several axes."""
    last = xp.moveaxis(input, 1, -1)
    if last.flags.c_contiguous and not input.flags.c_contiguous:
        columns = last.reshape(-1, last.shape[-1])
        return xp.matmul(xp.ones(len(columns), columns.dtype), columns)
    rows = input.reshape(*input.shape[:2], math.prod(input.shape[2:]))
    return xp.matmul(rows, xp.ones(rows.shape[2], rows.dtype)).sum(0)


@channel_sum.vjp()
def channel_sum_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """g repeated."""
    return F.channel_expand(g, like=input)


@primitive(may_alias=True, moves=True)
def channel_expand(g: Spec, *, like: Shape) -> Spec:
    """(C,) repeated over all dimensions but 1 to the shape `like`."""
    return Spec(like, g.dtype)


@channel_expand.array
def channel_expand_array(xp: Any, g: Any, like: Shape) -> Any:
    """A read-only view."""
    return xp.broadcast_to(g.reshape(-1, *[1] * (len(like) - 2)), like)


@channel_expand.vjp()
def channel_expand_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any) -> Any:
    """The sum again."""
    return F.channel_sum(h)


convolution.operation.arranges = "like=a1.shape, stride=stride, groups=groups"
kernel(arranged, "cpu", onednn.likes)(onednn.arranged)
kernel(convolution, "cpu", onednn.serves_convolution)(onednn.convolution)
kernel(convolution_input, "cpu", onednn.serves_input)(onednn.convolution_input)
kernel(convolution_weight, "cpu", onednn.serves_weight)(onednn.convolution_weight)


def _mirrored(
    xp: Any,
    g: Shape,
    weight: Any,
    like: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> tuple[Any, Pairs]:
    """The weight turned round with its channels exchanged, and the padding of g, for which a
    convolution of g gives the gradient of shape `like`."""
    rank = len(dilation)
    turned = xp.flip(weight, tuple(range(2, rank + 2)))
    grouped = turned.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    exchanged = grouped.swapaxes(1, 2).reshape(like[1], -1, *weight.shape[2:])
    outside = []
    for axis, ((low, _), d) in enumerate(zip(padding, dilation, strict=True), 2):
        reach = d * (weight.shape[axis] - 1)
        before = reach - low
        outside.append((before, like[axis] - g[axis] + reach - before))
    return exchanged, tuple(outside)


# -- what users call -------------------------------------------------------------------------------


def per_dimension(operation: str, name: str, value: Any, rank: int, least: int) -> Shape:
    """An int or one int per spatial dimension as a tuple. Raises: RuntimeError for other counts or
    values below `least`."""
    if value.__class__ is int:
        found: Shape = (value,) * rank
    else:
        found = tuple(value) if hasattr(value, "__iter__") else (int(value),)
        found = tuple(int(v) for v in found) * (rank if len(found) == 1 else 1)
    if len(found) != rank or min(found) < least:
        raise ShapeError(
            f"{operation}: expected {name} as one int or {rank}, at least {least}. Got {value!r}."
        )
    return found


def _pairs(operation: str, padding: Any, kernel: Shape, stride: Shape, dilation: Shape) -> Pairs:
    """`padding` per side. 'same' keeps the size, with the odd element behind; 'valid' is none."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if max(stride) > 1:
            raise ShapeError(f"{operation}: padding 'same' needs stride 1. Got stride {stride}.")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in totals)
    if isinstance(padding, str):
        raise ShapeError(f"{operation}: expected padding 'valid', 'same' or ints. Got {padding!r}.")
    return tuple((p, p) for p in per_dimension(operation, "padding", padding, len(kernel), 0))


def _convolve(
    F: Any,
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    operation = f"conv{rank}d"
    shapes.require_ndim(operation, "weight", weight, rank + 2)
    shapes.require_ndim(operation, "input", input, rank + 1, rank + 2)
    stride = per_dimension(operation, "stride", stride, rank, 1)
    dilation = per_dimension(operation, "dilation", dilation, rank, 1)
    padding = _pairs(operation, padding, tuple(weight.shape[2:]), stride, dilation)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if F is TAPE and not is_grad_enabled():
        packed.announce(weight._array, weight._writes)
    if len(input.shape) == rank + 1:
        return F.squeeze(F.convolution(F.unsqueeze(input, dim=0), weight, bias, **how), dim=0)
    return F.convolution(input, weight, bias, **how)


@composite
def conv1d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Spec:
    """Cross-correlation along one dimension: (N, C, L), (O, C / groups, K), (O,) -> (N, O, L').

    See `conv2d`.
    """
    return _convolve(F, 1, input, weight, bias, stride, padding, dilation, groups)


@composite
def conv2d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Spec:
    """Cross-correlation of images with filters:
    (N, C, H, W), (O, C / groups, K, L), (O,) -> (N, O, H', W') with
    H' = (H + 2 * padding - dilation * (K - 1) - 1) // stride + 1; N may be left out.

    `padding` is a number of zeros at each side, "same" (the size is kept; stride 1) or "valid".
    Raises: RuntimeError for channels or sizes that do not fit.

    Example:
        >>> F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))
        tensor([[[[4., 4.],
                  [4., 4.]]]])
    """
    return _convolve(F, 2, input, weight, bias, stride, padding, dilation, groups)


@composite
def conv3d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Spec:
    """Cross-correlation of volumes: (N, C, D, H, W), (O, C / groups, K, L, M), (O,) ->
    (N, O, D', H', W'). See `conv2d`."""
    return _convolve(F, 3, input, weight, bias, stride, padding, dilation, groups)
