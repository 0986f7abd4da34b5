"""Gradients that users write: `autograd.Function`."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

import flambeau as torch
from flambeau.autograd import Function
from flambeau.autograd.function import once_differentiable


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Exp(Function):
    @staticmethod
    def forward(x: Any) -> Any:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]


class SumAndProduct(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, scale: float) -> Any:
        ctx.save_for_backward(x, y)
        ctx.scale = scale
        return x + y, x * y * scale

    @staticmethod
    def backward(ctx: Any, g_sum: Any, g_product: Any) -> Any:
        x, y = ctx.saved_tensors
        g = g_product * ctx.scale
        return g_sum + g * y if ctx.needs_input_grad[0] else None, g_sum + g * x, None


def doubles(*values: float) -> Any:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("function", [Cube, Exp])
def test_derivatives_of_every_order(function: Any) -> None:
    x = doubles(0.5, -1.5)
    assert torch.autograd.gradcheck(function.apply, [x])
    assert torch.autograd.gradgradcheck(function.apply, [x])
    assert function.apply(x).grad_fn.name() == f"{function.__name__}Backward"


def test_several_outputs_and_other_arguments() -> None:
    x, y = doubles(2.0), doubles(3.0)
    assert torch.autograd.gradgradcheck(lambda a, b: SumAndProduct.apply(a, b, 0.5), [x, y])
    total, _ = SumAndProduct.apply(x, y, 0.5)
    total.sum().backward()  # the other output's gradient comes as zeros
    assert (x.grad.item(), y.grad.item()) == (1, 1)
    constant, _ = SumAndProduct.apply(x.detach(), y, 0.5)
    constant.sum().backward()
    assert y.grad.item() == 2


def test_nothing_is_recorded_where_nothing_requires_it() -> None:
    assert Cube.apply(torch.ones(2)).grad_fn is None
    with torch.no_grad():
        assert not Cube.apply(doubles(1.0)).requires_grad


def test_what_was_saved_is_guarded() -> None:
    x = doubles(2.0)
    y = x * 1
    out = Cube.apply(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="changed in place"):
        out.sum().backward()
    out = Cube.apply(x).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        out.backward()


def test_a_saved_output_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        out = Exp.apply(doubles(1.0))
        gone = weakref.ref(out.grad_fn)
        del out
        assert gone() is None
    finally:
        gc.enable()


def test_marks() -> None:
    class Step(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x += 1
            ctx.mark_dirty(x)
            whole = x.floor()
            ctx.mark_non_differentiable(whole)
            return x, whole

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            return 5 * g

    leaf = doubles(1.5)
    x = leaf * 2
    out, whole = Step.apply(x)
    assert out is x
    assert (out.item(), whole.item(), whole.requires_grad) == (4, 4, False)
    out.sum().backward()
    assert leaf.grad.item() == 10


def test_an_input_handed_through_is_a_tensor_of_its_own() -> None:
    class Pass(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    x = doubles(1.0)
    y = Pass.apply(x)
    assert y is not x
    y.sum().backward()
    assert x.grad.item() == 3


def test_once_differentiable_refuses_a_second_time() -> None:
    class Square(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * g

    x = doubles(3.0)
    Square.apply(x).sum().backward()
    assert x.grad.item() == 6
    weight = doubles(1.0)
    (g,) = torch.autograd.grad(Square.apply(x), x, weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_wrong_gradients_are_explained() -> None:
    class Wrong(Function):
        result: Any = None

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return Wrong.result

    for result, words in [
        ((None, torch.ones(2)), "expected 1 gradients"),
        (3.0, "expected a tensor or None as gradient 0. Got float"),
        (torch.ones(5, dtype=torch.float64), r"gradient 0 of shape \(2,\).*gave \(5,\)"),
    ]:
        Wrong.result = result
        with pytest.raises((RuntimeError, TypeError), match=words):
            Wrong.apply(doubles(1.0, 2.0)).sum().backward()
    with pytest.raises(TypeError, match=r"expected tensors or None. Got int"):
        torch.autograd.FunctionCtx().save_for_backward(3)  # type: ignore[arg-type]


def test_saved_tensors_may_be_written_where_that_is_allowed() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        y = x.exp()
        z = y * 1
        y.detach().zero_()
        z.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, x.detach().exp())


def test_hooks_on_saved_tensors_can_be_refused() -> None:
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t)
    with (
        torch.autograd.graph.disable_saved_tensors_hooks("not in here"),
        pytest.raises(RuntimeError, match="not in here"),
        hooks,
    ):
        pass
    with hooks:
        pass


def test_a_write_that_the_tape_did_not_see_can_be_counted() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    torch.autograd.graph.increment_version(y)
    with pytest.raises(RuntimeError, match="changed in place 1 time"):
        y.sum().backward()


def test_branches_and_loops_run_as_statements_with_gradients() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    torch.cond(x > 1, lambda t: t**2, lambda t: -t, (x,)).backward()
    assert x.grad == 4
    n, total = torch.while_loop(
        lambda n, total: n < 3, lambda n, total: (n + 1, total * x), (torch.tensor(0), x * 1)
    )
    assert (int(n), float(total)) == (3, 16.0)
    with pytest.raises(RuntimeError, match="as many values"):
        torch.while_loop(lambda a: True, lambda a: (a, a), (x,))
