"""Fused loops: which operations go into one, and that they compute what kernels compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.compiler import fusion, region
from flambeau.core.tensor import Tensor

from .test_compile import assert_alike, leaf


@pytest.fixture(autouse=True)
def small_tensors_are_fused_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(region, "LEAST", 0)
    monkeypatch.setattr(fusion, "LEAST_FUSED", 1)
    monkeypatch.setattr(fusion, "LEAST_COLUMNS", 2)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def program(function: Callable[..., Any], *arguments: Any) -> Any:
    """The program of the last graph that `function` makes."""
    return torch.compiler.explain(function)(*arguments).graphs[-1]


def labels(made: Any) -> list[str]:
    """What the fused loops of a program compute."""
    return [loop.group.label for loop in made.forward.loops]


Function = Callable[..., Any]
FUNCTIONS: dict[str, tuple[Function, int]] = {
    "gelu": (lambda x, b, r: F.gelu(x + b, approximate="tanh") * r, 1),
    "softmax": (lambda x, b, r: torch.softmax(x * 2 + b, -1) * r, 1),
    "log_softmax": (lambda x, b, r: torch.log_softmax(x + b, -1) * r, 1),
    "layer_norm": (lambda x, b, r: F.layer_norm(F.gelu(x) + r, x.shape[-1:], b, b), 1),
    "rms_norm": (lambda x, b, r: x * torch.rsqrt(x.square().mean(-1, True) + 1e-5) * b + r, 1),
    "mse": (lambda x, b, r: ((x - r) ** 2).mean() + (b * b).sum(), 2),
    "columns": (lambda x, b, r: (x * r).sum(0) + torch.sigmoid(x - x.mean(0)).sum(0), 2),
    "huber": (lambda x, b, r: torch.where((x - r).abs() < 1, (x - r).square(), b).sum(-1), 1),
    "extremes": (lambda x, b, r: (x * r - (x * r).amax(-1, True)).exp().sum() + x.amin(), 1),
    "expanded": (lambda x, b, r: x * r[..., :1] + b[:1] + r.sum(-1, keepdim=True).tanh(), 1),
}


@pytest.mark.parametrize("shape", [(7, 33), (2, 3, 70), (5, 1), (1, 20_000)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_fused_functions_give_values_and_gradients_of_kernels(name: str, shape: Any) -> None:
    function, _ = FUNCTIONS[name]
    assert_alike(function, leaf(*shape), leaf(shape[-1], seed=1), leaf(*shape, seed=2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_is_few_loops(name: str) -> None:
    function, most = FUNCTIONS[name]
    x, b, r = leaf(40, 33), leaf(33, seed=1), leaf(40, 33, seed=2)
    with torch.no_grad():
        assert 1 <= len(labels(program(function, x, b, r))) <= most


def test_gradients_equal_differences() -> None:
    def function(x: Tensor, w: Tensor) -> Tensor:
        y = (x * w - x.mean(-1, keepdim=True)).square()
        return (y / (1 + y.sum(-1, keepdim=True))).sum(0)

    leaves = leaf(4, 9, dtype=torch.float64), leaf(9, seed=1, dtype=torch.float64)
    assert torch.autograd.gradcheck(torch.compile(function), leaves)
    assert any("sum" in label for label in labels(program(function, *leaves)))


def test_layer_norm_with_what_stands_before_it_is_one_loop_each_way() -> None:
    def function(x: Tensor, bias: Tensor, rest: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.layer_norm(F.dropout(F.gelu(x + bias), 0.1) + rest, (64,), w, b)

    arguments = [leaf(50, 64), leaf(64), leaf(50, 64, seed=1), leaf(64, seed=2), leaf(64, seed=3)]
    made = program(function, *arguments)
    (stage,) = made.stages
    assert (len(made.forward.units), len(stage.backward().executable.units)) == (1, 1)
    assert stage.saved == ()  # all is computed again from what the caller holds


def test_what_takes_long_to_compute_is_kept_for_gradients() -> None:
    made = program(lambda x: (x * 2 + 1).tanh().sum(), leaf(40, 33))
    (stage,) = made.stages
    assert [made.graph.values[n].shape for n in stage.saved] == [(40, 33)]
    (loop,) = stage.backward().executable.loops
    assert "tanh" not in [s.operation.name for s in loop.group.steps]


@pytest.mark.parametrize("name", ["formulas", "spread rows", "spread columns", "both"])
def test_vectors_go_along_rows_or_columns_of_squares_as_each_step_sees_them(name: str) -> None:
    def rows(x: Tensor, m: Tensor) -> Tensor:
        return (x * x).mean(-1).exp().sum() + m.sum()

    functions: dict[str, Callable[..., Any]] = {
        "formulas": lambda x, m: (x * 2, x - m, (x * x).mean(0) + x),
        "spread rows": lambda x, m: ((x * m).sum(-1).tanh() * 3).sum() + rows(x, m),
        "spread columns": lambda x, m: ((x * m).sum(0).tanh() * 3).sum() + rows(x, m),
        "both": lambda x, m: (x * x.sum(-1).sin()).amax(-1) + (x * x.sum(0)).amax(0) * m,
    }
    assert_alike(functions[name], leaf(40, 40), leaf(40, seed=1), tolerance=1e-4)


def test_infinities_and_nan_go_through_loops_as_through_kernels() -> None:
    odd = torch.tensor([[np.inf, 1.0, -np.inf, 2.0], [np.nan, 0.0, 1.0, -0.0]] * 3)
    for name in ("softmax", "log_softmax", "extremes", "huber"):
        function = FUNCTIONS[name][0]
        arguments = odd, torch.ones(4), odd.flip(0)
        np.testing.assert_array_equal(
            torch.compile(function)(*arguments).isnan().numpy(),
            function(*arguments).isnan().numpy(),
        )


def test_strided_and_broadcast_operands_are_read_where_they_lie() -> None:
    base, rows = leaf(6, 5, 40), leaf(6, 1, 40, seed=1)
    for function in (
        lambda x, y: (x[:, ::2] * 2 + y).sum(-1),
        lambda x, y: x[..., :17].exp() * y[..., :1],
        lambda x, y: x.transpose(0, 1).contiguous() - y.transpose(0, 1) * 2,
        lambda x, y: (x[1:] + 1).softmax(-1) * y.expand(6, 5, 40)[1:],
    ):
        assert_alike(function, base, rows)


def test_transposed_operands_are_fused_and_keep_the_order_of_their_memory() -> None:
    def function(x: Tensor, y: Tensor) -> Any:
        turned = x.transpose(0, 1) * 2
        summed = (y + turned).tanh()
        return turned, turned.transpose(0, 1).view(-1) + 1, summed.softmax(-1), turned.double()

    x, y = leaf(3, 4, 5), leaf(4, 3, 5, seed=1)
    assert_alike(function, x, y)
    strides = [t.stride() for t in function(x, y)]
    assert [t.stride() for t in torch.compile(function)(x, y)] == strides
    made = torch.compiler.explain(function)(x, y)
    assert made.graph_count == 1
    assert "fused(add, tanh, amax, sub, exp, sum, reciprocal, mul)" in labels(made.graphs[0])


def test_truth_values_of_large_tensors_are_stored_where_they_belong() -> None:
    """Results of 8 MB and more go past the caches, by whole aligned vectors of numbers."""
    x = torch.arange(2_200_003.0)
    large, doubled = torch.compile(lambda x: (x * 2 > 7, x * 2))(x)
    assert (large.dtype, int(large.sum()), bool(large[4])) == (torch.bool, 2_200_003 - 4, True)
    np.testing.assert_array_equal(doubled.numpy(), x.numpy() * 2)


UNARY = ["exp", "tanh", "sigmoid", "neg", "abs", "square", "relu"]
BINARY = ["add", "mul", "sub", "maximum"]
ROWS = ["softmax", "sum", "mean", "amax", "layer_norm", "column_sum"]
instructions = st.lists(
    st.tuples(st.sampled_from([*UNARY, *BINARY, *ROWS]), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=8,
)


def interpreted(code: list[tuple[str, int, int]], *leaves: Tensor) -> Tensor:
    """Run a program of a stack machine that reads any value computed so far."""
    values = list(leaves)
    for name, i, j in code:
        x, y = values[i % len(values)], values[j % len(values)]
        if name in UNARY:
            out = getattr(torch, name)(x * 0.5)
        elif name in BINARY:
            out = getattr(torch, name)(x, y)
        elif name == "softmax":
            out = torch.softmax(x, -1)
        elif name == "layer_norm":
            out = F.layer_norm(x, x.shape[-1:])
        elif name == "column_sum":
            out = x.mean(0, keepdim=True)
        else:
            out = getattr(x, name)(-1, keepdim=True)
        values.append(out / (1 + out.abs()))  # so that numbers stay moderate
    return values[-1] + values[-2]


@settings(max_examples=25)
@given(instructions)
def test_random_functions_give_what_they_give_eagerly(code: list[tuple[str, int, int]]) -> None:
    leaves = [leaf(6, 20), leaf(20, seed=1), leaf(6, 1, seed=2)]
    if "layer_norm" in [name for name, *_ in code]:
        leaves = [leaf(6, 20), leaf(6, 20, seed=1), leaf(6, 20, seed=2)]
    assert_alike(lambda *tensors: interpreted(code, *tensors), *leaves, tolerance=1e-3)
