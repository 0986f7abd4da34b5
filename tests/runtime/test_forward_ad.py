"""Forward mode: dual tensors and the tangents of what is computed from them."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.autograd.forward_ad as fwAD
from flambeau import nn


def test_the_tangent_is_the_derivative_along_the_direction() -> None:
    x = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    v = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)

    def f(x: Any) -> Any:
        return torch.sin(x) * x.sum()

    with fwAD.dual_level():
        value, tangent = fwAD.unpack_dual(f(fwAD.make_dual(x, v)))
    step = 1e-6
    numeric = (f(x + step * v) - f(x - step * v)) / (2 * step)
    assert torch.allclose(value, f(x))
    assert torch.allclose(tangent, numeric, atol=1e-8)
    assert not tangent.requires_grad


def test_tangents_of_several_duals_add_up_and_others_have_none() -> None:
    one = torch.ones(())
    with fwAD.dual_level():
        a, b = fwAD.make_dual(one * 3, one), fwAD.make_dual(one * 5, one * 10)
        assert fwAD.unpack_dual(a * b).tangent.item() == 5 + 30
        assert fwAD.unpack_dual(one * 2).tangent is None
        assert fwAD.unpack_dual(a).tangent is one
        assert fwAD.unpack_dual(a.detach() * 2).tangent is None
        assert fwAD.unpack_dual(a * 0 + (b > 0)).tangent.item() == 0


def test_tangents_pass_through_a_module_and_are_differentiable() -> None:
    layer = nn.Linear(2, 1)
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    with fwAD.dual_level():
        out = torch.tanh(layer(fwAD.make_dual(x, torch.ones(1, 2))))
        tangent = fwAD.unpack_dual(out).tangent
    slope = (1 - out.detach() ** 2) * layer.weight.sum()
    assert tangent.item() == pytest.approx(slope.item())
    tangent.backward()
    assert layer.weight.grad is not None


class Exponential(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.result = x.exp()
        return ctx.result

    @staticmethod
    def jvp(ctx: Any, tangent: Any) -> Any:
        Exponential.calls += 1
        out = tangent * ctx.result
        del ctx.result
        return out


def test_a_function_with_jvp_alone_has_tangents_and_gradients() -> None:
    x = torch.tensor([0.5, 1.0], dtype=torch.float64, requires_grad=True)
    Exponential.calls = 0
    with fwAD.dual_level():
        out = Exponential.apply(fwAD.make_dual(x, torch.tensor([1.0, 2.0]).double()))
        first = fwAD.unpack_dual(out).tangent
        again = fwAD.unpack_dual(out).tangent
    assert torch.allclose(first, torch.tensor([1.0, 2.0]).double() * x.exp())
    assert torch.equal(first, again)
    assert Exponential.calls == 1
    Exponential.apply(x).sum().backward()
    assert torch.allclose(x.grad, x.detach().exp())
    assert torch.autograd.gradcheck(Exponential.apply, (x,), check_forward_ad=True)


def test_misuse_is_told() -> None:
    x = torch.ones(2)
    with pytest.raises(RuntimeError, match="dual_level"):
        fwAD.make_dual(x, x)
    with fwAD.dual_level():
        with pytest.raises(RuntimeError, match="levels do not nest"):
            fwAD.enter_dual_level()
        with pytest.raises(RuntimeError, match=r"tangent of shape \(2,\)"):
            fwAD.make_dual(x, torch.ones(3))
        with pytest.raises(RuntimeError, match=r"tangent of torch\.float32"):
            fwAD.make_dual(x, x.double())
        with pytest.raises(RuntimeError, match="floating-point tensor"):
            fwAD.make_dual(x.long(), x.long())
    with pytest.raises(RuntimeError, match="to be open"):
        fwAD.exit_dual_level()
