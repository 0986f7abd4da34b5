"""oneDNN's pooling against its definition, over layouts, geometries and special values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import pooling
from flambeau.backends.cpu.onednn.layouts import channels_last
from flambeau.backends.cpu.onednn.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
F = torch.nn.functional
GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "LEAST", 1)


def uniform(*shape: int) -> Any:
    return GENERATOR.uniform(-1, 1, shape).astype(np.float32)


GEOMETRIES = [
    ((2, 3, 9), 3, 2, 1), ((2, 16, 8, 9), 2, 2, 0), ((2, 5, 9, 8), 3, 2, 1),
    ((1, 4, 7, 7), 3, 1, 1), ((1, 3, 5, 6, 4), 2, 1, 1), ((2, 8, 6, 6), 2, 3, 0),
]  # fmt: skip


def windows(x: Any, kernel: int, stride: int, padding: int, outside: float) -> Any:
    """(N, C, *sizes', *kernel) of the padded input, in float64."""
    rank = x.ndim - 2
    pads = [(0, 0), (0, 0), *[(padding, padding)] * rank]
    padded = np.pad(x.astype(float), pads, constant_values=outside)
    view = np.lib.stride_tricks.sliding_window_view(padded, (kernel,) * rank, range(2, rank + 2))
    return view[(slice(None), slice(None), *[slice(None, None, stride)] * rank)]


def places(x: Any, kernel: int, stride: int, padding: int) -> Any:
    """For each window the flat index in x (with a place for what is outside) of its elements."""
    inside = np.arange(1, x.size + 1).reshape(x.shape)
    return windows(inside, kernel, stride, padding, 0).astype(int)


def scattered(where: Any, values: Any, shape: Any) -> Any:
    total = np.zeros(np.prod(shape) + 1)
    np.add.at(total, where, values)
    return total[1:].reshape(shape)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("layout", ["row major", "channels last"])
def test_maxima_and_their_gradients_follow_the_definition(geometry: Any, layout: str) -> None:
    shape, *how = geometry
    x = np.round(uniform(*shape) * 3)  # with many ties, of which the first one gets the gradient
    leaf = torch.from_numpy(channels_last(x) if layout == "channels last" else x).requires_grad_()
    out = getattr(F, f"max_pool{len(shape) - 2}d")(leaf, *how)
    wins = windows(x, *how, -np.inf).reshape(*out.shape, -1)
    np.testing.assert_array_equal(out.detach().numpy(), wins.max(-1))
    g = uniform(*out.shape)
    out.backward(torch.from_numpy(g))
    first = places(x, *how).reshape(*out.shape, -1)
    first = np.take_along_axis(first, wins.argmax(-1)[..., None], -1)[..., 0]
    np.testing.assert_allclose(leaf.grad.numpy(), scattered(first, g, shape), atol=1e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("layout", ["row major", "channels last"])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_means_and_their_gradients_follow_the_definition(
    geometry: Any, layout: str, count_include_pad: bool
) -> None:
    shape, *how = geometry
    x = uniform(*shape)
    leaf = torch.from_numpy(channels_last(x) if layout == "channels last" else x).requires_grad_()
    pool = getattr(F, f"avg_pool{len(shape) - 2}d")
    out = pool(leaf, *how, False, count_include_pad)
    wins = windows(x, *how, 0.0).reshape(*out.shape, -1)
    where = places(x, *how).reshape(*out.shape, -1)
    counts = wins.shape[-1] if count_include_pad else (where > 0).sum(-1)
    np.testing.assert_allclose(out.detach().numpy(), wins.sum(-1) / counts, atol=1e-6)
    g = uniform(*out.shape)
    out.backward(torch.from_numpy(g))
    shares = np.broadcast_to((g / counts)[..., None], where.shape)
    np.testing.assert_allclose(leaf.grad.numpy(), scattered(where, shares, shape), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_special_values_are_told_apart(value: float) -> None:
    x = uniform(1, 2, 6, 6)
    x[0, 0] = value
    x[0, 1, 2, 3] = value
    out = F.max_pool2d(torch.from_numpy(x), 2).numpy()
    np.testing.assert_array_equal(out, windows(x, 2, 2, 0, 0).max((-1, -2)).astype(np.float32))


def test_strides_are_those_of_the_input() -> None:
    x = torch.from_numpy(uniform(2, 4, 8, 8))
    last = x.contiguous(memory_format=torch.channels_last)
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert pool(x, 2).is_contiguous()
        assert pool(last, 2).is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(pool(x, 2), pool(last, 2))
