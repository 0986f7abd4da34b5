"""Whole training steps on kernels of our own, against the CPU."""

from __future__ import annotations

import numpy as np

import flambeau as torch
from flambeau import nn

from .shim import HostDriver

EXPECTED = {
    "pointwise_relu", "pointwise_relu_input_gradient", "pointwise_batch_norm",
    "pointwise_batch_norm_gradient", "normalize_rows<float32, true, 1>",
    "normalize_rows_gradient<float32, true, 1>", "logits_rows<float32, false, 1>",
    "logits_gradient<float32, false>",
}  # fmt: skip


def losses(place: str) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.LayerNorm(64), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 6),
    ).to(place)  # fmt: skip
    x, y = torch.randn(8, 1, 4, 4).to(place), (torch.arange(8) % 6).to(place)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        found.append(loss.item())
    return found


def test_losses_follow_the_cpus_and_nothing_large_is_left_to_array_code(host: HostDriver) -> None:
    found = losses("cuda")
    np.testing.assert_allclose(found, losses("cpu"), rtol=2e-4)
    assert found[-1] < found[0]
    assert {*host.launched} >= EXPECTED, EXPECTED - {*host.launched}
