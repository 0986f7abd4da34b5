"""`vmap`: every operation on a batch against its slices, and the rest of `torch.func`.

Values that are written out were recorded from PyTorch 2.13.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.core import batched
from flambeau.core.dispatch import key_of, operations
from flambeau.core.tensor import Tensor
from flambeau.func import (
    debug_unwrap,
    functional_call,
    functionalize,
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    replace_all_batch_norm_modules_,
    stack_module_state,
    vjp,
    vmap,
)

from .samples.kit import Sample, leaves_of
from .test_operations import CASES, _replaced, call, outputs_of, with_gradients

SLICES = 3
X = torch.arange(6.0).reshape(2, 3)

# -- every operation -------------------------------------------------------------------------------


def variants(t: Tensor) -> list[Tensor]:
    """Slices that differ: floating-point numbers a little smaller, others in another order."""
    found = [t]
    for k in range(1, SLICES):
        if t.is_floating_point() or t.is_complex():
            found.append(t * (1 - 0.1 * k))
        else:
            found.append(t.reshape(-1).roll(k).reshape(t.shape) if t.ndim else t)
    return found


def function_and_slices(
    name: str, sample: Sample, device: str = "cpu"
) -> tuple[Callable[..., tuple[Tensor, ...]], list[list[Tensor]]]:
    """The operation as a function of the sample's tensors, and these for all slices."""
    args = sample.tensors(device=device)
    leaves = leaves_of(args)

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        replaced = dict(zip(map(id, leaves), tensors, strict=True))
        return tuple(outputs_of(call(name, _replaced(args, replaced), sample)))

    return function, [variants(t) for t in leaves]


DYNAMIC = {"nonzero", "masked_select"}
"""Operations whose results have as many elements as the values say."""
ORDERED = {"bag_of_rows", "weighted_bag"}
"""Operations on offsets, which `variants` would put into another order."""

BATCHED_CASES = [
    c for c in CASES if leaves_of(c.values[1].tensors()) and c.values[0] not in ORDERED
]


@pytest.mark.parametrize(("name", "sample"), BATCHED_CASES)
def test_vmap_equals_its_slices(name: str, sample: Sample) -> None:
    function, slices = function_and_slices(name, sample)
    stacked = [torch.stack(v) for v in slices]
    if name in DYNAMIC:
        with pytest.raises(RuntimeError, match="vmap: expected"):
            vmap(function)(*stacked)
        return
    found = vmap(function)(*stacked)
    for k in range(SLICES):
        expected = function(*[v[k].clone() for v in slices])
        for out, wanted in zip(found, expected, strict=True):
            assert out.dtype is wanted.dtype
            np.testing.assert_allclose(out[k].numpy(), wanted.numpy(), rtol=1e-9, atol=1e-9)


