"""Attention in tiles on tensor cores, and its gradients: no queries x keys matrix in memory."""

from __future__ import annotations

from typing import Any

from .launch import AMPERE, Kernel, Template
from .random import Stream
from .registry import kernel
from .rows import aligned, empty

TYPES = ("float16", "bfloat16", "float32")
WIDTHS = (64, 128)
"""Widths of heads that kernels are compiled for; narrower ones are filled up with zeros."""
LINES = 64
"""Queries, or keys, of a block."""
THREADS = 128
WARPS = THREADS // 32
PADDING = 8
"""Elements between the lines of a tile, as in `attention.cu`."""
TILE_BYTES = 16 << 10
"""Bytes of a tile of what a block's own lines are multiplied by."""
PROBLEM = "Pqqq" * 8 + "Pqqqq" + "PP" + "qqqqqqq" + "dd" + "QQP"
"""The words of `struct Problem`."""
NO_ROWS = (0, 0, 0, 0)
NO_MASK = (0, 0, 0, 0, 0)

FORWARD = Template("attention", "attention", PROBLEM, AMPERE, T=TYPES, WIDTH=WIDTHS)
ALONG = Template("attention", "attention_along", PROBLEM, T=TYPES)
BY_QUERIES = Template("attention", "attention_by_queries", PROBLEM, AMPERE, T=TYPES, WIDTH=WIDTHS)
BY_KEYS = Template("attention", "attention_by_keys", PROBLEM, AMPERE, T=TYPES, WIDTH=WIDTHS)


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


def _is_fit(query: Any, key: Any, value: Any, mask: Any) -> bool:
    return (
        query.ndim >= 2
        and key.shape[:-2] == value.shape[:-2]
        and (key.shape[:-2] == query.shape[:-2] or query.ndim >= 3)
        and max(query.shape[-1], value.shape[-1]) <= WIDTHS[-1]
        and all(a.size and a.dtype == query.dtype for a in (query, key, value))
        and (mask is None or mask.ndim <= (4 if query.ndim <= 4 else 3))
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
        self.beside = min(64, TILE_BYTES // (self.width * self.dtype.itemsize))
        self.by_queries = -(-queries // LINES), heads, batch
        self.by_keys = -(-keys // LINES), key_heads, batch
        self.by_warps = -(-queries // WARPS), heads, batch
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

    def launch(
        self,
        chosen: Kernel,
        grid: tuple[int, int, int],
        lines: int,
        *gradients: Any,
        along: Any = 0,
    ) -> None:
        """`lines`: how many there are in shared memory, of all tiles together."""
        rows: list[int] = []
        for array in (self.query, self.key, self.value, self.out, *gradients):
            rows += _rows(array)
        rows += NO_ROWS * (8 - len(rows) // 4)
        shared = lines * (self.width + PADDING) * self.dtype.itemsize
        chosen(
            grid, THREADS, *rows, *self.mask_words, self.log_sums.data.ptr, along, *self.numbers,
            *self.dropout, shared=shared,
        )  # fmt: skip

    def forward(self) -> None:
        """Compute `out` and `log_sums`."""
        chosen = FORWARD[self.dtype.name, self.width]
        self.launch(chosen, self.by_queries, LINES + 2 * self.beside)

    def backward(self, g: Any) -> tuple[Any, Any, Any]:
        """The gradients by query, key and value."""
        name, width = self.dtype.name, self.width
        arrays = self.query, self.key, self.value
        by_query, by_key, by_value = (_beside_heads(a, a.shape[-1]) for a in arrays)
        along = empty(self.query.shape[:3], "float32")
        given, place = (_fourfold(g), by_query, by_key, by_value), along.data.ptr
        lines = 2 * (LINES + max(16, self.beside // 2))
        self.launch(ALONG[name], self.by_warps, 0, *given, along=place)
        self.launch(BY_QUERIES[name, width], self.by_queries, lines, *given, along=place)
        self.launch(BY_KEYS[name, width], self.by_keys, lines, *given, along=place)
        return by_query, by_key, by_value


@kernel("attention", TYPES, since=AMPERE)
def attention(
    query: Any, key: Any, value: Any, mask: Any = None, *, scale: float, is_causal: bool
) -> Any:
    """Tiles of 64 queries, which go through the keys once."""
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
    if not _is_fit(query, key, value, mask):
        return None
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
    if not _is_fit(query, key, value, mask):
        return None
    dropout = dropped, seed, offset, held
    problem = _Problem(query, key, value, mask, scale, is_causal, dropout, (out, sums))
    found = zip(problem.backward(g), (query, key, value), strict=True)
    return tuple([by.reshape(array.shape) for by, array in found])


def dropout_part(stream: Stream, keys: int) -> dict[str, int]:
    """The part of the stream that dropout draws for queries of so many keys: attributes of
    `tiled_attention`."""
    seed, offset, held = stream.take(4 * 8 * -(-keys // 2))
    return {"seed": seed, "offset": offset, "held": held}
