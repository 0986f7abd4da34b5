"""Operators that move, repeat, cut and join elements."""

from __future__ import annotations

import math
from typing import Any

from ...core.tensor import Tensor
from ...nn import functional as F
from .registry import Sizes, ints, operator, torch


@operator("Reshape")
def reshape(x: Tensor, sizes: Sizes | None = None, *, shape: Any = None, allowzero: int = 0,
            consumed_inputs: Any = None) -> Tensor:  # fmt: skip
    """-1 is worked out; 0 keeps the size that is there."""
    wanted = ints(shape if sizes is None else sizes)
    if not allowzero:
        wanted = [x.shape[k] if n == 0 else n for k, n in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """All before `axis`, and all from it on."""
    axis = axis % x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), -1)


@operator("Squeeze")
def squeeze(x: Tensor, at: Sizes | None = None, *, axes: Any = None) -> Tensor:
    """Dimensions of size 1 taken out."""
    given = axes if at is None else at
    return x.squeeze() if given is None else x.squeeze(tuple(ints(given)))


@operator("Unsqueeze")
def unsqueeze(x: Tensor, at: Sizes | None = None, *, axes: Any = None) -> Tensor:
    """New dimensions at their places in the result."""
    places = ints(axes if at is None else at)
    rank = x.ndim + len(places)
    for axis in sorted(a % rank for a in places):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose")
def transpose(x: Tensor, *, perm: Any = None) -> Tensor:
    """Dimensions in another order, the reverse unless told."""
    return x.permute(tuple(reversed(range(x.ndim))) if perm is None else tuple(perm))


@operator("Concat")
def concat(*xs: Tensor, axis: int = 1) -> Tensor:
    """One behind the other."""
    return torch.cat(xs, axis)  # type: ignore[no-any-return]