def loss_of(function: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
    """The sum of all results, each element with a weight of its own."""

    def loss(*tensors: Tensor) -> Any:
        total: Any = torch.zeros((), dtype=torch.float64)
        for out in function(*tensors):
            real = torch.view_as_real(out) if out.is_complex() else out
            if real.is_floating_point():
                weights = torch.arange(1, real.numel() + 1, dtype=real.dtype)
                total = total + (real * weights.reshape(real.shape)).sum()
        return total

    return loss


@pytest.mark.parametrize(
    ("name", "sample"), [c for c in BATCHED_CASES if with_gradients(c.values[1])]
)
def test_gradients_inside_and_outside_of_vmap_equal_those_of_slices(
    name: str, sample: Sample
) -> None:
    if name in DYNAMIC:
        pytest.skip("vmap refuses it")
    function, slices = function_and_slices(name, sample)
    loss = loss_of(function)
    numbers = tuple(k for k, v in enumerate(slices) if v[0].is_floating_point())
    slope = grad(loss, argnums=numbers)
    inside = vmap(slope)(*[torch.stack(v) for v in slices])
    leaves = [torch.stack(v).requires_grad_(v[0].is_floating_point()) for v in slices]
    total = vmap(loss)(*leaves).sum()
    if total.requires_grad:
        total.backward()
    for k in range(SLICES):
        expected = slope(*[v[k].clone() for v in slices])
        for number, found, wanted in zip(numbers, inside, expected, strict=True):
            outside = leaves[number].grad
            values = wanted.numpy()
            np.testing.assert_allclose(found[k].numpy(), values, rtol=1e-8, atol=1e-8)
            gradient = np.zeros_like(values) if outside is None else outside[k].numpy()
            np.testing.assert_allclose(gradient, values, rtol=1e-8, atol=1e-8)


# -- once for all slices ---------------------------------------------------------------------------


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function that calls another and counts the CPU's kernels that run meanwhile."""
    key = key_of(torch.device("cpu"), torch.float32)
    count = 0

    def counting(kernel: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            return kernel(*args, **kwargs)

        return run

    def counted(function: Any, *args: Any) -> int:
        nonlocal count
        function(*args)  # finds all kernels
        with monkeypatch.context() as patch:
            for name in vars(key).keys() & operations.keys():
                patch.setattr(key, name, counting(getattr(key, name)))
            count = 0
            function(*args)
        return count

    return counted


W, B, K = torch.randn(4, 3), torch.randn(4), torch.randn(2, 3, 3, 3)
ONCE: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "pointwise": (lambda x: torch.sin(x) * x + 1, (3,)),
    "reductions": (lambda x: x.sum() + x.mean(0) + x.amax(0), (3,)),
    "matmul": (lambda x: x @ x.mT, (3, 4)),
    "linear": (lambda x: F.linear(x, W, B), (3,)),
    "conv2d": (lambda x: F.conv2d(x, K, padding=1), (2, 3, 5, 5)),
    "layer_norm": (lambda x: F.layer_norm(x, (3,), W[0], W[1]), (2, 3)),
    "cross_entropy": (lambda x: F.cross_entropy(x, torch.tensor([0, 2])), (2, 3)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), (2, 4, 3)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (1, 2, 4, 4)),
    "indexing": (lambda x: x[[0, 2]] + x[1:3], (3,)),
    "svd": (lambda x: torch.linalg.svdvals(x), (3, 2)),
}


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("differentiated", [False, True])
def test_operations_run_once_however_long_the_batch(
    name: str, differentiated: bool, kernels: Callable[..., int]
) -> None:
    function, shape = ONCE[name]
    if differentiated:
        function = grad(lambda x, f=function: f(x).sum())
    counts = [kernels(vmap(function), torch.randn(n, *shape)) for n in (2, 20)]
    assert counts[0] == counts[1] > 0


# -- what is mapped --------------------------------------------------------------------------------


def test_dimensions_of_arguments_and_results_are_trees() -> None:
    f = lambda d, y: {"a": d["x"] + y, "b": (d["x"].sum(), y)}  # noqa: E731
    out = vmap(f, in_dims=({"x": 1}, None), out_dims={"a": 1, "b": (0, None)})(
        {"x": X}, torch.ones(2)
    )
    assert torch.equal(out["a"], X + 1)
    assert torch.equal(out["b"][0], X.sum(0))
    assert out["b"][1].tolist() == [1.0, 1.0]
    assert vmap(torch.sum, in_dims=-1)(X).tolist() == [3.0, 5.0, 7.0]
    assert vmap(lambda x: x, out_dims=-1)(X).tolist() == X.mT.tolist()
    assert vmap(lambda x: (x, x), out_dims=(0, 1))(X)[1].shape == (3, 2)
    assert vmap(lambda x: torch.ones(3))(X).shape == (2, 3)
    assert vmap(lambda x: x * 2)(torch.ones(0, 3)).shape == (0, 3)


def test_keyword_arguments_are_shared_by_all_slices() -> None:
    assert vmap(lambda a, b=None: (a * b).sum())(X, b=X).tolist() == [19.0, 64.0]


