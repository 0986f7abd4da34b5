"""Sparse tensors as objects: how they are made, written, moved, kept in modules and files, and
where they are refused."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau.core.tensor import Tensor
from flambeau.errors import CheckpointError, LayoutError

INDICES = torch.tensor([[0, 1, 1, 0], [2, 0, 2, 2]])
VALUES = torch.tensor([3.0, 4.0, 5.0, 6.0])
DENSE = torch.arange(6.0).reshape(2, 3)


def matrix(**options: Any) -> Tensor:
    return torch.sparse_coo_tensor(INDICES.clone(), VALUES.clone(), (2, 3), **options)


def coalesced() -> Tensor:
    return matrix().coalesce()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "too large an index": (
        lambda: torch.sparse_coo_tensor(INDICES, VALUES, (2, 2)),
        "from 0 to 1 in dimension 1",
    ),
    "a negative index": (
        lambda: torch.sparse_coo_tensor(-INDICES, VALUES, (2, 3)),
        "dimension 0",
    ),
    "a negative index without size": (
        lambda: torch.sparse_coo_tensor(-INDICES, VALUES),
        "negative",
    ),
    "too few values": (lambda: torch.sparse_coo_tensor(INDICES, VALUES[:3], (2, 3)), "4"),
    "too few sizes": (lambda: torch.sparse_coo_tensor(INDICES, VALUES, (2,)), "2 \\+ 0 sizes"),
    "flat indices": (lambda: torch.sparse_coo_tensor(INDICES[0], VALUES), "sparse_dim, nnz"),
    "other dense sizes": (
        lambda: torch.sparse_coo_tensor(INDICES, torch.ones(4, 2), (2, 3, 5)),
        "values of shape",
    ),
    "not sorted": (
        lambda: matrix(is_coalesced=True, check_invariants=True),
        "sorted",
    ),
    "values before coalescing": (lambda: matrix().values(), "coalesce"),
    "indices before coalescing": (lambda: matrix().indices(), "coalesce"),
    "parts of a dense tensor": (lambda: DENSE.indices(), "to_sparse"),
    "coalescing a dense tensor": (lambda: DENSE.coalesce(), "to_sparse"),
    "other sizes": (lambda: coalesced() + torch.eye(2).to_sparse(), "one shape"),
    "plus a number": (lambda: coalesced() + 1, "fill"),
    "over a dense tensor": (lambda: coalesced() / DENSE, "0-d"),
    "a number over it": (lambda: 2 / coalesced(), "to_dense"),
    "to the zeroth power": (lambda: coalesced() ** 0, "exponent"),
    "sizes that do not multiply": (lambda: coalesced() @ DENSE, "\\(2, 3\\)"),
    "two dense factors": (lambda: torch.sparse.mm(DENSE, DENSE.t()), "sparse"),
    "dense and sparse joined": (lambda: torch.cat([coalesced(), DENSE]), "tensors\\[1\\]"),
    "an index outside": (lambda: coalesced()[2], "from -2 to 1"),
    "a place outside": (lambda: coalesced().index_select(1, torch.tensor([3])), "from -3 to 2"),
    "softmax of a dense tensor": (lambda: torch.sparse.softmax(DENSE, 0), "torch.softmax"),
    "a dense mask": (lambda: DENSE.sparse_mask(DENSE), "to_sparse"),
    "ones": (lambda: torch.ones(2, layout=torch.sparse_coo), "zeros"),
    "compressed rows": (lambda: DENSE.to_sparse(layout=torch.sparse_csr), "sparse_coo"),
    "diagonals twice": (
        lambda: torch.sparse.spdiags(DENSE, torch.tensor([0, 0]), (3, 3)),
        "once",
    ),
    "writing dense values": (lambda: coalesced().copy_(DENSE), "sparse"),
    "writing at an index": (lambda: coalesced().__setitem__(0, 1.0), "sparse"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_explained(what: str) -> None:
    call, words = WRONG[what]
    with pytest.raises((RuntimeError, IndexError), match=words):
        call()


ABSENT = """
exp cos sigmoid mean std var prod argmax cumsum tril triu flip nonzero count_nonzero tolist
numpy logical_not reciprocal rsqrt log diagonal trace argsort unique storage data_ptr median
"""


@pytest.mark.parametrize("name", ABSENT.split())
def test_a_method_without_a_rule_says_that_sparse_tensors_lack_it(name: str) -> None:
    arguments = {"cumsum": (0,), "flip": (0,)}.get(name, ())
    with pytest.raises(LayoutError, match="sparse"):
        getattr(coalesced(), name)(*arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x > 0,
        lambda x: x == x,
        lambda x: x % 2,
        lambda x: torch.where(x.bool(), x, x),
        lambda x: torch.allclose(x, x),
        lambda x: torch.nn.functional.softmax(x, 1),
        lambda x: torch.nn.functional.layer_norm(x, (3,)),
        lambda x: torch.nn.functional.conv1d(x.unsqueeze(0), torch.ones(1, 2, 1)),
        lambda x: torch.nn.functional.cross_entropy(x, torch.tensor([0, 1])),
        lambda x: torch.einsum("ij->ji", x).sum(0).exp(),
        lambda x: torch.linalg.svd(x),
        lambda x: torch.fft.fft(x),
        lambda x: torch.sort(x),
        lambda x: torch.rand_like(x),
        lambda x: torch.full_like(x, 1.0),
        lambda x: torch.vmap(lambda row: row * 2)(x).exp(),
        lambda x: x[torch.tensor([True, False])],
        lambda x: x.expand(2, 2, 3),
        lambda x: x.to("meta"),
        lambda x: DENSE.clone().copy_(x),
        lambda x: torch.from_numpy(DENSE.numpy() + x.__array__()),
    ],
)
def test_a_function_without_a_rule_refuses_without_a_wrong_value(call: Any) -> None:
    with pytest.raises(LayoutError):
        call(coalesced())


# -- in place --------------------------------------------------------------------------------------


def test_writing_in_place_is_seen_by_who_shares_the_memory() -> None:
    x = coalesced()
    other, values = x.detach(), x.values()
    x.mul_(2)
    assert values.tolist() == [18.0, 8.0, 10.0]
    assert other.to_dense().tolist() == [[0, 0, 18], [8, 0, 10]]
    values += 1
    assert x.to_dense().tolist() == [[0, 0, 19], [9, 0, 11]]
    x.add_(torch.eye(2, 3).to_sparse())
    assert x._nnz() == 5
    assert other._nnz() == 5
    x.zero_()
    assert (x._nnz(), other.to_dense().tolist()) == (0, [[0.0] * 3] * 2)


def test_a_write_to_a_recorded_operand_does_not_change_its_gradient() -> None:
    leaf = torch.tensor([9.0, 4.0, 5.0], requires_grad=True)
    x = torch.sparse_coo_tensor(coalesced().indices(), leaf, (2, 3), is_coalesced=True)
    out = torch.sparse.mm(x, DENSE.t())
    x.mul_(2)
    assert x.grad_fn is not None
    with pytest.raises(RuntimeError, match="changed in place"):
        (x.sum() + out.sum() + (x * x).sum() + x.mul_(3).sum()).backward()


def test_resizing_keeps_or_drops_the_elements() -> None:
    x = coalesced()
    assert x.sparse_resize_((4, 5), 2, 0).to_dense().sum() == 18
    with pytest.raises(LayoutError, match="below"):
        x.sparse_resize_((2, 2), 2, 0)
    assert x.sparse_resize_and_clear_((2, 2), 1, 1).to_dense().tolist() == [[0, 0], [0, 0]]


# -- copies, modules, files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: x.clone()],
)
def test_a_copy_has_memory_of_its_own(copied: Callable[[Tensor], Tensor]) -> None:
    x = coalesced()
    twin = copied(x)
    x.mul_(0)
    assert twin.is_coalesced()
    assert twin.to_dense().tolist() == [[0, 0, 9], [4, 0, 5]]


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.register_buffer("adjacency", coalesced())

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.adjacency, self.linear(x))


def test_modules_convert_load_and_deepcopy_sparse_buffers() -> None:
    layer, other = Layer(), Layer()
    layer.adjacency.mul_(2)
    assert layer.double().adjacency.dtype is torch.float64
    other.load_state_dict(layer.state_dict())
    assert other.adjacency.to_dense().tolist() == [[0, 0, 18], [8, 0, 10]]
    assert copy.deepcopy(other)(torch.ones(3, 2)).shape == (2, 2)


def test_a_sparse_parameter_trains() -> None:
    weight = torch.nn.Parameter(coalesced())
    optimizer = torch.optim.SGD([weight], lr=0.5)
    before = weight.detach().to_dense()
    torch.sparse.mm(weight, torch.ones(3, 1)).sum().backward()
    optimizer.step()
    assert weight.detach().to_dense().tolist() == (before - 0.5 * (before != 0)).tolist()


CONTENTS = {
    "uncoalesced": matrix,
    "coalesced": coalesced,
    "hybrid": lambda: torch.sparse_coo_tensor([[0, 2]], [[1.0, 2.0], [3.0, 4.0]], (3, 2)),
    "parameter": lambda: torch.nn.Parameter(coalesced()),
    "complex": lambda: torch.sparse_coo_tensor(INDICES, torch.complex(VALUES, VALUES)),
    "empty": lambda: torch.zeros(2, 3, layout=torch.sparse_coo),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_give_back_what_was_saved(tmp_path: Path, suffix: str) -> None:
    saved = {name: make() for name, make in CONTENTS.items()}
    torch.save(saved, tmp_path / f"saved{suffix}")
    found = torch.load(tmp_path / f"saved{suffix}")
    for name, tensor in saved.items():
        assert repr(found[name]) == repr(tensor)
        assert found[name].is_coalesced() == tensor.is_coalesced()


def test_a_file_with_an_index_outside_is_refused() -> None:
    broken = matrix()
    broken._indices()[0, 0] = 7
    file = io.BytesIO()
    torch.save({"x": broken}, file)
    file.seek(0)
    with pytest.raises(CheckpointError, match="from 0 to 1"):
        torch.load(file)


# -- gradients of tables ---------------------------------------------------------------------------


def table_gradient(**options: Any) -> Tensor:
    table = torch.nn.Parameter(torch.ones(6, 2))
    rows = torch.tensor([[1, 2], [5, 1]])
    torch.nn.functional.embedding(rows, table, **options).sum().backward()
    return table.grad


def test_an_embedding_has_a_sparse_gradient_if_asked() -> None:
    found = table_gradient(sparse=True)
    assert (found.is_sparse, found.sparse_dim(), found._nnz()) == (True, 1, 4)
    assert found.to_dense().tolist() == table_gradient().tolist()
    found = table_gradient(sparse=True, padding_idx=5)
    assert found._nnz() == 3
    assert found.to_dense().tolist() == table_gradient(padding_idx=5).tolist()
    with pytest.raises(RuntimeError, match="scale_grad_by_freq"):
        table_gradient(sparse=True, scale_grad_by_freq=True)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_have_the_same_gradient_sparse_and_dense(mode: str) -> None:
    found = []
    for sparse in (False, True):
        bags = torch.nn.EmbeddingBag(6, 2, mode=mode, sparse=sparse, _weight=torch.ones(6, 2))
        out = bags(torch.tensor([1, 2, 1, 0, 5]), torch.tensor([0, 3]))
        (out * torch.tensor([[1.0, 2], [3, 4]])).sum().backward()
        assert bags.weight.grad.is_sparse == sparse
        found.append(bags.weight.grad.to_dense().numpy())
    assert found[0] == pytest.approx(found[1])


def test_sparse_and_dense_gradients_of_one_table_add_up() -> None:
    table = torch.nn.Parameter(torch.arange(12.0).reshape(6, 2))
    rows = torch.tensor([1, 2])
    found = []
    for sparse in (False, True):
        table.grad = None
        picked = torch.nn.functional.embedding(rows, table, sparse=sparse)
        (picked @ table.t()).sum().backward()
        torch.nn.functional.embedding(rows, table, sparse=sparse).sum().backward()
        found.append(table.grad.tolist())
    assert found[0] == found[1]


def test_a_table_that_is_no_leaf_gets_a_dense_gradient() -> None:
    leaf = torch.ones(6, 2, requires_grad=True)
    torch.nn.functional.embedding(torch.tensor([1, 1]), leaf * 3, sparse=True).sum().backward()
    assert leaf.grad.tolist() == [[0, 0], [6, 6], *[[0, 0]] * 4]


def test_hooks_and_clipping_see_sparse_gradients() -> None:
    table = torch.nn.Parameter(torch.ones(6, 2))
    table.register_hook(lambda g: g * 2)
    torch.nn.functional.embedding(torch.tensor([1, 1]), table, sparse=True).sum().backward()
    assert torch.nn.utils.clip_grad_norm_([table], 1.0).item() == pytest.approx(32**0.5)
    assert table.grad.is_sparse
    assert table.grad.to_dense().norm().item() == pytest.approx(1.0, abs=1e-5)


def test_a_grad_scaler_unscales_sparse_gradients_and_finds_infinities_in_them() -> None:
    table = torch.nn.Parameter(torch.ones(6, 2))
    optimizer = torch.optim.SGD([table], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    rows = torch.tensor([1, 1])
    for factor in (1.0, torch.inf):
        optimizer.zero_grad()
        picked = torch.nn.functional.embedding(rows, table, sparse=True)
        scaler.scale((picked * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert table.detach()[:2].tolist() == [[1, 1], [0, 0]]
    assert scaler.get_scale() == 4.0


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop", "Adamax", "NAdam", "RAdam"])
def test_optimizers_without_a_rule_refuse_sparse_gradients(name: str) -> None:
    table = torch.nn.Parameter(torch.ones(6, 2))
    table.grad = torch.ones(6, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="SparseAdam"):
        getattr(torch.optim, name)([table]).step()


def test_weight_decay_refuses_sparse_gradients() -> None:
    table = torch.nn.Parameter(torch.ones(6, 2))
    table.grad = torch.ones(6, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="weight_decay"):
        torch.optim.SGD([table], lr=0.1, weight_decay=0.1).step()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"lr": 0.0}, "lr"), ({"eps": 0.0}, "eps"), ({"betas": (1.0, 0.5)}, "betas")],
)
def test_sparse_adam_refuses_options_out_of_range(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        torch.optim.SparseAdam([torch.nn.Parameter(torch.ones(2))], **options)


def test_sparse_adam_wants_dense_parameters_with_sparse_gradients() -> None:
    with pytest.raises(ValueError, match="dense parameters"):
        torch.optim.SparseAdam([torch.nn.Parameter(coalesced())])
    dense = torch.nn.Parameter(torch.ones(2))
    dense.sum().backward()
    with pytest.raises(RuntimeError, match="Use Adam"):
        torch.optim.SparseAdam([dense]).step()


def test_sparse_adam_goes_on_from_a_saved_state() -> None:
    tables = [torch.nn.Parameter(torch.ones(6, 2)) for _ in range(2)]
    first, second = (torch.optim.SparseAdam([t], lr=0.1) for t in tables)
    for step in range(4):
        if step == 2:
            second.load_state_dict(first.state_dict())
            tables[1].data = tables[0].detach().clone()
        for table, optimizer in zip(tables, (first, second), strict=True):
            optimizer.zero_grad()
            picked = torch.nn.functional.embedding(torch.tensor([step, 1]), table, sparse=True)
            picked.square().sum().backward()
            if step >= 2 or optimizer is first:
                optimizer.step()
    assert tables[0].tolist() == tables[1].tolist()


def test_invariants_are_checked_where_asked() -> None:
    checks = torch.sparse.check_sparse_tensor_invariants
    assert not checks.is_enabled()
    with checks(), pytest.raises(RuntimeError, match="sorted"):
        matrix(is_coalesced=True)
    checks()(lambda: None)()
    assert not checks.is_enabled()
    assert matrix(is_coalesced=True).is_coalesced()
