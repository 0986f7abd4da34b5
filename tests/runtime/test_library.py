"""Operations of a program's own, and PyTorch's by its names for them."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
from flambeau.library import Library, custom_op, impl, register_autograd, register_fake


def cube(scale: float) -> Any:
    @custom_op("tests::cube", mutates_args=())
    def cubed(x: torch.Tensor, factor: float = scale) -> torch.Tensor:
        return factor * x**3

    return cubed


def test_an_operation_is_called_and_found_by_its_name() -> None:
    operation = cube(2.0)
    x = torch.tensor([1.0, 2.0])
    assert operation(x).tolist() == [2, 16]
    assert torch.ops.tests.cube(x, factor=1.0).tolist() == [1, 8]
    assert torch.ops.tests.cube.default(x).tolist() == [2, 16]
    assert torch.library.custom_op is custom_op


def test_it_has_the_gradient_that_is_registered_and_none_before() -> None:
    operation = cube(2.0)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert not operation(x).requires_grad

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.factor = inputs[1]

    def backward(ctx: Any, g: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * ctx.factor * x**2 * g, None

    register_autograd("tests::cube", backward, setup_context=setup)
    operation(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [6, 24]
    assert torch.autograd.gradcheck(
        operation, (torch.rand(3, dtype=torch.float64, requires_grad=True),)
    )


def test_meta_tensors_take_the_registered_shapes() -> None:
    cube(1.0)

    @register_fake("tests::cube")
    def _(x: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        return torch.empty(2, *x.shape, device="meta")

    assert torch.ops.tests.cube(torch.empty(3, device="meta")).shape == (2, 3)


def test_a_library_defines_by_schema_and_takes_kernels_by_device() -> None:
    lib = Library("tests_lib", "DEF")
    lib.define("twice(Tensor x) -> Tensor")
    with pytest.raises(NotImplementedError, match="register_kernel"):
        torch.ops.tests_lib.twice(torch.ones(2))
    lib.impl("twice", lambda x: 2 * x, "CPU")
    assert torch.ops.tests_lib.twice(torch.ones(2)).tolist() == [2, 2]
    impl("tests_lib::twice", "default")(lambda x: x)
    assert torch.ops.tests_lib.twice(torch.ones(2, device="meta")).shape == (2,)


def test_names_without_operations_say_so() -> None:
    with pytest.raises(AttributeError, match=r"torch\.ops\.nowhere has no operation 'f'"):
        _ = torch.ops.nowhere.f
    with pytest.raises(ValueError, match="namespace::name"):
        custom_op("nameless")(abs)
    with pytest.raises(ValueError, match="was defined"):
        register_fake("tests::not_there")


def test_pytorchs_own_operations_are_the_runtimes_functions() -> None:
    aten, x = torch.ops.aten, torch.arange(6.0).reshape(2, 3)
    assert aten.add.Tensor(x, 1).tolist() == (x + 1).tolist()
    assert aten.slice.Tensor(x, 1, 1).tolist() == [[1, 2], [4, 5]]
    assert aten.index.Tensor(x, [None, torch.tensor([2])]).tolist() == [[2], [5]]
    assert aten._to_copy.default(x, dtype=torch.int64).dtype is torch.int64
    assert aten.mm.default is aten.mm.default  # handlers are found by it
    assert not hasattr(aten, "no_such_operation")
    with pytest.raises(NotImplementedError, match="internal to PyTorch"):
        aten._no_such_thing(x)
