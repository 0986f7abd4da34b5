"""What tests of kernels share: arrays on the stand-in (or a GPU), and the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import flambeau as torch

from .shim import HostDriver

HALF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""Half a unit in the last place, relative to 1."""
DTYPES = tuple(HALF)


def drawn(shape: Sequence[int], dtype: str, seed: int = 0, scale: float = 2.0) -> Any:
    """A tensor of normal numbers on the GPU."""
    values = np.random.default_rng(seed).normal(0, scale, tuple(shape))
    return torch.tensor(values).to(getattr(torch, dtype)).to("cuda")


def double(tensor: Any) -> Any:
    """The same numbers as a tensor of float64 on the CPU, for the reference."""
    return tensor.detach().cpu().double().requires_grad_(tensor.requires_grad)


def assert_near(found: Any, wanted: Any, units: float = 8.0) -> None:
    """`found`, of any dtype on the GPU, is the float64 tensor `wanted` to so many half units of
    its dtype, relative to the largest number."""
    assert found.device.type == "cuda"
    assert found.shape == wanted.shape
    a, b = found.detach().cpu().double().numpy(), wanted.detach().numpy()
    finite = np.abs(b[np.isfinite(b)])
    size = max(float(finite.max()), 1e-30) if finite.size else 1.0
    tolerance = units * HALF[str(found.dtype).removeprefix("torch.")] * size
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def assert_launched(host: HostDriver, name: str) -> None:
    """The kernel ran, not the array code."""
    assert any(e.startswith(name) for e in host.launched), host.launched
    host.launched.clear()