def test_nested_vmaps_see_each_other() -> None:
    outer = vmap(lambda x: vmap(lambda y: x @ y)(X))(X + 1)
    assert torch.equal(outer, (X + 1) @ X.mT)
    crossed = vmap(vmap(torch.add, in_dims=(0, None)), in_dims=(None, 0))(X[0], X[1])
    assert torch.equal(crossed, X[0] + X[1].unsqueeze(1))


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 8])
def test_chunks_give_the_whole(chunk_size: int) -> None:
    x = torch.randn(5, 3)
    f = vmap(lambda row: (row.sin(), row.sum()), out_dims=(1, 0), chunk_size=chunk_size)
    assert torch.equal(f(x)[0], x.sin().mT)
    assert torch.allclose(f(x)[1], x.sum(1))


def test_what_cannot_be_mapped_is_refused() -> None:
    cases: list[tuple[Any, Any, str]] = [
        (lambda: vmap(torch.add)(X, torch.ones(4)), ValueError, r"one size.* Got \[2, 4\]"),
        (lambda: vmap(lambda: 1)(), ValueError, "arguments to map over"),
        (lambda: vmap(torch.sin, in_dims=5)(X), ValueError, "in_dim from -2 to 1. Got 5"),
        (lambda: vmap(torch.add, in_dims=[0, 0])(X, X), ValueError, "Got list"),
        (lambda: vmap(torch.sin, in_dims=None)(X), ValueError, "Got NoneType"),
        (lambda: vmap(torch.sin, in_dims=(None,))(X), ValueError, "at least one tensor"),
        (lambda: vmap(torch.add, in_dims=((0, 0), 0))(X, X), ValueError, "Got"),
        (lambda: vmap(torch.add)(X, 3), ValueError, "Got in_dim 0 for a int"),
        (lambda: vmap(torch.sin, out_dims=None)(X), ValueError, "differs from slice to slice"),
        (lambda: vmap(torch.sin, out_dims=3)(X), IndexError, "out_dim from -2 to 1"),
        (lambda: vmap(lambda x: 3)(X), ValueError, "Got int"),
        (lambda: vmap(torch.sin, randomness="x"), RuntimeError, "Got 'x'"),
        (lambda: vmap(torch.sin, chunk_size=0), ValueError, "Got 0"),
    ]
    for function, error, message in cases:
        with pytest.raises(error, match=message):
            function()


def test_python_code_that_looks_at_values_is_refused() -> None:
    cases: list[tuple[Callable[[Tensor], Any], str]] = [
        (lambda x: x if x.sum() > 0 else -x, "truth value"),
        (lambda x: x.sum().item(), "truth value"),
        (lambda x: x.numpy(), "no bare array"),
        (lambda x: x.tolist(), "no bare array"),
        (lambda x: x.nonzero(), "single array"),
        (lambda x: x[x > 1], "mask that differs"),
        (lambda x: torch.zeros(3).add_(x), "written in place"),
        (lambda x: x.sum().backward(), "outside of vmap"),
        (lambda x: x.requires_grad_(), "outside of vmap"),
    ]
    for function, message in cases:
        with pytest.raises(RuntimeError, match=message):
            vmap(function)(X)


def test_values_that_slices_share_may_be_looked_at() -> None:
    y = torch.tensor(2.0)
    assert vmap(lambda x: x * 2 if y > 1 else x)(X).tolist() == (X * 2).tolist()


def test_a_tensor_kept_from_a_vmap_is_refused_in_another() -> None:
    kept: list[Tensor] = []
    vmap(lambda x: (kept.append(x), x)[1])(X)
    with pytest.raises(RuntimeError, match="kept from a vmap"):
        vmap(lambda x: x + kept[0][0])(torch.ones(5, 3))


def test_shapes_inside_are_those_of_slices() -> None:
    def f(x: Tensor) -> Tensor:
        assert (x.shape, x.ndim, x.numel(), x.stride(), len(x)) == ((3,), 1, 3, (1,), 3)
        assert x.device == torch.device("cpu")
        assert repr(x).startswith("BatchedTensor(lvl=1, bdim=0, value=\n    tensor([[0., 1., 2.]")
        assert debug_unwrap(x).shape == (2, 3)
        return x

    gc.collect()
    vmap(f)(X)


