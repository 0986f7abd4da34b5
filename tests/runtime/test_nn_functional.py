"""`nn.functional` beyond the layers: values and gradients recorded from PyTorch, derivatives by
differences, what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .recorded import functional as recorded

RECORDED = json.loads(recorded.FILE.read_text())


@pytest.mark.parametrize("name", recorded.CALLS)
def test_values_and_gradients_are_pytorchs(name: str) -> None:
    found = recorded.results(torch, torch.from_numpy, name)
    for mine, theirs in zip(found, RECORDED[name], strict=True):
        np.testing.assert_allclose(mine, np.array(theirs), rtol=1e-9, atol=1e-11)


KINKED = ("nearest", "shrink", "threshold", "margin", "reflection", "border", "triplet", "hinge")


@pytest.mark.parametrize("name", [n for n in recorded.CALLS if not any(k in n for k in KINKED)])
def test_second_derivatives_equal_differences(name: str) -> None:
    function, arrays = recorded.CALLS[name]
    tensors = [torch.from_numpy(a.copy()) for a in arrays]
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    if sum(t.numel() for t in leaves) > 60:
        pytest.skip("differences of so many elements take too long")
    rest = [t for t in tensors if not t.is_floating_point()]
    assert torch.autograd.gradgradcheck(lambda *xs: function(torch, F, *xs, *rest), leaves)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: F.pad(x, (9, 9), "reflect"), "at most 4 for mode 'reflect'"),
        (lambda x: F.pad(x, (1, 1), "mirror"), "mode of constant, reflect"),
        (lambda x: F.interpolate(x, size=3, scale_factor=2.0), "either size or scale_factor"),
        (lambda x: F.interpolate(x, size=3, mode="bilinear"), "expected 2 spatial dimensions"),
        (lambda x: F.grid_sample(x, x), "expected input .N, C, H, W."),
        (lambda x: F.unfold(x.unsqueeze(0), 9), "kernel that fits"),
        (lambda x: F.fold(x, (4, 4), 3), "fold: expected"),
        (lambda x: F.pixel_shuffle(x, 2), "channels divisible by 4"),
        (lambda x: F.glu(x, 1), "even size along dimension 1"),
        (lambda x: F.group_norm(x, 2), "channels that 2 divides"),
        (lambda x: F.conv_transpose1d(x, x), "input with 2 channels"),
        (lambda x: F.gaussian_nll_loss(x, x, -1.0), "variances of at least 0"),
        (lambda x: F.pdist(x), "expected a matrix"),
        (lambda x: F.rms_norm(x, (4,)), "ends in"),
    ],
)
def test_what_does_not_fit_is_explained(call: Any, words: str) -> None:
    with pytest.raises((RuntimeError, ValueError, NotImplementedError), match=words):
        call(torch.ones(2, 3, 5))


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        # recorded from PyTorch 2.13
        ("bilinear", {"size": (2, 2)}, [9.142857, 18.571429, 56.285714, 81.428571]),
        (
            "bilinear",
            {"scale_factor": (0.5, 1.5)},
            [16.0, 19.357143, 24.166667, 29.97619, 36.785714, 42.142857],
        ),
        (
            "bilinear",
            {"size": (4, 3), "align_corners": True},
            [
                0.375,
                3.555556,
                8.166667,
                9.875,
                18.666667,
                27.5,
                27.875,
                44.148148,
                58.611111,
                61.875,
                85.62963,
                105.722222,
            ],
        ),
        ("bicubic", {"size": (2, 2)}, [5.730085, 15.735962, 56.383415, 86.559357]),
        (
            "bicubic",
            {"scale_factor": (0.5, 1.5)},
            [14.049958, 16.982189, 22.115427, 27.706397, 35.23506, 40.312801],
        ),
        (
            "bicubic",
            {"size": (4, 3), "align_corners": True},
            [
                -1.045648,
                1.494118,
                6.21343,
                5.81325,
                14.129412,
                23.406897,
                26.071353,
                43.772379,
                60.455488,
                63.243363,
                89.526503,
                112.981785,
            ],
        ),
    ],
)
def test_antialiased_resampling_covers_all_pixels(mode: str, options: Any, expected: Any) -> None:
    x = torch.arange(12.0, dtype=torch.float64).reshape(1, 1, 3, 4).square()
    found = F.interpolate(x, mode=mode, antialias=True, **options)
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-5)
    x.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: F.interpolate(x, mode=mode, antialias=True, **options), (x,)
    )


def test_antialiasing_is_for_smooth_images_only() -> None:
    with pytest.raises(ValueError, match="antialias with"):
        F.interpolate(torch.ones(1, 1, 4, 4), size=2, mode="nearest", antialias=True)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_of_a_single_number_has_no_slope(function: Any, dtype: Any) -> None:
    x = torch.tensor(1.5, dtype=dtype, requires_grad=True)
    function(x, 0).backward()
    assert x.grad.item() == 0
    assert x.grad.shape == ()


@pytest.mark.parametrize(
    ("size", "new", "places"),
    [
        (5, 6, [0, 0, 1, 2, 3, 4]),
        (10, 12, [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]),
        (7, 10, [0, 0, 1, 2, 2, 3, 4, 4, 5, 6]),
    ],
)
def test_nearest_pixels_are_pytorchs_where_places_are_whole_numbers(
    size: int, new: int, places: list[int]
) -> None:
    x = torch.arange(float(size)).reshape(1, 1, size)
    assert F.interpolate(x, size=new).flatten().tolist() == places
