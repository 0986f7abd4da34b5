"""Random arrays by Philox, in the order in which PyTorch's CUDA generator makes them.

The numbers depend on the seed, the offset (words that each thread has drawn before) and, for more
elements than the device runs threads, on the device. They were written after the published
algorithm and cuRAND's documentation.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

from . import bounds, launch
from .launch import Template
from .reductions import reduced
from .registry import FLOATS, kernel
from .rows import aligned, empty
from .scans import scan
from .selection import top_positions

THREADS = 256
WORDS = 4
"""Words that Philox gives at a time; offsets count words."""
LONG_SPAN = 1 << 28
"""From which span on integers are made of 64 bits, so that remainders stay even within 7 %."""

REALS = Template(
    "random", "random_reals", "PqQQPdd", T=FLOATS,
    DISTRIBUTION=(
        "Interval", "Normal", "Exponential", "Kept", "Cauchy", "Geometric", "LogNormal", "Unit",
    ),
)  # fmt: skip
DROPOUT = Template("random", "dropout", "PPqQQPdd", T=FLOATS, IS_VECTOR=(False, True))
INTEGERS = Template("random", "random_integers", "PqQQPqQ", IS_LONG=(False, True))

DECIDE = Template("random", "decide", "PPqQQPPq", T=FLOATS, KIND=("Coin", "Race"))
PICK = Template("random", "pick", "PPPqqqPq", T=("float32", "float64"))
ONE_BY_ONE = Template("random", "one_by_one", "PPqQQP", OF=("Gamma", "Poisson"))
RESERVED = 256
"""Words of the stream that a number may take which is drawn until it fits."""

DISTRIBUTIONS = {
    "uniform": "Interval",
    "normal": "Normal",
    "singly_normal": "Normal",
    "exponential": "Exponential",
    "bernoulli": "Kept",
    "cauchy": "Cauchy",
    "geometric": "Geometric",
    "log_normal": "LogNormal",
    "unit": "Unit",
}


class Stream(Protocol):
    """A generator's stream."""

    def take(self, words: int) -> tuple[int, int, int]:
        """Seed, offset, and the address of both in device memory or 0; the offset then grows."""


