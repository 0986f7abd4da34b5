"""Pooling and its gradients against float64 on the CPU, however the images lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .kit import assert_launched, assert_near, double, drawn
from .shim import HostDriver

MAX: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "as in ResNet": ((2, 8, 9, 10), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "apart": ((2, 3, 7, 6), {"kernel_size": 2}),
    "dilated, ceil": ((1, 3, 11, 12), {"kernel_size": 3, "dilation": 2, "ceil_mode": True}),
    "lines": ((2, 3, 17), {"kernel_size": 4, "stride": 3, "padding": 2}),
    "volumes": ((1, 2, 5, 6, 7), {"kernel_size": (2, 3, 3), "stride": (2, 1, 2), "padding": 1}),
    "no images": ((0, 3, 6, 6), {"kernel_size": 2}),
}
MEANS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "padded": ((2, 8, 7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "not counted": (
        (2, 3, 7, 9),
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    ),
    "ceil": ((1, 3, 8, 8), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
    "divisor": ((1, 3, 6, 6), {"kernel_size": 2, "divisor_override": 3}),
    "lines": ((2, 3, 17), {"kernel_size": 4, "stride": 3, "padding": 2}),
    "volumes": ((1, 2, 5, 6, 7), {"kernel_size": (2, 3, 3), "stride": (2, 1, 2), "padding": 1}),
}
SIZES: dict[str, tuple[tuple[int, ...], Any]] = {
    "one": ((2, 8, 7, 7), 1),
    "ragged": ((2, 8, 7, 5), (3, 4)),
    "more than there are": ((1, 3, 2, 3), (5, 4)),
    "volumes": ((1, 2, 5, 6, 7), (2, 3, 4)),
    "lines": ((2, 3, 10), 4),
}


def with_ties(shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers of which many are equal, as after a ReLU."""
    return drawn(shape, dtype).round().relu()


def laid(x: Any, is_last: bool) -> Any:
    return x.to(memory_format=torch.channels_last) if is_last and x.ndim == 4 else x


def compared(host: HostDriver, function: Any, x: Any, name: str, units: float) -> None:
    """Results and gradients are those of the float64 function, by own kernels in one launch."""
    found_x, wanted_x = x.requires_grad_(), double(x.requires_grad_())
    host.launched.clear()
    found, wanted = function(found_x), function(wanted_x)
    assert_near(found, wanted, units)
    if not found.numel():
        return
    if found.shape[2:].numel() > 1:
        assert len(host.launched) == 1
        assert found.is_contiguous() == (x.is_contiguous() or found.shape[1] == 1)
    assert_launched(host, name)
    g = drawn(found.shape, str(x.dtype).removeprefix("torch."), 5)
    g = laid(g, not x.is_contiguous())
    (gradient,) = torch.autograd.grad(found, found_x, g)
    assert_launched(host, f"{name}_gradient" if found.shape[2:].numel() > 1 else "average_gradient")
    (reference,) = torch.autograd.grad(wanted, wanted_x, double(g))
    assert_near(gradient, reference, 2 * units)


LAYOUTS = [("float32", False), ("float32", True), ("bfloat16", True), ("float64", False)]


@pytest.mark.parametrize(("dtype", "is_last"), LAYOUTS)
def test_largest_elements(host: HostDriver, dtype: str, is_last: bool) -> None:
    for shape, options in MAX.values():
        pool = getattr(F, f"max_pool{len(shape) - 2}d")
        x = laid(with_ties(shape, dtype), is_last)
        compared(host, lambda t, p=pool, o=options: p(t, **o), x, "max_pool", 4)


@pytest.mark.parametrize(("dtype", "is_last"), LAYOUTS)
def test_means(host: HostDriver, dtype: str, is_last: bool) -> None:
    for shape, options in MEANS.values():
        pool = getattr(F, f"avg_pool{len(shape) - 2}d")
        x = laid(drawn(shape, dtype), is_last)
        compared(host, lambda t, p=pool, o=options: p(t, **o), x, "average", 4)


@pytest.mark.parametrize(("dtype", "is_last"), LAYOUTS)
def test_means_of_windows_as_even_as_can_be(host: HostDriver, dtype: str, is_last: bool) -> None:
    for shape, sizes in SIZES.values():
        pool = getattr(F, f"adaptive_avg_pool{len(shape) - 2}d")
        x = laid(drawn(shape, dtype), is_last)
        name = "reduce" if sizes == 1 else "average"
        compared(host, lambda t, p=pool, s=sizes: p(t, s), x, name, 4)


def test_places_of_the_largest_elements_and_second_derivatives(host: HostDriver) -> None:
    for is_last in (False, True):
        x = laid(with_ties((2, 3, 9, 10), "float32"), is_last).requires_grad_()
        out, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
        wanted = double(x)
        wanted_out, wanted_places = F.max_pool2d(wanted, 3, 2, 1, return_indices=True)
        assert places.dtype is torch.int64
        assert places.cpu().tolist() == wanted_places.tolist()
        assert_launched(host, "max_pool_places")
        for result, leaf in ((out, x), (wanted_out, wanted)):
            g = torch.ones_like(result, requires_grad=True)
            (first,) = torch.autograd.grad(result, leaf, g, create_graph=True)
            (second,) = torch.autograd.grad((first * leaf.detach()).sum(), g)
            if result is out:
                found = second
        assert_near(found, second, 4)
        assert_launched(host, "max_pool_places")


def test_nan_is_the_largest(host: HostDriver) -> None:
    x = torch.tensor([[[1.0, np.nan, 2.0, 5.0, -np.inf, -np.inf]]])
    found = F.max_pool1d(x.cuda(), 2).cpu().numpy()
    np.testing.assert_array_equal(found, [[[np.nan, 5.0, -np.inf]]])


def test_a_gradient_that_all_elements_share_is_added_to_others(host: HostDriver) -> None:
    x = drawn((2, 3, 4, 4), "float32").requires_grad_()
    (F.adaptive_avg_pool2d(x, 1).sum() + (x * 2).sum()).backward()
    assert_near(x.grad, torch.full((2, 3, 4, 4), 2 + 1 / 16, dtype=torch.float64), 4)
    (F.adaptive_avg_pool2d(x, 1) * 16).sum().backward()
    assert_near(x.grad, torch.full((2, 3, 4, 4), 3 + 1 / 16, dtype=torch.float64), 4)
