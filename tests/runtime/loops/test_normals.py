"""Random numbers in fused loops: the bits of the plain way, which are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau import random
from flambeau.backends.cpu import loops
from flambeau.backends.cpu.loops import normals, twister
from flambeau.core.box_muller import normal_float32


@pytest.mark.skipif(not loops.is_fusing(), reason="the processor rounds products and sums apart")
def test_numbers_have_the_bits_of_the_plain_way() -> None:
    words = np.random.MT19937(3).random_raw(1 << 17)
    narrow = words.astype(np.uint32)
    u = normals.uniform(narrow)
    np.testing.assert_array_equal(u, (words & np.uint64(2**24 - 1)).astype(np.float32) / 2**24)
    pairs = words.reshape(-1, 2)
    long = (pairs[:, 0] << np.uint64(32) | pairs[:, 1]) & np.uint64(2**53 - 1)
    np.testing.assert_array_equal(normals.uniform_double(narrow), long / 2.0**53)
    u[:8] = [0, 2**-24, 1 - 2**-24, 0.5, 0.25, 0.75, 0.125, 0.999]
    u[8:16] = u[:8]
    found = normals.normal(u)
    np.testing.assert_array_equal(found.view(np.int32), normal_float32(u).view(np.int32))


@pytest.mark.parametrize("draw", ["rand", "randn"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_seed_gives_the_same_numbers_however_many_are_drawn_at_once(
    draw: str, dtype: torch.dtype
) -> None:
    count = 2 * random.LARGE
    torch.manual_seed(11)
    large = getattr(torch, draw)(count, dtype=dtype).numpy()
    torch.manual_seed(11)
    pieces = [getattr(torch, draw)(random.LARGE // 2, dtype=dtype).numpy() for _ in range(4)]
    np.testing.assert_array_equal(large, np.concatenate(pieces))


@pytest.mark.parametrize("drawn", [0, 1, 623, 624, 1000])
@pytest.mark.parametrize("count", [0, 5, 624, 625, 3000])
def test_the_twister_goes_on_where_numpys_is(drawn: int, count: int) -> None:
    ours, numpys = np.random.MT19937(5), np.random.MT19937(5)
    for bits in (ours, numpys):
        bits.random_raw(drawn)
    np.testing.assert_array_equal(twister.words(ours, count), numpys.random_raw(count))
    np.testing.assert_array_equal(ours.random_raw(900), numpys.random_raw(900))


@pytest.mark.parametrize("shape", [(3 * random.PIECE + 5,), (300, 400)])
def test_dropout_keeps_the_same_elements_however_many_there_are(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    torch.manual_seed(4)
    found = torch.nn.functional.dropout(x, 0.3).numpy()
    torch.manual_seed(4)
    kept = torch.rand(shape, dtype=torch.float64).numpy() < 0.7
    np.testing.assert_array_equal(found, np.where(kept, np.float32(1 / 0.7), 0))
