"""Flips, rolls, repetition, triangles and padding."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..autograd.node import named
from ..core import creation, dtypes, ranges
from ..errors import ShapeError
from .copies import copied
from .declare import Spec, primitive
from .gather import select_places
from .numpy_names import numpy_names
from .shapes import Shape, normalized_dims
from .views import expand, reshape, sizes_of, transpose

__all__ = [
    "flip",
    "fliplr",
    "flipud",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
]


@primitive(node_name="Flip", moves=True)
def flip_along(input: Spec, *, dims: Any) -> Spec:
    """The order of the elements reversed along `dims`, in new memory."""
    normalized_dims(dims, len(input.shape), "flip")
    return Spec(input.shape, input.dtype)


@flip_along.array
def flip_array(xp: Any, input: Any, dims: Any) -> Any:
    """A copy, as PyTorch has no negative strides."""
    return xp.flip(input, dims).copy() if input.ndim else input.copy()


@flip_along.vjp()
def flip_vjp(F: Any, g: Any, needs: Any, input: Any, dims: Any) -> Any:
    """g reversed."""
    return F.flip_along(g, dims=dims)


def flip(input: Spec, *axes: Any, dims: Any = None) -> Spec:
    """The order of the elements reversed along `dims`."""
    chosen = sizes_of(axes) if dims is None else dims
    return flip_along(input, dims=(chosen,) if isinstance(chosen, int) else tuple(chosen))


@primitive(node_name="Roll", moves=True)
def roll_along(input: Spec, *, shifts: Any, dims: Any) -> Spec:
    """Elements moved by `shifts` along `dims`, re-entering at the other end."""
    return Spec(input.shape, input.dtype)


@roll_along.array
def roll_array(xp: Any, input: Any, shifts: Any, dims: Any) -> Any:
    """NumPy's roll."""
    return xp.roll(input, shifts, dims)


@roll_along.vjp(static="shifts")
def roll_vjp(F: Any, g: Any, needs: Any, input: Any, shifts: Any, dims: Any) -> Any:
    """g moved back."""
    back = -shifts if isinstance(shifts, int) else tuple(-s for s in shifts)
    return F.roll_along(g, shifts=back, dims=dims)


def roll(input: Spec, shifts: Any, dims: Any = None) -> Spec:
    """Elements moved by `shifts` along `dims` (or the flat tensor), re-entering at the other
    end."""
    if dims is not None and not isinstance(dims, int):
        shifts = tuple(shifts) if not isinstance(shifts, int) else (shifts,) * len(dims)
        dims = tuple(dims)
    elif not isinstance(shifts, int):
        (shifts,) = shifts
    return roll_along(input, shifts=shifts, dims=dims)


def repeat(input: Spec, *repeats: Any) -> Spec:
    """Copies of the tensor side by side, `repeats` times along each dimension, in new memory."""
    times = sizes_of(repeats)
    shape = tuple(input.shape)
    if len(times) < len(shape):
        raise ShapeError(
            f"repeat: expected at least {len(shape)} counts for shape {shape}. Got {times}."
        )
    shape = (1,) * (len(times) - len(shape)) + shape
    interleaved = [n for size in shape for n in (1, size)]
    repeated = [n for pair in zip(times, shape, strict=True) for n in pair]
    out = expand(reshape(input, *interleaved), *repeated)
    out = reshape(copied(out), *[a * b for a, b in zip(times, shape, strict=True)])
    return named(out, "Repeat")


def _triangle(name: str, doc: str) -> Any:
    def rule(input: Spec, diagonal: int = 0) -> Spec:
        if len(input.shape) < 2:
            raise ShapeError(f"{name}: expected at least 2 dimensions. Got {tuple(input.shape)}.")
        return Spec(input.shape, input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name)

    @function.array
    def array(xp: Any, input: Any, diagonal: int = 0) -> Any:
        if input.ndim < 2:  # of which NumPy would make a matrix
            raise ValueError("no matrices")
        return getattr(xp, name)(input, diagonal)

    @function.vjp()
    def vjp(F: Any, g: Any, needs: Any, input: Any, diagonal: Any) -> Any:
        return getattr(F, name)(g, diagonal=diagonal)

    return function


tril = _triangle("tril", "The lower triangle of matrices, up to `diagonal`; zeros above.")
triu = _triangle("triu", "The upper triangle of matrices, from `diagonal` on; zeros below.")


