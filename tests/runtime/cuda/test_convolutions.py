"""Convolutions and their gradients by products of tiles, against the CPU in float64."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .kit import assert_near, double, drawn
from .shim import HostDriver

CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 9), (5, 3, 3), {"padding": 1}),
    ((2, 3, 9, 8), (5, 3, 3, 2), {"stride": 2, "padding": (1, 0)}),
    ((1, 4, 11, 7), (6, 2, 3, 3), {"groups": 2, "dilation": 2, "padding": 2}),
    ((2, 6, 5, 5), (6, 1, 3, 3), {"groups": 6, "stride": (1, 2), "padding": 1}),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 1), {"padding": (1, 0, 1)}),
    ((3, 70, 2, 3), (65, 70, 1, 1), {}),
    ((1, 2, 30, 30), (2, 2, 3, 3), {"padding": "same"}),
    ((2, 16, 9, 8), (16, 8, 3, 3), {"groups": 2, "stride": 2, "padding": 1}),
    ((1, 8, 7, 9), (8, 8, 1, 2), {"stride": 3, "padding": (0, 1)}),
    ((1, 8, 12, 11), (16, 8, 2, 3), {"stride": (2, 4), "dilation": (3, 2), "padding": 2}),
]
"""Shapes of input and weight, and options: ranks, strides, groups, more than a tile of channels,
of positions and of depth, parts of the positions; channels that fill vectors and others; places
that no tap sees."""


def results(
    input: Any, weight: Any, bias: Any, options: dict[str, Any], last: bool = False
) -> list[Any]:
    """The result and the gradients."""
    leaves = [t.detach().requires_grad_() for t in (input, weight, bias)]
    x, w, b = leaves
    convolve = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    given = x.to(memory_format=torch.channels_last) if last else x
    out = convolve(given, w, b, **options)
    weights = torch.arange(out.numel()).reshape(out.shape).to(out.device) % 7 - 3
    grads = torch.autograd.grad((out * weights.to(out.dtype)).sum(), leaves)
    return [out, *grads]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "weight", "options"), CASES)
def test_results_and_gradients(
    host: HostDriver, dtype: str, shape: Any, weight: Any, options: dict[str, Any]
) -> None:
    arrays = drawn(shape, dtype), drawn(weight, dtype, seed=1), drawn(weight[:1], dtype, seed=2)
    found = results(*arrays, options)
    names = [e.split("<")[0] for e in host.launched]
    groups, lane = options.get("groups", 1), 4 if dtype == "float32" else 8
    fits = groups == 1 or weight[1] % lane == 0
    assert ("convolve_vectors" in names) == fits
    assert ("correlate_vectors" in names) == (fits and weight[0] // groups % lane == 0)
    wanted = results(*map(double, arrays), options)
    for a, b in zip(found[:3], wanted, strict=False):
        assert_near(a, b, units=16)


def test_images_with_their_channels_innermost_stay_so(host: HostDriver) -> None:
    arrays = drawn((2, 6, 5, 7), "float32"), drawn((4, 6, 3, 3), "float32"), drawn((4,), "float32")
    found = results(*arrays, {"padding": 1}, last=True)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(found, results(*map(double, arrays), {"padding": 1}), strict=True):
        assert_near(a, b, units=16)


def test_nothing_is_left_to_array_code(host: HostDriver) -> None:
    out = F.conv2d(drawn((0, 3, 4, 4), "float32"), drawn((2, 3, 3, 3), "float32"))
    assert out.shape == (0, 2, 2, 2)
    assert "convolve<float32>" not in host.launched
