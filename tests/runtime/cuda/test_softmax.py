"""Softmax kernels against float64 on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

from .kit import DTYPES, assert_launched, assert_near, double, drawn
from .shim import HostDriver

# A thread or a warp or several for a row; columns that fill vectors, and ragged ones.
SHAPES = [
    (5, 1),
    (7, 3),
    (3, 10),
    (2, 3, 32),
    (9, 33),
    (4, 128),
    (3, 200),
    (2, 513),
    (1, 4096),
    (1, 9001),
]
CASES = [("float32", s) for s in SHAPES]
CASES += [(d, s) for d in DTYPES if d != "float32" for s in [(9, 33), (2, 520), (3, 1029)]]


@pytest.mark.parametrize(("dtype", "shape"), CASES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_values_and_gradients(host: HostDriver, name: str, dtype: str, shape: tuple[int]) -> None:
    x, g = drawn(shape, dtype).requires_grad_(), drawn(shape, dtype, 1)
    function = getattr(torch, name)
    y = function(x, dim=-1)
    assert_launched(host, "softmax_rows")
    y.backward(g)
    assert_launched(host, "softmax_gradient_rows")
    wanted = double(x)
    function(wanted, dim=-1).backward(double(g))
    assert_near(y, function(double(x), dim=-1))
    assert_near(x.grad, wanted.grad, 40)


def test_infinite_rows(host: HostDriver) -> None:
    inf = np.inf
    rows = [[-inf, 0, 1], [-inf] * 3, [inf, 0, 0], [np.nan, 0, 0], [1e4, -1e4, 0]]
    found = torch.softmax(torch.tensor(rows).cuda(), 1).cpu().numpy()
    np.testing.assert_allclose(found, torch.softmax(torch.tensor(rows), 1).numpy(), rtol=1e-6)
    assert_launched(host, "softmax_rows")
    long = np.pad(np.array(rows), ((0, 0), (0, 1100)), constant_values=-inf)
    found = torch.softmax(torch.tensor(long).float().cuda(), 1).cpu().numpy()
    np.testing.assert_allclose(found[:, :3], torch.softmax(torch.tensor(rows), 1), rtol=1e-6)
    assert_launched(host, "softmax_rows_streamed")


def test_views_and_empty_arrays(host: HostDriver) -> None:
    x = drawn((6, 9), "float32")
    for view in (x.t(), x[:, 1:], x[1:].reshape(-1)[1:].reshape(4, 11), x[:0], x[:, :0]):
        assert_near(torch.softmax(view, -1), torch.softmax(double(view), -1))
    assert_near(torch.softmax(x, 0), torch.softmax(double(x), 0))
