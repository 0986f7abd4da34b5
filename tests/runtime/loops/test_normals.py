"""Random numbers in fused loops: the bits of the plain way, which are PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau import random
from flambeau.backends.cpu import loops
from flambeau.backends.cpu.loops import normals
from flambeau.core.box_muller import normal_float32


@pytest.mark.skipif(not loops.is_fusing(), reason="the processor rounds products and sums apart")
def test_numbers_have_the_bits_of_the_plain_way() -> None:
    words = np.random.MT19937(3).random_raw(1 << 17)
    u = normals.uniform(words)
    np.testing.assert_array_equal(u, (words & np.uint64(2**24 - 1)).astype(np.float32) / 2**24)
    pairs = words.reshape(-1, 2)
    long = (pairs[:, 0] << np.uint64(32) | pairs[:, 1]) & np.uint64(2**53 - 1)
    np.testing.assert_array_equal(normals.uniform_double(words), long / 2.0**53)
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
