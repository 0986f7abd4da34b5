"""Depthwise loops, products with thinned images and transposed copies, against NumPy's float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu import loops
from flambeau.backends.cpu.loops import winograd
from flambeau.backends.cpu.onednn import thinned
from flambeau.backends.cpu.onednn.layouts import channels_last, empty_channels_last, row_major
from flambeau.backends.cpu.onednn.library import library
from flambeau.ops import fused_convolutions

from .test_onednn_convolution import defined

needs_loops = pytest.mark.skipif(not loops.is_available(), reason="there is no LLVM")
GENERATOR = np.random.default_rng(0)


def uniform(*shape: int) -> Any:
    return GENERATOR.uniform(-1, 1, shape).astype(np.float32)


def require_definition(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> None:
    """The convolution and its gradients are those of the definition; x lies as it comes."""
    groups, b = x.shape[1] // w.shape[1], uniform(len(w))
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, w, b)]
    out = torch.nn.functional.conv2d(*tensors, stride, padding, dilation, groups)
    exact = defined(x, w, stride, padding, dilation, groups) + b[:, None, None]
    np.testing.assert_allclose(out.detach().numpy(), exact, rtol=1e-5, atol=1e-5)
    g, dx, dw = uniform(*out.shape), uniform(*x.shape), uniform(*w.shape)
    out.backward(torch.from_numpy(g))
    found = [t.grad.numpy().astype(float) for t in tensors]
    # The map is bilinear: <g, conv(dx, w)> is <grad, dx>, and likewise for the weight.
    by_x = (g.astype(float) * defined(dx, w, stride, padding, dilation, groups)).sum()
    by_w = (g.astype(float) * defined(x, dw, stride, padding, dilation, groups)).sum()
    scale = np.sqrt(g.size)
    np.testing.assert_allclose((found[0] * dx).sum(), by_x, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose((found[1] * dw).sum(), by_w, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(found[2], g.sum((0, 2, 3), dtype=float), rtol=1e-4, atol=1e-3)


@needs_loops
@pytest.mark.parametrize("kernel", [(3, 3), (1, 4), (5, 2), (7, 7)])
@pytest.mark.parametrize("sizes", [(9, 17), (16, 16), (8, 40), (7, 5)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
def test_depthwise_loops_follow_the_definition(
    kernel: Any, sizes: Any, dilation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_convolutions, "LARGE", 1)
    padding = tuple(d * (k - 1) - k // 3 for k, d in zip(kernel, dilation, strict=True))
    x, w = uniform(2, 3, *sizes), uniform(3, 1, *kernel)
    how = {"stride": (1, 1), "padding": tuple((p, p) for p in padding), "dilation": dilation}
    assert fused_convolutions._is_depthwise(x, w, **how, groups=3)
    require_definition(x, w, (1, 1), padding, dilation)


@needs_loops
def test_depthwise_loops_read_nothing_outside_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_convolutions, "LARGE", 1)
    whole = np.full((4, 2, 6, 20), np.nan, np.float32)
    whole[1:3] = 1
    out = torch.nn.functional.conv2d(
        torch.from_numpy(whole[1:3]), torch.ones(2, 1, 3, 3), padding=1, groups=2
    )
    rows, columns = np.full(6, 3), np.full(20, 3)
    rows[[0, -1]] = columns[[0, -1]] = 2
    assert (out.numpy() == np.outer(rows, columns)).all()


@needs_loops
@pytest.mark.parametrize("shape", [(2, 24, 30, 31), (1, 16, 130, 128), (3, 40, 161)])
def test_images_are_turned_to_channels_innermost_and_back(shape: Any) -> None:
    x = uniform(*shape)
    turned = channels_last(x)
    assert turned.strides == empty_channels_last(shape).strides
    assert (turned == x).all()
    back = row_major(turned)
    assert back.flags.c_contiguous
    assert (back == x).all()


@needs_loops
@pytest.mark.parametrize("step", [1, 2])
def test_parts_of_images_are_turned_as_well(step: int) -> None:
    part = uniform(2, 40, 50, 61)[:, 3:37, ::step, 1::step]
    assert (channels_last(part) == part).all()


@pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
@pytest.mark.parametrize("stride", [(2, 2), (1, 3), (3, 2)])
@pytest.mark.parametrize("layout", ["row major", "channels last"])
def test_pointwise_convolutions_with_strides_follow_the_definition(
    stride: Any, layout: str
) -> None:
    x, w = uniform(2, 24, 21, 22), uniform(40, 24, 1, 1)
    x = channels_last(x) if layout == "channels last" else x
    how = {"padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    assert thinned.serves_convolution(x, w, stride=stride, **how)
    require_definition(x, w, stride, (0, 0), (1, 1))


needs_both = pytest.mark.skipif(
    not loops.is_available() or library() is None, reason="there is no LLVM or no oneDNN"
)


@needs_both
@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((0, 2), (1, 0)), ((3, 0), (0, 3))])
@pytest.mark.parametrize("sizes", [(8, 8), (7, 10), (5, 3)])
@pytest.mark.parametrize("layout", ["row major", "channels last"])
@pytest.mark.parametrize("step", [1, 2])
def test_filtering_follows_the_definition(
    padding: Any, sizes: Any, layout: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_convolutions, "LEAST_WORK", 1)
    monkeypatch.setattr(fused_convolutions, "LEAST_COVERED", 0)
    monkeypatch.setattr(winograd, "BYTES", 1 << 16)  # several parts
    x, w, b = uniform(9, 32, *sizes), uniform(48, 32, 3, 3), uniform(48)
    how = {"stride": (step, step), "padding": padding, "dilation": (1, 1), "groups": 1}
    padded = np.pad(x, [(0, 0), (0, 0), *padding])
    x = channels_last(x) if layout == "channels last" else x
    assert fused_convolutions._is_filtered(x, w, b, **how)
    exact = defined(padded, w, (step, step), (0, 0), (1, 1), 1) + b[:, None, None]
    found = fused_convolutions.filtered(x, w, b, **how)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5)
    g, dx, dw = uniform(*exact.shape), uniform(*x.shape), uniform(*w.shape)
    by_w = fused_convolutions.filtered_weight(g, x, like=w.shape, **how).astype(float)
    assert by_w.shape == w.shape
    turned = defined(padded, dw, (step, step), (0, 0), (1, 1), 1)
    tolerance = 1e-5 * np.sqrt(g.size)  # the map is bilinear: <g, conv(dx, w)> is <grad, dx>
    np.testing.assert_allclose((by_w * dw).sum(), (g * turned).sum(), rtol=0, atol=tolerance)
    if fused_convolutions._is_filtered_input(g, w, like=x.shape, **how):
        by_x = fused_convolutions.filtered_input(g, w, like=x.shape, **how).astype(float)
        assert by_x.shape == x.shape
        moved = defined(np.pad(dx, [(0, 0), (0, 0), *padding]), w, (1, 1), (0, 0), (1, 1), 1)
        np.testing.assert_allclose((by_x * dx).sum(), (g * moved).sum(), rtol=0, atol=tolerance)
    else:
        assert step == 2


@needs_both
def test_filtering_is_exact_for_small_whole_numbers() -> None:
    x = torch.randint(-8, 8, (2, 64, 20, 21)).float()
    w = torch.randint(-8, 8, (64, 64, 3, 3)).float()
    how = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    assert fused_convolutions._is_filtered(x.numpy(), w.numpy(), **how)
    exact = defined(x.numpy(), w.numpy(), (1, 1), (1, 1), (1, 1), 1)
    assert (torch.nn.functional.conv2d(x, w, padding=1).numpy() == exact).all()


@needs_both
def test_filtering_reads_a_changed_weight_anew() -> None:
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False)
    x = torch.ones(2, 64, 16, 16)
    with torch.no_grad():
        first = layer(x)
        assert (layer(x) == first).all()
        layer.weight.mul_(2)
        torch.testing.assert_close(layer(x), 2 * first)


@pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 2, 3), (3, 1, 1), (4, 4, 0)])
def test_gradients_of_images_with_few_channels_follow_the_definition(
    kernel: int, stride: int, padding: int
) -> None:
    x, w = uniform(2, 3, 64, 64), uniform(40, 3, kernel, kernel)
    require_definition(x, w, (stride, stride), (padding, padding), (1, 1))
