"""Fused optimizer steps against the same rules on NumPy arrays: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.optim import elementwise

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "sgd dampened": ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    "adam": ("Adam", {}),
    "adam amsgrad": ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    "adamw": ("AdamW", {"amsgrad": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop centered": ("RMSprop", {"centered": True, "momentum": 0.9}),
    "adagrad": ("Adagrad", {"lr_decay": 0.1}),
    "adadelta": ("Adadelta", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("NAdam", {}),
    "radam": ("RAdam", {}),
    "rprop": ("Rprop", {}),
    "asgd": ("ASGD", {"t0": 2}),
}
SHAPES = [(3, 5), (40_000,), (1,), (), (0, 3), (129, 257)]
"""Smaller than a vector, longer than a chunk, no elements, and rows that end anywhere."""


def trained(case: str, dtype: Any) -> list[bytes]:
    """Parameters after some steps, one of them transposed and one with a transposed gradient."""
    rng = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> Any:
        return torch.tensor(rng.standard_normal(shape)).to(dtype)

    params = [drawn(shape) for shape in SHAPES] + [drawn((40, 30)).t(), drawn((30, 40))]
    name, options = CASES[case]
    optimizer = getattr(torch.optim, name)([p.requires_grad_() for p in params], **options)
    for _ in range(7):
        for p in params[:-2]:
            p.grad = drawn(tuple(p.shape)) * 0.1
        for p in params[-2:]:
            p.grad = drawn((40, 30)).t()
        optimizer.step()
    return [p.detach().numpy().tobytes() for p in params]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_one_loop_over_all_parameters_gives_numpys_bits(
    case: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elementwise, "WORTH_A_LOOP", 1 << 60)
    wanted = trained(case, dtype)
    monkeypatch.setattr(elementwise, "WORTH_A_LOOP", 0)
    assert trained(case, dtype) == wanted


def test_gradients_that_are_no_numbers_reach_the_parameters() -> None:
    p = torch.zeros(5000, requires_grad=True)
    p.grad = torch.full((5000,), float("nan"))
    torch.optim.Adam([p]).step()
    assert p.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_clipped_by_the_norm_of_all_of_them(dtype: Any) -> None:
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=shape) for shape in SHAPES]
    params = [torch.zeros(shape, dtype=dtype, requires_grad=True) for shape in SHAPES]
    for p, g in zip(params, gradients, strict=True):
        p.grad = torch.tensor(g, dtype=dtype)
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    found = torch.nn.utils.clip_grad_norm_(params, 2.0)
    assert found.dtype is dtype
    np.testing.assert_allclose(found.item(), norm, rtol=1e-6)
    for p, g in zip(params, gradients, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g * (2.0 / (norm + 1e-6)), rtol=1e-5)


def test_clipping_reports_a_gradient_that_is_no_number() -> None:
    p = torch.zeros(5000, requires_grad=True)
    p.grad = torch.full((5000,), float("inf"))
    with pytest.raises(RuntimeError, match="inf"):
        torch.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
