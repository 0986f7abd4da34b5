"""Philox4x32-10 in array code, for NumPy and CuPy: the words that our kernels on the GPU draw.

Source: Salmon et al., SC 2011, doi 10.1145/2063384.2063405.
"""

from __future__ import annotations

import math
from typing import Any

ROUNDS = 10
FIRST, SECOND = 0xD2511F53, 0xCD9E8D57
"""What the words are multiplied by."""
STEPS = 0x9E3779B9, 0xBB67AE85
"""What the key grows by from round to round."""
WORD = 2**32 - 1


def words(xp: Any, seed: int, sequences: Any, counters: Any) -> list[Any]:
    """The four words, as uint64, at each of `counters` of each of `sequences`, uint64 arrays."""
    low, high = xp.uint64(WORD), xp.uint64(32)
    c = [counters & low, counters >> high, sequences & low, sequences >> high]
    keys = [seed & WORD, seed >> 32 & WORD]
    for _ in range(ROUNDS):
        first, second = c[0] * xp.uint64(FIRST), c[2] * xp.uint64(SECOND)
        a, b = map(xp.uint64, keys)
        c = [(second >> high) ^ c[1] ^ a, second & low, (first >> high) ^ c[3] ^ b, first & low]
        keys = [(key + step) & WORD for key, step in zip(keys, STEPS, strict=True)]
    return c


def is_kept(xp: Any, count: int, seed: int, offset: int, threads: int, probability: float) -> Any:
    """Whether each of `count` elements stays in a dropout, by the words that `threads` threads draw
    from `offset` on, four for neighbours if 4 divides the count, else a grid apart."""
    i = xp.arange(count).astype(xp.uint64)
    four, all_ = xp.uint64(4), xp.uint64(threads)
    if count % 4 == 0:
        place, number = i // four, i % four
    else:
        place = i // (all_ * four) * all_ + i % all_
        number = i // all_ % four
    drawn = words(xp, seed, place % all_, place // all_ + xp.uint64(offset // 4))
    return _unit(xp, drawn, number) < xp.float32(probability)


def _unit(xp: Any, drawn: list[Any], number: Any) -> Any:
    """The word of each `number`, 0 to 3, as a float32 number in (0, 1]."""
    first, second = xp.uint64(0), xp.uint64(1)
    low = xp.where(number == first, drawn[0], drawn[1])
    high = xp.where(number == xp.uint64(2), drawn[2], drawn[3])
    word = xp.where(number <= second, low, high)
    return word.astype(xp.float32) * xp.float32(2.0**-32) + xp.float32(2.0**-33)


def weight_factors(xp: Any, shape: tuple[int, ...], dropped: float, seed: int, offset: int) -> Any:
    """What the weights (..., queries, keys) of attention are multiplied by for dropout, float32.
    Each 16 queries of a head have a sequence; four words serve two queries, 8 apart, and two
    keys."""
    queries, keys = shape[-2:]
    u = xp.uint64
    head = xp.arange(math.prod(shape[:-2])).astype(u)[:, None, None]
    row, column = xp.arange(queries).astype(u)[:, None], xp.arange(keys).astype(u)
    sequences = head * u(-(-queries // 16)) + row // u(16)
    counters = u(offset // 4) + row % u(8) * u(-(-keys // 2)) + column // u(2)
    number = row % u(16) // u(8) * u(2) + column % u(2)
    uniform = _unit(xp, words(xp, seed, sequences, counters), number)
    kept = uniform > xp.float32(dropped)
    return (kept * xp.float32(1.0 / (1.0 - dropped))).reshape(shape)
