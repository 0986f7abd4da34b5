"""Pooling by the names that users call."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ShapeError
from . import shapes
from .convolution import per_dimension
from .declare import Spec, composite
from .shapes import Shape

__all__ = ["adaptive_avg_pool1d", "avg_pool1d", "max_pool1d", "max_pool2d", "max_pool3d"]


def _batched(F: Any, operation: str, input: Any, rank: int) -> Any:
    shapes.require_ndim(operation, "input", input, rank + 1, rank + 2)
    if 0 in tuple(input.shape[-rank - 1 :]):
        raise ShapeError(
            f"{operation}: expected input with elements in every dimension but the batch. Got "
            f"shape {tuple(input.shape)}."
        )
    return F.unsqueeze(input, dim=0) if len(input.shape) == rank + 1 else input


def _like_input(F: Any, out: Any, input: Any, rank: int) -> Any:
    return F.squeeze(out, dim=0) if len(input.shape) == rank + 1 else out


def _window(
    operation: str, rank: int, kernel_size: Any, stride: Any, padding: Any
) -> tuple[Shape, Shape, Shape]:
    kernel = per_dimension(operation, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride in (None, ()) else per_dimension(operation, "stride", stride, rank, 1)
    pads = per_dimension(operation, "padding", padding, rank, 0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ShapeError(
            f"{operation}: expected padding of at most half the kernel. Got padding {pads} and "
            f"kernel_size {kernel}."
        )
    return kernel, steps, pads


def _max_pool(
    F: Any,
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    operation = f"max_pool{rank}d"
    kernel, steps, pads = _window(operation, rank, kernel_size, stride, padding)
    spread = per_dimension(operation, "dilation", dilation, rank, 1)
    how = {"kernel": kernel, "stride": steps, "padding": pads, "dilation": spread}
    batch = _batched(F, operation, input, rank)
    out = F.max_pool(batch, **how, ceil_mode=ceil_mode)
    if not return_indices:
        return _like_input(F, out, input, rank)
    indices = F.max_pool_indices(batch, out, **how)
    return _like_input(F, out, input, rank), _like_input(F, indices, input, rank)


@composite
def max_pool1d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, L) -> (N, C, L'). See `max_pool2d`."""
    return _max_pool(F, 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool2d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, H, W) -> (N, C, H', W'); N may be left out.

    `stride` is the kernel's size unless given, `ceil_mode` allows windows over the edge, and
    `return_indices` adds the position of each maximum in the flat H * W, int64.
    Raises: RuntimeError for windows that do not fit.

    Example:
        >>> F.max_pool2d(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2)
        tensor([[[4.]]])
    """
    return _max_pool(F, 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@composite
def max_pool3d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window: (N, C, D, H, W) -> (N, C, D', H', W'). See
    `max_pool2d`."""
    return _max_pool(F, 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(
    F: Any,
    rank: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    operation = f"avg_pool{rank}d"
    kernel, steps, pads = _window(operation, rank, kernel_size, stride, padding)
    if divisor_override == 0:
        raise ShapeError(f"{operation}: expected a divisor_override other than 0.")
    out = F.avg_pool(
        _batched(F, operation, input, rank),
        kernel=kernel,
        stride=steps,
        padding=pads,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )
    return _like_input(F, out, input, rank)


@composite
def avg_pool1d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Spec:
    """The mean of each window: (N, C, L) -> (N, C, L'). See `avg_pool2d`."""
    return _avg_pool(F, 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@composite
def avg_pool2d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Spec:
    """The mean of each window: (N, C, H, W) -> (N, C, H', W'); N may be left out.

    `count_include_pad` counts the zeros of the padding as elements; `divisor_override` divides by
    that number instead of the count.
    Raises: RuntimeError for windows that do not fit.
    """
    return _avg_pool(
        F,
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


@composite
def avg_pool3d(
    F: Any,
    input: Spec,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Spec:
    """The mean of each window: (N, C, D, H, W) -> (N, C, D', H', W'). See `avg_pool2d`."""
    return _avg_pool(
        F,
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def _adaptive_avg_pool(F: Any, rank: int, input: Any, output_size: Any) -> Any:
    operation = f"adaptive_avg_pool{rank}d"
    batch = _batched(F, operation, input, rank)
    sizes = tuple(batch.shape[2:])
    given = output_size if hasattr(output_size, "__iter__") else (output_size,) * rank
    wanted = tuple(n if m is None else m for n, m in zip(sizes, given, strict=True))
    wanted = per_dimension(operation, "output_size", wanted, rank, 0)
    return _like_input(F, F.adaptive_avg_pool(batch, sizes=wanted), input, rank)


@composite
def adaptive_avg_pool1d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over `output_size` windows that cover L: (N, C, L) -> (N, C, output_size)."""
    return _adaptive_avg_pool(F, 1, input, output_size)


@composite
def adaptive_avg_pool2d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over windows that divide the image as evenly as can be: (N, C, H, W) ->
    (N, C, *output_size); None keeps a size, N may be left out.

    Example:
        >>> F.adaptive_avg_pool2d(torch.ones(1, 2, 5, 7), (1, None)).shape
        torch.Size([1, 2, 1, 7])
    """
    return _adaptive_avg_pool(F, 2, input, output_size)


@composite
def adaptive_avg_pool3d(F: Any, input: Spec, output_size: Any) -> Spec:
    """Means over windows that divide the volume as evenly as can be: (N, C, D, H, W) ->
    (N, C, *output_size)."""
    return _adaptive_avg_pool(F, 3, input, output_size)


# -- by a norm -------------------------------------------------------------------------------------


def _lp_pool(
    F: Any, rank: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Any:
    kernel = per_dimension(f"lp_pool{rank}d", "kernel_size", kernel_size, rank, 1)
    how: dict[str, Any] = {"ceil_mode": ceil_mode, "padding": 0, "count_include_pad": True}
    mean = _avg_pool(
        F, rank, F.pow(input, norm_type), kernel_size, stride, divisor_override=None, **how
    )
    # As PyTorch: a sum of odd powers below 0 keeps its sign until the root, which is then NaN.
    total = F.mul(F.mul(F.sign(mean), F.relu(F.abs(mean))), math.prod(kernel))
    return F.pow(total, 1.0 / norm_type)


@composite
def lp_pool1d(
    F: Any,
    input: Spec,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Spec:
    """sum(input**norm_type)**(1 / norm_type) over each window of (N, C, L)."""
    return _lp_pool(F, 1, input, norm_type, kernel_size, stride, ceil_mode)


@composite
def lp_pool2d(
    F: Any,
    input: Spec,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Spec:
    """The same over windows of (N, C, H, W)."""
    return _lp_pool(F, 2, input, norm_type, kernel_size, stride, ceil_mode)


@composite
def lp_pool3d(
    F: Any,
    input: Spec,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Spec:
    """The same over windows of (N, C, D, H, W)."""
    return _lp_pool(F, 3, input, norm_type, kernel_size, stride, ceil_mode)
