"""Elements moved without change, in one pass: copies between layouts, joins, borders, flips, rolls
and triangles."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.layouts import empty_in_order, order_of
from .gathers import EVERY, MOST_DIMENSIONS, MOST_WORDS, WORDS, paths_words, word_of
from .launch import Template
from .pointwise import divisor, merged
from .registry import FLOATS, kernel
from .rows import empty
from .tables import HEAD, TABLE, THREADS, chunk_length_of
from .tables import WORDS as TABLE_WORDS

BLOCK_WORDS = 1024
"""Words that a block moves."""
LEAST_SIDE = 8
"""Elements of a row or column from which on tiles pay."""
CONSTANT, REFLECT, REPLICATE, CIRCULAR, FLIP = range(5)
"""What `struct Turn` does outside of its places; a flip has none."""

PARAMETERS: dict[str, Any] = {"W": tuple(WORDS.values())}
COPY = Template("movement", "copy_strided", "PPq" + paths_words(2), **PARAMETERS)
TRANSPOSES = {
    (size, width): Template(
        "movement", "transpose", "PPqqqq" + paths_words(2), E=(WORDS[size],), N=(width,)
    )
    for size, width in [(1, 4), (1, 1), (2, 2), (2, 1), (4, 1), (8, 1)]
}
"""By bytes of an element and elements of a word."""
JOIN = Template("movement", "join", TABLE + "Pqqq", **PARAMETERS)
TURN = Template("movement", "turn", "PPq2Qq" + "2Qqqqq" * MOST_DIMENSIONS, **PARAMETERS)
UNTURN = Template(
    "movement", "unturn", "PPqqqqq", T=FLOATS, MODE=("Reflect", "Replicate", "Circular")
)
TRIANGLE = Template("movement", "triangle", "PPqqqqq", **PARAMETERS)


def _blocks(words: int) -> int:
    return -(-words // BLOCK_WORDS)


# -- copies ----------------------------------------------------------------------------------------


def contiguous(array: Any) -> Any:
    """`array`, or a copy that lies row by row."""
    if array.flags.c_contiguous:
        return array
    out = empty(array.shape, array.dtype)
    return out if copy_into(out, array) else sys.modules["cupy"].ascontiguousarray(array)


def copy_into(out: Any, x: Any) -> bool:
    """out[...] = x for arrays of one shape and dtype; False for what the kernels do not take."""
    if not out.size:
        return True
    order = sorted(range(out.ndim), key=lambda k: -abs(out.strides[k]))
    shape = [out.shape[k] for k in order]
    steps = [[a.strides[k] // a.itemsize for k in order] for a in (x, out)]
    sizes, joined = merged(shape, steps)
    if len(sizes) > MOST_DIMENSIONS or out.size > MOST_WORDS:
        return False
    crossing = next((k for k, (step, _) in enumerate(joined) if step == 1), 0)
    is_large = min(sizes[0], sizes[crossing]) >= LEAST_SIDE
    if crossing and joined[0][1] == 1 and is_large and out.itemsize <= 8:
        _transpose(out, x, sizes, joined, crossing)
        return True
    word = out.itemsize
    if joined[0] == [1, 1]:
        strides = [s * out.itemsize for step in joined[1:] for s in step]
        word = word_of(sizes[0] * out.itemsize, *strides, x.data.ptr, out.data.ptr)
    lanes = word // out.itemsize
    if lanes > 1:
        sizes = [sizes[0] // lanes, *sizes[1:]]
        joined = [joined[0], *[[s // lanes for s in step] for step in joined[1:]]]
    COPY[WORDS[word]](
        _blocks(out.size // lanes), THREADS, x.data.ptr, out.data.ptr, out.size // lanes,
        *_path(sizes, joined),
    )  # fmt: skip
    return True


def _path(sizes: Sequence[int], joined: Sequence[Sequence[int]]) -> list[int]:
    """The words of `struct Paths`."""
    words = [len(sizes)]
    for size, step in zip(sizes, joined, strict=True):
        magic, shift = divisor(size)
        words += [size | magic << 32, shift, *step]
    return words + [0] * (4 * (MOST_DIMENSIONS - len(sizes)))


def _transpose(out: Any, x: Any, sizes: list[int], joined: list[list[int]], crossing: int) -> None:
    """Where the result's innermost dimension is not the input's, number `crossing`."""
    rows, columns, size = sizes[0], sizes[crossing], out.itemsize
    x_pitch, out_pitch = joined[0][0], joined[crossing][1]
    others = [k for k in range(len(sizes)) if k not in (0, crossing)]
    steps = [x_pitch, out_pitch, *[s for k in others for s in joined[k]]]
    width = max(4 // size, 1)
    if any(n % width for n in (rows, columns, *steps)):
        width = 1
    if (x.data.ptr | out.data.ptr) % (width * size):
        width = 1
    tile = 32 * width
    batch = [sizes[k] for k in others] or [1]
    path = _path(batch, [joined[k] for k in others] or [[0, 0]])
    tiles = -(-rows // tile) * -(-columns // tile) * math.prod(batch)
    chosen = TRANSPOSES[size, width][WORDS[size], width]
    chosen(tiles, 256, x.data.ptr, out.data.ptr, rows, columns, x_pitch, out_pitch, *path)


@kernel("copied", EVERY)
def copied(input: Any, memory_format: Any = None) -> Any:
    """Tiles through shared memory where the layouts differ."""
    if memory_format is None:
        return None if input.flags.c_contiguous else contiguous(input)
    strides = [s // input.itemsize for s in input.strides]
    order = order_of(memory_format, input.shape, strides)
    out = empty_in_order(sys.modules["cupy"], input.shape, input.dtype, order)
    return out if copy_into(out, input) else None


@kernel("reshape_like", EVERY)
def reshape_like(input: Any, like: tuple[int, ...]) -> Any:
    """A view where there is one."""
    if input.flags.c_contiguous or 0 in like:
        return input.reshape(like)
    from ...ops.views import view_strides

    steps = tuple([s // input.itemsize for s in input.strides])
    is_view = view_strides(input.shape, steps, like) is not None
    return input.reshape(like) if is_view else contiguous(input).reshape(like)


# -- joins -----------------------------------------------------------------------------------------


def _joined(arrays: list[Any], shape: tuple[int, ...], dim: int, width_dim: int) -> Any:
    """The arrays side by side in `shape`: from `width_dim` on, each has its part of a row."""
    first = arrays[0]
    out = empty(shape, first.dtype)
    if not out.size:
        return out
    arrays = [contiguous(a) for a in arrays if a.size]
    widths = [math.prod(a.shape[width_dim:]) * a.itemsize for a in arrays]
    word = word_of(math.gcd(*widths), out.data.ptr, *[a.data.ptr for a in arrays])
    total, starts = sum(widths) // word, [0]
    for width in widths:
        starts.append(starts[-1] + width // word)
    length = chunk_length_of(out.nbytes // word)
    count = TABLE_WORDS // (HEAD + 3)
    for begin in range(0, len(arrays), count):
        words: list[int] = []
        chunks = 0
        for k in range(begin, min(begin + count, len(arrays))):
            size = arrays[k].nbytes // word
            words += (chunks, size, arrays[k].data.ptr, widths[k] // word, starts[k])
            chunks += -(-size // length)
        table = struct.pack(f"={len(words)}Q", *words)
        JOIN[WORDS[word]](
            chunks, THREADS, table, out.data.ptr, total, len(words) // 5, length
        )  # fmt: skip
    return out


@kernel("cat", EVERY)
def cat(tensors: list[Any], dim: int = 0) -> Any:
    """All in one launch."""
    arrays = [t for t in tensors if t.shape != (0,)]
    if not arrays or any(a.dtype != arrays[0].dtype or a.size > MOST_WORDS for a in arrays):
        return None
    first = arrays[0]
    d = dim % first.ndim
    if any(a.ndim != first.ndim for a in arrays):
        return None
    shape = (*first.shape[:d], sum([a.shape[d] for a in arrays]), *first.shape[d + 1 :])
    return _joined(arrays, shape, d, d)


@kernel("stack", EVERY)
def stack(tensors: list[Any], dim: int = 0) -> Any:
    """All in one launch."""
    first = tensors[0]
    if any(
        a.dtype != first.dtype or a.shape != first.shape or a.size > MOST_WORDS for a in tensors
    ):
        return None
    d = dim % (first.ndim + 1)
    return _joined(list(tensors), (*first.shape[:d], len(tensors), *first.shape[d:]), d, d)


# -- borders, flips and rolls ----------------------------------------------------------------------

Turns = list[tuple[int, int, int]]
"""For each dimension of a result its size, where the input begins, and what is outside of it."""


def turned(x: Any, turns: Turns, fill: Any = 0) -> Any:
    """x with each dimension turned; None for too many dimensions."""
    out = empty(tuple([n for n, _, _ in turns]), x.dtype)
    if not out.size:
        return out
    if out.size > MOST_WORDS or x.ndim == 0:
        return None
    x = contiguous(x)
    kept = 0  # of the last dimensions, those that stay whole
    while kept < x.ndim and turns[-1 - kept] == (x.shape[-1 - kept], 0, CONSTANT):
        kept += 1
    inner = math.prod(x.shape[x.ndim - kept :]) * x.itemsize
    word = word_of(inner, x.data.ptr, out.data.ptr)
    step, words = inner // word, []
    if step > 1:
        words += _turn(step, 1, step, 0, CONSTANT)
    for k in reversed(range(x.ndim - kept)):
        size, before, mode = turns[k]
        words += _turn(size, step, x.shape[k], before, mode)
        step *= x.shape[k]
    count = len(words) // 6
    if count > MOST_DIMENSIONS:
        return None
    words += [0] * (6 * (MOST_DIMENSIONS - count))
    pattern = struct.unpack("=2Q", np.full(16 // x.itemsize, fill, x.dtype).tobytes())
    threads = out.nbytes // word
    TURN[WORDS[word]](
        _blocks(threads), THREADS, x.data.ptr, out.data.ptr, threads, *pattern, count, *words
    )
    return out


def _turn(size: int, step: int, own: int, before: int, mode: int) -> list[int]:
    """The words of `struct Turn`."""
    magic, shift = divisor(size)
    return [size | magic << 32, shift, step, own, before, mode]


@kernel("pad_constant", EVERY)
def pad_constant(input: Any, pad: tuple[int, ...], value: float = 0.0) -> Any:
    """Inside and border in one launch."""
    turns: Turns = [(n, 0, CONSTANT) for n in input.shape]
    for k in range(len(pad) // 2):
        n = input.shape[-1 - k]
        turns[-1 - k] = (n + pad[2 * k] + pad[2 * k + 1], pad[2 * k], CONSTANT)
    return turned(input, turns, value)


@kernel("pad_around", EVERY)
def pad_around(input: Any, pad: tuple[int, ...], mode: str) -> Any:
    """The same, with what the mode shows outside."""
    outside = {"reflect": REFLECT, "replicate": REPLICATE, "circular": CIRCULAR}[mode]
    turns: Turns = [(n, 0, CONSTANT) for n in input.shape]
    for k in range(len(pad) // 2):
        before, after = pad[2 * k : 2 * k + 2]
        if before or after:
            turns[-1 - k] = (input.shape[-1 - k] + before + after, before, outside)
    return turned(input, turns)


@kernel("pad_around_gradient")
def pad_around_gradient(g: Any, like: tuple[int, ...], pad: tuple[int, ...], mode: str) -> Any:
    """A launch for each padded dimension, in which elements add up what was made of them."""
    if g.size > MOST_WORDS:
        return None
    g = contiguous(g)
    for k in reversed(range(len(pad) // 2)):
        before, after = pad[2 * k : 2 * k + 2]
        if not (before or after):
            continue
        n, inner = like[-1 - k], math.prod(g.shape[g.ndim - k :])
        out = empty((*g.shape[: g.ndim - 1 - k], n, *g.shape[g.ndim - k :]), g.dtype)
        UNTURN[g.dtype.name, mode.capitalize()](
            -(-out.size // THREADS), THREADS, g.data.ptr, out.data.ptr, out.size, n, inner, before,
            after,
        )  # fmt: skip
        g = out
    return g


@kernel("pad_to", EVERY)
def pad_to(input: Any, like: tuple[int, ...]) -> Any:
    """The same."""
    return turned(input, [(n, 0, CONSTANT) for n in like])


@kernel("embed_slice", EVERY)
def embed_slice(g: Any, like: tuple[int, ...], dim: int, start: int, length: int | None) -> Any:
    """A border of zeros along the dimension."""
    d = dim % len(like)
    if length is None:
        g = g.reshape(*like[:d], 1, *like[d + 1 :]) if g.flags.c_contiguous else g[_at(d)]
    turns: Turns = [(n, 0, CONSTANT) for n in like]
    turns[d] = (like[d], start % like[d] if like[d] else 0, CONSTANT)
    return turned(g, turns)


def _at(d: int) -> tuple[Any, ...]:
    return (*[slice(None)] * d, None)


@kernel("embed_in_cat", EVERY)
def embed_in_cat(h: Any, like: Any, shapes: Any, index: int, dim: int) -> Any:
    """The same."""
    if h.shape == (0,) != shapes[index]:
        return None
    d = dim % len(like)
    start = sum([shape[d] for shape in shapes[:index] if shape != (0,)])
    turns: Turns = [(n, 0, CONSTANT) for n in like]
    turns[d] = (like[d], start, CONSTANT)
    return turned(h, turns) if h.ndim == len(like) else None


@kernel("flip_along", EVERY)
def flip_along(input: Any, dims: Any) -> Any:
    """The same, backwards."""
    chosen = {d % max(input.ndim, 1) for d in ((dims,) if isinstance(dims, int) else dims)}
    turns: Turns = [(n, 0, FLIP if k in chosen else CONSTANT) for k, n in enumerate(input.shape)]
    return turned(input, turns)


@kernel("roll_along", EVERY)
def roll_along(input: Any, shifts: Any, dims: Any) -> Any:
    """Round and round."""
    flat = input if dims is not None else contiguous(input).reshape(-1)
    by: dict[int, int] = {}
    pairs = zip(
        (shifts,) if isinstance(shifts, int) else shifts,
        (0,) if dims is None else (dims,) if isinstance(dims, int) else dims,
        strict=True,
    )
    for shift, d in pairs:
        by[d % flat.ndim] = by.get(d % flat.ndim, 0) + shift
    turns: Turns = [
        (n, by[k] % n, CIRCULAR) if n and by.get(k, 0) % n else (n, 0, CONSTANT)
        for k, n in enumerate(flat.shape)
    ]
    out = turned(flat, turns)
    return None if out is None else out.reshape(input.shape)


# -- triangles -------------------------------------------------------------------------------------


def _triangle(input: Any, diagonal: int, is_lower: bool) -> Any:
    if input.ndim < 2 or input.size > MOST_WORDS:
        return None
    x, out = contiguous(input), empty(input.shape, input.dtype)
    if out.size:
        TRIANGLE[WORDS[x.itemsize]](
            _blocks(x.size), THREADS, x.data.ptr, out.data.ptr, x.size, *x.shape[-2:], diagonal,
            int(is_lower),
        )  # fmt: skip
    return out


@kernel("tril", EVERY)
def tril(input: Any, diagonal: int = 0) -> Any:
    """What is kept is read, all written."""
    return _triangle(input, diagonal, True)


@kernel("triu", EVERY)
def triu(input: Any, diagonal: int = 0) -> Any:
    """The same above."""
    return _triangle(input, diagonal, False)
