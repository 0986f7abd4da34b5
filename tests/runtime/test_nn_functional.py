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
