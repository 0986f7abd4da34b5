"""Derivatives as functions, saved-tensor hooks, activation checkpoints, trees."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.autograd.functional as AF
from flambeau import nn
from flambeau.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from flambeau.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from flambeau.utils.checkpoint import checkpoint, checkpoint_sequential

A = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def linear(x: Any) -> Any:
    return torch.from_numpy(A) @ x


def cubes(x: Any) -> Any:
    return (x**3).sum()


X = torch.tensor([1.0, 2.0], dtype=torch.float64)


def test_jacobians() -> None:
    np.testing.assert_allclose(AF.jacobian(linear, X).numpy(), A)
    np.testing.assert_allclose(jacrev(linear)(X).numpy(), A)
    by_x, by_y = AF.jacobian(lambda x, y: x * y, (X, X + 1))
    np.testing.assert_allclose(by_x.numpy(), np.diag([2.0, 3.0]))
    np.testing.assert_allclose(by_y.numpy(), np.diag([1.0, 2.0]))
    assert AF.jacobian(lambda x: x.outer(x), X).shape == (2, 2, 2)
    leaf = X.clone().requires_grad_()
    AF.jacobian(lambda x: x**2, leaf, create_graph=True).sum().backward()
    assert leaf.grad.tolist() == [2, 2]


def test_hessians_and_products() -> None:
    full = np.diag([6.0, 12.0])
    np.testing.assert_allclose(AF.hessian(cubes, X).numpy(), full)
    np.testing.assert_allclose(hessian(cubes)(X).numpy(), full)
    v = torch.tensor([1.0, -1.0], dtype=torch.float64)
    value, product = AF.hvp(cubes, X, v)
    assert value.item() == 9
    np.testing.assert_allclose(product.numpy(), full @ v.numpy())
    out, product = AF.vjp(linear, X, torch.ones(3, dtype=torch.float64))
    np.testing.assert_allclose(product.numpy(), A.sum(0))
    out, product = AF.jvp(linear, X, v)
    np.testing.assert_allclose(product.numpy(), A @ v.numpy())
    np.testing.assert_allclose(jvp(linear, (X,), (v,))[1].numpy(), A @ v.numpy())
    out, pull = vjp(linear, X)
    np.testing.assert_allclose(pull(torch.ones(3, dtype=torch.float64))[0].numpy(), A.sum(0))
    assert out.shape == (3,)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"v of the shapes \[\(3,\)\]"):
        AF.vjp(linear, X, torch.ones(2))
    with pytest.raises(RuntimeError, match="strict=True"):
        AF.jacobian(lambda x, y: x, (X, X), strict=True)
    with pytest.raises(RuntimeError, match=r"one element. Got shape \(3,\)"):
        AF.hessian(linear, X)
    with pytest.raises(RuntimeError, match=r"0-d tensor. Got \(3,\)"):
        grad(linear)(X)


def test_grad_of_trees_and_nested() -> None:
    slopes, value = grad_and_value(lambda p: cubes(p["a"]) * p["b"])({"a": X, "b": X.sum()})
    assert value.item() == 27
    assert (slopes["a"].tolist(), slopes["b"].item()) == ([9, 36], 9)
    second = grad(grad(torch.sin))(torch.tensor(0.5, dtype=torch.float64))
    assert second.item() == pytest.approx(-np.sin(0.5))
    both = grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(X, X + 1)
    assert [g.tolist() for g in both] == [[2, 3], [1, 2]]


def test_vmap_equals_a_loop_and_is_recorded() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, dtype=torch.float64)
    out = vmap(torch.dot, in_dims=(0, None))(x, w)
    assert torch.allclose(out, x @ w)
    out.sum().backward()
    assert torch.allclose(x.grad, w.expand(3, 4))
    assert vmap(torch.sum, in_dims=1)(x).shape == (4,)
    per_sample = vmap(grad(lambda v: (v**2).sum()))(x.detach())
    assert torch.allclose(per_sample, 2 * x.detach())
    top, place = vmap(lambda row: row.max(0), out_dims=0)(x.detach())
    assert (top.shape, place.dtype) == ((3,), torch.int64)
    with pytest.raises(ValueError, match=r"one size in all mapped dimensions. Got \[3, 4\]"):
        vmap(torch.add)(x, w)


def test_functional_call_leaves_the_module_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    x = torch.randn(4, 2)
    zeros = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    assert functional_call(net, zeros, x).abs().sum().item() == 0
    net.eval()
    assert all(torch.equal(v, before[k]) or "num" in k or "running" in k
               for k, v in net.state_dict().items())  # fmt: skip
    with pytest.raises(RuntimeError, match="Unknown"):
        functional_call(net, {"nothing": x}, x, strict=True)
    stacked, _ = stack_module_state([nn.Linear(2, 3), nn.Linear(2, 3)])
    assert stacked["weight"].shape == (2, 3, 2)


def test_saved_tensors_pass_through_hooks() -> None:
    seen: list[Any] = []

    def pack(t: Any) -> Any:
        seen.append(tuple(t.shape))
        return t.double()

    x = torch.randn(3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t.float()):
        y = (x.exp() * x).sum()
    plain = (x.detach().exp() * (1 + x.detach())).tolist()
    y.backward()
    assert x.grad.tolist() == pytest.approx(plain, rel=1e-6, abs=1e-6)
    assert seen == [(3,)] * 3
    with torch.autograd.graph.save_on_cpu():
        z = (x * x).sum()
    (g,) = torch.autograd.grad(z, x, create_graph=True)
    assert torch.autograd.grad(g.sum(), x)[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize("parts", [1, 3])
def test_a_checkpoint_computes_twice_and_keeps_nothing(parts: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2), nn.Tanh())
    x = torch.randn(5, 4)
    calls = []
    net[1].register_forward_hook(lambda *_: calls.append(1))
    torch.manual_seed(1)
    wanted = net(x)
    wanted.sum().backward()
    grads = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    torch.manual_seed(1)
    out = checkpoint(net, x) if parts == 1 else checkpoint_sequential(net, parts, x)
    assert torch.equal(out, wanted)
    state = torch.get_rng_state()
    out.sum().backward()
    assert torch.equal(torch.get_rng_state(), state)
    for p, g in zip(net.parameters(), grads, strict=True):
        assert torch.equal(p.grad, g)
    assert len(calls) == 3


def test_a_checkpoint_that_does_something_else_is_found_out() -> None:
    turns = [0]

    def fickle(x: Any) -> Any:
        turns[0] += 1
        return x.exp().sin().sum() if turns[0] == 1 else x.exp().sum()

    out = checkpoint(fickle, torch.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match="must do the same twice"):
        out.backward()


def test_trees() -> None:
    Point = namedtuple("Point", "x y")
    tree = {"b": [1, (2, 3)], "a": Point(4, OrderedDict(k=5)), "n": None}
    leaves, spec = tree_flatten(tree)
    assert leaves == [1, 2, 3, 4, 5, None]
    again = tree_unflatten(leaves, spec)
    assert again == tree
    assert isinstance(again["a"], Point)
    assert tree_map(lambda a, b: a + b, [1, (2,)], [10, (20,)]) == [11, (22,)]
    assert tree_leaves([[]]) == []
    with pytest.raises(ValueError, match=r"expected 6 leaves. Got 1"):
        tree_unflatten([1], spec)


class Pair:
    def __init__(self, left: Any, right: Any, name: str) -> None:
        self.left, self.right, self.name = left, right, name


def test_classes_of_ones_own_can_be_trees() -> None:
    from flambeau.utils import _pytree

    _pytree.register_pytree_node(
        Pair, lambda p: ([p.left, p.right], p.name), lambda c, name: Pair(*c, name)
    )
    with pytest.raises(ValueError, match="Pair is registered already"):
        _pytree.register_pytree_node(Pair, list, list)
    found = _pytree.tree_map(lambda x: x * 2, {"a": Pair(1, [2, 3], "p")})["a"]
    assert (found.left, found.right, found.name) == (2, [4, 6], "p")
    primals = (Pair(torch.tensor(2.0), torch.tensor(3.0), "p"),)
    grads = torch.func.grad(lambda p: p.left * p.right)(*primals)
    assert (grads.left.item(), grads.right.item()) == (3.0, 2.0)