def _grid(stream: Stream, count: int, draws: int) -> tuple[int, tuple[int, int, int]]:
    """Blocks for `count` numbers, of which a thread makes `draws` of four words, and their part of
    the stream."""
    most = launch.driver.multiprocessors() * launch.driver.resident_threads() // THREADS
    blocks = min(-(-count // THREADS), most)
    rounds = -(-count // (THREADS * blocks * draws))
    return blocks, stream.take(WORDS * rounds)


def reals(name: str, stream: Stream, shape: tuple[int, ...], dtype: Any, a: float, b: float) -> Any:
    """An array of `dtype` of the distribution `name` with parameters a and b."""
    out = empty(shape, dtype)
    if out.size:
        blocks, part = _grid(stream, out.size, 2 if out.dtype.itemsize == 8 else 4)
        chosen = REALS[out.dtype.name, DISTRIBUTIONS[name]]
        chosen(blocks, THREADS, out.data.ptr, out.size, *part, a, b)
    return out


def dropout_factors(
    stream: Stream, shape: tuple[int, ...], dtype: Any, probability: float, value: float
) -> Any:
    """An array of `value` with a probability, and of 0 elsewhere."""
    out = empty(shape, dtype)
    if out.size:
        blocks, part = _grid(stream, out.size, 4)
        chosen = DROPOUT[out.dtype.name, out.size % 4 == 0]
        chosen(blocks, THREADS, 0, out.data.ptr, out.size, *part, probability, value)
    return out


def dropout_part(stream: Stream, count: int) -> dict[str, int]:
    """The part of the stream that a dropout of `count` elements draws: the attributes of the
    operation `philox_dropout`."""
    blocks, (seed, offset, held) = _grid(stream, max(count, 1), 4)
    return {"seed": seed, "offset": offset, "held": held, "threads": blocks * THREADS}


@kernel("philox_dropout")
def philox_dropout(
    input: Any,
    probability: float,
    value: float,
    seed: int,
    offset: int,
    held: int,
    threads: int,
) -> Any:
    """Each element read and written once; nothing is kept of the numbers."""
    x = aligned(input)
    out = empty(x.shape, x.dtype)
    chosen = DROPOUT[x.dtype.name, x.size % 4 == 0]
    places = x.data.ptr, out.data.ptr
    blocks = threads // THREADS if x.size else 0
    chosen(blocks, THREADS, *places, x.size, seed, offset, held, probability, value)
    return out


def integers(stream: Stream, shape: tuple[int, ...], low: int, high: int) -> Any:
    """An int64 array of numbers from `low` to `high` - 1."""
    out = empty(shape, "int64")
    if out.size:
        is_long = high - low >= LONG_SPAN
        blocks, part = _grid(stream, out.size, 2 if is_long else 4)
        INTEGERS[is_long](blocks, THREADS, out.data.ptr, out.size, *part, low, high - low)
    return out


def permutation(stream: Stream, count: int) -> Any:
    """The numbers below `count` in random order, that of keys of 64 bits."""
    return integers(stream, (count,), -(2**63), 2**63 - 1).argsort()


def coins(stream: Stream, probabilities: Any) -> Any:
    """1 with each probability, else 0, in their dtype. The order is our own."""
    expected = "bernoulli: expected probabilities from 0 to 1."
    return _decided("Coin", stream, probabilities, expected)


def _decided(kind: str, stream: Stream, parameters: Any, expected: str) -> Any:
    cupy = sys.modules["cupy"]
    x = cupy.ascontiguousarray(parameters)
    out = empty(x.shape, x.dtype)
    if x.size:
        blocks, part = _grid(stream, x.size, 2 if x.dtype.itemsize == 8 else 4)
        note = bounds.place_saying(cupy, expected)
        places = x.data.ptr, out.data.ptr
        DECIDE[x.dtype.name, kind](blocks, THREADS, *places, x.size, *part, *note)
        bounds.tell_if_blocking(cupy)
    return out


WEIGHTS = "multinomial: expected finite weights, none negative, some positive."


def choices(stream: Stream, weights: Any, count: int, replacement: bool) -> Any:
    """`count` places of each row of weights (rows, n), drawn in proportion to them: int64.

    Without replacement, or of one, in PyTorch's order: by a race of exponential clocks.
    """
    cupy = sys.modules["cupy"]
    if count == 1 or not replacement:
        inverse = _decided("Race", stream, weights, WEIGHTS)
        if count == 1:
            found = reduced("IndexOfMaximum", inverse, (1,), "int64", ordered=True)
            return None if found is None else found.reshape(-1, 1)
        found = top_positions(inverse, 1, count, True)
        return cupy.argsort(inverse, 1)[:, : -count - 1 : -1] if found is None else found
    wide = weights.astype("float32" if weights.itemsize == 2 else weights.dtype, copy=False)
    sums = scan("RunningSum", wide, 1, wide.dtype)
    rows, n = sums.shape
    numbers = reals("unit", stream, (rows, count), sums.dtype, 0.0, 0.0)
    out = empty((rows, count), "int64")
    note = bounds.place_saying(cupy, WEIGHTS)
    places = sums.data.ptr, numbers.data.ptr, out.data.ptr
    PICK[sums.dtype.name](-(-out.size // THREADS), THREADS, *places, out.size, n, count, *note)
    bounds.tell_if_blocking(cupy)
    return out


def one_by_one(of: str, stream: Stream, parameters: Any) -> Any:
    """A float64 number for each parameter, each drawn until one fits. The order is our own."""
    x = sys.modules["cupy"].ascontiguousarray(parameters)
    out = empty(x.shape, "float64")
    part = stream.take(RESERVED)
    ONE_BY_ONE[of](-(-x.size // THREADS), THREADS, x.data.ptr, out.data.ptr, x.size, *part)
    return out


SINGLE = {"gamma": "Gamma", "poisson": "Poisson"}
DRAWN = frozenset([*DISTRIBUTIONS, *SINGLE, "integers", "permutation", "kept"])
"""The distributions that `drawn` knows."""


def drawn(name: str, stream: Stream, shape: tuple[int, ...], dtype: Any, *args: Any) -> Any:
    """An array of NumPy's `dtype` of the distribution `name` with parameters `args`."""
    if name == "integers":
        return integers(stream, shape, *args).astype(dtype, copy=False)
    if name == "permutation":
        return permutation(stream, *shape).astype(dtype, copy=False)
    if name in SINGLE:
        return one_by_one(SINGLE[name], stream, *args).astype(dtype, copy=False)
    if name == "kept":
        return dropout_factors(stream, shape, dtype, *args)
    a, b = (*args, 0.0)[:2]
    return reals(name, stream, shape, dtype, a, b)
