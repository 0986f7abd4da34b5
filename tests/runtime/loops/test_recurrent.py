"""LSTM and GRU in fused loops, against the array kernels in float64 and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn.repeated import Multiplier
from flambeau.ops import fused_recurrent, recurrent

RNG = np.random.default_rng(0)

TIMES = {
    "one length": (12,) * 20,
    "one time": (300,),
    "one sequence": (1,) * 300,
    "packed": (30, 30, 30, 17, 17, 17, 17, 5, 5, 1, 1, 1),
    "all lengths": tuple(range(30, 0, -1)),
}
WIDTHS = [33, 160]


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


def close(found: Any, wanted: Any) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float32
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * scale)


def single(arrays: Any) -> list[Any]:
    return [None if a is None else a.astype(np.float32) for a in arrays]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("projected", [0, 20])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("times", TIMES)
def test_lstm_and_its_gradient_are_those_of_the_array_kernels(
    times: str, width: int, projected: int, reverse: bool
) -> None:
    rows, batch = sum(TIMES[times]), TIMES[times][0]
    how = {"batch_sizes": TIMES[times], "reverse": reverse}
    narrow = projected or width
    projection = normal(projected, width) / 5 if projected else None
    given = [
        normal(rows, 4 * width), normal(batch, narrow), normal(batch, width),
        normal(4 * width, narrow) / width**0.5, projection,
    ]  # fmt: skip
    assert fused_recurrent._is_lstm(*single(given), **how)
    found = fused_recurrent.lstm(*single(given), **how)
    wanted = recurrent.lstm_steps.operation.array(np, *given, **how)
    close(found, wanted)
    for without in (None, 0, 1, 2):
        g = [normal(rows, narrow), normal(batch, narrow), normal(batch, width)]
        if without is not None:
            g[without] = None
        saved = [*g, *given[1:], wanted[0], wanted[3], wanted[4]]
        kept = [None if a is None else a.copy() for a in single(saved)]
        assert fused_recurrent._is_lstm_gradient(*kept, **how)
        gradients = fused_recurrent.lstm_vjp(*kept, **how)
        for a, b in zip(kept, single(saved), strict=True):
            np.testing.assert_array_equal(a, b)  # nothing given is written to
        close(gradients, recurrent.lstm_gradient.operation.array(np, *saved, **how))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("times", TIMES)
def test_gru_and_its_gradient_are_those_of_the_array_kernels(
    times: str, width: int, has_bias: bool, reverse: bool
) -> None:
    rows, batch = sum(TIMES[times]), TIMES[times][0]
    how = {"batch_sizes": TIMES[times], "reverse": reverse}
    bias = normal(3 * width) if has_bias else None
    weight = normal(3 * width, width) / width**0.5
    given = [normal(rows, 3 * width), normal(batch, width), weight, bias]
    assert fused_recurrent._is_gru(*single(given), **how)
    found = fused_recurrent.gru(*single(given), **how)
    wanted = recurrent.gru_steps.operation.array(np, *given, **how)
    close(found, wanted)
    for g in ([normal(rows, width), normal(batch, width)], [None, normal(batch, width)]):
        saved = [*g, *given[1:3], wanted[0], wanted[2]]
        kept = [None if a is None else a.copy() for a in single(saved)]
        assert fused_recurrent._is_gru_gradient(*kept, **how)
        gradients = fused_recurrent.gru_vjp(*kept, **how)
        for a, b in zip(kept, single(saved), strict=True):
            np.testing.assert_array_equal(a, b)
        close(gradients, recurrent.gru_gradient.operation.array(np, *saved, **how))


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_layers_have_the_derivatives_that_differences_in_float64_show(name: str) -> None:
    def loss(layer: Any, x: Any) -> Any:
        out = layer(x)[0]
        return (out * torch.arange(out.numel(), dtype=out.dtype).reshape(out.shape).cos()).sum()

    layer = getattr(torch.nn, name)(8, 32, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.tensor(normal(10, 20, 8), dtype=torch.float32)
    loss(layer, x).backward()
    found = [p.grad.numpy() for p in layer.parameters()]
    layer = layer.double()
    x, step = x.double(), 1e-5
    with torch.no_grad():
        for parameter, gradient in zip(layer.parameters(), found, strict=True):
            way = torch.tensor(normal(*parameter.shape))
            parameter += step * way
            above = loss(layer, x)
            parameter -= 2 * step * way
            below = loss(layer, x)
            parameter += step * way
            along = float((above - below) / (2 * step))
            size = float(np.linalg.norm(gradient) * np.linalg.norm(way.numpy()))
            assert abs(along - float((gradient * way.numpy()).sum())) < 1e-5 * size


def test_what_is_not_a_number_stays_so_in_its_sequence_alone() -> None:
    layer = torch.nn.LSTM(8, 64)
    x = torch.tensor(normal(20, 5, 8), dtype=torch.float32)
    x[10, 2, 0] = float("nan")
    out = layer(x)[0].detach().numpy()
    assert np.isnan(out[10:, 2]).all()
    assert not np.isnan(out[:10]).any()
    assert not np.isnan(np.delete(out, 2, axis=1)).any()


def test_arrays_that_do_not_fit_are_left_to_the_array_kernels() -> None:
    rows, batch, width = 300, 30, 32
    how = {"batch_sizes": (batch,) * 10, "reverse": False}
    gates, state = normal(rows, 4 * width), normal(batch, width)
    weight = normal(4 * width, width)
    good = gates, state, state, weight
    assert fused_recurrent._is_lstm(*single(good), **how)
    assert not fused_recurrent._is_lstm(*good, **how)  # float64
    for bad in (
        (gates[:, :-4], state, state, weight),
        (gates[:-1], state, state, weight),
        (gates, state[:-1], state, weight),
        (gates, state, state[:-1], weight),
        (gates, state, state, weight[:-1]),
        (gates, state, state, weight, normal(width, width - 1)),
    ):
        assert not fused_recurrent._is_lstm(*single(bad), **how)


def test_no_rows_and_no_columns_give_empty_results() -> None:
    layer = torch.nn.LSTM(8, 64)
    out, (h, c) = layer(torch.zeros(20, 0, 8))
    assert out.shape == (20, 0, 64)
    assert h.shape == c.shape == (1, 0, 64)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 4, 32])
def test_multiplier_gives_the_products_of_its_rows_and_of_others(rows: int, turned: bool) -> None:
    y = normal(256, 1030).astype(np.float32)
    y = np.ascontiguousarray(y.T).T if turned else y
    multiply = Multiplier(y, rows)
    for n in (rows, rows, 2, 0):
        x, out = normal(n, 256).astype(np.float32), np.empty((n, 1030), np.float32)
        multiply(x, out)
        np.testing.assert_allclose(out, x.astype(float) @ y.astype(float), atol=2e-4)