@primitive(node_name="ConstantPad", moves=True)
def pad_constant(input: Spec, *, pad: Shape, value: float = 0.0) -> Spec:
    """`value` put around: pad holds (before, after) of the last dimension, then the one before it,
    ..."""
    if len(pad) % 2 or len(pad) > 2 * len(input.shape):
        raise ShapeError(
            f"pad: expected up to {len(input.shape)} pairs for shape {tuple(input.shape)}. Got "
            f"{pad}."
        )
    shape = list(input.shape)
    for k in range(len(pad) // 2):
        shape[-1 - k] += pad[2 * k] + pad[2 * k + 1]
    if builtins.any(n < 0 for n in shape):
        raise ShapeError(f"pad: expected no negative sizes. {tuple(input.shape)} padded by {pad}.")
    return Spec(tuple(shape), input.dtype)


@pad_constant.array
def pad_array(xp: Any, input: Any, pad: Shape, value: float = 0.0) -> Any:
    """Negative widths cut off."""
    shape, inner, source = list(input.shape), [slice(None)] * input.ndim, [slice(None)] * input.ndim
    for k in range(len(pad) // 2):
        before, after = pad[2 * k], pad[2 * k + 1]
        n = shape[-1 - k]
        shape[-1 - k] = n + before + after
        inner[-1 - k] = slice(builtins.max(before, 0), shape[-1 - k] - builtins.max(after, 0))
        source[-1 - k] = slice(builtins.max(-before, 0), n - builtins.max(-after, 0))
    out = xp.full(shape, value, input.dtype)
    out[tuple(inner)] = input[tuple(source)]
    return out


@pad_constant.vjp(static="pad")
def pad_vjp(F: Any, g: Any, needs: Any, input: Any, pad: Any, value: Any) -> Any:
    """g without its border."""
    return F.pad_constant(g, pad=tuple(-n for n in pad), value=0.0)


def fliplr(input: Spec) -> Spec:
    """The order along the second dimension reversed. Raises: RuntimeError if there is none."""
    return flip(_with_dimensions("fliplr", input, 2), 1)


def flipud(input: Spec) -> Spec:
    """The order along the first dimension reversed. Raises: RuntimeError if there is none."""
    return flip(_with_dimensions("flipud", input, 1), 0)


def _with_dimensions(name: str, input: Any, least: int) -> Any:
    if len(input.shape) < least:
        raise ShapeError(
            f"{name}: expected at least {least} dimensions. Got shape {tuple(input.shape)}."
        )
    return input


def rot90(input: Spec, k: int = 1, dims: Any = (0, 1)) -> Spec:
    """Turned by k quarters in the plane of `dims`, from the first towards the second.

    Raises: RuntimeError for other than two different dimensions.
    """
    a, b = normalized_dims(tuple(dims), len(input.shape), "rot90") if len(dims) == 2 else (0, 0)
    if a == b:
        raise ShapeError(f"rot90: expected two different dimensions. Got {tuple(dims)}.")
    turns = k % 4
    if turns == 0:
        return copied(input)
    if turns == 2:
        return flip(input, a, b)
    return copied(transpose(flip(input, b if turns == 1 else a), a, b))


def tile(input: Spec, *dims: Any) -> Spec:
    """Copies side by side; missing counts are 1."""
    times = sizes_of(dims)
    return repeat(input, *[1] * (len(input.shape) - len(times)), *times)


@numpy_names
def repeat_interleave(
    input: Spec, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Spec:
    """Each element (or slice along `dim`) repeated, `repeats` times or by a vector of counts; of a
    vector of counts alone, the number k repeated counts[k] times.

    Raises: RuntimeError for negative counts or another number of them.
    """
    if repeats is None:
        return repeat_interleave(ranges.arange(input.shape[0], device=input.device), input)
    if dim is None:
        input, dim = reshape(input, -1), 0
    (d,) = normalized_dims(dim, len(input.shape), "repeat_interleave")
    n = input.shape[d]
    counts = repeats.tolist() if hasattr(repeats, "tolist") else repeats
    if isinstance(counts, list) and len(counts) == 1:
        counts = counts[0]
    if isinstance(counts, int):
        if counts < 0:
            raise RuntimeError(f"repeat_interleave: expected no negative count. Got {counts}.")
        before, after = list(input.shape[: d + 1]), list(input.shape[d + 1 :])
        wide = expand(reshape(input, *before, 1, *after), *before, counts, *after)
        return reshape(copied(wide), *before[:-1], n * counts, *after)
    if len(counts) != n or builtins.any(c < 0 for c in counts):
        raise RuntimeError(f"repeat_interleave: expected {n} counts of at least 0. Got {counts}.")
    places = [k for k, c in enumerate(counts) for _ in range(c)]
    return select_places(input, d, places)


def _triangle_indices(name: str, function: Any) -> Any:
    def indices(
        row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None,
        layout: Any = None, pin_memory: bool = False,
    ) -> Any:  # fmt: skip
        found = np.stack(function(row, offset, col))
        return creation.tensor(found, dtype=dtype or dtypes.int64, device=device)

    indices.__name__ = indices.__qualname__ = name
    indices.__doc__ = f"Rows and columns of the {name[:4]} part of a row x col matrix: (2, n)."
    return indices


tril_indices = _triangle_indices("tril_indices", np.tril_indices)
triu_indices = _triangle_indices("triu_indices", np.triu_indices)
