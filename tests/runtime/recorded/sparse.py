# ruff: noqa: E501 - a table reads best with a call a line
"""Sparse tensors: prints, gradients, steps and a graph network, and what PyTorch makes of them.

`python -m tests.runtime.recorded.sparse`, in an environment that has PyTorch, writes sparse.json
anew. The tests read it and never import PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

PRINTS = """
A; C; H; A.t(); C.transpose(0, 1); A.neg(); A.abs(); A.double(); A.half(); A.long(); A.bool(); C.relu(); C.sqrt(); C.sin(); C.log1p(); C.isnan(); C.floor()
A.sum(); A.sum(0); A.sum((0, 1)); A.sum(1, keepdim=True); A.norm(); C.any(); A.unsqueeze(0); A.select(0, 1); A[0]; A[0, 2]; A[:, 2]; A[None]; A.unbind(0)
A.index_select(0, torch.tensor([1, 1])); C.index_select(1, torch.tensor([2, 0])); C + B; C - B; D + C; D - C; A + A; C * 2; 2 * C; A / 2; C * D; D * C; A * D; C * B; C ** 2; C ** 0.5; C // 2
C * torch.tensor(2.0); C * torch.tensor([1.0, 2.0, 3.0]); torch.add(C, B, alpha=2); torch.add(D, C, alpha=2); A @ E; C @ E; E.t() @ C.t(); D @ C.t(); C @ C.t(); torch.mm(C, B.t()); torch.mv(C, torch.ones(3))
torch.smm(C, E); torch.sspaddmm(torch.eye(2).to_sparse(), C, E, beta=2, alpha=3); torch.hspmm(C, E); torch.spmm(C, E); torch.addmm(torch.ones(2, 2), C, E, beta=2, alpha=3); torch.sparse.mm(A, E); torch.sparse.addmm(torch.ones(2, 2), C, E, beta=2, alpha=3)
torch.sparse.sum(A); torch.sparse.sum(A, 0); torch.sparse.sum(A, dim=[0, 1]); torch.sparse.sum(C, -1, dtype=torch.float64); torch.sparse.sum(H, 0); torch.sparse.sum(H, 1); torch.sparse.sum(H, (0, 1))
torch.sparse.softmax(A, 1); torch.sparse.softmax(C, 0); torch.sparse.log_softmax(C, 1); torch.sparse.softmax(H, 0); torch.sparse.softmax(H, 1); torch.cat([C, B]); torch.cat([A, B], -1); torch.stack([C, B]); torch.hstack([C, B])
torch.eye(3).to_sparse(); torch.zeros(2, 3, layout=torch.sparse_coo); torch.zeros_like(C); torch.empty_like(C); C.new_zeros(2); D.to_sparse(); D.to_sparse(1); D.sparse_mask(A); B.sparse_mask(C); C.sparse_mask(B)
torch.sparse.spdiags(torch.arange(9.0).reshape(3, 3), torch.tensor([0, -1, 2]), (4, 4)); torch.sparse_coo_tensor(size=(2, 3)); torch.sparse_coo_tensor([[0, 1], [1, 0]], [1, 2]); torch.sparse_coo_tensor(I, V, (2, 3), dtype=torch.float64)
torch.sparse_coo_tensor(I, V, (2, 3), requires_grad=True); torch.sparse_coo_tensor(I, V.clone().requires_grad_(), (2, 3)); torch.sparse_coo_tensor(I, V.clone().requires_grad_(), (2, 3)).coalesce()
torch.sparse_coo_tensor(torch.zeros(0, 1, dtype=torch.int64), torch.tensor([5.0]), ()); torch.sparse_coo_tensor(torch.arange(60).reshape(2, 30), torch.arange(30.0) / 7, (30, 60)); torch.nn.Parameter(C)
torch.nn.functional.linear(C, torch.ones(2, 3), torch.ones(2)); torch.bmm(torch.stack([D, D * 2]).to_sparse(), torch.ones(2, 3, 2)); A.clone().zero_(); C.clone().mul_(2); C.clone().add_(B); D.clone().add_(C); C.clone().copy_(B)
C.type(); C.layout; D.layout; A.is_coalesced(), C.is_coalesced(), C.t().is_coalesced(); torch.sparse_coo_tensor([[0], [1]], [1.0]).is_coalesced(); A._nnz(), A.sparse_dim(), H.dense_dim(), D.sparse_dim(), D.dense_dim(), A.numel(), A.dim(), A.shape; C.indices(); C.values(); H._values()
isinstance(C, torch.sparse.FloatTensor), isinstance(C, torch.FloatTensor), isinstance(D, torch.FloatTensor); torch.sparse.FloatTensor(I, V, torch.Size([2, 3])); torch.sparse.LongTensor(I, V.long()); C.stride(); A.is_sparse, D.is_sparse
"""  # fmt: skip
"""Expressions, separated by semicolons and ends of lines; they are compared as printed."""

GRADIENTS: dict[str, Callable[..., Any]] = {
    "sparse.mm": lambda t, A, E, D: t.sparse.mm(A, E),
    "mm": lambda t, A, E, D: A.coalesce() @ E,
    "mv": lambda t, A, E, D: A @ E[:, 0],
    "dense mm sparse": lambda t, A, E, D: D.t() @ A,
    "to_dense": lambda t, A, E, D: A.to_dense(),
    "sum": lambda t, A, E, D: t.sparse.sum(A),
    "sum 0": lambda t, A, E, D: t.sparse.sum(A, 0),
    "softmax": lambda t, A, E, D: t.sparse.softmax(A, 1),
    "log_softmax": lambda t, A, E, D: t.sparse.log_softmax(A, 0),
    "times a number": lambda t, A, E, D: A * 2,
    "over a number": lambda t, A, E, D: A / 2,
    "times itself": lambda t, A, E, D: A.coalesce() * A.coalesce(),
    "plus dense": lambda t, A, E, D: D + A,
    "plus itself": lambda t, A, E, D: A + A,
    "transposed": lambda t, A, E, D: A.t(),
    "power": lambda t, A, E, D: A.pow(2),
    "relu": lambda t, A, E, D: A.relu(),
    "values": lambda t, A, E, D: A.coalesce().values(),
    "sparse times sparse": lambda t, A, E, D: t.sparse.mm(A, A.t()),
    "addmm": lambda t, A, E, D: t.sparse.addmm(D[:, :2], A, E, beta=2, alpha=3),
    "to_sparse": lambda t, A, E, D: D.to_sparse() * 3,
    "sparse_mask": lambda t, A, E, D: D.sparse_mask(A.detach().coalesce()),
}

STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd with momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd, nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd, damped, uphill": (
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True},
    ),
    "adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1}),
    "sparse adam": ("SparseAdam", {"lr": 0.1}),
    "sparse adam, uphill": (
        "SparseAdam",
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "maximize": True},
    ),
}


def names(torch: Any) -> dict[str, Any]:
    """What the expressions speak of."""
    I, V = torch.tensor([[0, 1, 1, 0], [2, 0, 2, 2]]), torch.tensor([3.0, 4.0, 5.0, 6.0])
    A = torch.sparse_coo_tensor(I, V, (2, 3))
    B = torch.sparse_coo_tensor([[0, 0], [0, 2]], [1.0, 10.0], (2, 3)).coalesce()
    H = torch.sparse_coo_tensor([[0, 2]], [[1.0, 2.0], [3.0, 4.0]], (3, 2)).coalesce()
    D, E = torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(3, 2)
    return {
        "torch": torch,
        "I": I,
        "V": V,
        "A": A,
        "B": B,
        "C": A.coalesce(),
        "H": H,
        "D": D,
        "E": E,
    }


def expressions() -> list[str]:
    """The expressions of PRINTS."""
    return [e.strip() for line in PRINTS.strip().splitlines() for e in line.split(";")]


def printed(torch: Any, expression: str) -> str:
    """What an expression prints."""
    return repr(eval(expression, names(torch)))


def gradients(torch: Any, name: str) -> list[Any]:
    """By the values of an uncoalesced sparse matrix and two dense ones, each weighted."""
    own = names(torch)
    V = own["V"].clone().requires_grad_()
    A = torch.sparse_coo_tensor(own["I"], V, (2, 3))
    E, D = (own[n].clone().add_(1).requires_grad_() for n in "ED")
    out = GRADIENTS[name](torch, A, E, D)
    weights = torch.arange(1.0, out.numel() + 1).reshape(out.shape)
    ((out.to_dense() if out.is_sparse else out) * weights).sum().backward()
    return [None if x.grad is None else x.grad.tolist() for x in (V, E, D)]


def trained(torch: Any, name: str) -> Any:
    """A table after six steps by sparse gradients, with a padding row."""
    kind, options = STEPS[name]
    table = torch.nn.Parameter(torch.arange(12.0).reshape(6, 2) / 10)
    optimizer = getattr(torch.optim, kind)([table], **options)
    weights = torch.arange(1.0, 13.0).reshape(2, 3, 2) / 10
    for t in range(6):
        optimizer.zero_grad()
        rows = torch.tensor([[1, 2, 1], [t, 5, 2]])
        found = torch.nn.functional.embedding(rows, table, padding_idx=5, sparse=True)
        (found * weights).sum().backward()
        optimizer.step()
    return table.tolist()


def graph_network_losses(torch: Any, steps: int = 20) -> list[float]:
    """A graph convolutional network of two layers on a random graph, D^-1/2 (A + I) D^-1/2 by
    sparse products, trained to tell three classes apart. Source: arXiv:1609.02907."""
    torch.manual_seed(0)
    n = 40
    edges = torch.randint(0, n, (2, 120))
    both = torch.cat([edges, edges.flip(0), torch.arange(n).repeat(2, 1)], 1)
    adjacency = torch.sparse_coo_tensor(both, torch.ones(both.shape[1]), (n, n)).coalesce()
    degrees = torch.sparse.sum(adjacency, 1).to_dense()
    row, column = adjacency.indices()
    values = degrees[row].pow(-0.5) * adjacency.values() * degrees[column].pow(-0.5)
    spread = torch.sparse_coo_tensor(adjacency.indices(), values, (n, n)).coalesce()
    features, labels = torch.randn(n, 8), torch.randint(0, 3, (n,))
    first, second = torch.nn.Linear(8, 16), torch.nn.Linear(16, 3)
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.05)
    losses = []
    for _ in range(steps):
        hidden = torch.relu(torch.sparse.mm(spread, first(features)))
        loss = torch.nn.functional.cross_entropy(torch.sparse.mm(spread, second(hidden)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main() -> None:
    """Write sparse.json."""
    import torch

    found = {
        "prints": {e: printed(torch, e) for e in expressions()},
        "gradients": {name: gradients(torch, name) for name in GRADIENTS},
        "steps": {name: trained(torch, name) for name in STEPS},
        "graph network": graph_network_losses(torch),
    }
    RECORD.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
