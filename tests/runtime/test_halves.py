"""float16 and bfloat16 against the same operation in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends import halves

from .samples.kit import Sample
from .test_operations import CASES, VALUE_DEPENDENT, call, outputs_of

TOLERANCE = {torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("name", "sample"), CASES)
def test_results_keep_the_type_and_are_rounded_once(name: str, sample: Sample, dtype: Any) -> None:
    halves = sample.tensors(dtype=dtype)
    if name in VALUE_DEPENDENT:
        return
    try:
        expected = outputs_of(call(name, sample.tensors(device="meta", dtype=dtype), sample))
        found = outputs_of(call(name, halves, sample))
    except (RuntimeError, TypeError):
        pytest.skip("not for half types, as the error says")
    assert [t.dtype for t in found] == [t.dtype for t in expected]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(), lambda x: x.mean(), lambda x: x.cumsum(0), lambda x: x.var(),
        lambda x: x.norm(), lambda x: x.softmax(0), lambda x: x.log_softmax(0),
        lambda x: x.logsumexp(0), lambda x: x @ x, lambda x: x.view(64, 64) @ x.view(64, 64),
        lambda x: torch.bmm(x.view(4, 32, 32), x.view(4, 32, 32)),
        lambda x: torch.nn.functional.layer_norm(x, [4096]),
        lambda x: torch.nn.functional.interpolate(x.view(1, 1, 64, 64), scale_factor=2.0),
        lambda x: torch.nn.functional.adaptive_avg_pool2d(x.view(1, 1, 64, 64), 2),
    ],
)  # fmt: skip
def test_long_sums_do_not_stop_growing(function: Any, dtype: Any) -> None:
    x = torch.from_numpy(np.random.default_rng(0).random(4096, np.float32)).to(dtype)
    found, expected = function(x), function(x.float())
    assert found.dtype is dtype
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(found.float(), expected, rtol=tolerance, atol=tolerance)


def test_gradients_of_broadcast_halves_are_summed_in_single_precision() -> None:
    bias = torch.zeros(1, dtype=torch.bfloat16, requires_grad=True)
    (torch.ones(2048, dtype=torch.bfloat16) + bias).sum().backward()
    assert bias.grad.item() == 2048


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_rows_of_a_table_are_read_without_the_table(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, numbers = torch.randn(300, 40).to(dtype), torch.tensor([[7, 299], [0, 7]])
    widened: list[int] = []
    monkeypatch.setattr(halves, "converted", lambda a, to: widened.append(a.size) or a.astype(to))
    found = torch.nn.functional.embedding(numbers, table)
    assert not widened
    assert found.dtype is dtype
    assert torch.equal(found, table[numbers])
