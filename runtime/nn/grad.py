"""Gradients of convolutions by their inputs and weights, without a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.convolution import convolution_input, convolution_weight, output_sizes, per_dimension

__all__ = [
    "conv1d_input",
    "conv1d_weight",
    "conv2d_input",
    "conv2d_weight",
    "conv3d_input",
    "conv3d_weight",
]


def _options(
    name: str, rank: int, shapes: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> dict[str, Any]:
    """Raises: ShapeError if the convolution has no output of the gradient's shape."""
    steps = per_dimension(name, "stride", stride, rank, 1)
    apart = per_dimension(name, "dilation", dilation, rank, 1)
    pairs = tuple((p, p) for p in per_dimension(name, "padding", padding, rank, 0))
    input, weight, g = (tuple(int(n) for n in shape) for shape in shapes)
    sizes = output_sizes(input[2:], weight[2:], steps, pairs, apart)
    if g != (input[0], weight[0], *sizes):
        raise ShapeError(
            f"{name}: expected grad_output of shape {(input[0], weight[0], *sizes)} for input "
            f"{input} and weight {weight}. Got {g}."
        )
    return {"stride": steps, "padding": pairs, "dilation": apart, "groups": groups}


def _of_input(
    rank: int, input_size: Sequence[int], weight: Tensor, grad_output: Tensor, *how: Any
) -> Tensor:
    name = f"conv{rank}d_input"
    options = _options(name, rank, (input_size, weight.shape, grad_output.shape), *how)
    return convolution_input(grad_output, weight, like=tuple(input_size), **options)


def _of_weight(
    rank: int, input: Tensor, weight_size: Sequence[int], grad_output: Tensor, *how: Any
) -> Tensor:
    name = f"conv{rank}d_weight"
    options = _options(name, rank, (input.shape, weight_size, grad_output.shape), *how)
    return convolution_weight(grad_output, input, like=tuple(weight_size), **options)


def conv1d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv1d` by its input of shape `input_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_input(1, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv1d` by its weight of shape `weight_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_weight(1, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv2d` by its input of shape `input_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_input(2, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv2d` by its weight of shape `weight_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_weight(2, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv3d` by its input of shape `input_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_input(3, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """The gradient of `F.conv3d` by its weight of shape `weight_size`, from that of its output.

    Raises: RuntimeError for shapes that do not fit.
    """
    return _of_weight(3, input, weight_size, grad_output, stride, padding, dilation, groups)
