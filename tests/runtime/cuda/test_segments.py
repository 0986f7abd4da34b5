"""Rows added at places that repeat, against NumPy's `add.at` in float64."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda import segments

from .kit import assert_launched
from .shim import HostDriver

PLACES = {
    "all different": np.arange(300)[::-1].copy(),
    "all the same": np.full(300, 7),
    "few": np.random.default_rng(0).integers(0, 5, 300),
    "some": np.random.default_rng(1).integers(0, 100, 300),
    "one": np.array([3]),
    "up to a piece's end": np.repeat([2, 9, 4], [64, 64, 30]),
    "whole pieces of one": np.full(128, 7),
    "whole pieces of two": np.repeat([2, 9], [100, 28]),
    "the first, the last and one behind": np.repeat([0, 299, 300], [70, 80, 90]),
    "not there": np.array([-1, 5, 300, -1, 5]),
}


@pytest.mark.parametrize("dtype", [*segments.NUMBERS])
@pytest.mark.parametrize("columns", [1, 3, 8])
@pytest.mark.parametrize("name", PLACES)
def test_sums_equal_numpys(host: HostDriver, dtype: str, columns: int, name: str) -> None:
    cupy = sys.modules["cupy"]
    places = PLACES[name]
    kind = getattr(torch, dtype)
    rows = torch.tensor(np.random.default_rng(2).integers(-8, 9, (len(places), columns))).to(kind)
    start = torch.tensor(np.random.default_rng(3).integers(-8, 9, (300, columns))).to(kind)
    out = start.cuda()
    wanted = start.double().numpy()
    there = (places >= 0) & (places < 300)
    np.add.at(wanted, places[there], rows.double().numpy()[there])
    segments.add_rows(out._array, cupy.asarray(places.astype(np.int64)), rows.cuda()._array)
    found = out.cpu().double().numpy()
    # Whole numbers: each sum is exact in float32, and rounded once where it is kept in a half.
    np.testing.assert_array_equal(found, torch.tensor(wanted).to(kind).double().numpy())


@pytest.mark.parametrize("dtype", segments.AS_THEY_COME.parameters["T"])
def test_short_rows_may_be_added_as_they_come(host: HostDriver, dtype: str) -> None:
    cupy = sys.modules["cupy"]
    for name, places in PLACES.items():
        out = cupy.zeros((300, 2), dtype)
        rows = np.random.default_rng(2).integers(-8, 9, (len(places), 2)).astype(dtype)
        there = (places >= 0) & (places < 300)
        wanted = np.zeros((300, 2), dtype)
        np.add.at(wanted, places[there], rows[there])
        places = cupy.asarray(places.astype(np.int64))
        segments.add_rows(out, places, cupy.asarray(rows), is_ordered=False)
        np.testing.assert_array_equal(out.get(), wanted, err_msg=name)
        assert_launched(host, "add_as_they_come")


@pytest.fixture
def deterministic() -> Any:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def on_both(function: Any, *values: Any) -> list[Any]:
    """Results and gradients of float64 on the CPU and of float32 on the GPU."""
    found = []
    for place, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        leaves = [torch.tensor(v).to(dtype).to(place).requires_grad_() for v in values]
        out = function(place, *leaves)
        weights = torch.arange(out.numel()).reshape(out.shape).to(dtype).to(place)
        grads = torch.autograd.grad((out * weights).sum(), leaves)
        found.append([t.detach().cpu().double().numpy() for t in (out, *grads)])
    return found


INDICES = np.random.default_rng(4).integers(0, 6, (4, 5))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("index_add", lambda d, x, y: x.index_add(0, torch.tensor([1, 5, 1, 0]).to(d), y)),
        ("scatter_add", lambda d, x, y: x.scatter_add(0, torch.tensor(INDICES).to(d), y)),
        ("index", lambda d, x, y: x[torch.tensor([0, -1, 0, 3]).to(d)] * y),
        ("index_put", lambda d, x, y: x.index_put((torch.tensor([0, -1, 0, 3]).to(d),), y, True)),
        ("gather", lambda d, x, y: x.gather(0, torch.tensor(INDICES).to(d)) * y),
        ("index_select", lambda d, x, y: x.index_select(0, torch.tensor([2, 2, 0, 5]).to(d)) * y),
        ("take", lambda d, x, y: x.take(torch.tensor(INDICES).to(d)) * y),
    ],
)
def test_operations_that_add_at_places(
    host: HostDriver, deterministic: None, name: str, function: Any
) -> None:
    generator = np.random.default_rng(5)
    wanted, found = on_both(function, generator.normal(size=(6, 5)), generator.normal(size=(4, 5)))
    assert_launched(host, "add_segments")
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("by_freq", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_embedding_gradients(host: HostDriver, padding: Any, by_freq: bool, dtype: Any) -> None:
    rows = np.random.default_rng(6).integers(0, 7, (3, 30))
    grads = []
    for place, kind in (("cpu", torch.float64), ("cuda", dtype)):
        weight = torch.ones(7, 12, device=place, dtype=kind, requires_grad=True)
        out = F.embedding(
            torch.tensor(rows).to(place), weight, padding_idx=padding, scale_grad_by_freq=by_freq
        )
        g = torch.tensor(np.random.default_rng(7).integers(-4, 5, (3, 30, 12))).to(kind).to(place)
        out.backward(g)
        grads.append(weight.grad.cpu().double().numpy())
    assert_launched(host, "add_segments")
    np.testing.assert_allclose(
        grads[1], grads[0], rtol=1e-6 if dtype is torch.float32 else 2e-2, atol=1e-6
    )
