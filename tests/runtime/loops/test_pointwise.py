"""Formulas in fused loops against the same formulas in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.loops import pointwise
from flambeau.backends.pointwise import LARGE
from flambeau.core.dispatch import key_of, operations
from flambeau.nn import functional as F

TAILS = [0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4, np.inf, -np.inf, np.nan]
SIZE = 3 * pointwise.CHUNK + 21


DIFFERENCES = {"binary_entropy", "logit_entropy", "weighted_logit_entropy", "divergence"}
"""Sums in which terms up to 100 may cancel."""


def looped() -> list[str]:
    """The operations of which there are loops in float32, and the gradients made by now."""
    single = np.dtype(np.float32)
    return [
        name
        for name, operation in operations.items()
        if operation.formula is not None
        and not operation.derived
        and pointwise.is_supported(operation.expression({}), single)
    ]


def drawn(operation: Any, dtype: Any) -> list[Any]:
    """Operands in random pairs, each with tails among ordinary numbers."""
    rng = np.random.default_rng(0)
    arrays = []
    for p in operation.arrays:
        values = np.where(rng.random(SIZE) < 0.3, rng.choice(TAILS, SIZE), rng.normal(size=SIZE))
        arrays.append(values > 0 if p.role == "free" else values.astype(dtype))
    return arrays


def numbers(operation: Any) -> dict[str, float]:
    return {
        n: 0.3 if operation.defaults.get(n) is None else operation.defaults[n]
        for n in operation.parameter_names
    }


@pytest.mark.parametrize("name", looped())
def test_a_loop_computes_what_numpy_does(name: str) -> None:
    operation, key = operations[name], key_of(torch.device("cpu"), torch.float32)
    arrays = drawn(operation, np.float32)
    found = pointwise.kernel(operation, np.dtype(np.float32))(*arrays, **numbers(operation))  # type: ignore[misc]
    with np.errstate(all="ignore"):
        wanted = getattr(key, name)(*arrays, **numbers(operation))
    assert found.dtype == wanted.dtype
    atol = 1e-5 if name in DIFFERENCES else 1e-7
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=atol)


GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "gelu": F.gelu, "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu,
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "softplus": F.softplus, "elu": F.elu,
    "mish": F.mish, "relu": torch.relu, "leaky_relu": F.leaky_relu, "hardswish": F.hardswish,
    "log_sigmoid": F.logsigmoid, "exp": torch.exp, "abs": torch.abs, "sqrt": torch.sqrt,
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_large_arrays_are_those_of_float64(name: str) -> None:
    x = np.random.default_rng(0).normal(size=2 * LARGE).astype(np.float32) * 3
    g = np.random.default_rng(1).normal(size=2 * LARGE).astype(np.float32)
    x = np.abs(x) if name == "sqrt" else x
    found = []
    for part, dtype in ((len(x), torch.float32), (3000, torch.float64)):
        leaf = torch.tensor(x[:part], dtype=dtype, requires_grad=True)
        GRADIENTS[name](leaf).backward(torch.tensor(g[:part], dtype=dtype))
        found.append(leaf.grad.numpy()[:3000])
    np.testing.assert_allclose(found[0], found[1], rtol=2e-5, atol=2e-6)


def _grid(*shape: int) -> Any:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


LAYOUTS: dict[str, tuple[Any, Any]] = {
    "a row of columns": (_grid(300, 400), _grid(400)),
    "a column": (_grid(300, 400), _grid(300, 1)),
    "a number": (_grid(300, 400), _grid()),
    "one element": (_grid(300, 400), _grid(1, 1)),
    "channels": (_grid(20, 30, 10, 10), _grid(30, 1, 1)),
    "images without channels": (_grid(20, 30, 10, 10), _grid(20, 1, 10, 10)),
    "both broadcast": (_grid(300, 1, 100), _grid(2, 100)),
    "both transposed": (_grid(400, 300).T, _grid(400, 300).T),
    "one transposed": (_grid(300, 400), _grid(400, 300).T),
    "channels last": tuple(_grid(20, 9, 9, 64).transpose(0, 3, 1, 2) for _ in "xy"),  # type: ignore[dict-item]
    "parts of rows": (_grid(300, 800)[:, 100:500], _grid(300, 400)),
    "every other element": (_grid(300, 800)[:, ::2], _grid(300, 400)),
    "rows too short": (_grid(4000, 3, 11), _grid(3, 1)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_operands_may_lie_in_memory_as_they_like(layout: str) -> None:
    x, y = LAYOUTS[layout]
    found = torch.from_numpy(x[...]) * torch.from_numpy(y[...]) if y.ndim else None
    wanted = x * y
    if found is None:
        found = torch.from_numpy(x) * torch.tensor(float(y))
    np.testing.assert_array_equal(found.numpy(), wanted)
    assert found.numpy().strides == wanted.strides


def test_masks_choose_and_comparisons_make_masks() -> None:
    x = torch.from_numpy(_grid(300, 400))
    mask = x > 0.5
    assert mask.dtype is torch.bool
    np.testing.assert_array_equal(mask.numpy(), x.numpy() > 0.5)
    np.testing.assert_array_equal(
        torch.where(mask, x, torch.zeros(400)).numpy(), np.where(x.numpy() > 0.5, x.numpy(), 0)
    )
    row = torch.arange(400) % 3 == 0
    np.testing.assert_array_equal(
        torch.where(row, x, -x).numpy(), np.where(row.numpy(), x.numpy(), -x.numpy())
    )


def test_operands_that_do_not_fit_are_refused_as_small_ones_are() -> None:
    with pytest.raises(RuntimeError, match="300, 400"):
        torch.zeros(300, 400) + torch.zeros(300, 3)


def test_half_types_are_computed_in_float32() -> None:
    x = torch.from_numpy(_grid(300, 400)).to(torch.bfloat16)
    assert F.gelu(x).equal(F.gelu(x.float()).to(torch.bfloat16))
