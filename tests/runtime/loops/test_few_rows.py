"""Products of a few rows with a large matrix of float32 or bfloat16."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu import loops
from flambeau.nn import functional as F

pytestmark = pytest.mark.skipif(not loops.is_available(), reason="no LLVM here")


@pytest.mark.parametrize("columns", [1, 15, 16, 65, 576])
@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_any_length_are_summed_as_in_float64(columns: int, kind: type, order: str) -> None:
    from flambeau.backends.cpu.loops import few_rows

    rng = np.random.default_rng(columns)
    outputs = 70 if columns > 65 else 1100  # more than a thread takes at a time, column by column
    weight = np.asarray(rng.normal(size=(outputs, columns)).astype(kind), order=order)
    x = rng.normal(size=(2, columns)).astype(np.float32)
    bias = rng.normal(size=outputs).astype(np.float32)
    found = few_rows.product(x, weight, bias)
    exact = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    size = np.abs(x) @ np.abs(weight.astype(np.float64)).T + np.abs(bias)
    assert found.dtype == np.float32
    bound = 2**-22 if order == "C" else 2**-21  # sums of 8, one after the other, not of 64
    assert (np.abs(found - exact) <= bound * size + 1e-30).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 300), (3, 1, 300)])
def test_linear_of_few_rows_is_that_product(
    dtype: torch.dtype, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flambeau.backends.cpu.loops import few_rows

    calls = []
    product = few_rows.product
    monkeypatch.setattr(few_rows, "product", lambda *a: calls.append(a) or product(*a))
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(s).to(dtype) for s in (shape, (400, 300), (400,)))
    found = F.linear(x, weight, bias)
    exact = x.double().numpy() @ weight.double().numpy().T + bias.double().numpy()
    rounding = 2**-8 if dtype is torch.bfloat16 else 2**-21
    assert found.dtype is dtype
    assert found.shape == (*shape[:-1], 400)
    np.testing.assert_allclose(
        found.double().numpy(), exact, rtol=1.01 * rounding, atol=20 * 2**-21
    )
    by_columns = F.linear(x, weight.t().contiguous().t(), bias)
    np.testing.assert_allclose(
        by_columns.double().numpy(), exact, rtol=1.01 * rounding, atol=60 * 2**-21
    )
    assert len(calls) == 2
    F.linear(x[..., :150], weight[:, :150], bias)  # rows with gaps between their elements
    F.linear(x.reshape(-1, 300).repeat(4, 1), weight)
    assert len(calls) == 2


def test_the_sum_does_not_depend_on_the_threads() -> None:
    weight, x = torch.randn(600, 300), torch.randn(1, 300)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(F.linear(x, weight))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
