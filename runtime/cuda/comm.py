"""Copies and sums among several GPUs. Gradients flow through all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core.devices import device as Device
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.joins import cat
from ..ops.joins import split as split_along
from .devices import _index, current_device
from .streams import StreamContext

__all__ = [
    "broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter",
]  # fmt: skip


def _place(device: Any) -> Device:
    """A GPU by its number or name, the current one for None; -1 and "cpu" are the CPU."""
    if device == -1 or str(device) == "cpu":
        return Device("cpu")
    return Device("cuda", _index(device))


def _exactly_one(name: str, first: Any, second: Any, words: str) -> None:
    if (first is None) == (second is None):
        raise RuntimeError(f"{name}: expected either {words}. Got both or none.")


def broadcast(
    tensor: Tensor, devices: Sequence[Any] | None = None, *, out: Sequence[Tensor] | None = None
) -> tuple[Tensor, ...]:
    """`tensor` on each of `devices`, or written into the tensors of `out`; itself where it is
    already. Raises: RuntimeError for both or none of them."""
    _exactly_one("broadcast", devices, out, "devices or out")
    if out is not None:
        return tuple([target.copy_(tensor, non_blocking=True) for target in out])
    return tuple([tensor.to(_place(d), non_blocking=True) for d in devices or ()])


def broadcast_coalesced(
    tensors: Sequence[Tensor], devices: Sequence[Any], buffer_size: int = 10 << 20
) -> list[tuple[Tensor, ...]]:
    """For each device all `tensors`; `buffer_size` is PyTorch's, and copies are not joined."""
    return [tuple(t.to(_place(d), non_blocking=True) for t in tensors) for d in devices]


def reduce_add(inputs: Sequence[Tensor], destination: Any = None) -> Tensor:
    """The sum of tensors of one shape, on GPU `destination` or the current one.

    Raises: RuntimeError for different shapes, or no tensors.
    """
    shapes = {tuple(t.shape) for t in inputs}
    if len(shapes) != 1:
        raise ShapeError(f"reduce_add: expected tensors of one shape. Got {sorted(shapes)}.")
    place = _place(current_device() if destination is None else destination)
    here = sorted(inputs, key=lambda t: t.device != place)  # what need not be copied first
    total = here[0].to(place)
    for t in here[1:]:
        total = total + t.to(place, non_blocking=True)
    return total


def reduce_add_coalesced(
    inputs: Sequence[Sequence[Tensor]], destination: Any = None, buffer_size: int = 10 << 20
) -> tuple[Tensor, ...]:
    """`reduce_add` of the first tensors of all, of the second, and so on."""
    return tuple([reduce_add(group, destination) for group in zip(*inputs, strict=True)])


def scatter(
    tensor: Tensor,
    devices: Sequence[Any] | None = None,
    chunk_sizes: Sequence[int] | None = None,
    dim: int = 0,
    streams: Sequence[Any] | None = None,
    *,
    out: Sequence[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Parts of `tensor` along `dim` on `devices`: of `chunk_sizes`, or as equal as may be; or
    written into the tensors of `out`. `streams` has one stream, or None, for each copy.

    Raises: RuntimeError for both or none of devices and out, or sizes that do not add up.
    """
    _exactly_one("scatter", devices, out, "devices or out")
    if out is not None:
        sizes = [t.shape[dim] for t in out]
        parts = split_along(tensor, sizes, dim)
        return tuple([o.copy_(p, non_blocking=True) for o, p in zip(out, parts, strict=True)])
    places = [_place(d) for d in devices or ()]
    if chunk_sizes is None:
        parts = tensor.chunk(len(places), dim)
    elif sum(chunk_sizes) != tensor.shape[dim] or len(chunk_sizes) != len(places):
        raise ShapeError(
            f"scatter: expected {len(places)} chunk_sizes that add up to {tensor.shape[dim]}, the "
            f"size of dimension {dim}. Got {list(chunk_sizes)}."
        )
    else:
        parts = split_along(tensor, list(chunk_sizes), dim)
    made = []
    for part, place, k in zip(parts, places, range(len(parts)), strict=False):
        with StreamContext(None if streams is None else streams[k]):
            made.append(part.to(place, non_blocking=True))
    return tuple(made)


def gather(
    tensors: Sequence[Tensor], dim: int = 0, destination: Any = None, *, out: Tensor | None = None
) -> Tensor:
    """`tensors` joined along `dim` on GPU `destination` (the current one; -1 is the CPU), or
    written into `out`.

    Raises: RuntimeError for sizes that do not fit.
    """
    if out is not None:
        shape = list(tensors[0].shape)
        shape[dim] = sum(t.shape[dim] for t in tensors)
        if math.prod(shape) != out.numel():
            raise ShapeError(f"gather: expected out of shape {shape}. Got {tuple(out.shape)}.")
        return out.copy_(cat([t.to(out.device, non_blocking=True) for t in tensors], dim))
    place = _place(current_device() if destination is None else destination)
    return cat([t.to(place, non_blocking=place.type == "cuda") for t in tensors], dim)
