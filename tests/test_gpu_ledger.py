"""What a step of each row of the GPU's table launches and moves, counted at full size."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

from .benchmarks.gpu.ledger import Sum, by_kernel, launched, libraries, of_pytorch, total
from .benchmarks.gpu.rows import ROWS, find
from .runtime import cupy_stand_in
from .runtime.cupy_stand_in.counting import counting

LIMITS = {
    "sum, 64M float32": (1, 1.001),
    "softmax, forward and backward, GPT-2": (2, 1.0),
    "layer norm, forward and backward, GPT-2": (5, 1.02),
    "cross-entropy, forward and backward, GPT-2": (3, 0.51),
    "AdamW and clipping, 100M parameters, against fused": (8, 1.001),
    "mul, sum, backward, 32x64": (3, 1.0),
    "MLP 784-512-512-10, batch 128, training step": (19, 1.03),
    "ResNet-50, bfloat16, batch 128, training step": (731, 1.0),
    "GPT-2 small, bfloat16, T 1024, batch 8, training step": (658, 0.75),
    "GPT-2 small, bfloat16, T 1024, batch 8, training step, captured": (668, 0.75),
}
"""At most so many launches, and bytes over PyTorch's."""


@pytest.mark.parametrize("name", LIMITS)
def test_a_step_launches_and_moves_at_most(name: str) -> None:
    launches, ratio = LIMITS[name]
    row = find(name)
    with libraries():
        ours = by_kernel(launched(row))
    found, theirs = total(ours.values()), total(of_pytorch(row).values())
    assert found.launches <= launches, ours
    assert found.bytes <= ratio * theirs.bytes, ours


def test_every_row_against_pytorch_has_its_record() -> None:
    for row in ROWS:
        if row.rival == "torch":
            assert of_pytorch(row)


def test_launches_are_counted_with_the_bytes_of_their_arrays_and_not_run() -> None:
    with cupy_stand_in.installed(), counting() as ledger:
        x = torch.empty(1 << 20, 1 << 10, device="cuda")  # 4 GiB, of which none is touched
        row = torch.empty(1 << 10, device="cuda")
        x + row
        x.t().contiguous()
        (x[:, :128].to(torch.bfloat16) @ torch.empty(128, 64, device="cuda", dtype=torch.bfloat16))
    whole, part = 4 << 30, 1 << 27
    kinds = [(launch.name, launch.bytes, launch.operations) for launch in ledger.launches]
    assert kinds[0] == ("pointwise_plus", 2 * whole + 4096, 0)
    assert kinds[1][1:] == (2 * whole, 0)
    assert sum(size for _, size, _ in kinds[2:-1]) == part * 6
    assert kinds[-1] == ("cublas", part * 2 + (1 << 14) + (1 << 27), 2 * part * 64)


def test_sums_take_the_longer_of_moving_and_computing() -> None:
    found = Sum().plus(2, int(4.3e12), 0).plus(1, 0, int(790e12))
    np.testing.assert_allclose(found.seconds, 2 + 3 * 2.5e-6)
