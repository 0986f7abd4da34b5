"""How elements lie in memory changes no result and no gradient, whatever the operation."""

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

ODD = {name: layout for name, layout in LAYOUTS.items() if name != "contiguous"}

NEEDS_ITS_LAYOUT = {"view", "view_as_shape", "strided", "as_strided", "view_as_complex"}
"""Operations whose result, or refusal, is about the layout."""


def laid_out(args: Any, layout: Any) -> Any:
    if isinstance(args, tuple | list):
        return type(args)(laid_out(a, layout) for a in args)
    if not isinstance(args, Tensor):
        return args
    return layout(args.numpy()).requires_grad_(args.is_floating_point())


def run(name: str, sample: Sample, layout: Any) -> tuple[list[Any], list[Any]]:
    """The values of the results and gradients, the incoming ones laid out in that way too."""
    args = laid_out(sample.tensors(), layout)
    outs = leaves_of(call(name, args, sample))
    results = [t.detach().numpy() for t in outs]
    leaves = [t for t in leaves_of(args) if t.requires_grad]
    outs = [t for t in outs if t.requires_grad and t.is_floating_point()]
    if not (leaves and outs and sample.gradient):
        return results, []
    stream = np.random.RandomState(0)
    weights = [layout(np.asarray(stream.uniform(0.5, 1.5, tuple(t.shape)))) for t in outs]
    grads = torch.autograd.grad(outs, leaves, weights, allow_unused=True)
    for leaf, g in zip(leaves, grads, strict=True):
        assert g is None or (g.shape == leaf.shape and g.dtype is leaf.dtype)
    return results, [None if g is None else g.numpy() for g in grads]


@pytest.mark.parametrize("layout", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize("name", [n for n in SAMPLES if n not in NEEDS_ITS_LAYOUT])
def test_results_and_gradients_do_not_depend_on_the_layout(name: str, layout: Any) -> None:
    for sample in SAMPLES[name]:
        wanted = run(name, sample, LAYOUTS["contiguous"])
        found = run(name, sample, layout)
        for many_found, many_wanted in zip(found, wanted, strict=True):
            for a, b in zip(many_found, many_wanted, strict=True):
                if b is None:
                    assert a is None
                    continue
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