def test_shapes_that_do_not_fit_are_explained_by_those_of_slices() -> None:
    with pytest.raises(RuntimeError, match=r"\(3,\).*\(4,\)"):
        vmap(lambda x: x + torch.ones(4))(X)


# -- in place, and by index ------------------------------------------------------------------------


def test_writing_in_place() -> None:
    def f(x: Tensor, y: Tensor) -> Tensor:
        out = x.clone()
        out[0] = y
        out[1:] += 1
        out.mul_(2)
        return out

    y = torch.tensor([7.0, 9.0])
    expected = torch.stack([f(a, b) for a, b in zip(X, y, strict=True)])
    assert torch.equal(vmap(f)(X, y), expected)
    slopes = vmap(grad(lambda x, y: (f(x, y) ** 2).sum(), argnums=(0, 1)))(X, y)
    assert slopes[0].tolist() == [[0.0, 16.0, 24.0], [0.0, 40.0, 48.0]]
    assert slopes[1].tolist() == [56.0, 72.0]


@pytest.mark.parametrize("make", [torch.zeros_like, lambda x: x.new_zeros(3), torch.empty_like])
def test_tensors_made_like_a_slice_have_memory_for_each(make: Any) -> None:
    def f(x: Tensor) -> Tensor:
        out = make(x)
        out[:] = x
        return out

    assert torch.equal(vmap(f)(X), X)


TABLE = torch.arange(24.0).reshape(2, 3, 4)
PLACES = torch.tensor([[0, 2], [1, 1]])
INDICES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "x[i]": lambda x, i: x[i],
    "x[:, i]": lambda x, i: x[:, i],
    "x[None, i]": lambda x, i: x[None, i],
    "x[i, i]": lambda x, i: x[i, i],
    "x[..., i]": lambda x, i: x[..., i],
    "x[i, :, None]": lambda x, i: x[i, :, None],
    "x[i[0]]": lambda x, i: x[i[0]],
    "x[i, None, i]": lambda x, i: x[i, None, i],
    "x[1, i]": lambda x, i: x[1, i],
    "x[mask]": lambda x, i: x[torch.tensor([True, False, True])] * i.sum(),
    "x[True]": lambda x, i: x[True] * i.sum(),
}


@pytest.mark.parametrize("text", INDICES)
def test_indices_that_differ_from_slice_to_slice(text: str) -> None:
    f = INDICES[text]
    expected = torch.stack([f(a, b) for a, b in zip(TABLE, PLACES, strict=True)])
    assert torch.equal(vmap(f)(TABLE, PLACES), expected)
    shared = torch.stack([f(TABLE[0], i) for i in PLACES])
    assert torch.equal(vmap(f, in_dims=(None, 0))(TABLE[0], PLACES), shared)
    shared = torch.stack([f(x, PLACES[0]) for x in TABLE])
    assert torch.equal(vmap(f, in_dims=(0, None))(TABLE, PLACES[0]), shared)
    slope = grad(lambda x, i: (f(x, i) ** 2).sum())
    expected = torch.stack([slope(a, b) for a, b in zip(TABLE, PLACES, strict=True)])
    assert torch.equal(vmap(slope)(TABLE, PLACES), expected)


def test_writing_by_index_and_mask() -> None:
    def f(x: Tensor, i: Tensor) -> Tensor:
        out = x.clone()
        out[i, 0] = x[0, 1:3]
        out[:, i] = 5.0
        out[out > 20] = 0.0
        return out

    expected = torch.stack([f(a, b) for a, b in zip(TABLE, PLACES, strict=True)])
    assert torch.equal(vmap(f)(TABLE, PLACES), expected)


