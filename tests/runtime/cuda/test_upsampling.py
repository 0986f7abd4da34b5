"""Images at other sizes: the map and its transpose against what `interpolate` is on the CPU, whose
values are recorded PyTorch ones."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .conftest import build_at_once
from .kit import assert_launched, assert_near, double, drawn
from .shim import HostDriver

CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "nearest, twice": ((2, 8, 5, 6), {"scale_factor": 2}),
    "nearest, ragged": ((1, 3, 7, 5), {"size": (10, 3)}),
    "nearest-exact": ((1, 3, 7, 5), {"scale_factor": (1.7, 0.6), "mode": "nearest-exact"}),
    "bilinear, twice": ((2, 8, 5, 6), {"scale_factor": 2, "mode": "bilinear"}),
    "bilinear, corners": (
        (1, 3, 4, 6), {"size": (9, 3), "mode": "bilinear", "align_corners": True},
    ),
    "bilinear, to one": ((1, 3, 4, 6), {"size": (1, 2), "mode": "bilinear", "align_corners": True}),
    "bilinear, by factors": ((1, 3, 4, 6), {"scale_factor": (2.3, 0.4), "mode": "bilinear"}),
    "bicubic": ((1, 3, 5, 6), {"size": (11, 4), "mode": "bicubic"}),
    "bicubic, corners": ((1, 8, 5, 4), {"size": (7, 9), "mode": "bicubic", "align_corners": True}),
    "linear": ((2, 3, 9), {"size": 14, "mode": "linear"}),
    "trilinear": ((1, 2, 3, 4, 5), {"size": (5, 3, 8), "mode": "trilinear"}),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build_at_once("upsampling", ("float32", "bfloat16"))


@pytest.mark.parametrize(("dtype", "is_last"), [("float32", False), ("bfloat16", True)])
@pytest.mark.parametrize("name", CASES)
def test_resampled_images(host: HostDriver, name: str, dtype: str, is_last: bool) -> None:
    shape, options = CASES[name]
    x = drawn(shape, dtype)
    if is_last and x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    host.launched.clear()
    out = F.interpolate(x, **options)
    assert [name.partition("<")[0] for name in host.launched] == ["resample"]
    assert out.is_contiguous() == x.is_contiguous()
    wanted_x = double(x)
    wanted = F.interpolate(wanted_x, **options)
    assert_near(out, wanted, 32)
    g = drawn(out.shape, dtype, 1)
    host.launched.clear()
    (gradient,) = torch.autograd.grad(out, x, g)
    assert_launched(host, "resample_gradient")
    (reference,) = torch.autograd.grad(wanted, wanted_x, double(g))
    assert_near(gradient, reference, 32)


def test_second_derivatives_are_the_map_again(host: HostDriver) -> None:
    x = drawn((1, 2, 4, 4), "float32").requires_grad_()
    out = F.interpolate(x, scale_factor=2, mode="bilinear")
    g = torch.ones_like(out).requires_grad_()
    (first,) = torch.autograd.grad(out, x, g, create_graph=True)
    (second,) = torch.autograd.grad((first * x.detach()).sum(), g)
    assert_near(second, double(out), 8)
    assert out.grad_fn.name() == "UpsampleBilinear2DBackward0"


def test_places_of_large_images_are_not_lost_to_rounding(host: HostDriver) -> None:
    x = drawn((1, 1, 3001), "float32").requires_grad_()
    for size in (997, 4999):
        for mode in ("nearest", "linear"):
            out = F.interpolate(x, size=size, mode=mode)
            (gradient,) = torch.autograd.grad(out, x, torch.ones_like(out))
            assert gradient.sum().item() == pytest.approx(size, rel=1e-5)
