"""oneDNN's batch normalization against float64, over layouts and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import batch_norm
from flambeau.backends.cpu.onednn.layouts import channels_last
from flambeau.backends.cpu.onednn.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
F = torch.nn.functional
GENERATOR = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_norm, "LEAST", 1)


def uniform(*shape: int) -> Any:
    return GENERATOR.uniform(-1, 3, shape).astype(np.float32)


SHAPES = [(8, 5), (4, 5, 7), (3, 16, 4, 5), (2, 3, 2, 3, 4), (4, 1, 3, 3)]


def results(x: Any, vectors: Any, g: Any, dtype: Any, training: bool) -> list[Any]:
    leaves = [torch.from_numpy(a).to(dtype).requires_grad_() for a in (x, *vectors[:2])]
    running = [torch.tensor(a, dtype=dtype) for a in vectors[2:]]
    out = F.batch_norm(leaves[0], *running, leaves[1], leaves[2], training)
    out.backward(torch.from_numpy(g).to(dtype))
    return [out.detach().numpy(), *[t.grad.numpy() for t in leaves], *[t.numpy() for t in running]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", ["row major", "channels last"])
@pytest.mark.parametrize("training", [True, False])
def test_results_and_gradients_equal_those_in_float64(
    shape: Any, layout: str, training: bool
) -> None:
    x, g = uniform(*shape), uniform(*shape)
    vectors = [uniform(shape[1]), uniform(shape[1]), uniform(shape[1]), uniform(shape[1]) + 2]
    arranged = channels_last(x) if layout == "channels last" and len(shape) > 2 else x
    found = results(arranged, vectors, g, torch.float32, training)
    expected = results(x, vectors, g, torch.float64, training)
    for single, double in zip(found, expected, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("has_weight", "has_bias"), [(True, False), (False, True), (False, False)])
def test_weight_and_bias_may_be_left_out(has_weight: bool, has_bias: bool) -> None:
    found = []
    x, w, b = uniform(4, 5, 6, 6), uniform(5), uniform(5)
    for dtype in (torch.float32, torch.float64):
        leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
        weight = torch.tensor(w, dtype=dtype) if has_weight else None
        bias = torch.tensor(b, dtype=dtype) if has_bias else None
        out = F.batch_norm(leaf, None, None, weight, bias, True)
        out.square().mean().backward()
        found.append([out.detach().numpy(), leaf.grad.numpy()])
    for single, double in zip(*found, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4)


def test_the_graph_keeps_the_input_and_statistics_but_not_the_result() -> None:
    x = torch.tensor(uniform(4, 5, 6, 6), requires_grad=True)
    out = F.batch_norm(x, None, None, training=True)
    arrays = [a for a in out.grad_fn.saved if isinstance(a, np.ndarray)]
    assert sorted(a.shape for a in arrays) == [(4, 5, 6, 6), (5,), (5,)]
    assert not any(a is out._array for a in arrays)


def test_second_derivatives_equal_those_in_float64() -> None:
    found = []
    x, w = uniform(3, 4, 5, 5), uniform(4)
    for dtype in (torch.float32, torch.float64):
        a, b = (torch.tensor(v, dtype=dtype, requires_grad=True) for v in (x, w))
        out = F.batch_norm(a, None, None, b, training=True)
        (first,) = torch.autograd.grad(out.pow(3).sum(), a, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [a, b]))
    for single, double in zip(*found, strict=True):
        scale = float(double.abs().max())
        np.testing.assert_allclose(single.numpy(), double.numpy(), atol=1e-4 * scale)
