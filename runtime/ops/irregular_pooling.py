"""Pooling over windows of different sizes, and its inverse.

Windows are written down as places in the flattened image; the largest element of each is then
gathered, so that gradients of every order come from `gather`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.creation import from_numpy, full
from ..core.tensor import Tensor
from ..errors import ShapeError
from .arithmetic import masked_fill
from .convolution import per_dimension
from .extremes import argmax
from .gather import gather, scatter
from .sampling import rand
from .shapes import require_ndim
from .views import expand, reshape, squeeze, unsqueeze

__all__ = ["adaptive_max_pool1d"]

Windows = list[tuple[Any, Any]]
"""Per dimension (outputs, size) or (planes, outputs, size): places, and which of them count."""


def _largest(input: Tensor, windows: Windows, return_indices: bool) -> Any:
    """The largest element of each window of (N, C, *sizes), and its place in the flat image."""
    shape = tuple(input.shape)
    rank = len(windows)
    sizes, planes = shape[2:], shape[0] * shape[1]
    outputs = [places.shape[-2] for places, _ in windows]
    lengths = [places.shape[-1] for places, _ in windows]
    places: Any = 0
    counts: Any = True
    for d, (along, inside) in enumerate(windows):
        # (planes or 1, 1, ..., outputs, ..., 1, ..., size, ...)
        view = [1] * (2 * rank)
        view[d], view[rank + d] = outputs[d], lengths[d]
        places = places * sizes[d] + along.reshape(-1, *view)
        counts = counts & inside.reshape(-1, *view)
    count, length = math.prod(outputs), math.prod(lengths)
    grid = np.broadcast_to(places, np.broadcast_shapes(places.shape, (1, *outputs, *lengths)))
    mask = np.broadcast_to(counts, grid.shape)
    flat_places = _like(input, grid.reshape(grid.shape[0], count * length))
    outside = _like(input, ~mask.reshape(mask.shape[0], count, length))
    image = reshape(input, planes, math.prod(sizes))
    index = expand(flat_places, planes, count * length)
    values = reshape(gather(image.detach(), 1, index), planes, count, length)
    lowest = -math.inf if input.dtype.is_floating_point else _lowest(input.dtype)
    best = argmax(masked_fill(values, outside, lowest), 2, True)
    chosen = gather(reshape(index, planes, count, length), 2, best).reshape(planes, count)
    out = reshape(gather(image, 1, chosen), *shape[:2], *outputs)
    return (out, reshape(chosen, *shape[:2], *outputs)) if return_indices else out


def _lowest(dtype: dtypes.dtype) -> int:
    return int(np.iinfo(dtype.numpy).min)


def _like(tensor: Tensor, array: Any) -> Tensor:
    """The NumPy array as a tensor beside `tensor`."""

    return from_numpy(np.ascontiguousarray(array)).to(tensor.device)


def _pooled(name: str, input: Tensor, rank: int, pool: Any) -> Any:
    """`pool` of a batch, also where there is none."""
    require_ndim(name, "input", input, rank + 1, rank + 2)
    if len(input.shape) == rank + 2:
        return pool(input)
    found = pool(unsqueeze(input, 0))
    return tuple(squeeze(t, 0) for t in found) if isinstance(found, tuple) else squeeze(found, 0)


# -- adaptive --------------------------------------------------------------------------------------


def _adaptive_windows(n: int, m: int) -> tuple[Any, Any]:
    """m windows over n elements: window i from floor(i n / m) to ceil((i + 1) n / m)."""
    i = np.arange(m)
    start, end = i * n // m, -((-(i + 1) * n) // m)
    steps = np.arange(int((end - start).max(initial=1)))
    places = start[:, None] + steps
    return np.minimum(places, max(n - 1, 0)), places < end[:, None]


def _adaptive_max_pool(
    rank: int, input: Tensor, output_size: Any, return_indices: bool = False
) -> Any:
    name = f"adaptive_max_pool{rank}d"

    def pool(batch: Tensor) -> Any:
        sizes = tuple(batch.shape[2:])
        given = output_size if isinstance(output_size, Sequence) else [output_size] * rank
        if len(given) == 1:
            given = [*given] * rank
        wanted = [n if m is None else int(m) for m, n in zip(given, sizes, strict=True)]
        if 0 in batch.shape[1:]:
            raise ShapeError(
                f"{name}: expected elements in every dimension but the batch. Got {batch.shape}."
            )
        windows = [_adaptive_windows(n, m) for n, m in zip(sizes, wanted, strict=True)]
        if 0 in (batch.shape[0], *wanted):
            empty = batch.new_empty((*batch.shape[:2], *wanted))
            return (empty, empty.to(dtypes.int64)) if return_indices else empty
        return _largest(batch, windows, return_indices)

    return _pooled(name, input, rank, pool)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of `output_size` windows that cover (N, C, L); with `return_indices`
    also their places in the flat image."""
    return _adaptive_max_pool(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The same of (N, C, H, W); `output_size` is a number or a pair, None for the input's own."""
    return _adaptive_max_pool(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The same of (N, C, D, H, W)."""
    return _adaptive_max_pool(3, input, output_size, return_indices)


# -- fractional ------------------------------------------------------------------------------------


def _fractional_windows(samples: Any, n: int, m: int, size: int) -> tuple[Any, Any]:
    """Pseudo-random windows of `size` over n elements, a row per plane. Source: arXiv:1412.6071,
    section 2."""
    planes = samples.shape[0]
    if m > 1:
        alpha = samples.dtype.type((n - size) / (m - 1))
        i = np.arange(m - 1, dtype=samples.dtype)
        start = np.trunc((i + samples[:, None]) * alpha) - np.trunc(samples[:, None] * alpha)
        start = np.concatenate([start, np.full((planes, 1), n - size)], 1).astype(np.int64)
    else:
        start = np.full((planes, 1), n - size)
    places = start[..., None] + np.arange(size)
    return places, np.ones(places.shape, bool)


def _of_windows(dtype: dtypes.dtype) -> dtypes.dtype:
    """What places of windows are computed in: NumPy has no arithmetic for halves of both kinds."""
    return dtypes.float32 if dtype.itemsize < 4 else dtype


def _fractional_max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    name = f"fractional_max_pool{rank}d"
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name}: expected either output_size or output_ratio.")
    kernel = per_dimension(name, "kernel_size", kernel_size, rank, 1)

    def pool(batch: Tensor) -> Any:
        sizes = tuple(batch.shape[2:])
        if output_size is not None:
            wanted = per_dimension(name, "output_size", output_size, rank, 1)
        else:
            ratios = output_ratio if isinstance(output_ratio, Sequence) else [output_ratio] * rank
            if not all(0 < r < 1 for r in ratios):
                raise ValueError(f"{name}: expected ratios between 0 and 1. Got {output_ratio}.")
            wanted = tuple(int(n * r) for n, r in zip(sizes, ratios, strict=True))
        for n, m, k in zip(sizes, wanted, kernel, strict=True):
            if m + k - 1 > n:
                raise ShapeError(
                    f"{name}: expected at most size - kernel_size + 1 outputs. Got size {sizes}, "
                    f"kernel_size {kernel}, output_size {wanted}."
                )
        shape = (*batch.shape[:2], rank)
        samples = _random_samples
        if samples is None:
            samples = rand(*shape, dtype=batch.dtype, device=batch.device)
        elif tuple(samples.shape[1:]) != shape[1:] or len(samples) < shape[0]:
            raise ShapeError(
                f"{name}: expected _random_samples {shape}. Got {tuple(samples.shape)}."
            )
        if samples.is_meta:  # any windows do, as all are of one size
            drawn = np.zeros((math.prod(shape[:2]), rank), np.float32)
        else:
            drawn = samples[: shape[0]].detach().cpu().to(_of_windows(samples.dtype)).numpy()
            drawn = drawn.reshape(-1, rank)
        windows = [
            # PyTorch draws the width first for images, the depth first for volumes.
            _fractional_windows(drawn[:, 1 - d if rank == 2 else d], n, m, k)
            for d, (n, m, k) in enumerate(zip(sizes, wanted, kernel, strict=True))
        ]
        return _largest(batch, windows, return_indices)

    return _pooled(name, input, rank, pool)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The largest elements of windows of `kernel_size` at pseudo-random steps, `output_size` (or
    that share of the input's size) of them. Source: arXiv:1412.6071."""
    return _fractional_max_pool(
        2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The same of (N, C, D, H, W)."""
    return _fractional_max_pool(
        3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples
    )


# -- the inverse -----------------------------------------------------------------------------------


def _max_unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    name = f"max_unpool{rank}d"
    require_ndim(name, "input", input, rank + 1, rank + 2)
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(
            f"{name}: expected indices of the input's shape {tuple(input.shape)}. Got "
            f"{tuple(indices.shape)}."
        )
    kernel = per_dimension(name, "kernel_size", kernel_size, rank, 1)
    steps = kernel if stride in (None, ()) else per_dimension(name, "stride", stride, rank, 1)
    pads = per_dimension(name, "padding", padding, rank, 0)
    sizes = tuple(input.shape[-rank:])
    usual = tuple(
        (n - 1) * s - 2 * p + k for n, s, p, k in zip(sizes, steps, pads, kernel, strict=True)
    )
    wanted = usual if output_size is None else tuple(output_size)[-rank:]
    for n, u, s in zip(wanted, usual, steps, strict=True):
        if not u - s < n < u + s and output_size is not None:
            raise ValueError(
                f"{name}: expected an output_size within a stride of {usual}. Got {wanted}."
            )
    lead = tuple(input.shape[:-rank])
    line = (math.prod(lead), math.prod(sizes))
    places = reshape(indices, *line)
    count = math.prod(wanted)
    if not places.is_meta and places.numel() and not 0 <= int(places.max()) < count:
        raise RuntimeError(
            f"{name}: expected indices below {count}, the elements of the output. Got "
            f"{int(places.max())}."
        )
    flat = full((line[0], count), 0, dtype=input.dtype, device=input.device)
    return reshape(scatter(flat, 1, places, reshape(input, *line)), *lead, *wanted)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of `input` at the `indices` that max_pool1d returned."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """The inverse of max_pool2d, likewise."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """The inverse of max_pool3d, likewise."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
