"""oneDNN's convolutions against their definition in float64, over ranks, geometries and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import convolution
from flambeau.backends.cpu.onednn.layouts import channels_last
from flambeau.backends.cpu.onednn.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
GENERATOR = np.random.default_rng(0)


def uniform(*shape: int) -> Any:
    return GENERATOR.uniform(-1, 1, shape).astype(np.float32)


def defined(x: Any, w: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """The definition: windows of the padded input times the weight, in float64."""
    x, w, rank = x.astype(float), w.astype(float), w.ndim - 2
    padded = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    axes = tuple(range(2, rank + 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axes)
    windows = windows[(slice(None), slice(None), *[slice(None, None, s) for s in stride])]
    windows = windows[(..., *[slice(None, None, d) for d in dilation])]
    parts = []
    for part, weights in zip(np.split(windows, groups, 1), np.split(w, groups), strict=True):
        tail = tuple(range(part.ndim - rank, part.ndim))
        summed = np.tensordot(part, weights, ((1, *tail), (1, *range(2, rank + 2))))
        parts.append(np.moveaxis(summed, -1, 1))
    return np.concatenate(parts, 1)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """oneDNN for any size; the list names the maps it computed."""
    used: list[str] = []
    kept = convolution._map

    def noted(name: str, *rest: Any) -> Any:
        found = kept(name, *rest)
        used.append(name if found is not None else "")
        return found

    monkeypatch.setattr(convolution, "LEAST", 1)
    monkeypatch.setattr(convolution, "_map", noted)
    return used


GEOMETRIES = [
    # input, weight, stride, padding, dilation, groups
    ((2, 3, 9), (4, 3, 3), (1,), (1,), (1,), 1),
    ((2, 4, 11), (6, 2, 4), (3,), (2,), (2,), 2),
    ((2, 16, 7, 8), (32, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 3, 9, 7), (5, 3, 3, 2), (2, 1), (0, 1), (1, 1), 1),
    ((2, 16, 8, 8), (16, 16, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 8, 9, 9), (8, 1, 3, 3), (1, 1), (1, 1), (1, 1), 8),
    ((2, 8, 9, 9), (16, 1, 3, 3), (2, 2), (1, 1), (1, 1), 8),
    ((2, 8, 12, 11), (12, 4, 3, 3), (1, 2), (2, 2), (2, 2), 2),
    ((1, 3, 23, 23), (16, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((2, 1, 5, 5), (1, 1, 2, 2), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2), (1, 2, 1), (1, 0, 1), (1, 1, 1), 1),
    ((1, 4, 5, 5, 5), (4, 2, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 2),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("layout", ["row major", "channels last"])
def test_convolution_and_its_gradients_follow_the_definition(
    geometry: Any, layout: str, always: list[str]
) -> None:
    x_shape, w_shape, stride, padding, dilation, groups = geometry
    x, w, b = uniform(*x_shape), uniform(*w_shape), uniform(w_shape[0])
    how = (stride, padding, dilation, groups)
    arranged = channels_last(x) if layout == "channels last" else x
    tensors = [torch.from_numpy(a).requires_grad_() for a in (arranged, w, b)]
    conv = getattr(torch.nn.functional, f"conv{len(stride)}d")
    out = conv(*tensors, *how)
    column = b.reshape(-1, *[1] * len(stride))
    np.testing.assert_allclose(
        out.detach().numpy(), defined(x, w, *how) + column, rtol=1e-4, atol=1e-4
    )
    g = uniform(*out.shape)
    out.backward(torch.from_numpy(g))
    assert set(always) == {"forward", "input", "weight"}
    # Gradients are the adjoint maps: <gradient, h> = <g, map of h> for any h.
    for tensor, other in ((tensors[0], (None, w)), (tensors[1], (x, None))):
        assert tensor.grad.shape == tensor.shape
        for _ in range(3):
            h = uniform(*tensor.shape)
            image = defined(*[h if a is None else a for a in other], *how)
            found = (tensor.grad.numpy().astype(float) * h).sum()
            scale = np.abs(g).sum() * np.abs(image).max()
            assert abs(found - (g * image).sum()) < 1e-6 * scale
    np.testing.assert_allclose(
        tensors[2].grad.numpy(), g.sum((0, *range(2, g.ndim))), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("stride", "output_padding", "groups"), [(1, 0, 1), (2, 1, 2), (3, 0, 1)])
def test_transposed_convolution_is_the_adjoint(
    stride: int, output_padding: int, groups: int, always: list[str]
) -> None:
    x, w = uniform(2, 4, 6, 6), uniform(4, 3, 3, 3)
    out = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x), torch.from_numpy(w), None, stride, 1, output_padding, groups
    ).numpy()
    assert "input" in always
    h = uniform(*out.shape)
    image = defined(h, w, (stride, stride), (1, 1), (1, 1), groups)
    assert abs((out.astype(float) * h).sum() - (x * image).sum()) < 1e-3


def test_results_lie_as_pytorch_s_do(always: list[str]) -> None:
    w = torch.from_numpy(uniform(8, 4, 3, 3))
    x = torch.from_numpy(uniform(2, 4, 6, 6))
    assert torch.nn.functional.conv2d(x, w).is_contiguous()
    last = x.contiguous(memory_format=torch.channels_last)
    out = torch.nn.functional.conv2d(last, w)
    assert out.is_contiguous(memory_format=torch.channels_last)
    strided = torch.from_numpy(uniform(8, 3, 3, 4)).permute(0, 3, 1, 2)
    np.testing.assert_allclose(
        torch.nn.functional.conv2d(x, strided).numpy(),
        torch.nn.functional.conv2d(x, strided.contiguous()).numpy(),
        atol=1e-5,
    )


def test_what_does_not_fit_is_refused_as_ever(always: list[str]) -> None:
    w = torch.zeros(8, 4, 3, 3)
    with pytest.raises(RuntimeError, match="expected input with 4 channels"):
        torch.nn.functional.conv2d(torch.zeros(1, 3, 6, 6), w)
    with pytest.raises(RuntimeError, match="at least as large as the kernel"):
        torch.nn.functional.conv2d(torch.zeros(1, 4, 2, 2), w)
    with pytest.raises(RuntimeError, match="expected bias of shape"):
        torch.nn.functional.conv2d(torch.zeros(1, 4, 6, 6), w, torch.zeros(4))
    assert torch.nn.functional.conv2d(torch.zeros(0, 4, 6, 6), w).shape == (0, 8, 4, 4)
    assert "forward" not in always


def test_second_derivatives_go_through_the_same_maps(always: list[str]) -> None:
    found = []
    x, w = uniform(1, 4, 6, 6), uniform(4, 4, 3, 3)
    for dtype in (torch.float32, torch.float64):
        a, b = (torch.tensor(v, dtype=dtype, requires_grad=True) for v in (x, w))
        out = torch.nn.functional.conv2d(a, b, padding=1)
        (first,) = torch.autograd.grad((out * out).sum(), a, create_graph=True)
        found.append(torch.autograd.grad((first * first).sum(), [a, b]))
    for single, double in zip(*found, strict=True):
        np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=1e-3, atol=1e-2)
