"""Every operation against its oracles: NumPy, float64 differences, the shape rule."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.core.dispatch import key_of, operations
from flambeau.core.tensor import Tensor
from flambeau.ops import activations, gather, indexing, special_functions, strided

from .op_samples import SAMPLES
from .samples import linalg_samples, loss_samples, recurrent_samples
from .samples.kit import Sample, leaves_of

CASES = [
    pytest.param(name, sample, id=f"{name}-{k}")
    for name, samples in SAMPLES.items()
    for k, sample in enumerate(samples)
]


@functools.cache
def function_of(name: str) -> Any:
    """The public function called `name`, dots followed, or that of the samples."""
    for samples in (linalg_samples, loss_samples, recurrent_samples):
        if name in samples.FUNCTIONS:
            return samples.FUNCTIONS[name]
    if "." in name:
        return functools.reduce(getattr, name.split("."), torch)
    if name in operations:
        return operations[name].function
    for place in (torch, indexing, activations, special_functions, strided, gather):
        if hasattr(place, name):
            return getattr(place, name)
    if hasattr(Tensor, name):
        return getattr(Tensor, name)
    return getattr(torch.nn.functional, name)


def call(name: str, args: Any, sample: Sample) -> Any:
    tensors = leaves_of(args)
    return function_of(name)(*args, **(sample.options(tensors[0]) if tensors else sample.kwargs))


def outputs_of(result: Any) -> list[Tensor]:
    return leaves_of(result)


COMPUTED_IN_FLOAT32 = {"int8_gru_steps", "int8_lstm_steps"}
"""Operations whose results are float32 whatever their arguments are."""


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_values_equal_numpy(name: str, sample: Sample) -> None:
    if sample.reference is None:
        pytest.skip("NumPy has no counterpart; see recorded values and gradients")
    result = outputs_of(call(name, sample.tensors(), sample))
    expected = sample.reference(*sample.args, **sample.kwargs)
    expected = expected if isinstance(expected, list) else [expected]
    assert len(result) == len(expected)
    for found, wanted in zip(result, expected, strict=True):
        near = 1e-5 if name in COMPUTED_IN_FLOAT32 else 1e-12
        np.testing.assert_allclose(found.numpy(), wanted, rtol=near, atol=near)
        assert tuple(found.shape) == np.shape(wanted)


VALUE_DEPENDENT = {"nonzero", "masked_select"}
"""Operations that look at values, which meta tensors have not."""


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_meta_gives_the_shapes_and_dtypes_of_the_real_run(name: str, sample: Sample) -> None:
    if name in VALUE_DEPENDENT:
        with pytest.raises(RuntimeError):
            call(name, sample.tensors(device="meta"), sample)
        return
    real = outputs_of(call(name, sample.tensors(), sample))
    meta = outputs_of(call(name, sample.tensors(device="meta"), sample))
    assert [(t.shape, t.dtype) for t in meta] == [(t.shape, t.dtype) for t in real]
    assert all(t.device.type == "meta" for t in meta)


def with_gradients(sample: Sample) -> bool:
    return sample.gradient and any(t.is_floating_point() for t in leaves_of(sample.tensors()))


GRADIENT_CASES = [c for c in CASES if with_gradients(c.values[1])]
SECOND_ORDER_CASES = [c for c in GRADIENT_CASES if c.values[1].second_order]


def flattened(name: str, sample: Sample) -> tuple[Any, list[Tensor]]:
    """The call as a function of its tensors, for the gradient checkers."""
    args = sample.tensors(requires_grad=True)
    leaves = leaves_of(args)

    def function(*tensors: Tensor) -> Any:
        replaced = dict(zip(map(id, leaves), tensors, strict=True))
        return call(name, _replaced(args, replaced), sample)

    return function, leaves


def _replaced(args: Any, replaced: dict[int, Tensor]) -> Any:
    if isinstance(args, tuple | list):
        return type(args)(_replaced(a, replaced) for a in args)
    return replaced.get(id(args), args)


@pytest.mark.parametrize(("name", "sample"), GRADIENT_CASES)
def test_gradients_equal_differences(name: str, sample: Sample) -> None:
    assert torch.autograd.gradcheck(*flattened(name, sample))


@pytest.mark.parametrize(("name", "sample"), SECOND_ORDER_CASES)
def test_second_gradients_equal_differences(name: str, sample: Sample) -> None:
    assert torch.autograd.gradgradcheck(*flattened(name, sample))


@pytest.mark.parametrize(("name", "sample"), GRADIENT_CASES)
def test_meta_backward_gives_the_shapes_of_the_real_one(name: str, sample: Sample) -> None:
    if name in VALUE_DEPENDENT:
        return
    grads = []
    for place in ("cpu", "meta"):
        args = sample.tensors(requires_grad=True, device=place)
        leaves = [t for t in leaves_of(args) if t.requires_grad]
        outs = [t for t in outputs_of(call(name, args, sample)) if t.requires_grad]
        if not outs:
            return
        weights = [torch.ones_like(t) for t in outs]
        found = torch.autograd.grad(outs, leaves, weights, allow_unused=True)
        grads.append([None if g is None else (g.shape, g.dtype) for g in found])
    assert grads[0] == grads[1]


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_float32_and_strided_inputs_give_the_same_values(name: str, sample: Sample) -> None:
    wanted = outputs_of(call(name, sample.tensors(), sample))
    strided = _mapped_tensors(sample.tensors(dtype=torch.float32), _with_odd_strides)
    if name in ("view",):
        strided = sample.tensors(dtype=torch.float32)
    found = outputs_of(call(name, strided, sample))
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype is (torch.float32 if b.dtype is torch.float64 else b.dtype)
        scale = max(
            1.0, float(np.abs(b.numpy()).max(initial=0)) if b.dtype is not torch.bool else 1.0
        )
        np.testing.assert_allclose(
            a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5 * (scale if np.isfinite(scale) else 1)
        )


def _mapped_tensors(args: Any, function: Any) -> Any:
    if isinstance(args, tuple | list):
        return type(args)(_mapped_tensors(a, function) for a in args)
    return function(args) if isinstance(args, Tensor) else args


def _with_odd_strides(t: Tensor) -> Tensor:
    """The same values with every second element of a larger memory, dimensions stored in
    reverse."""
    if t.ndim == 0:
        return t
    array = t.numpy()
    memory = np.zeros([2 * n for n in reversed(array.shape)], array.dtype)
    shown = memory[tuple(slice(None, None, 2) for _ in array.shape)].transpose()
    shown[...] = array
    return torch.from_numpy(shown)


def _differentiate(function: Any, leaves: list[Tensor], twice: bool) -> None:
    """Once as a training does, by fused gradients; and so that it can be done again."""
    inputs = [t for t in leaves if t.requires_grad]
    for create_graph in (False, True)[: 1 + twice]:
        outs = [t for t in outputs_of(function(*leaves)) if t.requires_grad]
        weights = [torch.ones_like(t, requires_grad=create_graph) for t in outs]
        grads = torch.autograd.grad(
            outs, inputs, weights, create_graph=create_graph, allow_unused=True
        )
        again = [g for g in grads if g is not None and g.requires_grad]
        if again:
            ones = [torch.ones_like(g) for g in again]
            torch.autograd.grad(again, inputs + weights, ones, allow_unused=True)


def test_every_declared_operation_is_sampled_or_reached_by_gradients() -> None:
    """A kernel is resolved at its first use, so what was never used has no kernel on the key."""
    for name, samples in SAMPLES.items():
        for sample in samples:
            call(name, sample.tensors(), sample)
            if with_gradients(sample):
                _differentiate(*flattened(name, sample), sample.second_order)
    key = key_of(torch.device("cpu"), torch.float64)
    used = vars(key).keys() | vars(key_of(torch.device("cpu"), torch.int64)).keys()
    used |= vars(key_of(torch.device("cpu"), torch.bool)).keys()
    plain = {n for n, o in operations.items() if o.is_plain_composite or o.derived}
    assert set(operations) - plain - used - set(SAMPLES) - EXEMPT == set()


ABSOLUTE = {"complex_abs", "complex_sgn", "complex_logcumsumexp"}
COMPLEX = ABSOLUTE | {
    "conj",
    "real_part",
    "imag_part",
    "complex",
    "view_as_real",
    "view_as_complex",
}
FOURIER = {"fft_complex", "fft_real", "fft_to_real", "half_sum", "doubled_half"}
EIGENVALUES = {"eig_pairs", "eigenvalues"}
PLAIN = {"detached", "cast", "reshape_like", "trunc_divide", "ones_of"}
ALIGNMENTS = {"ctc_losses", "ctc_gradient", "ldl_solved"}
EXPANDED = {"strided_by_element"}
ATTENTION = {"attention", "attention_gradient", "tiled_attention", "tiled_attention_gradient"}
EXEMPT = PLAIN | EIGENVALUES | COMPLEX | FOURIER | ALIGNMENTS | EXPANDED | ATTENTION
"""Reached by other tests: detach, conversion of dtype, division of integers, first gradients,
complex numbers, Fourier transforms, the alignments of labels, LDL, views of expanded tensors,
attention that is large enough for a kernel of its own."""

LARGE = ["gelu", "silu", "mish", "softplus", "leaky_relu", "elu", "hardswish", "logsigmoid"]


@pytest.mark.parametrize("name", LARGE)
def test_large_arrays_computed_in_blocks_equal_small_ones(name: str) -> None:
    values = np.linspace(-6, 6, 70_001)
    x = torch.from_numpy(values).requires_grad_()
    whole = function_of(name)(x)
    whole.backward(torch.ones_like(whole))
    parts = [torch.from_numpy(p.copy()).requires_grad_() for p in np.array_split(values, 50)]
    for p in parts:
        out = function_of(name)(p)
        out.backward(torch.ones_like(out))
    np.testing.assert_array_equal(
        whole.detach().numpy(),
        np.concatenate([function_of(name)(p).detach().numpy() for p in parts]),
    )
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.concatenate([p.grad.numpy() for p in parts]))


TAILS = [
    "sigmoid",
    "tanh",
    "softplus",
    "gelu",
    "silu",
    "mish",
    "elu",
    "logsigmoid",
    "erf",
    "hardswish",
]


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize("magnitude", [20.0, 100.0, 1e4])
def test_values_and_gradients_are_finite_far_out(name: str, magnitude: float) -> None:
    x = torch.tensor([-magnitude, magnitude], requires_grad=True)
    out = function_of(name)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()
