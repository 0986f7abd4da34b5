"""In-place operations on the GPU: one launch, into the tensor's own memory or by giving it that of
the result where nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch

from .kit import assert_near, double, drawn
from .shim import HostDriver


def shaped(shape: tuple[int, ...], is_last: bool = False, seed: int = 0) -> Any:
    x = drawn(shape, "float32", seed)
    return x.to(memory_format=torch.channels_last) if is_last else x


CHANGES: dict[str, tuple[Callable[[Any, Any], object], bool]] = {
    "a tensor": (lambda x, y: x.add_(y), True),
    "a number": (lambda x, y: x.mul_(3), True),
    "a row": (lambda x, y: x.sub_(y[:1, :1, :1]), True),
    "itself": (lambda x, y: x.mul_(x), True),
    "a part of itself": (lambda x, y: x.mul_(x[:1]), False),
    "itself in another order": (lambda x, y: x[0, 0].add_(x[0, 0].t()), False),
}
"""What is done, and whether it is done in one launch; else it must go through another array."""


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_stay_in_the_memory_of_the_tensor(
    host: HostDriver, change: str, is_last: bool
) -> None:
    function, is_one = CHANGES[change]
    x, y = shaped((2, 4, 5, 5), is_last), shaped((2, 4, 5, 5), is_last, 1)
    wanted, place = double(x), x.data_ptr()
    host.launched.clear()
    allocated = torch.cuda.memory_stats()["allocation.all.allocated"]
    function(x, y)
    made = torch.cuda.memory_stats()["allocation.all.allocated"] - allocated
    function(wanted, double(y))
    assert len(host.launched) == 1
    assert (made == 0) is is_one or change == "a number"  # which is made an array once
    assert x.data_ptr() == place
    assert_near(x, wanted)


@pytest.mark.parametrize("is_last", [False, True])
def test_an_activation_takes_the_memory_of_its_result(host: HostDriver, is_last: bool) -> None:
    x, g = shaped((2, 4, 5, 5), is_last).requires_grad_(), shaped((2, 4, 5, 5), is_last, 1)

    def net(x: Any) -> Any:
        return torch.nn.functional.relu(x + x, inplace=True)

    host.launched.clear()
    allocated = torch.cuda.memory_stats()["allocation.all.allocated"]
    out = net(x)
    assert [e.partition("<")[0] for e in host.launched] == ["pointwise_plus", "pointwise_relu"]
    assert torch.cuda.memory_stats()["allocation.all.allocated"] - allocated == 2
    out.backward(g)
    wide = double(x)
    net(wide).backward(double(g))
    assert_near(x.grad, wide.grad)


@pytest.mark.parametrize("keep", [lambda y: y.view(-1), lambda y: y.detach(), lambda y: y.exp()])
def test_whoever_shares_the_memory_of_an_activation_sees_the_change(
    host: HostDriver, keep: Callable[[Any], Any]
) -> None:
    found = []
    for x in (drawn((4, 6), "float32"), double(drawn((4, 6), "float32"))):
        y = x.requires_grad_() * 2
        kept = keep(y)
        torch.relu_(y)
        found += [y, kept]
    assert_near(found[0], found[2])
    assert_near(found[1], found[3])


def test_gradients_that_meet_are_added_by_a_launch_of_ours(host: HostDriver) -> None:
    x = drawn((4, 6), "float32").requires_grad_()
    for _ in range(2):
        host.launched.clear()
        y = x * 2
        (y + y.exp()).sum().backward()
    assert sum(e.startswith("pointwise_plus") for e in host.launched) == 3  # y, its sums, x.grad
    wide = double(x)
    y = wide * 2
    (2 * (y + y.exp())).sum().backward()
    assert_near(x.grad, wide.grad)


def test_memory_whose_address_is_known_is_kept(host: HostDriver) -> None:
    y = drawn((4, 6), "float32").requires_grad_() * 2
    place = y.data_ptr()
    torch.relu_(y)
    assert y.data_ptr() == place
    z = torch.zeros(6, device="cuda")
    shown = z.__cuda_array_interface__["data"][0]
    z.add_(drawn((6,), "float32").requires_grad_())
    z.exp_()
    assert z.data_ptr() == shown