def test_embeddings_of_own_and_shared_tables() -> None:
    f = lambda w, i: F.embedding(i, w, padding_idx=1)  # noqa: E731
    expected = torch.stack([f(a, b) for a, b in zip(TABLE, PLACES, strict=True)])
    assert torch.equal(vmap(f)(TABLE, PLACES), expected)
    slope = grad(lambda w, i: (f(w, i) ** 2).sum())
    expected = torch.stack([slope(a, b) for a, b in zip(TABLE, PLACES, strict=True)])
    assert torch.equal(vmap(slope)(TABLE, PLACES), expected)
    with pytest.raises(IndexError, match="from 0 to 2"):
        vmap(f)(TABLE, PLACES + 1)


# -- randomness ------------------------------------------------------------------------------------


def test_random_numbers_follow_the_randomness_asked_for() -> None:
    draws: list[Callable[[Tensor], Tensor]] = [
        lambda x: torch.randn(64) + x,
        lambda x: torch.rand_like(x),
        lambda x: F.dropout(x + 1, 0.5),
        lambda x: torch.bernoulli(torch.full((64,), 0.5)),
        lambda x: torch.randperm(64),
        lambda x: torch.empty_like(x).normal_(),
        lambda x: torch.multinomial(torch.ones(64), 16),
        lambda x: torch.poisson(torch.full((64,), 9.0)),
    ]
    x = torch.zeros(2, 64)
    for draw in draws:
        with pytest.raises(RuntimeError, match="randomness is 'error'"):
            vmap(draw)(x)
        torch.manual_seed(0)
        first, second = vmap(draw, randomness="different")(x)
        assert not torch.equal(first, second)
        first, second = vmap(draw, randomness="same")(x)
        assert torch.equal(first, second)

    def inner(row: Tensor) -> Tensor:
        return vmap(lambda b: torch.randn(4), randomness="same")(X)

    found = vmap(inner, randomness="different")(X)
    assert torch.equal(found[0, 0], found[0, 1])
    assert not torch.equal(found[0, 0], found[1, 0])


# -- gradients -------------------------------------------------------------------------------------


def test_captured_tensors_get_the_sum_of_the_slices_gradients() -> None:
    w = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, dtype=torch.float64)
    vmap(lambda row: torch.tanh(row @ w))(x).sum().backward()
    batched_gradient, w.grad = w.grad, None
    torch.tanh(x @ w).sum().backward()
    assert torch.allclose(batched_gradient, w.grad)
    w.grad = None
    vmap(lambda row: w.sum())(x).sum().backward()
    assert torch.equal(w.grad, torch.full((3, 4), 5.0, dtype=torch.float64))


def test_gradients_per_sample_of_a_module() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 4)).double()
    x, y = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    parameters = {n: p.detach() for n, p in net.named_parameters()}

    def loss(p: Any, a: Tensor, b: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(net, p, (a[None],)), b[None])

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for k in range(5):
        net.zero_grad()
        F.cross_entropy(net(x[k : k + 1]), y[k : k + 1]).backward()
        for name, p in net.named_parameters():
            assert torch.allclose(found[name][k], p.grad), name


def test_ensembles_of_modules() -> None:
    models = [nn.Linear(3, 2) for _ in range(4)]
    parameters, buffers = stack_module_state(models)
    x = torch.randn(5, 3)
    run = lambda p, b, x: functional_call(models[0], (p, b), (x,))  # noqa: E731
    found = vmap(run, in_dims=(0, 0, None))(parameters, buffers, x)
    assert torch.allclose(found, torch.stack([m(x) for m in models]), atol=1e-6)
    found.sum().backward()
    assert torch.allclose(parameters["weight"].grad, x.sum(0).expand(4, 2, 3), atol=1e-5)


def test_gradients_nest_in_all_orders() -> None:
    cube = lambda v: (v**3).sum()  # noqa: E731
    assert grad(lambda x: grad(lambda y: x * y * y)(torch.tensor(2.0)))(torch.tensor(3.0)) == 4
    assert grad(grad(lambda x: x**3))(torch.tensor(2.0)) == 12
    assert vmap(hessian(cube))(X).shape == (2, 3, 3)
    assert torch.equal(vmap(hessian(cube))(X)[1], torch.diag(6 * X[1]))
    through = jacrev(lambda x: vmap(torch.sin)(x).sum(0))(X)
    assert torch.equal(through[1, :, 1], X[:, 1].cos())
    outer = grad(lambda x: vmap(grad(cube))(x).sum())(X)
    assert torch.equal(outer, 6 * X)
    both = vmap(lambda x: jacrev(lambda w: vmap(lambda u: u * w.sum())(X))(x).sum())(X)
    assert both.tolist() == [45.0, 45.0]


