"""Every operation has a reading on the GPU: it runs there, forward and backward, in every type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.core.dispatch import key_of, operations
from flambeau.core.tensor import Tensor
from flambeau.errors import DTypeError

from .op_samples import SAMPLES
from .samples.kit import Sample, leaves_of
from .test_cuda import placed
from .test_operations import call, outputs_of, with_gradients

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_operation_has_a_kernel_on_the_gpu(dtype: Any) -> None:
    key = key_of(torch.device("cuda", 0), dtype)
    missing = []
    for name in operations:
        try:
            missing += [name] if not callable(getattr(key, name)) else []
        except DTypeError:
            continue  # as on the CPU, refused by its declaration
    assert missing == []


def ran(name: str, sample: Sample, place: str, dtype: Any) -> list[Tensor | None]:
    """Results and gradients of a call."""
    args = sample.tensors(with_gradients(sample), place, dtype)
    outs = outputs_of(call(name, args, sample if place == "cpu" else placed(sample, place)))
    leaves = [t for t in leaves_of(args) if t.requires_grad]
    tracked = [t for t in outs if t.requires_grad]
    if not tracked:
        return [*outs]
    weights = [torch.ones_like(t) for t in tracked]
    return [*outs, *torch.autograd.grad(tracked, leaves, weights, allow_unused=True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", SAMPLES)
def test_narrow_types_give_on_the_gpu_what_they_give_on_the_cpu(name: str, dtype: Any) -> None:
    sample = SAMPLES[name][0]
    try:
        wanted = ran(name, sample, "cpu", dtype)
    except RuntimeError:
        pytest.skip(f"the CPU refuses {dtype}")
    found = ran(name, sample, "cuda", dtype)
    precision = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}[dtype]
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.device.type, a.dtype, a.shape) == ("cuda", b.dtype, b.shape)
            np.testing.assert_allclose(values(a), values(b), rtol=precision, atol=precision)


def values(t: Tensor) -> Any:
    """In double precision, for NumPy knows no bfloat16."""
    t = t.detach().cpu()
    return (t if t.is_complex() else t.double()).numpy()


def z(device: str) -> Tensor:
    """Three complex numbers."""
    return torch.complex(torch.arange(3.0, device=device), torch.ones(3, device=device))


def slope(function: Callable[[Tensor], Tensor], device: str) -> Any:
    """The gradient of a function of three complex numbers."""
    x = z(device).requires_grad_()
    function(x).sum().backward()
    return x.grad


UNSAMPLED: dict[str, Callable[[str], Any]] = {
    "absolute value": lambda d: (z(d).abs(), z(d).angle(), z(d).sgn()),
    "conjugate": lambda d: z(d).conj() * 2,
    "complex sums of exponentials": lambda d: z(d).logcumsumexp(0),
    "parts": lambda d: (slope(lambda x: (x**2).real, d), slope(lambda x: (x**2).imag, d)),
    "views": lambda d: torch.view_as_complex(torch.view_as_real(z(d)) * 2),
    "fft": lambda d: torch.fft.ifft2(torch.fft.fft2(torch.ones(4, 4, device=d)) * 2),
    "rfft": lambda d: slope(lambda x: torch.fft.irfft(torch.fft.rfft(x.real) * 2), d),
    "stft": lambda d: torch.stft(
        torch.ones(64, device=d), 16, window=torch.hann_window(16, device=d), return_complex=True
    ),
    "eigenvalues": lambda d: torch.linalg.eigvals(torch.eye(3, device=d)),
    "eigenvectors": lambda d: tuple(torch.linalg.eig(torch.eye(3, device=d))),
    "ldl": lambda d: torch.linalg.ldl_solve(
        *torch.linalg.ldl_factor(torch.eye(3, device=d)), torch.ones(3, 1, device=d)
    ),
    "integers": lambda d: torch.div(torch.arange(-5, 5, device=d), 2, rounding_mode="trunc"),
    "attention": lambda d: F.scaled_dot_product_attention(
        *[torch.arange(64.0, device=d).reshape(1, 2, 4, 8) / 64 for _ in range(3)], is_causal=True
    ),
    "places": lambda d: (
        torch.linspace(0, 1, 5, device=d), torch.logspace(0, 1, 5, device=d),
        torch.eye(3, device=d), torch.arange(5, device=d), torch.full((2,), 3, device=d),
        torch.tril_indices(3, 3, device=d),
    ),
    "unique": lambda d: torch.unique(
        torch.tensor([3, 1, 3], device=d), return_inverse=True, return_counts=True
    ),
    "counts": lambda d: (
        torch.bincount(torch.arange(5, device=d)), torch.histc(torch.arange(5.0, device=d), 5),
        torch.topk(torch.arange(7.0, device=d), 3)[0], torch.sort(torch.arange(7, device=d))[1],
    ),
    "interpolation": lambda d: (
        F.interpolate(torch.ones(1, 1, 4, 4, device=d), scale_factor=2, mode="bicubic"),
        F.grid_sample(torch.ones(1, 1, 4, 4, device=d), torch.zeros(1, 2, 2, 2, device=d),
                      align_corners=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAMPLED)
def test_what_has_no_samples_gives_on_the_gpu_what_it_gives_on_the_cpu(name: str) -> None:
    found, wanted = UNSAMPLED[name]("cuda"), UNSAMPLED[name]("cpu")
    for a, b in zip(leaves_of((found,)), leaves_of((wanted,)), strict=True):
        assert (a.device.type, a.dtype, a.shape) == ("cuda", b.dtype, b.shape)
        np.testing.assert_allclose(values(a), values(b), rtol=1e-5, atol=1e-5)


def fed(layer: Any, *shape: int) -> Any:
    """The layer's result for normal numbers, and its way back."""
    found = layer.cuda()(torch.randn(*shape, device="cuda"))
    first = found[0] if isinstance(found, tuple) else found
    first.sum().backward()
    return first


RANDOM: dict[str, Callable[[], Any]] = {
    "poisson": lambda: torch.poisson(torch.ones(3, device="cuda")),
    "binomial": lambda: torch.binomial(*torch.ones(2, 3, device="cuda").unbind()),
    "normal": lambda: torch.normal(torch.zeros(3, device="cuda"), 1.0),
    "gamma": lambda: torch.distributions.Gamma(*torch.ones(2, 3, device="cuda").unbind()).rsample(),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(5, 3, device="cuda")),
    "truncated": lambda: nn.init.trunc_normal_(torch.empty(5, 3, device="cuda")),
    "LSTM": lambda: fed(nn.LSTM(3, 4), 5, 2, 3),
    "GRU": lambda: fed(nn.GRU(3, 4), 5, 2, 3),
    "transformer": lambda: fed(nn.TransformerEncoderLayer(8, 2), 5, 2, 8),
    "convolution": lambda: fed(nn.Conv2d(3, 4, 3, padding=1), 1, 3, 8, 8),
    "transposed convolution": lambda: fed(nn.ConvTranspose2d(3, 4, 3, stride=2), 1, 3, 8, 8),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_results_lie_on_the_gpu_and_are_finite(name: str) -> None:
    found = RANDOM[name]()
    assert found.device.type == "cuda"
    assert torch.isfinite(found).all().item()
