"""Adaptive and fractional max pooling, the inverse of max pooling, layers that draw numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F


def adaptive(x: Any, sizes: tuple[int, int]) -> Any:
    """Windows cut out one by one."""
    n, m = x.shape[-2:]
    h, w = sizes
    cuts = [
        [
            x[..., i * n // h : -(-(i + 1) * n // h), j * m // w : -(-(j + 1) * m // w)]
            for j in range(w)
        ]
        for i in range(h)
    ]
    return np.array([[c.max((-2, -1)) for c in row] for row in cuts]).transpose(2, 3, 0, 1)


@pytest.mark.parametrize("sizes", [(3, 2), (1, 1), (5, 7), (7, 4)])
def test_adaptive_max_pool_equals_windows_cut_out(sizes: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 7))
    found, places = F.adaptive_max_pool2d(torch.from_numpy(x), sizes, return_indices=True)
    np.testing.assert_array_equal(found.numpy(), adaptive(x, sizes))
    flat = x.reshape(2, 3, -1)
    picked = np.take_along_axis(flat, places.numpy().reshape(2, 3, -1), 2)
    np.testing.assert_array_equal(picked.reshape(found.shape), found.numpy())


def test_adaptive_sizes_of_the_input_and_without_batch() -> None:
    x = torch.randn(3, 5, 7)
    assert F.adaptive_max_pool2d(x, (None, 2)).shape == (3, 5, 2)
    assert F.adaptive_max_pool1d(x, 4).shape == (3, 5, 4)
    assert F.adaptive_max_pool3d(torch.randn(1, 2, 3, 4, 5), 2).shape == (1, 2, 2, 2, 2)
    whole = F.adaptive_max_pool2d(torch.tensor([[[1, 9], [3, 4]]]), 1)
    assert whole.tolist() == [[[9]]]


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.adaptive_max_pool2d(x, (2, 3)),
        lambda x: F.fractional_max_pool2d(
            x, 2, output_size=3, _random_samples=torch.full((1, 2, 2), 0.3, dtype=torch.float64)
        ),
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    ],
)
def test_gradients_equal_differences(pool: Any) -> None:
    values = np.random.default_rng(1).permutation(2 * 5 * 6).reshape(1, 2, 5, 6) / 10.0
    x = torch.from_numpy(values).requires_grad_()
    assert torch.autograd.gradcheck(pool, (x,))
    assert torch.autograd.gradgradcheck(lambda x: pool(x).square(), (x,))


def test_fractional_windows_are_pytorchs() -> None:
    """Recorded from PyTorch 2.13."""
    x = torch.arange(49.0).reshape(1, 1, 7, 7)
    samples = torch.tensor([[[0.2, 0.7]]])
    found, places = F.fractional_max_pool2d(
        x, 2, output_ratio=(0.6, 0.6), return_indices=True, _random_samples=samples
    )
    assert places.tolist() == FRACTIONAL
    assert torch.equal(found.long(), places)
    with pytest.raises(ValueError, match="either output_size or output_ratio"):
        F.fractional_max_pool2d(x, 2)


FRACTIONAL = [[[[8, 10, 11, 13], [15, 17, 18, 20], [29, 31, 32, 34], [43, 45, 46, 48]]]]


def test_max_unpool_puts_elements_back() -> None:
    x = torch.tensor([[[1.0, 5.0, 2.0, 4.0, 3.0]]])
    pooled, places = F.max_pool1d(x, 2, return_indices=True)
    assert F.max_unpool1d(pooled, places, 2).tolist() == [[[0, 5, 0, 4]]]
    assert F.max_unpool1d(pooled, places, 2, output_size=(5,)).tolist() == [[[0, 5, 0, 4, 0]]]
    with pytest.raises(ValueError, match="within a stride of"):
        F.max_unpool1d(pooled, places, 2, output_size=(9,))
    with pytest.raises(RuntimeError, match="indices below 4"):
        F.max_unpool1d(pooled, places + 9, 2)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(50_000, dtype=torch.float64)
    out = F.alpha_dropout(x, 0.3, training=True)
    assert out.mean().item() == pytest.approx(0, abs=0.02)
    assert out.var().item() == pytest.approx(1, abs=0.03)
    assert F.alpha_dropout(x, 0.3) is x
    channels = F.feature_alpha_dropout(torch.ones(4, 8, 5), 0.5, training=True)
    assert all(c.unique().numel() == 1 for c in channels.flatten(0, 1))


def test_rrelu_draws_slopes_where_the_input_is_negative() -> None:
    x = torch.tensor([1.0, -1.0, 2.0, -2.0], requires_grad=True)
    out = F.rrelu(x, 0.2, 0.4, training=True)
    slopes = (out / x).tolist()
    assert slopes[0] == slopes[2] == 1
    assert 0.2 <= slopes[1] < 0.4
    assert slopes[1] != slopes[3]
    out.sum().backward()
    assert x.grad.tolist() == pytest.approx(slopes)
    assert F.rrelu(x, 0.2, 0.4).tolist() == pytest.approx([1, -0.3, 2, -0.6])
    with pytest.raises(RuntimeError, match="lower not above upper"):
        F.rrelu(x, 0.4, 0.2)