def test_values_and_auxiliary_results() -> None:
    f = lambda x: ((x**2).sum(), {"x": x})  # noqa: E731
    slope, (value, aux) = grad_and_value(f, has_aux=True)(X)
    assert torch.equal(slope, 2 * X)
    assert (value.item(), aux["x"].requires_grad) == (55.0, False)
    assert torch.equal(grad(f, has_aux=True)(X)[1]["x"], X)
    pair = grad(lambda a, b: (a["k"] * b).sum(), argnums=(0, 1))({"k": X}, X + 1)
    assert torch.equal(pair[0]["k"], X + 1)
    assert torch.equal(pair[1], X)
    with pytest.raises(RuntimeError, match="has_aux"):
        grad(lambda x: x.sum(), has_aux=True)(X)
    with pytest.raises(RuntimeError, match="argnums"):
        grad(torch.sin, argnums=3)(X)
    with pytest.raises(RuntimeError, match="floating-point"):
        grad(lambda x: x.sum())(torch.arange(3))


def test_products_with_jacobians_of_trees() -> None:
    cube = lambda x: x**3  # noqa: E731
    result, push = linearize(cube, X[0])
    assert (result.tolist(), push(torch.ones(3)).tolist()) == ([0, 1, 8], [0, 3, 12])
    assert push(2 * torch.ones(3)).tolist() == [0, 6, 24]
    value, slope, aux = jvp(lambda x: (x**3, x), (X[0],), (torch.ones(3),), has_aux=True)
    assert (value.tolist(), slope.tolist(), aux.tolist()) == ([0, 1, 8], [0, 3, 12], [0, 1, 2])
    out, pull = vjp(lambda a: {"k": a["x"] ** 2}, {"x": X[0]})
    assert out["k"].tolist() == [0, 1, 4]
    assert pull({"k": torch.ones(3)})[0]["x"].tolist() == [0, 2, 4]
    _, pull, aux = vjp(lambda x: (x * 2, x), X[0], has_aux=True)
    assert pull(torch.ones(3))[0].tolist() == [2, 2, 2]
    assert torch.equal(functionalize(lambda x: x.clone().add_(1))(X), X + 1)
    with pytest.raises(RuntimeError, match="shape"):
        jvp(cube, (X[0],), (torch.ones(4),))
    with pytest.raises(RuntimeError, match="structure"):
        pull((torch.ones(3), torch.ones(3)))


@pytest.mark.parametrize("transform", [jacrev, jacfwd])
def test_jacobians_of_trees(transform: Any) -> None:
    f = lambda a, b: {"s": a["x"] * b, "t": (a["x"] ** 2).sum()}  # noqa: E731
    found = transform(f, argnums=(0, 1))({"x": X[0]}, X[1])
    assert torch.equal(found["s"][0]["x"], torch.diag(X[1]))
    assert torch.equal(found["s"][1], torch.diag(X[0]))
    assert torch.equal(found["t"][0]["x"], 2 * X[0])
    assert found["t"][1].tolist() == [0, 0, 0]
    jacobian, aux = transform(lambda x: (x**2, x), has_aux=True)(X[0])
    assert torch.equal(jacobian, torch.diag(2 * X[0]))
    assert torch.equal(aux, X[0])


def test_jacobians_in_chunks() -> None:
    f = lambda x: (x**2).reshape(3, 2)  # noqa: E731
    x = torch.arange(6.0)
    assert torch.equal(jacrev(f, chunk_size=4)(x), jacrev(f)(x))
    assert jacrev(f)(x).shape == (3, 2, 6)
    with pytest.raises(ValueError, match="chunk_size"):
        jacrev(f, chunk_size=0)


