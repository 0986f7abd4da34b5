"""Attention in tiles on tensor cores, and its gradients: no queries x keys matrix in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from .launch import AMPERE, Grid, Kernel, Template
from .random import Stream
from .registry import kernel
from .rows import aligned, empty
from .sdp import allowed

TYPES = ("float16", "bfloat16", "float32")
WIDTHS = (64, 128, 256)
"""Widths of heads that kernels are compiled for; narrower ones are filled up with zeros."""
THREADS = 128
WARPS = THREADS // 32
ROW_LANES = 8
"""Threads that have a row of `attention_sums`."""
PADDING = 8
"""Elements between the lines of a tile, as in `attention.cuh`."""
PROBLEM = "Pqqq" * 8 + "Pqqqq" + "PP" + "qqqqqqq" + "dd" + "QQP"
"""The words of `struct Problem`."""
NO_ROWS = (0, 0, 0, 0)
NO_MASK = (0, 0, 0, 0, 0)

_tiles: dict[str, Any] = {"T": TYPES, "WIDTH": WIDTHS, "IS_PLAIN": (True, False)}
FORWARD = Template("attention", "attention", PROBLEM, AMPERE, **_tiles)
SUMS = Template("attention_gradient", "attention_sums", PROBLEM, T=TYPES)
BY_QUERIES = Template("attention_gradient", "attention_by_queries", PROBLEM, AMPERE, **_tiles)
BY_KEYS = Template("attention_gradient", "attention_by_keys", PROBLEM, AMPERE, **_tiles)


Size = tuple[int, int, int]


class Tiling(NamedTuple):
    """Lines of a block's own tiles, how many of these it has, and lines of the other operand's."""

    own: int
    tiles: int
    beside: int

    def bytes(self, width: int, itemsize: int) -> int:
        """Of shared memory: beside its own, a block has two tiles, each twice."""
        return (self.tiles * self.own + 4 * self.beside) * (width + PADDING) * itemsize


def tiling(name: str, dtype: str, width: int, is_plain: bool) -> Tiling:
    """The tiles of a kernel, as `struct Forward` and `struct Backward` have them."""
    is_half = dtype != "float32"
    if name == "attention":
        rows = 2 if is_half and is_plain and width <= 128 else 1
        keys = (64 if width == 64 else 32) if is_half else 4096 // width
        return Tiling(16 * WARPS * rows, 1, keys)
    beside = (4096 if is_half else 2048) // width
    if name == "attention_by_queries":
        return Tiling(16 * WARPS * (2 if is_half and is_plain and width == 64 else 1), 2, beside)
    return Tiling(16 * WARPS // (2 if width == 256 else 1), 2, beside)


def _fourfold(array: Any) -> Any:
    """The array as (batch, heads, n, width), its rows without gaps."""
    if array.shape[-1] > 1 and array.strides[-1] != array.itemsize:
        array = array.copy()
    if array.ndim <= 4:
        return array.reshape((1,) * (4 - array.ndim) + array.shape)
    return array.reshape(-1, *array.shape[-3:])


def _beside_heads(like: Any, width: int) -> Any:
    """An array (batch, heads, n, width) whose heads lie side by side, as models put them next."""
    batch, heads, n, _ = like.shape
    return empty((batch, n, heads, width), like.dtype).transpose(0, 2, 1, 3)


def _rows(array: Any) -> tuple[int, ...]:
    """The words of `struct Rows`."""
    return (array.data.ptr, *[step // array.itemsize for step in array.strides[:3]])


def _is_fit(query: Any, key: Any, value: Any, mask: Any, scale: float) -> bool:
    return (
        allowed.tiles()
        and query.ndim >= 2
        and key.shape[:-2] == value.shape[:-2]
        and (key.shape[:-2] == query.shape[:-2] or query.ndim >= 3)
        and max(query.shape[-1], value.shape[-1]) <= WIDTHS[-1]
        and all(a.size and a.dtype == query.dtype for a in (query, key, value))
        and (mask is None or mask.ndim <= (4 if query.ndim <= 4 else 3))
        and scale > 0  # so that the largest product has the largest score
    )


class _Problem:
    """The words of one problem, and the geometry of its launches."""

    def __init__(
        self,
        query: Any,
        key: Any,
        value: Any,
        mask: Any,
        scale: float,
        is_causal: bool,
        dropout: tuple[float, int, int, int],
        known: tuple[Any, Any] | None = None,
    ) -> None:
        """`known`: the results of the forward pass."""
        self.query, self.key, self.value = map(_fourfold, (query, key, value))
        self.dtype = query.dtype
        batch, heads, queries, width = self.query.shape
        key_heads, keys, value_width = self.value.shape[1:]
        self.width = next(w for w in WIDTHS if w >= max(width, value_width))
        self.queries, self.keys = (queries, heads, batch), (keys, key_heads, batch)
        self.is_plain = mask is None and not dropout[0]
        self.mask_words = NO_MASK
        if mask is not None:
            self._keep_mask(mask, (batch, heads, queries, keys))
        group, self.dropout = heads // key_heads, dropout
        self.numbers = (heads, group, queries, keys, width, value_width, int(is_causal), scale)
        if known is None:
            self.out = _beside_heads(self.query, value_width)
            self.log_sums = empty((batch, heads, queries), "float64")
        else:
            self.out, self.log_sums = _fourfold(known[0]), aligned(known[1])

    def _keep_mask(self, mask: Any, shape: tuple[int, ...]) -> None:
        import cupy

        self.mask = mask.astype(cupy.float32, copy=False)
        steps = cupy.broadcast_to(self.mask, shape).strides
        self.mask_words = (self.mask.data.ptr, *[step // 4 for step in steps])

    def _launch(self, chosen: Kernel, grid: Grid, shared: int, gradients: Any, sums: Any) -> None:
        rows: list[int] = []
        for array in (self.query, self.key, self.value, self.out, *gradients):
            rows += _rows(array)
        rows += NO_ROWS * (8 - len(rows) // 4)
        chosen(
            grid, THREADS, *rows, *self.mask_words, self.log_sums.data.ptr, sums, *self.numbers,
            *self.dropout, shared=shared,
        )  # fmt: skip

    def _tiled(self, template: Template, lines: Size, gradients: Any = (), sums: Any = 0) -> None:
        """Launch a kernel whose blocks have tiles of `lines`: how many there are, of how many heads
        and batches."""
        values = self.dtype.name, self.width, self.is_plain
        tiles = tiling(template.name, *values)
        grid = -(-lines[0] // tiles.own), *lines[1:]
        shared = tiles.bytes(self.width, self.dtype.itemsize)
        self._launch(template[values], grid, shared, gradients, sums)

    def forward(self) -> None:
        """Compute `out` and `log_sums`."""
        self._tiled(FORWARD, self.queries)

    def backward(self, g: Any) -> tuple[Any, Any, Any]:
        """The gradients by query, key and value."""
        arrays = self.query, self.key, self.value
        by_query, by_key, by_value = (_beside_heads(a, a.shape[-1]) for a in arrays)
        sums = empty((*self.query.shape[:3], 2), "float32")
        given, place = (_fourfold(g), by_query, by_key, by_value), sums.data.ptr
        rows = THREADS // ROW_LANES
        grid = -(-self.queries[0] // rows), *self.queries[1:]
        self._launch(SUMS[self.dtype.name], grid, 0, given, place)
        self._tiled(BY_QUERIES, self.queries, given, place)
        self._tiled(BY_KEYS, self.keys, given, place)
        return by_query, by_key, by_value


@kernel("attention", TYPES, since=AMPERE)
def attention(
    query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> Any:
    """Tiles of 64 or 128 queries, which go through the keys once."""
    both = tiled_attention(query, key, value, mask, scale=scale, is_causal=is_causal)
    return None if both is None else both[0]


@kernel("tiled_attention", TYPES, since=AMPERE)
def tiled_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> Any:
    """The same, and the logarithms of the sums of exponentials."""
    if not _is_fit(query, key, value, mask, scale):
        return allowed.leave_to_math()
    dropout = dropped, seed, offset, held
    problem = _Problem(query, key, value, mask, scale, is_causal, dropout)
    problem.forward()
    shape = query.shape[:-1]
    return problem.out.reshape(*shape, value.shape[-1]), problem.log_sums.reshape(shape)


@kernel("attention_gradient", TYPES, since=AMPERE)
def attention_gradient(
    g: Any, query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> Any:
    """After a forward pass, which nobody kept."""
    how = {"scale": scale, "is_causal": is_causal}
    both = tiled_attention(query, key, value, mask, **how)
    if both is None:
        return None
    return tiled_attention_gradient(g, query, key, value, *both, mask, **how)


@kernel("tiled_attention_gradient", TYPES, since=AMPERE)
def tiled_attention_gradient(
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    sums: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> Any:
    """One pass by queries and one by keys, which compute the weights again."""
    if not _is_fit(query, key, value, mask, scale):
        return None
    known = out, sums.astype("float64", copy=False)  # cuDNN's are of float32
    dropout = dropped, seed, offset, held
    problem = _Problem(query, key, value, mask, scale, is_causal, dropout, known)
    found = zip(problem.backward(g), (query, key, value), strict=True)
    return tuple([by.reshape(array.shape) for by, array in found])


def dropout_part(stream: Stream, keys: int) -> dict[str, int]:
    """The part of the stream that dropout draws for queries of so many keys: attributes of
    `tiled_attention`."""
    seed, offset, held = stream.take(4 * 8 * -(-keys // 2))
    return {"seed": seed, "offset": offset, "held": held}
