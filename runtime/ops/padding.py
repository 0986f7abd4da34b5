"""Padding: by a number, or by what lies inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends.accumulation import add_at
from ..errors import ShapeError
from .declare import Spec, primitive
from .gather import select_places
from .rearrangement import pad_constant
from .sampling import is_launched
from .shapes import Shape

MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Spec, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Spec:
    """input with a border: `pad` holds (before, after) of the last dimension, then of the one
    before it, and so on; negative widths cut off.

    `mode` "constant" fills with `value` (0); "reflect" mirrors the inside without the edge,
    "replicate" repeats the edge, "circular" goes round.
    Raises: RuntimeError for another mode, or a border that the inside is too small for.
    """
    widths = tuple(int(p) for p in pad)
    if len(widths) % 2 or len(widths) > 2 * len(input.shape):
        raise ShapeError(
            f"pad: expected two widths for each of at most {len(input.shape)} dimensions of "
            f"shape {tuple(input.shape)}. Got {widths}."
        )
    if mode not in MODES:
        raise RuntimeError(f"pad: expected a mode of {', '.join(MODES)}. Got {mode!r}.")
    if mode == "constant":
        return pad_constant(input, pad=widths, value=0.0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f"pad: expected no value with mode {mode!r}. Got {value}.")
    rank, count = len(input.shape), len(widths) // 2
    if len(widths) % 2 or rank not in (count + 1, count + 2):
        raise ShapeError(
            f"pad: expected {mode!r} to pad the last 1, 2 or 3 of the dimensions, all but batch "
            f"and channels. Got shape {tuple(input.shape)} and pad {widths}."
        )
    if is_launched(input._key) and min(widths, default=0) >= 0 and 0 not in input.shape:
        for k in range(len(widths) // 2):
            _places(mode, input.shape[-1 - k], *widths[2 * k : 2 * k + 2], tuple(input.shape))
        return pad_around(input, pad=widths, mode=mode)
    return {"reflect": reflected, "replicate": replicated, "circular": _circled}[mode](
        input, widths
    )


@primitive(moves=True)
def pad_around(input: Spec, *, pad: Shape, mode: str) -> Spec:
    """`pad` with another mode than "constant", and no negative widths, as one linear map."""
    shape = list(input.shape)
    for k in range(len(pad) // 2):
        shape[-1 - k] += pad[2 * k] + pad[2 * k + 1]
    return Spec(tuple(shape), input.dtype)


@pad_around.naming
def pad_around_name(node: Any) -> str:
    """PyTorch has a node for each mode and rank."""
    pad, mode = node.attributes
    if mode == "circular":
        return "CopySlices"
    word = "Reflection" if mode == "reflect" else "Replication"
    return f"{word}Pad{len(pad) // 2}DBackward0"


@pad_around.array
def pad_around_array(xp: Any, input: Any, pad: Shape, mode: str) -> Any:
    """Along each dimension the elements that belong there."""
    for k in range(len(pad) // 2):
        n = input.shape[-1 - k]
        places = _places(mode, n, pad[2 * k], pad[2 * k + 1], input.shape)
        input = xp.take(input, xp.asarray(places), -1 - k)
    return input


@pad_around.vjp(static="mode")
def pad_around_vjp(F: Any, g: Any, needs: Any, input: Any, pad: Any, mode: Any) -> Any:
    """The transposed map."""
    return F.pad_around_gradient(g, like=input, pad=pad, mode=mode)


@primitive
def pad_around_gradient(g: Spec, *, like: Shape, pad: Shape, mode: str) -> Spec:
    """The transposed map of `pad_around`: each element gets all that was made of it."""
    return Spec(like, g.dtype)


@pad_around_gradient.array
def pad_around_gradient_array(xp: Any, g: Any, like: Shape, pad: Shape, mode: str) -> Any:
    """Added up along each dimension, in reverse order."""
    for k in reversed(range(len(pad) // 2)):
        places = _places(mode, like[-1 - k], pad[2 * k], pad[2 * k + 1], like)
        shape = list(g.shape)
        shape[-1 - k] = like[-1 - k]
        out = xp.zeros(shape, g.dtype)
        add_at(xp, xp.moveaxis(out, -1 - k, 0), xp.asarray(places), xp.moveaxis(g, -1 - k, 0))
        g = out
    return g


@pad_around_gradient.vjp(static="mode")
def pad_around_gradient_vjp(
    F: Any, h: Any, needs: Any, g: Any, like: Any, pad: Any, mode: Any
) -> Any:
    """The map again."""
    return F.pad_around(h, pad=pad, mode=mode)


def _selected(input: Spec, widths: tuple[int, ...], mode: str) -> Spec:
    rank = len(input.shape)
    for k in range(len(widths) // 2):
        before, after = widths[2 * k : 2 * k + 2]
        if before or after:
            d = rank - 1 - k
            places = _places(mode, input.shape[d], before, after, tuple(input.shape))
            input = select_places(input, d, places)
    return input


def reflected(input: Spec, widths: tuple[int, ...]) -> Spec:
    """`pad` with mode "reflect"; autocast concerns it by itself."""
    return _selected(input, widths, "reflect")


def replicated(input: Spec, widths: tuple[int, ...]) -> Spec:
    """`pad` with mode "replicate"; autocast concerns it by itself."""
    return _selected(input, widths, "replicate")


def _circled(input: Spec, widths: tuple[int, ...]) -> Spec:
    return _selected(input, widths, "circular")


def _places(mode: str, n: int, before: int, after: int, shape: Any) -> list[int]:
    """Where the elements of a padded line of n come from."""
    widest = {"reflect": n - 1, "circular": n}.get(mode)
    if (widest is not None and max(before, after) > widest) or n == 0 or n + before + after < 1:
        raise ShapeError(
            f"pad: expected widths of at most {widest} for mode {mode!r} and dimension {n}, and "
            f"something left. Got {before} and {after} for shape {shape}."
        )
    line = range(-before, n + after)
    if mode == "replicate":
        return [min(max(i, 0), n - 1) for i in line]
    if mode == "circular":  # goes round what negative widths have left
        inside = range(n)[max(0, -before) : n - max(0, -after)]
        start, stop = -max(0, before), len(inside) + max(0, after)
        return [inside[i % len(inside)] for i in range(start, stop)]
    return [abs(i) if i < n else 2 * (n - 1) - i for i in line]