@operator("Split")
def split(x: Tensor, sizes: Sizes | None = None, *, axis: int = 0, split: Any = None,
          num_outputs: int | None = None, outputs: int) -> Any:  # fmt: skip
    """Parts of given sizes, or equal ones of which the last may be smaller."""
    given = split if sizes is None else sizes
    count = num_outputs or outputs
    step = -(-x.shape[axis] // count)
    parts = torch.split(x, step if given is None else ints(given), axis)
    return parts if outputs > 1 else parts[0]


@operator("Slice")
def slice_(
    x: Tensor, start: Sizes | None = None, end: Sizes | None = None, at: Sizes | None = None,
    step: Sizes | None = None, *, axes: Any = None, starts: Any = None, ends: Any = None,
) -> Tensor:  # fmt: skip
    """A part of each of some dimensions; backwards by negative steps."""
    first, last = ints(starts if start is None else start), ints(ends if end is None else end)
    chosen = at if at is not None else axes
    places = list(range(len(first))) if chosen is None else ints(chosen)
    strides = [1] * len(first) if step is None else ints(step)
    backwards = []
    index: list[Any] = [slice(None)] * x.ndim
    for axis, a, b, s in zip(places, first, last, strides, strict=True):
        axis %= x.ndim
        is_whole = s < 0 and b < -x.shape[axis]  # back to the very beginning
        found = range(x.shape[axis])[slice(a, None if is_whole else b, s)]
        if s < 0:
            backwards.append(axis)
            found = found[::-1]
        index[axis] = slice(found.start, max(found.start, found.stop), abs(s))
    out = x[tuple(index)]
    return out.flip(backwards) if backwards else out


@operator("Expand")
def expand(x: Tensor, sizes: Sizes) -> Tensor:
    """Broadcast with a shape."""
    shape = torch.broadcast_shapes(tuple(x.shape), tuple(ints(sizes)))
    return x.expand(shape)


@operator("Tile")
def tile(x: Tensor, repeats: Sizes, axis: Any = None) -> Tensor:
    """Repeated along each dimension; along one in opset 1."""
    times = ints(repeats)
    if axis is not None:
        times = [times[0] if k == int(axis) else 1 for k in range(x.ndim)]
    return x.repeat(times)


MODES = {"edge": "replicate", "wrap": "circular"}


@operator("Pad")
def pad(
    x: Tensor, widths: Sizes | None = None, number: Any = None, at: Sizes | None = None, *,
    pads: Any = None, paddings: Any = None, mode: str = "constant", value: float = 0.0,
) -> Tensor:  # fmt: skip
    """Widths are all beginnings, then all ends; negative ones cut."""
    given = ints(widths if widths is not None else pads if pads is not None else paddings)
    axes = list(range(x.ndim)) if at is None else [a % x.ndim for a in ints(at)]
    number = value if number is None else number.item()
    pairs = {axis: (given[k], given[k + len(axes)]) for k, axis in enumerate(axes)}
    if mode == "constant":
        flat = [n for axis in reversed(range(x.ndim)) for n in pairs.get(axis, (0, 0))]
        return F.pad(x, flat, value=number)
    for axis, (before, after) in pairs.items():
        x = _padded(x, axis, before, after, mode)
    return x


def _padded(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """One dimension, by the places that are shown there."""
    n = x.shape[axis]
    places = torch.arange(-before, n + after)
    if mode == "edge":
        places = places.clamp(0, n - 1)
    elif mode == "wrap":
        places = places % n
    else:
        places = places % max(1, 2 * (n - 1))
        places = torch.where(places < n, places, 2 * (n - 1) - places)
    return x.index_select(axis, places.to(x.device)) if before or after else x


@operator("Trilu")
def trilu(x: Tensor, k: Any = None, *, upper: int = 1) -> Tensor:
    """The triangle above, or below, a diagonal."""
    diagonal = 0 if k is None else int(k)
    return x.triu(diagonal) if upper else x.tril(diagonal)


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """(N, C * b * b, H, W) -> (N, C, H * b, W * b)."""
    n, c, h, w = x.shape
    b, rest = blocksize, c // blocksize**2
    if mode == "DCR":
        parts = x.reshape(n, b, b, rest, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, rest, b, b, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, rest, h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """(N, C, H * b, W * b) -> (N, C * b * b, H, W)."""
    n, c, h, w = x.shape
    b = blocksize
    parts = x.reshape(n, c, h // b, b, w // b, b)
    parts = parts.permute((0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return parts.reshape(n, c * b * b, h // b, w // b)


@operator("ReverseSequence")
def reverse_sequence(x: Tensor, lens: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """The first elements of each sequence backwards, as many as are told."""
    shape = [1] * x.ndim
    shape[time_axis] = x.shape[time_axis]
    steps = torch.arange(x.shape[time_axis]).reshape(shape)
    shape = [1] * x.ndim
    shape[batch_axis] = -1
    ends = lens.reshape(shape)
    places = torch.where(steps < ends, ends - 1 - steps, steps).expand(x.shape)
    return x.gather(time_axis, places)


@operator("Shape")
def shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """The sizes, or some of them, as int64."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)  # type: ignore[no-any-return]


@operator("Size")
def size_of(x: Tensor) -> Tensor:
    """The number of elements."""
    return torch.tensor(x.numel(), dtype=torch.int64)  # type: ignore[no-any-return]


@operator("ConstantOfShape")
def constant_of_shape(sizes: Sizes, *, value: Tensor | None = None) -> Tensor:
    """One number everywhere."""
    value = torch.zeros(1) if value is None else value
    return torch.full(tuple(ints(sizes)), value.item(), dtype=value.dtype)  # type: ignore[no-any-return]


@operator("Range")
def range_(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """From start by delta up to the limit."""
    return torch.arange(  # type: ignore[no-any-return]
        start.item(), limit.item(), delta.item(), dtype=start.dtype
    )


@operator("EyeLike")
def eye_like(x: Tensor, *, dtype: Any = None, k: int = 0) -> Tensor:
    """Ones on a diagonal."""
    ones = torch.ones(x.shape, dtype=dtype or x.dtype)
    return ones.triu(k).tril(k)  # type: ignore[no-any-return]


@operator("CenterCropPad")
def center_crop_pad(x: Tensor, sizes: Sizes, *, axes: Any = None) -> Tensor:
    """Cut or padded about the middle."""
    places = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    for axis, wanted in zip(places, ints(sizes), strict=True):
        here = x.shape[axis]
        if here > wanted:
            x = x.narrow(axis, (here - wanted) // 2, wanted)
        elif here < wanted:
            before = (wanted - here) // 2
            widths = [0, 0] * (x.ndim - 1 - axis) + [before, wanted - here - before]
            x = F.pad(x, widths)
    return x
