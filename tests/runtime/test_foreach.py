"""One operation over lists of tensors."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.errors import ShapeError

NAMES = [name for name in dir(torch) if name.startswith("_foreach_")]


def lists() -> list[torch.Tensor]:
    return [torch.tensor([0.5, 2.0]), torch.tensor([[1.0], [4.0]])]


@pytest.mark.parametrize("name", ["sqrt", "neg", "exp", "sign"])
def test_unary_functions_do_what_methods_do(name: str) -> None:
    results = getattr(torch, f"_foreach_{name}")(lists())
    for x, y in zip(lists(), results, strict=True):
        assert torch.equal(y, getattr(x, name)())
    held = lists()
    assert getattr(torch, f"_foreach_{name}_")(held) is None
    for x, y in zip(held, results, strict=True):
        assert torch.equal(x, y)


def test_other_values_hold_for_all_or_for_each() -> None:
    a, b = lists()
    assert torch.equal(torch._foreach_add(lists(), 1)[1], b + 1)
    assert torch.equal(torch._foreach_mul(lists(), [2.0, 3.0])[1], b * 3)
    assert torch.equal(torch._foreach_sub(lists(), lists(), alpha=0.5)[0], a / 2)
    assert torch.equal(torch._foreach_maximum(lists(), 1.0)[0], a.clamp_min(1.0))
    assert torch.equal(torch._foreach_lerp(lists(), [a * 0, b * 0], 0.25)[1], b * 0.75)


def test_scaled_products_take_a_number_or_one_for_each() -> None:
    held = lists()
    torch._foreach_addcmul_(held, lists(), lists(), 2.0)
    assert torch.equal(held[0], lists()[0] + 2 * lists()[0] ** 2)
    torch._foreach_addcdiv_(held, lists(), lists(), [1.0, 3.0])
    assert torch.equal(held[1], lists()[1] + 2 * lists()[1] ** 2 + 3)


def test_extremes_are_written_where_the_tensors_are() -> None:
    held = lists()
    torch._foreach_maximum_(held, [torch.ones(2), torch.full((2, 1), 2.0)])
    assert [x.flatten().tolist() for x in held] == [[1, 2], [2, 4]]
    torch._foreach_copy_(held, lists())
    torch._foreach_zero_(held[:1])
    assert [x.flatten().tolist() for x in held] == [[0, 0], [1, 4]]
    assert [n.item() for n in torch._foreach_norm([torch.tensor([3.0, 4.0])])] == [5.0]


def test_a_list_of_another_length_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"_foreach_add_: .* 2\. Got 1"):
        torch._foreach_add_(lists(), [1.0])


def test_every_function_has_its_name_and_a_docstring() -> None:
    assert len(NAMES) > 70
    for name in NAMES:
        assert getattr(torch, name).__name__ == name
        assert getattr(torch, name).__doc__
