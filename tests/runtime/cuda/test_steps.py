"""Steps and norms of all parameters in one launch, against the same rules in float64 on the CPU."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.backends.cuda import norms, steps
from flambeau.nn.utils import clip_grad_norm_, clip_grad_value_

from .shim import HostDriver

SIZES = [(0,), (1,), (7, 9), (2_049,), (3, 1_700), ()]
"""Of parameters: none, fewer than a vector, one more than a chunk, several chunks."""
OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("AdamW", {}),
    ("RMSprop", {"centered": True, "momentum": 0.9}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Rprop", {}),
    ("ASGD", {}),
]
TOLERANCES = {"float32": 1e-5, "float64": 1e-13, "float16": 4e-3, "bfloat16": 3e-2}


def parameters(place: str, dtype: Any, sizes: Any = SIZES) -> list[nn.Parameter]:
    """Parameters with gradients, the same numbers for every place and dtype."""
    torch.manual_seed(0)
    made = []
    for size in sizes:
        values, gradient = torch.randn(size).bfloat16(), torch.randn(size).bfloat16()
        p = nn.Parameter(values.to(dtype).to(place))
        p.grad = gradient.to(dtype).to(place)
        made.append(p)
    return made


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_steps_equal_the_cpus_in_float64(
    host: HostDriver, name: str, options: dict[str, Any]
) -> None:
    wanted = parameters("cpu", torch.float64)
    found = parameters("cuda", torch.float32)
    for group in (wanted, found):
        optimizer = getattr(optim, name)(group, **options)
        for _ in range(3):
            optimizer.step()
    assert host.launched == ["steps"] * 3
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), 1e-5, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_steps_in_other_types(host: HostDriver, dtype: Any) -> None:
    wide = torch.complex128 if dtype.is_complex else torch.float64
    wanted, found = parameters("cpu", wide), parameters("cuda", dtype)
    for group in (wanted, found):
        optim.AdamW(group, lr=0.1).step()
    assert host.launched == ["steps"]
    rtol = {8: 1e-6 if dtype.is_complex else 1e-13, 2: 2e-3 if dtype is torch.float16 else 1e-2}
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype is dtype
        difference = (a.detach().cpu().to(wide) - b.detach()).abs().numpy()
        assert (difference <= rtol[dtype.itemsize] * (1 + b.detach().abs().numpy())).all()


def test_many_parameters_take_several_tables(host: HostDriver) -> None:
    sizes = [(k % 5,) for k in range(200)]
    wanted, found = (
        parameters("cpu", torch.float64, sizes),
        parameters("cuda", torch.float32, sizes),
    )
    for group in (wanted, found):
        optim.Adam(group).step()
    assert host.launched == ["steps"] * 3  # 74 records of six words each go into one
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.detach().cpu().numpy(), b.detach().numpy(), 1e-5, 1e-6)


def test_parameters_at_odd_places_are_stepped_one_by_one(host: HostDriver) -> None:
    memory = torch.zeros(101, device="cuda")
    p = nn.Parameter(memory[1:])  # its first element lies at no multiple of 16 bytes
    p.grad = torch.arange(100.0, device="cuda")
    optim.SGD([p], lr=0.5).step()
    np.testing.assert_array_equal(p.detach().cpu().numpy(), -0.5 * np.arange(100.0))
    assert memory[0].item() == 0


def test_transposed_parameters_are_stepped_in_the_order_of_memory(host: HostDriver) -> None:
    p = nn.Parameter(torch.zeros(4, 6, device="cuda").t())
    p.grad = torch.arange(24.0, device="cuda").reshape(4, 6).t()
    optim.SGD([p], lr=1.0).step()
    assert host.launched == ["steps"]
    np.testing.assert_array_equal(p.detach().t().cpu().numpy(), -np.arange(24.0).reshape(4, 6))


def _doubled(factor: Any, xp: Any, x: Any) -> None:
    x *= factor


def test_numbers_in_device_memory_and_what_is_not_finite(host: HostDriver) -> None:
    cupy = sys.modules["cupy"]
    factor, found = cupy.asarray(np.array(3.0)), cupy.zeros((), np.float32)
    arrays = [cupy.asarray(np.ones(5, np.float32)), cupy.asarray(np.ones(3, np.float32))]
    steps.run(_doubled, (factor,), [[a] for a in arrays], found)
    assert (arrays[0].tolist(), float(found)) == ([3.0] * 5, 0.0)
    arrays[1][2] = np.inf
    steps.run(_doubled, (2.0,), [[a] for a in arrays], found)
    assert (arrays[0].tolist(), float(found)) == ([6.0] * 5, 1.0)


@pytest.mark.parametrize("order", [2.0, 1.0, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_norms_equal_numpys(host: HostDriver, order: float, dtype: Any) -> None:
    tensors = [p.grad for p in parameters("cuda", dtype)]
    tensors[2][0, :2] = 0
    flat = np.concatenate([t.cpu().double().numpy().reshape(-1) for t in tensors])
    found = norms.total_norm([t._array for t in tensors], order)
    assert (found.shape, found.dtype) == ((), dtype.numpy)
    exact = torch.tensor(np.linalg.norm(flat, order)).to(dtype)
    assert float(found) == pytest.approx(float(exact), rel=1e-6 if dtype.itemsize > 2 else 1e-2)


def test_norms_of_nan_are_nan(host: HostDriver) -> None:
    x = torch.ones(300, device="cuda")
    x[77] = math.nan
    for order in (2.0, 1.0, math.inf, -math.inf):
        assert math.isnan(float(norms.total_norm([x._array], order)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_clipping_by_norm_takes_few_launches(host: HostDriver, dtype: Any) -> None:
    wanted, found = parameters("cpu", torch.float64), parameters("cuda", dtype)
    norm = clip_grad_norm_(wanted, 1.5)
    total = clip_grad_norm_(found, 1.5)
    assert float(total) == pytest.approx(float(norm), rel=1e-6 if dtype is torch.float32 else 1e-2)
    assert host.launched.count("steps") == 1
    for a, b in zip(found, wanted, strict=True):
        rtol = 1e-5 if dtype is torch.float32 else 2e-2
        np.testing.assert_allclose(a.grad.cpu().double().numpy(), b.grad.numpy(), rtol, 1e-9)


def test_clipping_by_value_takes_one_launch(host: HostDriver) -> None:
    found = parameters("cuda", torch.float32)
    wanted = [p.grad.cpu().numpy().clip(-0.3, 0.3) for p in found]
    clip_grad_value_(found, 0.3)
    assert host.launched == ["steps"]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a.grad.cpu().numpy(), b)


def test_a_scaler_unscales_in_one_launch_and_sees_infinity(host: HostDriver) -> None:
    found = parameters("cuda", torch.float32)
    before = [p.grad.cpu().numpy() for p in found]
    optimizer = optim.SGD(found, lr=0.0)
    scaler = torch.amp.GradScaler("cuda", init_scale=4.0)
    scaler.scale(torch.ones((), device="cuda"))
    scaler.unscale_(optimizer)
    assert host.launched.count("steps") == 1
    for p, g in zip(found, before, strict=True):
        np.testing.assert_array_equal(p.grad.cpu().numpy(), g / 4)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 4.0
    found[4].grad[1, 5] = math.inf
    scaler.scale(torch.ones((), device="cuda"))
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0
