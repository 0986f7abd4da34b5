"""Operations on sparse tensors against their dense counterparts, and gradients by differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.core.tensor import Tensor

STATE = np.random.RandomState(0)
INDICES = torch.tensor([[3, 0, 1, 0, 3, 2], [2, 4, 1, 4, 0, 3]])  # (0, 4) twice, not in order
VALUES = torch.tensor(STATE.uniform(0.2, 1.0, 6))
DENSE_SIDE = torch.tensor(STATE.uniform(-1, 1, (5, 3)))
SAME_SHAPE = torch.tensor(STATE.uniform(-1, 1, (4, 5)))
OTHER = torch.sparse_coo_tensor(
    torch.tensor([[0, 1, 1, 3], [4, 0, 1, 2]]), torch.tensor(STATE.uniform(0.2, 1, 4)), (4, 5)
)
HYBRID_INDICES = torch.tensor([[2, 0, 2, 3], [1, 1, 1, 0]])
HYBRID_VALUES = torch.tensor(STATE.uniform(0.2, 1.0, (4, 3)))

Function = Callable[[Tensor], Tensor]

BOTH: dict[str, Function] = {
    "neg": lambda x: -x,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "pow": lambda x: x**3,
    "sin": torch.sin,
    "tan": torch.tan,
    "asin": lambda x: torch.asin(x / 2),
    "atan": torch.atan,
    "sinh": torch.sinh,
    "tanh": torch.tanh,
    "asinh": torch.asinh,
    "expm1": torch.expm1,
    "log1p": torch.log1p,
    "erf": torch.erf,
    "relu": torch.relu,
    "deg2rad": torch.deg2rad,
    "times a number": lambda x: 3 * x,
    "over a number": lambda x: x / 4,
    "times 0-d": lambda x: x * torch.tensor(2.0),
    "clone": lambda x: x.clone(),
    "cast": lambda x: x.float().double(),
    "transpose": lambda x: x.transpose(0, 1),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "squeeze": lambda x: x.unsqueeze(0).squeeze(0),
    "select": lambda x: x.select(0, -1),
    "select 1": lambda x: x.select(1, 1),
    "index": lambda x: x[2],
    "slices": lambda x: x[1:, 0:2],
    "steps": lambda x: x[::2, 1::1],
    "narrow": lambda x: x.narrow(1, 0, 2),
    "split": lambda x: x.split(3)[1],
    "index_select": lambda x: x.index_select(0, torch.tensor([2, 0, 2])),
    "index_select 1": lambda x: x.index_select(1, torch.tensor([1, 0, 1])),
    "cat": lambda x: torch.cat([x, x * 2]),
    "cat 1": lambda x: torch.cat([x, x * 2], 1),
    "stack": lambda x: torch.stack([x, x * 2], 1),
    "sum": lambda x: x.sum(),
    "sum 0": lambda x: x.sum(0),
    "sum 1": lambda x: x.sum(1, keepdim=True),
    "sum -1": lambda x: x.sum(-1),
    "sum all": lambda x: x.sum((0, 1)),
    "norm": torch.norm,
    "norm 1": lambda x: x.norm(1),
    "norm inf": lambda x: x.norm(torch.inf),
    "max": lambda x: x.max(),
    "min": lambda x: (-x).min(),
    "plus itself": lambda x: x + x * 2,
    "minus itself": lambda x: x - 3 * x,
    "times itself": lambda x: x * x,
}
"""Run on sparse and hybrid tensors, and on the same written out."""

MATRICES: dict[str, Function] = {
    "reshape": lambda x: x.reshape(10, 2),
    "flatten": lambda x: x.flatten(),
    "mm": lambda x: x @ DENSE_SIDE,
    "mv": lambda x: x @ DENSE_SIDE[:, 0],
    "vm": lambda x: DENSE_SIDE[:4, 0] @ x,
    "dense mm": lambda x: SAME_SHAPE.t() @ x,
    "sparse mm": lambda x: x @ x.t(),
    "addmm": lambda x: torch.addmm(SAME_SHAPE[:, :3], x, DENSE_SIDE, beta=0.5, alpha=2),
    "linear": lambda x: torch.nn.functional.linear(x, SAME_SHAPE),
    "times dense": lambda x: SAME_SHAPE * x,
    "times a row": lambda x: x * SAME_SHAPE[0],
    "plus dense": lambda x: SAME_SHAPE + x,
    "dense minus": lambda x: SAME_SHAPE - x,
    "minus dense": lambda x: x - SAME_SHAPE,
}


def dense(x: Tensor) -> Tensor:
    return x.to_dense() if x.is_sparse else x


def matrix(values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(INDICES, values, (4, 5))


def hybrid(values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(HYBRID_INDICES, values, (4, 2, 3))


def check(function: Function, x: Tensor) -> None:
    found, expected = function(x), function(x.to_dense())
    if found.is_sparse and found.is_coalesced():
        indices = found.coalesce().indices().numpy()
        places = np.ravel_multi_index(tuple(indices), found.shape[: found.sparse_dim()])
        assert (np.diff(places) > 0).all()
    assert found.shape == expected.shape
    np.testing.assert_allclose(dense(found).numpy(), expected.numpy(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", BOTH | MATRICES)
@pytest.mark.parametrize("coalesced", [False, True])
def test_a_matrix_gives_what_its_dense_form_gives(name: str, coalesced: bool) -> None:
    x = matrix(VALUES)
    check((BOTH | MATRICES)[name], x.coalesce() if coalesced else x)


@pytest.mark.parametrize("name", BOTH)
def test_a_hybrid_tensor_gives_what_its_dense_form_gives(name: str) -> None:
    x = hybrid(HYBRID_VALUES)
    check(BOTH[name], x)
    check(BOTH[name], x.coalesce())


@pytest.mark.parametrize("name", BOTH | MATRICES)
def test_an_empty_matrix_gives_what_zeros_give(name: str) -> None:
    check((BOTH | MATRICES)[name], torch.zeros(4, 5, dtype=torch.float64).to_sparse())


@pytest.mark.parametrize("name", sorted((BOTH | MATRICES).keys() - {"cast"}))
def test_gradients_of_the_values_are_those_by_differences(name: str) -> None:
    function = (BOTH | MATRICES)[name]
    values = VALUES.clone().requires_grad_()

    def composed(v: Tensor) -> Tensor:
        return dense(function(matrix(v)))

    assert torch.autograd.gradcheck(composed, (values,))
    assert torch.autograd.gradgradcheck(composed, (values,))


@pytest.mark.parametrize("name", sorted(BOTH.keys() - {"cast"}))
def test_gradients_of_hybrid_values_are_those_by_differences(name: str) -> None:
    values = HYBRID_VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: dense(BOTH[name](hybrid(v))), (values,))


@pytest.mark.parametrize("name", ["mm", "sparse mm", "times dense", "sum 0", "sqrt", "index"])
@pytest.mark.parametrize("coalesced", [False, True])
def test_a_sparse_leaf_gets_the_dense_gradient_at_its_indices(name: str, coalesced: bool) -> None:
    x = matrix(VALUES)
    leaf = (x.coalesce() if coalesced else x).requires_grad_()
    twin = x.detach().to_dense().requires_grad_()
    function = (BOTH | MATRICES)[name]
    dense(function(leaf)).cumsum(-1).sum().backward()
    if name != "sqrt":
        function(twin).cumsum(-1).sum().backward()
        expected = twin.grad * (twin != 0)
    else:  # whose gradient at 0 is infinite
        weights = torch.arange(5.0, 0.0, -1.0)
        expected = torch.where(twin != 0, weights / (2 * twin.detach().sqrt()), 0.0)
    assert leaf.grad.is_sparse
    assert leaf.grad._nnz() == 5
    np.testing.assert_allclose(leaf.grad.to_dense().numpy(), expected.detach().numpy(), atol=1e-12)


def test_gradients_of_a_sparse_leaf_add_up_over_passes_and_paths() -> None:
    leaf = matrix(VALUES).coalesce().requires_grad_()
    for _ in range(2):
        ((leaf * 2).sum() + torch.sparse.mm(leaf, DENSE_SIDE).sum()).backward()
    expected = 2 * (2 + DENSE_SIDE.sum(1)).expand(4, 5) * (leaf.detach().to_dense() != 0)
    np.testing.assert_allclose(leaf.grad.to_dense().numpy(), expected.numpy())


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_counts_only_what_is_kept(name: str, dim: int) -> None:
    x = matrix(VALUES).coalesce()
    full = torch.where(x.to_dense() != 0, x.to_dense(), -torch.inf)
    expected = getattr(torch, name)(full, dim)
    found = getattr(torch.sparse, name)(x, dim)
    rows, columns = found.indices()
    np.testing.assert_allclose(found.values().numpy(), expected[rows, columns].numpy())
    values = VALUES.clone().requires_grad_()
    softmax = getattr(torch.sparse, name)
    assert torch.autograd.gradcheck(lambda v: dense(softmax(matrix(v), dim)), (values,))
    hybrid_values = HYBRID_VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: dense(softmax(hybrid(v), 2)), (hybrid_values,))


def test_batches_of_sparse_matrices_multiply() -> None:
    batch = torch.stack([SAME_SHAPE, SAME_SHAPE * 2]) * torch.tensor([1.0, 0, 1, 0, 0])
    other = torch.stack([DENSE_SIDE, DENSE_SIDE + 1])
    found = torch.bmm(batch.to_sparse(), other)
    np.testing.assert_allclose(found.numpy(), torch.bmm(batch, other).numpy())


def test_products_of_different_patterns_meet_where_both_have_elements() -> None:
    found = matrix(VALUES) * OTHER
    assert found._nnz() == 3
    expected = matrix(VALUES).to_dense() * OTHER.to_dense()
    np.testing.assert_allclose(found.to_dense().numpy(), expected.numpy())
    values = VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: (matrix(v) * OTHER + OTHER).to_dense(), (values,))


def test_both_factors_of_a_sparse_product_have_gradients() -> None:
    values = VALUES.clone().requires_grad_()
    side = DENSE_SIDE.clone().requires_grad_()
    product = lambda v, d: torch.sparse.mm(matrix(v), d)  # noqa: E731
    assert torch.autograd.gradcheck(product, (values, side))
    assert torch.autograd.gradgradcheck(product, (values, side))


def test_complex_matrices_have_wirtinger_gradients() -> None:
    values = torch.complex(VALUES, VALUES.flip(0))
    side = torch.complex(DENSE_SIDE, DENSE_SIDE.flip(0))
    found = []
    for form in (lambda v: matrix(v), lambda v: matrix(v).to_dense()):
        leaves = values.clone().requires_grad_(), side.clone().requires_grad_()
        product = dense(form(leaves[0]) @ form(leaves[0]).t()) @ (form(leaves[0]) @ leaves[1])
        found.append(torch.autograd.grad((product * product.conj()).real.sum(), leaves))
    for sparse, written_out in zip(*found, strict=True):
        np.testing.assert_allclose(sparse.numpy(), written_out.numpy(), rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.int32])
def test_products_keep_their_dtype(dtype: Any) -> None:
    x = torch.sparse_coo_tensor(INDICES, torch.arange(6).to(dtype), (4, 5))
    side = torch.arange(15).reshape(5, 3).to(dtype)
    found = x @ side
    assert found.dtype is dtype
    assert found.float().tolist() == (x.to_dense().float() @ side.float()).tolist()


def test_wide_indices_are_sorted_as_narrow_ones() -> None:
    indices = torch.tensor([[2**40, 3, 2**40], [5, 2**21, 5]])
    found = torch.sparse_coo_tensor(indices, torch.ones(3), (2**40 + 1, 2**22)).coalesce()
    assert found.indices().tolist() == [[3, 2**40], [2**21, 5]]
    assert found.values().tolist() == [1.0, 2.0]
    with pytest.raises(RuntimeError, match="int64"):
        torch.sparse_coo_tensor(indices, torch.ones(3), (2**41, 2**23)).coalesce()
