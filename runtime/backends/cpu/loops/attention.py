"""Attention in blocks of heads and queries whose scores stay in the cache.

Products go to oneDNN or NumPy, which do a block of heads in one call; between them a loop over rows
turns scores into weights, and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..onednn.products import matmul
from .language import Position, Value
from .rows import Passes, Row, RowLoop

BLOCK = 1 << 18
"""Scores at a time: 1 MiB, the L2 cache of a core."""


LEAST_ROWS, CAUSAL_ROWS = 64, 64
"""Queries of a block at least; and of a causal one, whose keys end with its last query's."""


def _weights(p: Passes, index: Value, x: Row, scale: Value, *place: Value) -> None:
    """x becomes the softmax of x * scale over the keys that can be seen, 0 elsewhere, and 0 where
    none is. `place` is for causal attention: how many queries a head has here, and the number of
    the first."""
    seen = p
    if place:
        queries, first = (v.to("int64") for v in place)
        last = index % queries + first + 1
        seen = Passes(p.program, p.program.where(last < p.columns, last, p.columns))
    top = seen.max(lambda at: x[at] * scale)
    top = p.program.where(top.compare("==", -np.inf), 0.0, top)

    def exponential(at: Position) -> Value:
        x[at] = value = p.m.exp(x[at] * scale - top)
        return value

    total = seen.sum(exponential)
    share = p.program.where(total.compare("==", 0.0), 0.0, 1 / total)
    seen.map(x, lambda at: x[at] * share)
    if place:
        zero = p.program.constant(0.0, p.program.real)
        p.program.across(seen.columns, p.columns, lambda at: at.store(x.start, zero))


def _scores_gradient(p: Passes, index: Value, weights: Row, g: Row, scale: Value) -> None:
    """g, the gradient by the weights, becomes that by the products of queries and keys."""
    along = p.sum(lambda at: g[at] * weights[at])
    p.map(g, lambda at: weights[at] * (g[at] - along) * scale)


WEIGHTS = RowLoop(_weights, "real", numbers=1)
CAUSAL_WEIGHTS = RowLoop(_weights, "real", numbers=3)
SCORES_GRADIENT = RowLoop(_scores_gradient, "real", "real", numbers=1)


def _blocks(
    heads: int, queries: int, keys: int, is_causal: bool
) -> Iterator[tuple[slice, slice, slice]]:
    """The heads, queries and keys of each block; keys that no query of it sees are left out."""
    rows = min(queries, CAUSAL_ROWS if is_causal else max(LEAST_ROWS, BLOCK // keys))
    together = min(heads, max(1, BLOCK // (rows * keys)))
    for head in range(0, heads, together):
        for first in range(0, queries, rows):
            last = min(first + rows, queries)
            seen = min(keys, last) if is_causal else keys
            yield slice(head, head + together), slice(first, last), slice(0, seen)


def _transposed(x: Any) -> Any:
    return x.transpose(0, 2, 1)


def _block_weights(
    query: Any, key: Any, mask: Any, scale: float, is_causal: bool, first: int
) -> Any:
    """The weights (heads, queries, keys) of a block, whose first query has number `first`."""
    scores = matmul(query, _transposed(key))
    if mask is not None:
        scores *= query.dtype.type(scale)
        scores += mask
        scale = 1.0
    rows, keys = scores.shape[0] * scores.shape[1], scores.shape[2]
    if is_causal:
        CAUSAL_WEIGHTS([scores], rows, keys, scale, scores.shape[1], first)
    else:
        WEIGHTS([scores], rows, keys, scale)
    return scores


def _fourfold(*arrays: Any) -> list[Any]:
    """The arrays as (batch, heads, n, width)."""
    return [
        a if a.ndim == 4 else a[None] if a.ndim == 3 else a.reshape(1, -1, *a.shape[-2:])
        for a in arrays
    ]


def _beside_heads(x: Any, width: int) -> Any:
    """An array (batch, heads, n, width) whose heads lie side by side, as models put them next."""
    batch, heads, n, _ = x.shape
    return np.empty((batch, n, heads, width), x.dtype).transpose(0, 2, 1, 3)


def _masks(mask: Any, query: Any, key: Any) -> Any:
    """`mask` as (batch, heads, queries, keys); of one batch and head for each if it is None."""
    if mask is None:
        return None
    shape = (*query.shape[:-1], key.shape[-2])
    return _fourfold(np.broadcast_to(mask, shape))[0]


def attention(query: Any, key: Any, value: Any, mask: Any, scale: float, is_causal: bool) -> Any:
    """softmax(query @ key.mT * scale + mask) @ value."""
    shape, mask = query.shape[:-1], _masks(mask, query, key)
    query, key, value = _fourfold(query, key, value)
    out = _beside_heads(query, value.shape[-1])
    sizes = *query.shape[1:3], key.shape[2]
    for b in range(len(query)):
        for heads, queries, keys in _blocks(*sizes, is_causal):
            here = None if mask is None else mask[b, heads, queries, keys]
            weights = _block_weights(
                query[b, heads, queries], key[b, heads, keys], here, scale, is_causal, queries.start
            )
            out[b, heads, queries] = matmul(weights, value[b, heads, keys])
    return out.reshape(*shape, out.shape[-1])


def attention_gradient(
    g: Any, query: Any, key: Any, value: Any, mask: Any, scale: float, is_causal: bool
) -> tuple[Any, Any, Any]:
    """The gradients by query, key and value; the weights of each block are computed again."""
    shapes, mask = (query.shape, key.shape, value.shape), _masks(mask, query, key)
    g, query, key, value = _fourfold(g, query, key, value)
    by_query, by_key, by_value = (_beside_heads(x, x.shape[-1]) for x in (query, key, value))
    by_key[...] = 0
    by_value[...] = 0
    sizes = *query.shape[1:3], key.shape[2]
    for b in range(len(query)):
        for heads, queries, keys in _blocks(*sizes, is_causal):
            here = None if mask is None else mask[b, heads, queries, keys]
            q, k, v = query[b, heads, queries], key[b, heads, keys], value[b, heads, keys]
            weights = _block_weights(q, k, here, scale, is_causal, queries.start)
            h = g[b, heads, queries]
            scores = matmul(h, _transposed(v))
            rows = scores.shape[0] * scores.shape[1]
            SCORES_GRADIENT([weights, scores], rows, scores.shape[2], scale)
            by_value[b, heads, keys] += matmul(_transposed(weights), h)
            by_key[b, heads, keys] += matmul(_transposed(scores), q)
            by_query[b, heads, queries] = matmul(scores, k)
    grads = by_query, by_key, by_value
    return tuple([a.reshape(s) for a, s in zip(grads, shapes, strict=True)])  # type: ignore[return-value]
