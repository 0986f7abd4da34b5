"""Cross-entropy kernels against float64 on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .kit import DTYPES, assert_launched, assert_near, double, drawn
from .shim import HostDriver

SHAPES = [(40, 10), (7, 33), (3, 520), (3, 8201)]
CASES = [("float32", s) for s in SHAPES]
CASES += [("bfloat16", (3, 16_395))]
CASES += [(d, s) for d in DTYPES if d != "float32" for s in [(9, 33), (2, 520)]]


@pytest.mark.parametrize(("dtype", "shape"), CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_and_gradients(
    host: HostDriver, reduction: str, dtype: str, shape: tuple[int, int]
) -> None:
    x = drawn(shape, dtype).requires_grad_()
    target = torch.tensor(np.random.default_rng(1).integers(0, shape[1], shape[0]))
    target[1] = -100  # ignored

    def loss(x: Any, target: Any) -> Any:
        return F.cross_entropy(x, target, reduction=reduction)

    found, wide = loss(x, target.cuda()), double(x)
    assert_launched(host, "logits_long_rows" if shape[1] > 8200 else "logits_rows")
    wanted = loss(wide, target)
    assert_near(found, wanted, 40)
    (a,) = torch.autograd.grad(found.sum(), x)
    assert_launched(host, "logits_gradient")
    (b,) = torch.autograd.grad(wanted.sum(), wide)
    assert_near(a, b, 20)


def test_autocast_reads_halves_and_gives_float32(host: HostDriver) -> None:
    x, target = drawn((5, 33), "bfloat16").requires_grad_(), torch.tensor([1, 32, 0, -100, 7])
    with torch.autocast("cuda", torch.bfloat16):
        loss = F.cross_entropy(x, target.cuda())
    loss.backward()
    assert [e.partition("<")[0] for e in host.launched if e.startswith(("cast", "logits"))] == [
        "logits_rows", "logits_total", "logits_gradient",
    ]  # fmt: skip
    wide = double(x)
    wanted = F.cross_entropy(wide, target)
    wanted.backward()
    assert loss.dtype == torch.float32
    assert_near(loss, wanted, 40)
    assert x.grad.dtype == torch.bfloat16
    assert_near(x.grad, wide.grad, 4)


def test_second_derivatives(host: HostDriver) -> None:
    x, target = drawn((3, 6), "float64").requires_grad_(), torch.tensor([1, 5, 0])

    def second(x: Any, target: Any) -> Any:
        (g,) = torch.autograd.grad(F.cross_entropy(x, target), x, create_graph=True)
        return torch.autograd.grad((g**2).sum(), x)[0]

    assert_near(second(x, target.cuda()), second(double(x), target), 40)


def test_targets_that_are_no_classes_are_refused_without_waiting_for_them(
    host: HostDriver,
) -> None:
    x = drawn((3, 8), "float32")
    for wrong in (8, -1):
        losses = F.cross_entropy(x, torch.tensor([1, wrong, 2]).cuda(), reduction="none")
        with pytest.raises(IndexError, match=rf"from 0 to 7.*Got {wrong},"):
            losses.cpu()
        assert np.isnan(losses.cpu().numpy()).tolist() == [False, True, False]
    loss = F.cross_entropy(x, torch.tensor([1, 9, 2]).cuda())
    with pytest.raises(IndexError, match="Got 9"):
        loss.item()
    assert np.isfinite(F.cross_entropy(x, torch.tensor([1, 0, 2]).cuda()).item())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(6, 33), (2, 8, 3, 5), (2, 5, 7)])
def test_smooth_labels_and_classes_of_places(
    host: HostDriver, reduction: str, shape: tuple[int, ...]
) -> None:
    target = torch.tensor(np.random.default_rng(2).integers(0, shape[1], (shape[0], *shape[2:])))
    target.reshape(-1)[1] = -100
    for smoothing in (0.0, 0.3):
        x = drawn(shape, "float32").requires_grad_()
        wide, how = double(x), {"label_smoothing": smoothing, "reduction": reduction}
        found = F.cross_entropy(x, target.cuda(), **how)
        name = "logits" if len(shape) == 2 and not smoothing else "cross_entropy"
        assert_launched(host, f"{name}_rows")
        wanted = F.cross_entropy(wide, target, **how)
        assert_near(found, wanted, 40)
        g = drawn(found.shape, "float32", 1)
        (a,) = torch.autograd.grad(found, x, g)
        assert_launched(host, f"{name}_gradient")
        assert_near(a, torch.autograd.grad(wanted, wide, double(g))[0], 20)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_classes_have_weights(host: HostDriver, dtype: str, reduction: str) -> None:
    for shape in ((6, 33), (2, 8, 3, 5)):
        x, weight = drawn(shape, dtype).requires_grad_(), drawn(shape[1:2], dtype, 2).abs()
        target = torch.tensor(
            np.random.default_rng(2).integers(0, shape[1], (shape[0], *shape[2:]))
        )
        target.reshape(-1)[1] = -100
        host.launched.clear()
        found = F.cross_entropy(x, target.cuda(), weight, reduction=reduction)
        assert_launched(host, "cross_entropy_rows")
        wide = double(x)
        wanted = F.cross_entropy(wide, target, double(weight), reduction=reduction)
        assert_near(found, wanted, 40)
        g = drawn(found.shape, dtype, 1)
        (a,) = torch.autograd.grad(found, x, g)
        assert_launched(host, "cross_entropy_gradient")
        assert_near(a, torch.autograd.grad(wanted, wide, double(g))[0], 20)


def test_weights_with_smooth_labels_are_left_to_the_array_kernel(host: HostDriver) -> None:
    x, target = drawn((5, 8), "float32"), torch.tensor([1, 2, 3, 0, 7])
    weight, how = torch.linspace(0.5, 1.5, 8), {"label_smoothing": 0.1}
    found = F.cross_entropy(x, target.cuda(), weight=weight.cuda(), **how)
    assert_near(found, F.cross_entropy(double(x), target, weight=weight.double(), **how), 20)


@pytest.mark.parametrize("wrong", [8, -1])
def test_targets_that_are_no_classes_have_no_weight(host: HostDriver, wrong: int) -> None:
    x, weight = drawn((3, 8), "float32").requires_grad_(), drawn((8,), "float32", 1).abs()
    target = torch.tensor([1, wrong, 2]).cuda()
    losses = F.cross_entropy(x, target, weight=weight, reduction="none")
    assert_launched(host, "cross_entropy_rows")
    with pytest.raises(IndexError, match=rf"from 0 to 7.*Got {wrong},"):
        losses.detach().cpu()
    assert np.isnan(losses.detach().cpu().numpy()).tolist() == [False, True, False]
