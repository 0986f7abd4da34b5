"""bfloat16 products by oneDNN against products in float64 of the same rounded operands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import half_products
from flambeau.backends.cpu.onednn.library import library

FOUND = library()
pytestmark = pytest.mark.skipif(
    FOUND is None or not FOUND.instructions & half_products.NATIVE,
    reason="no oneDNN, or a processor without bfloat16",
)
GENERATOR = np.random.default_rng(0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """oneDNN for any size; the list counts its products."""
    found: list[int] = []
    multiply = half_products._multiply

    def counted(*args: Any) -> Any:
        found.append(1)
        return multiply(*args)

    monkeypatch.setattr(half_products, "LEAST", 1)
    monkeypatch.setattr(half_products, "_multiply", counted)
    return found


def tensors(*shapes: Any) -> list[Any]:
    return [torch.tensor(GENERATOR.uniform(-1, 1, s)).bfloat16().requires_grad_() for s in shapes]


def assert_rounded_once(found: Any, exact: Any) -> None:
    # bfloat16 has 8 bits; sums in float32 add little.
    np.testing.assert_allclose(found.detach().float().numpy(), exact, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    ("a", "b"), [((7, 33), (33, 9)), ((2, 3, 17), (17, 5)), ((1, 64), (64, 64))]
)
def test_products_and_gradients_are_rounded_once(a: Any, b: Any, calls: list[int]) -> None:
    x, y = tensors(a, b)
    p, q = (t.detach().double().requires_grad_() for t in (x, y))
    out, exact = x @ y, p @ q
    assert out.dtype is torch.bfloat16
    assert_rounded_once(out, exact.detach().numpy())
    g = torch.tensor(GENERATOR.uniform(-1, 1, out.shape)).bfloat16()
    out.backward(g)
    exact.backward(g.double())
    assert_rounded_once(x.grad, p.grad.numpy())
    assert_rounded_once(y.grad, q.grad.numpy())
    assert len(calls) >= 2


@pytest.mark.parametrize("leading", [(5,), (2, 3)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_and_its_gradients_are_rounded_once(
    leading: Any, has_bias: bool, calls: list[int]
) -> None:
    x, w, b = tensors((*leading, 24), (16, 24), (16,))
    p, q, r = (t.detach().double().requires_grad_() for t in (x, w, b))
    linear = torch.nn.functional.linear
    out, exact = linear(x, w, b if has_bias else None), linear(p, q, r if has_bias else None)
    assert_rounded_once(out, exact.detach().numpy())
    g = torch.ones_like(out)
    out.backward(g)
    exact.backward(g.double())
    for half, double in ((x, p), (w, q)):
        assert_rounded_once(half.grad, double.grad.numpy())
    assert len(calls) == 3


def test_what_does_not_fit_or_is_small_goes_the_usual_way() -> None:
    x, y = tensors((2, 3), (4, 5))
    with pytest.raises(RuntimeError, match="they must be equal"):
        x @ y
    assert (x @ x.mT).shape == (2, 2)
