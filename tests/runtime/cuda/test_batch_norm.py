"""Batch norm and its gradients against float64 on the CPU, however the images lie."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .kit import assert_launched, assert_near, double, drawn
from .shim import HostDriver

CASES: dict[str, tuple[tuple[int, ...], bool]] = {
    "images": ((3, 4, 6, 8), False),
    "ragged images": ((3, 5, 5, 7), False),
    "channels last": ((3, 8, 5, 6), True),
    "ragged channels last": ((3, 5, 5, 7), True),
    "vectors": ((40, 12), False),
    "large images": ((2, 1, 60, 80), False),
}


def gradients(function: Any, g: Any, *given: Any) -> list[Any]:
    out = function(*given)
    return [out, *torch.autograd.grad(out, [x for x in given if x is not None], g)]


def test_gradients_that_lie_otherwise_than_the_images(host: HostDriver) -> None:
    x = drawn((2, 3, 4, 5), "float32").to(memory_format=torch.channels_last).requires_grad_()
    g = drawn(x.shape, "float32", 3)
    out = F.batch_norm(x, None, None, training=True)
    (found,) = torch.autograd.grad(out, x, g)
    wanted = double(x)
    reference = F.batch_norm(wanted, None, None, training=True)
    assert_near(found, torch.autograd.grad(reference, wanted, double(g))[0], 64)
    assert any("ShiftedProducts" in name for name in host.launched)


@pytest.mark.parametrize(
    ("case", "dtype"),
    [*[(c, "float32") for c in CASES], ("images", "bfloat16"), ("channels last", "float64")],
)
def test_training(host: HostDriver, case: str, dtype: str) -> None:
    shape, is_last = CASES[case]
    x, g = drawn(shape, dtype) + 5, drawn(shape, dtype, 3)
    if is_last:
        x, g = (t.to(memory_format=torch.channels_last) for t in (x, g))
    x.requires_grad_()
    weight, bias = (drawn(shape[1:2], dtype, k).requires_grad_() for k in (1, 2))

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return F.batch_norm(x, None, None, weight, bias, training=True)

    found = gradients(norm, g, x, weight, bias)
    launched = {e.partition("<")[0] for e in host.launched}
    names = {"pointwise_batch_norm", "pointwise_batch_norm_gradient"}
    if case in ("channels last", "vectors"):
        names = {"normalize_channels", "normalize_channels_gradient"}
    assert names <= launched
    if len(shape) == 4 and is_last:
        assert found[0].is_contiguous(memory_format=torch.channels_last)
        assert found[1].is_contiguous(memory_format=torch.channels_last)
    wanted = gradients(norm, double(g), *map(double, (x, weight, bias)))
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, 300)


@pytest.mark.parametrize("has_weight", [False, True])
def test_channels_innermost_in_several_chunks_of_many_rows(
    host: HostDriver, has_weight: bool
) -> None:
    shape = 780, 62  # 13 chunks of up to two passes; a thread too many
    x, g = (drawn(shape, "float64") + 5).requires_grad_(), drawn(shape, "float64", 3)
    weight = drawn(shape[1:], "float64", 1).requires_grad_() if has_weight else None

    def norm(x: Any, weight: Any) -> Any:
        return F.batch_norm(x, None, None, weight, training=True)

    found = gradients(norm, g, x, weight)
    assert_launched(host, "normalize_channels_gradient")
    wanted = gradients(norm, double(g), double(x), double(weight) if has_weight else None)
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, 300)


@pytest.mark.parametrize("case", ["images", "channels last"])
def test_halves_among_parameters_in_float32(host: HostDriver, case: str) -> None:
    shape, is_last = CASES[case]
    half, g = drawn(shape, "bfloat16") + 5, drawn(shape, "bfloat16", 3)
    if is_last:
        half, g = (t.to(memory_format=torch.channels_last) for t in (half, g))
    found: list[Any] = []
    for x, along in ((half, g), (double(half), double(g))):
        layer = torch.nn.BatchNorm2d(shape[1]).to(x.device)
        layer = layer.double() if x.dtype == torch.float64 else layer
        x.requires_grad_()
        for _ in range(2):
            host.launched.clear()
            out = layer(x)
        out.backward(along)
        found.append((out, x.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()))
        if x is half:
            launched = [e.partition("<")[0] for e in host.launched]
            assert not {"cast", "pointwise_mul"} & {*launched}
            names = "normalize_channels" if is_last else "pointwise_batch_norm"
            assert sum(e.startswith(names) for e in launched) == (2 if is_last else 3)
            assert out.dtype == x.grad.dtype == torch.bfloat16
            assert layer.weight.grad.dtype == layer.running_var.dtype == torch.float32
    for a, b in zip(*[f[:6] for f in found], strict=True):
        assert_near(a, b, 4 if a.dtype == torch.bfloat16 else 300)


def test_running_statistics_and_evaluation(host: HostDriver) -> None:
    x = drawn((4, 3, 5, 4), "float32") + 2
    made = []
    for given in (x, double(x)):
        layer = torch.nn.BatchNorm2d(3).to(given.dtype).to(given.device)
        layer(given)
        layer.eval()
        made.append((layer.running_mean, layer.running_var, layer(given)))
    for a, b in zip(*made, strict=True):
        assert_near(a, b, 60)
    assert_launched(host, "pointwise_batch_norm")


def test_moments_do_not_cancel_far_from_zero(host: HostDriver) -> None:
    x = drawn((50, 3, 8, 4), "float32", scale=1.0) + 4096
    out = F.batch_norm(x, None, None, training=True)
    assert_near(out, F.batch_norm(double(x), None, None, training=True), 2**13)