def test_rows_of_gradients_at_once() -> None:
    x = X.clone().requires_grad_()
    y = (x**2).sum(1)
    (rows,) = torch.autograd.grad(y, x, torch.eye(2), is_grads_batched=True, retain_graph=True)
    assert rows.tolist() == [[[0, 2, 4], [0, 0, 0]], [[0, 0, 0], [6, 8, 10]]]
    unused = torch.zeros(2, requires_grad=True)
    found = torch.autograd.grad(
        y, (unused, x), torch.eye(2), is_grads_batched=True, allow_unused=True, create_graph=True
    )
    assert found[0] is None
    assert torch.autograd.grad(found[1].sum(), x)[0].tolist() == [[2, 2, 2], [2, 2, 2]]


def test_jacobians_of_the_functional_interface_vectorize() -> None:
    f = lambda a, b: (a * b, a.sum())  # noqa: E731
    rows = torch.autograd.functional.jacobian(f, (X[0], X[1]))
    for strategy in ("reverse-mode", "forward-mode"):
        again = torch.autograd.functional.jacobian(
            f, (X[0], X[1]), vectorize=True, strategy=strategy
        )
        for found, wanted in zip(leaves_of(again), leaves_of(rows), strict=True):
            assert torch.equal(found, wanted)
    cube = lambda x: (x**3).sum()  # noqa: E731
    found = torch.autograd.functional.hessian(cube, X[0], vectorize=True)
    assert torch.equal(found, torch.diag(6 * X[0]))
    with pytest.raises(RuntimeError, match="strict or vectorize"):
        torch.autograd.functional.jacobian(f, (X[0], X[1]), strict=True, vectorize=True)


def test_functions_with_gradients_of_their_own_run_on_batches() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    assert torch.equal(vmap(grad(lambda x: Cube.apply(x).sum()))(X), 3 * X**2)
    assert torch.equal(jacrev(Cube.apply)(X[0]), torch.diag(3 * X[0] ** 2))


def test_batch_normalization_without_running_statistics() -> None:
    net = replace_all_batch_norm_modules_(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    x = torch.randn(4, 5, 3)
    found = vmap(lambda rows: functional_call(net, {}, (rows,)))(x)
    assert torch.allclose(found, torch.stack([net(rows) for rows in x]), atol=1e-5)


def test_a_level_is_free_again_after_its_graph() -> None:
    gc.collect()
    w = torch.ones(3, requires_grad=True)
    y = vmap(lambda x: x * w)(X)
    assert 1 in batched._alive
    y.sum().backward()
    del y
    assert 1 not in batched._alive


def test_modules_are_called_with_tensors_by_name() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    net, x, eye = Tied(), torch.ones(2), 2 * torch.eye(2)
    assert functional_call(net, {"a.weight": eye}, x).tolist() == [4, 4]
    apart = functional_call(net, {"a.weight": eye}, x, tie_weights=False)
    assert torch.allclose(apart, net.b(2 * x))
    assert torch.equal(functional_call(net, {"unknown": eye}, x), net(x))
    with pytest.raises(RuntimeError, match="missing"):
        functional_call(net, {}, x, strict=True)
    with pytest.raises(ValueError, match="several dicts"):
        functional_call(net, ({"a.weight": eye}, {"a.weight": eye}), x)
    with pytest.raises(ValueError, match="tied"):
        functional_call(net, {"a.weight": eye, "b.weight": eye + 1}, x)
    with pytest.raises(RuntimeError, match="one class"):
        stack_module_state([net, nn.Linear(2, 2)])
    with pytest.raises(RuntimeError, match="at least one model"):
        stack_module_state([])


def test_a_hessian_goes_through_a_product() -> None:
    found = hessian(torch.prod)(torch.tensor([2.0, 3.0, 5.0]))
    assert found.tolist() == [[0, 5, 3], [5, 0, 2], [3, 2, 0]]
