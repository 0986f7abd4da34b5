"""`__torch_function__`: subclasses of tensors and objects like tensors take part in functions."""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any, ClassVar

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.overrides import TorchFunctionMode, resolve_name

from ..programs import printed


class Metres(torch.Tensor):
    """A subclass that changes nothing."""


class Recorder(torch.Tensor):
    """A subclass that notes the functions it is asked about."""

    asked: ClassVar[list[Any]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.asked.append(func)
        return super().__torch_function__(func, types, args, kwargs)


class Scaled:
    """`factor` times the identity, of no size: an object like a tensor that is none."""

    handled: ClassVar[dict[Any, Any]] = {}

    def __init__(self, factor: float) -> None:
        self.factor = factor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in cls.handled:
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


def handles(function: Any) -> Any:
    def register(own: Any) -> Any:
        functools.update_wrapper(own, function)
        Scaled.handled[function] = own
        return own

    return register


@handles(torch.mean)
def mean_of_scaled(input: Any) -> float:
    return float(input.factor)


@handles(torch.add)
def sum_with_scaled(input: Any, other: Any) -> Any:
    return ("sum", type(input).__name__, type(other).__name__)


METRES = torch.tensor([[3.0, 1.0], [2.0, 4.0]]).as_subclass(Metres)
KEEPS_CLASS = {
    "operator": lambda x: x + 1,
    "reflected": lambda x: 2 / x,
    "method": lambda x: x.mean(),
    "function": torch.exp,
    "activation": nn.functional.gelu,
    "linalg": torch.linalg.inv,
    "index": lambda x: x[0],
    "attribute": lambda x: x.T,
    "data": lambda x: x.data,
    "clone": lambda x: x.clone().detach(),
    "list": lambda x: torch.stack([torch.zeros(2, 2), x]),
    "plain first": lambda x: torch.zeros(2, 2) + x,
    "like": torch.zeros_like,
    "dtype": lambda x: x.to(torch.float64),
}


@pytest.mark.parametrize("name", KEEPS_CLASS)
def test_results_are_of_the_subclass(name: str) -> None:
    result = KEEPS_CLASS[name](METRES)
    assert type(result) is Metres
    plain = KEEPS_CLASS[name](METRES.as_subclass(torch.Tensor))
    assert type(plain) is torch.Tensor
    torch.testing.assert_close(result.as_subclass(torch.Tensor), plain)


def test_each_of_several_results_is_of_the_subclass() -> None:
    values, indices = METRES.max(0)
    assert (type(values), type(indices)) == (Metres, Metres)
    assert type(METRES.max(0)).__name__ == "max"
    assert all(type(part) is Metres for part in METRES.unbind())
    assert all(type(part) is Metres for part in METRES)


def test_an_argument_that_is_returned_stays_what_it_is() -> None:
    plain = torch.ones(2, 2)
    result = plain.add_(METRES)
    assert type(result) is Metres
    assert type(plain) is torch.Tensor
    result.zero_()
    assert plain.sum() == 0


def test_a_subclass_of_a_tensor_shares_its_memory() -> None:
    data = torch.zeros(2)
    for made in (Metres(data), torch.Tensor._make_subclass(Metres, data), torch.Tensor(data)):
        made[0] += 1
    assert data.tolist() == [3.0, 0.0]
    assert type(Metres([1.0])) is Metres


def test_gradients_flow_through_a_subclass() -> None:
    x = torch.ones(3).as_subclass(Metres).requires_grad_()
    (x * 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_subclass_prints_its_name() -> None:
    assert repr(METRES) == "Metres([[3., 1.],\n        [2., 4.]])"


def test_a_subclass_is_asked_with_the_public_function() -> None:
    x = torch.ones(2, 2).as_subclass(Recorder)
    Recorder.asked.clear()
    x + 1
    torch.mean(x)
    nn.functional.relu(x)
    x[0]
    names = [resolve_name(f) for f in Recorder.asked]
    assert names[:3] == ["torch.add", "torch.mean", "torch.nn.functional.relu"]
    assert Recorder.asked[:2] == [torch.add, torch.mean]
    assert Recorder.asked[3] is torch.Tensor.__getitem__


def test_the_subclass_is_asked_before_its_base() -> None:
    class Sub(Recorder):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return [t.__name__ for t in types]

    base = torch.ones(2).as_subclass(Recorder)
    assert torch.add(base, torch.ones(2).as_subclass(Sub)) == ["Sub", "Recorder"]


def test_parameters_take_no_part() -> None:
    weight = nn.Parameter(torch.ones(2))
    assert type(weight * 2) is torch.Tensor
    assert type(METRES @ weight) is Metres


def test_an_object_like_a_tensor_answers_or_is_refused() -> None:
    assert torch.mean(Scaled(3)) == 3.0
    assert torch.add(Scaled(1), torch.ones(2)) == ("sum", "Scaled", "Tensor")
    assert torch.add(torch.ones(2), Scaled(1)) == ("sum", "Tensor", "Scaled")
    with pytest.raises(TypeError, match=r"mul: .*Scaled gave NotImplemented"):
        torch.mul(Scaled(1), 2)


def test_the_first_object_like_a_tensor_is_noticed_without_a_subclass() -> None:
    program = """
import flambeau as torch
class Like:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func is torch.mean, len(args), kwargs
mean = torch.mean
print(mean(Like()), torch.mean(Like(), 0), torch.mean is mean)
print(torch.exp(torch.zeros(1)))
"""
    found = printed(sys.executable, "-c", program)
    assert found == "(True, 1, {}) (True, 2, {}) True\ntensor([1.])\n"


def test_a_mode_sees_every_function_and_itself_none() -> None:
    class Names(TorchFunctionMode):
        seen: ClassVar[list[str]] = []

        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Names() as mode:
        torch.zeros(2).exp() + 1
    torch.zeros(2)
    assert mode.seen == ["zeros", "exp", "add"]


def test_in_a_disabled_block_a_subclass_is_plain() -> None:
    with torch._C.DisableTorchFunctionSubclass():
        assert type(METRES + 1) is torch.Tensor


def test_functions_keep_their_signature_and_errors_when_they_ask() -> None:
    assert list(inspect.signature(torch.mean).parameters)[:2] == ["input", "dim"]
    assert "def adjoint(" in inspect.getsource(torch.adjoint)
    with pytest.raises(TypeError, match="Got str"):
        torch.mul(torch.ones(1), "a")
    with pytest.raises(RuntimeError, match="broadcast"):
        torch.ones(2) + torch.ones(3)
