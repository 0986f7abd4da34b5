"""Flips, rolls, repetition, triangles and padding."""

from __future__ import annotations

import builtins
from typing import Any

from ..errors import ShapeError
from .declare import Spec, primitive
from .shapes import Shape, normalized_dims
from .views import expand, reshape, sizes_of


@primitive(node_name="Flip")
def flip_along(input: Spec, *, dims: Any) -> Spec:
    """The order of the elements reversed along `dims`, in new memory."""
    normalized_dims(dims, len(input.shape), "flip")
    return Spec(input.shape, input.dtype)


@flip_along.array
def flip_array(xp: Any, input: Any, dims: Any) -> Any:
    """A copy, as PyTorch has no negative strides."""
    return xp.ascontiguousarray(xp.flip(input, dims)) if input.ndim else input.copy()


@flip_along.vjp()
def flip_vjp(F: Any, g: Any, needs: Any, input: Any, dims: Any) -> Any:
    """g reversed."""
    return F.flip_along(g, dims=dims)


def flip(input: Spec, *dims: Any) -> Spec:
    """The order of the elements reversed along `dims`."""
    return flip_along(input, dims=sizes_of(dims))


@primitive(node_name="Roll")
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
    """Copies of the tensor side by side, `repeats` times along each dimension."""
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
    return reshape(out, *[a * b for a, b in zip(times, shape, strict=True)])


def _triangle(name: str, doc: str) -> Any:
    def rule(input: Spec, diagonal: int = 0) -> Spec:
        if len(input.shape) < 2:
            raise ShapeError(f"{name}: expected at least 2 dimensions. Got {tuple(input.shape)}.")
        return Spec(input.shape, input.dtype)

    rule.__name__, rule.__doc__, rule.__module__ = name, doc, __name__
    function = primitive(rule, name=name)

    @function.array
    def array(xp: Any, input: Any, diagonal: int = 0) -> Any:
        return getattr(xp, name)(input, diagonal)

    @function.vjp()
    def vjp(F: Any, g: Any, needs: Any, input: Any, diagonal: Any) -> Any:
        return getattr(F, name)(g, diagonal=diagonal)

    return function


tril = _triangle("tril", "The lower triangle of matrices, up to `diagonal`; zeros above.")
triu = _triangle("triu", "The upper triangle of matrices, from `diagonal` on; zeros below.")


@primitive(node_name="ConstantPad")
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
