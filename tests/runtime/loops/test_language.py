"""Programs written in the language of loops: which elements they touch."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.backends.cpu.loops.language import LEAST_STREAMED, Position, Program
from flambeau.backends.cpu.loops.machine import Code
from flambeau.backends.cpu.loops.normalization import layer_norm
from flambeau.backends.cpu.loops.threads import pool

from .kit import words


def added_one(kind: str, streams: bool) -> Code:
    """A program that adds 1 to each element of its array, by vectors that are aligned."""
    program = Program("aligned", kind)
    x = program.array(0)
    size = np.dtype(kind).itemsize

    def body(at: Position) -> None:
        at.store(x, at.load(x, kind) + 1, streams)

    program.across_aligned(program.begin, program.end, body, x, size)
    return Code(program.name, program.text())


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_aligned_vectors_reach_each_element_once_wherever_an_array_begins(
    kind: str, streams: bool
) -> None:
    code = added_one(kind, streams)
    whole = np.zeros(160, kind)
    for begin in range(17):
        for length in (0, 1, 3, 15, 16, 17, 31, 32, 33, 64, 100):
            for first in (0, 5):
                whole[:] = 0
                x = whole[begin : begin + 120]
                code.call(words(x), first, first + length)
                wanted = np.zeros(160, kind)
                wanted[begin + first : begin + first + length] = 1
                np.testing.assert_array_equal(whole, wanted)


def test_results_that_go_past_the_caches_are_whole() -> None:
    from flambeau import from_numpy

    rows, columns = 2_001, 1_050  # of no whole number of vectors
    assert rows * columns * 4 >= LEAST_STREAMED
    x = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    np.testing.assert_array_equal((from_numpy(x) * from_numpy(x)).numpy(), x * x)
    double = x.astype(np.float64)
    wanted = (double - double.mean(1, keepdims=True)) / double.std(1, keepdims=True)
    found = layer_norm(x, None, None, columns, 0.0)
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    limit = pool.limit
    pool.set_limit(3)
    np.testing.assert_array_equal(layer_norm(x, None, None, columns, 0.0), found)
    pool.set_limit(limit)
