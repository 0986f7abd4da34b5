"""Products of tensors without elements, and terms that are times zero."""

from __future__ import annotations

import pytest

import flambeau as torch
from flambeau.nn import functional as F


@pytest.mark.parametrize(("inside", "outside"), [(0, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("batch", [(3,), (0,), (2, 3)])
def test_a_linear_layer_without_features_has_gradients(
    batch: tuple[int, ...], inside: int, outside: int
) -> None:
    x = torch.ones(*batch, inside, requires_grad=True)
    w = torch.ones(outside, inside, requires_grad=True)
    b = torch.ones(outside, requires_grad=True)
    out = F.linear(x, w, b)
    out.sum().backward()
    assert out.shape == (*batch, outside)
    assert out.tolist() == torch.ones(*batch, outside).tolist()
    assert (x.grad.shape, w.grad.shape, b.grad.shape) == (x.shape, w.shape, b.shape)


def test_addmm_with_beta_0_drops_what_it_would_add() -> None:
    nothing = torch.tensor([[float("nan"), float("inf")]], requires_grad=True)
    out = torch.addmm(nothing, torch.ones(1, 2), torch.ones(2, 2), beta=0)
    assert out.tolist() == [[2, 2]]
    out.sum().backward()
    assert nothing.grad.tolist() == [[0, 0]]


def test_addmm_refuses_what_is_larger_than_the_product() -> None:
    with pytest.raises(RuntimeError, match="broadcasts to"):
        torch.addmm(torch.zeros(3, 2), torch.ones(1, 2), torch.ones(2, 2))
