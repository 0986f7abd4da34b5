"""What operations in place keep of the values that they write over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.errors import GradientError

IN_PLACE: dict[str, Any] = {
    "sin": lambda x: x.sin_(),
    "square": lambda x: x.square_(),
    "abs": lambda x: x.abs_(),
    "elu": lambda x: F.elu(x, 0.7, inplace=True),
    "silu": lambda x: F.silu(x, inplace=True),
    "mish": lambda x: F.mish(x, inplace=True),
    "hardtanh": lambda x: F.hardtanh(x, inplace=True),
    "random slopes": lambda x: torch.rrelu_(x, 0.2, 0.2, True),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_operations_in_place_have_the_gradients_of_the_others(name: str) -> None:
    x = torch.tensor([-1.4, -0.3, 0.6, 1.7], dtype=torch.float64, requires_grad=True)

    def function(x: Any) -> Any:
        return IN_PLACE[name](x * 1.0)

    assert torch.autograd.gradcheck(function, (x,))
    assert torch.autograd.gradgradcheck(function, (x,))


def test_other_factors_get_the_value_from_before() -> None:
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = torch.tensor([5.0, 7.0], requires_grad=True)
    (x * 1.0).mul_(y).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), [2.0, 3.0])


def test_what_an_earlier_operation_saved_is_still_guarded() -> None:
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = x * 1.0
    sine = y.sin()
    y.mul_(sine)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("name", IN_PLACE)
def test_tensors_without_memory_keep_their_past_too(name: str) -> None:
    leaf = torch.ones(4, device="meta", requires_grad=True)
    IN_PLACE[name](leaf * 1.0).sum().backward()
    assert leaf.grad is not None
    x = leaf * 1.0
    sine = x.sin()
    IN_PLACE[name](x)
    with pytest.raises(RuntimeError, match="changed in place"):
        sine.sum().backward()


@pytest.mark.parametrize("name", ["celu", "elu", "hardtanh", "leaky_relu", "relu", "selu"])
def test_functions_with_an_underscore_write_what_the_others_give(name: str) -> None:
    x = torch.tensor([-1.4, -0.3, 0.6, 1.7])
    wanted = getattr(F, name)(x)
    assert getattr(F, f"{name}_")(x) is x
    assert torch.equal(x, wanted)
    assert torch.equal(F.threshold_(x, 0.1, 2.0), F.threshold(x, 0.1, 2.0))


def test_a_product_with_itself_in_place_is_refused_at_backward() -> None:
    """As by PyTorch: the second operand is the tensor that was changed."""
    x = torch.ones(3, requires_grad=True)
    y = (x * 2).clone()
    with pytest.raises(GradientError, match="other of mul"):
        y.mul_(y).sum().backward()


def test_an_activation_in_place_needs_no_second_memory() -> None:
    x = torch.randn(1000, requires_grad=True)
    y = x * 2
    torch.relu_(y)
    assert y.grad_fn is not None
    assert y.grad_fn.saved[-1] is y._array
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, 2.0 * (x > 0))


def test_a_write_after_an_activation_in_place_is_noticed() -> None:
    x = torch.randn(10, requires_grad=True)
    y = torch.relu_(x * 2)
    y.add_(1)
    with pytest.raises(GradientError, match="changed in place"):
        y.sum().backward()


@pytest.mark.parametrize(
    "hold",
    [
        lambda y: y.detach(),
        lambda y: y.view(-1),
        lambda y: y.numpy(),
        lambda y: memoryview(y.numpy()),
        lambda y: np.from_dlpack(y),
    ],
)
def test_who_shares_memory_sees_an_operation_in_place(hold: Any) -> None:
    y = torch.tensor([[-1.0, 2.0]])
    other = hold(y)
    torch.relu_(y)
    assert np.asarray(other).reshape(-1).tolist() == [0.0, 2.0]


def test_an_address_that_was_asked_for_stays() -> None:
    y = torch.tensor([-1.0, 2.0])
    address = y.data_ptr()
    torch.relu_(y)
    assert y.data_ptr() == address
    assert y.tolist() == [0.0, 2.0]


def _large(seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(300, 400)).astype(np.float32)


LARGE_WRITES: dict[str, tuple[Any, Any]] = {
    "add_": (lambda x, y: x.add_(y), lambda x, y: x + y),
    "add_ a number": (lambda x, y: x.add_(2), lambda x, y: x + 2),
    "add_ scaled": (lambda x, y: x.add_(y, alpha=3), lambda x, y: x + 3 * y),
    "sub_": (lambda x, y: x.sub_(y), lambda x, y: x - y),
    "mul_ itself": (lambda x, y: x.mul_(x), lambda x, y: x * x),
    "div_ by a row": (lambda x, y: x.div_(y[0]), lambda x, y: x / y[0]),
    "+=": (lambda x, y: x.__iadd__(y), lambda x, y: x + y),
    "exp_": (lambda x, y: x.exp_(), lambda x, y: np.exp(x)),
    "relu_": (lambda x, y: x.relu_(), lambda x, y: np.maximum(x, 0)),
}


@pytest.mark.parametrize("name", LARGE_WRITES)
def test_large_tensors_are_written_where_they_are(name: str) -> None:
    write, reference = LARGE_WRITES[name]
    for transposed in (False, True):
        x, y = _large(0), _large(1)
        wanted = reference(x.copy(), y)
        tensor = torch.from_numpy(np.asfortranarray(x) if transposed else x)
        view, place, version = tensor[3:], tensor.data_ptr(), tensor._version
        assert write(tensor, torch.from_numpy(y)) is tensor
        np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-6)
        np.testing.assert_array_equal(view.numpy(), tensor.numpy()[3:])
        assert (tensor.data_ptr(), tensor._version) == (place, version + 1)


def test_a_large_operand_that_shares_a_part_of_the_memory_is_read_before_it_is_written() -> None:
    x = _large(0).reshape(-1)
    wanted = x[1:] + x[:-1]
    whole = torch.from_numpy(x)
    whole[1:].add_(whole[:-1])
    np.testing.assert_array_equal(x[1:], wanted)


def test_writing_a_large_saved_tensor_is_noticed_in_backward() -> None:
    x = torch.randn(300, 400, requires_grad=True)
    y = x.exp()
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="mul_"):
        y.sum().backward()
