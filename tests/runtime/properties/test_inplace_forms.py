"""Every in-place method does what the function without `_` does, to values and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.core.tensor import Tensor

from ..op_samples import SAMPLES
from ..samples.kit import Sample, leaves_of
from ..test_operations import call
from .drawing import LAYOUTS

RESHAPING = {"t", "transpose", "squeeze", "unsqueeze"}


def cases(name: str) -> list[Sample]:
    """Samples whose first argument is a tensor that the result fits into."""
    found = []
    for sample in SAMPLES[name]:
        if not isinstance(sample.args[0], np.ndarray):
            continue
        outs = leaves_of(call(name, sample.tensors(), sample))
        fits = len(outs) == 1 and outs[0].shape == sample.args[0].shape
        if fits and outs[0].dtype.category <= sample.tensors()[0].dtype.category:
            found.append(sample)
    return found


CASES = {n: cases(n) for n in SAMPLES if hasattr(Tensor, f"{n}_") and n not in RESHAPING}
CASES = {n: found for n, found in CASES.items() if found}


def gradients(out: Tensor, leaves: list[Tensor]) -> list[Any]:
    if not out.requires_grad:
        return []
    weights = np.asarray(np.random.RandomState(0).uniform(0.5, 1.5, tuple(out.shape)))
    grads = torch.autograd.grad(out, leaves, torch.from_numpy(weights), allow_unused=True)
    # A gradient that no input reads and one of zeros are the same.
    return [np.zeros(tuple(t.shape)) if g is None else g.numpy()
            for t, g in zip(leaves, grads, strict=True)]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
@pytest.mark.parametrize("name", CASES)
def test_in_place_equals_out_of_place(name: str, layout: Any) -> None:
    for sample in CASES[name]:
        args = sample.tensors(requires_grad=True)
        leaves = [t for t in leaves_of(args) if t.requires_grad]
        wanted = call(name, args, sample)
        first, *others = args
        base = layout(np.zeros(tuple(first.shape), first.dtype.numpy))
        target = base.copy_(first)
        version = target._version
        result = getattr(target, f"{name}_")(*others, **sample.options(first))
        assert result is target
        assert target._version > version
        np.testing.assert_array_equal(
            target.detach().numpy(), wanted.to(first.dtype).detach().numpy()
        )
        if sample.gradient and first.is_floating_point():
            for found, g in zip(gradients(target, leaves), gradients(wanted, leaves), strict=True):
                np.testing.assert_allclose(found, g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_leaf_that_requires_a_gradient_is_not_written(name: str) -> None:
    for sample in CASES[name][:1]:
        first, *others = sample.tensors(requires_grad=True)
        if first.requires_grad:
            before = first.detach().numpy().copy()
            with pytest.raises(RuntimeError):
                getattr(first, f"{name}_")(*others, **sample.options(first))
            np.testing.assert_array_equal(first.detach().numpy(), before)
