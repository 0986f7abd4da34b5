"""Transposed convolutions: the gradients of convolutions as layers. Source: arXiv:1603.07285."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from . import shapes
from .convolution import per_dimension
from .declare import Spec, composite

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


def _transposed(
    F: Any,
    rank: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{rank}d"
    shapes.require_ndim(name, "weight", weight, rank + 2)
    shapes.require_ndim(name, "input", input, rank + 1, rank + 2)
    stride = per_dimension(name, "stride", stride, rank, 1)
    dilation = per_dimension(name, "dilation", dilation, rank, 1)
    border = per_dimension(name, "padding", padding, rank, 0)
    extra = per_dimension(name, "output_padding", output_padding, rank, 0)
    batched = len(input.shape) == rank + 2
    x = input if batched else F.unsqueeze(input, dim=0)
    channels = x.shape[1]
    if channels != weight.shape[0] or groups < 1 or channels % groups:
        raise ShapeError(
            f"{name}: expected input with {weight.shape[0]} channels in {groups} groups, for "
            f"weight {tuple(weight.shape)}. Got {tuple(input.shape)}."
        )
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ShapeError(
            f"{name}: expected output_padding below stride or dilation. Got {extra}, {stride}, "
            f"{dilation}."
        )
    parts = zip(x.shape[2:], stride, border, dilation, weight.shape[2:], extra, strict=True)
    sizes = tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, s, p, d, k, e in parts)
    if any(n < 1 for n in sizes):
        raise ShapeError(f"{name}: expected a result with elements. Got {sizes}.")
    # The full result is cut by the padding, at the far side less the extra elements; where those
    # are more, zeros follow.
    zeros = [max(e - p, 0) for p, e in zip(border, extra, strict=True)]
    pairs = tuple((p, max(p - e, 0)) for p, e in zip(border, extra, strict=True))
    inner = tuple(n - z for n, z in zip(sizes, zeros, strict=True))
    like = (x.shape[0], weight.shape[1] * groups, *inner)
    out = F.convolution_input(
        x, weight, like=like, stride=stride, padding=pairs, dilation=dilation, groups=groups
    )
    if any(zeros):
        widths = tuple(w for z in reversed(zeros) for w in (0, z))
        out = F.pad_constant(out, pad=widths, value=0.0)
    if bias is not None:
        if tuple(bias.shape) != like[1:2]:
            raise ShapeError(
                f"{name}: expected bias of shape {like[1:2]}. Got {tuple(bias.shape)}."
            )
        out = F.plus(out, F.view_as_shape(bias, shape=(1, -1, *[1] * rank)))
    return out if batched else F.squeeze(out, dim=0)


@composite
def conv_transpose1d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Spec:
    """(N, C, L), (C, O / groups, K), (O,) -> (N, O, L'). See `conv_transpose2d`."""
    return _transposed(F, 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite
def conv_transpose2d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Spec:
    """(N, C, H, W), (C, O / groups, K, L), (O,) -> (N, O, H', W') with
    H' = (H - 1) * stride - 2 * padding + dilation * (K - 1) + output_padding + 1.

    Raises: RuntimeError for channels or sizes that do not fit.
    """
    return _transposed(F, 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@composite
def conv_transpose3d(
    F: Any,
    input: Spec,
    weight: Spec,
    bias: Spec | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Spec:
    """(N, C, D, H, W), (C, O / groups, K, L, M), (O,) -> (N, O, D', H', W'). See
    `conv_transpose2d`."""
    return _transposed(F, 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
