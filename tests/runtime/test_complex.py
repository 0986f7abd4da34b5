"""Complex numbers: values against NumPy, gradients against differences of their real parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

Z = np.array([[1.0 + 0.5j, -0.7 + 1.2j], [0.3 - 2.0j, 0.9 + 0.1j]])
W = np.array([[0.4 - 1.0j, 1.1 + 0.2j], [-0.6 + 0.3j, 0.5 + 0.8j]])

OPERATIONS: dict[str, tuple[Any, Any]] = {
    "add": (lambda z, w: z + w, np.add),
    "mul": (lambda z, w: z * w, np.multiply),
    "div": (lambda z, w: z / w, np.divide),
    "matmul": (lambda z, w: z @ w, np.matmul),
    "pow": (lambda z, w: z**3 + w**2, lambda z, w: z**3 + w**2),
    "exp": (lambda z, w: torch.exp(z) - torch.log(w), lambda z, w: np.exp(z) - np.log(w)),
    "tanh": (lambda z, w: torch.tanh(z) * torch.sin(w), lambda z, w: np.tanh(z) * np.sin(w)),
    "sqrt": (lambda z, w: z.sqrt() + w.reciprocal(), lambda z, w: np.sqrt(z) + 1 / w),
    "conj": (lambda z, w: z.conj() * w, lambda z, w: np.conj(z) * w),
    "abs": (lambda z, w: z.abs() * w, lambda z, w: np.abs(z) * w),
    "sigmoid": (lambda z, w: torch.sigmoid(z) * w, lambda z, w: w / (1 + np.exp(-z))),
    "logaddexp": (lambda z, w: torch.logaddexp(z, w), lambda z, w: np.log(np.exp(z) + np.exp(w))),
    "logsumexp": (lambda z, w: torch.logsumexp(z, 0) * w,
                  lambda z, w: np.log(np.exp(z).sum(0)) * w),
    "logcumsumexp": (lambda z, w: torch.logcumsumexp(z, 0) * w,
                     lambda z, w: np.log(np.cumsum(np.exp(z), 0)) * w),
    "angle": (lambda z, w: z.angle() * w, lambda z, w: np.angle(z) * w),
    "sgn": (lambda z, w: z.sgn() + w, lambda z, w: z / np.abs(z) + w),
    "real": (lambda z, w: z.real * w + z.imag, lambda z, w: z.real * w + z.imag),
    "complex": (lambda z, w: torch.complex(z.imag, w.real), lambda z, w: z.imag + 1j * w.real),
    "polar": (lambda z, w: torch.polar(z.abs(), w.real), lambda z, w:
              np.abs(z) * np.exp(1j * w.real)),
    "sum": (lambda z, w: z.sum(0) * w.mean(), lambda z, w: z.sum(0) * w.mean()),
    "prod": (lambda z, w: (z * w).prod(1), lambda z, w: (z * w).prod(1)),
    "mH": (lambda z, w: z.mH @ w, lambda z, w: z.conj().T @ w),
    "getitem": (lambda z, w: torch.cat([z[0], w[:, 1]]),
                lambda z, w: np.concatenate([z[0], w[:, 1]])),
    "real times complex": (lambda z, w: z.real * w, lambda z, w: z.real * w),
}  # fmt: skip


def pairs(z: Any) -> Any:
    return np.stack([z.real, z.imag], -1)


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_equal_numpy(name: str) -> None:
    mine, reference = OPERATIONS[name]
    found = mine(torch.from_numpy(Z.copy()), torch.from_numpy(W.copy()))
    np.testing.assert_allclose(found.numpy(), reference(Z, W), rtol=1e-12)
    assert found.dtype is torch.complex128


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_equal_differences(name: str, check: Any) -> None:
    mine, _ = OPERATIONS[name]

    def function(x: Any, y: Any) -> Any:
        return torch.view_as_real(mine(torch.view_as_complex(x), torch.view_as_complex(y)))

    leaves = [torch.from_numpy(pairs(v)).requires_grad_() for v in (Z, W)]
    assert check(function, leaves)


def test_the_gradient_is_pytorchs() -> None:
    """Recorded from PyTorch 2.13: the conjugate of the derivative, times g."""
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    (z * z).abs().sum().backward()
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), [2 + 4j, 6 - 2j], rtol=1e-6)


def test_parts_and_pairs_are_views() -> None:
    z = torch.zeros(2, dtype=torch.complex64)
    z.real += 1
    z.imag[1] = 5
    torch.view_as_real(z)[0, 1] = 3
    assert z.tolist() == [1 + 3j, 1 + 5j]
    x = torch.zeros(2, 2)
    torch.view_as_complex(x)[1] = 2 - 1j
    assert x.tolist() == [[0, 0], [2, -1]]


def test_what_is_no_complex_number_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"expected complex numbers. Got torch.float32"):
        torch.imag(torch.ones(2))
    with pytest.raises(RuntimeError, match=r"shape \(3,\)"):
        torch.view_as_complex(torch.ones(3))
    with pytest.raises(RuntimeError, match=r"torch.float32 and torch.float64"):
        torch.complex(torch.ones(1), torch.ones(1, dtype=torch.float64))


def test_absolute_values_and_signs_have_flat_derivatives_at_zero() -> None:
    """As PyTorch has it: 0, not NaN."""
    z = torch.zeros(2, dtype=torch.complex128, requires_grad=True)
    (g,) = torch.autograd.grad(z.abs().sum() + z.sgn().real.sum(), z)
    assert g.tolist() == [0j, 0j]


def test_logarithms_of_sums_do_not_overflow() -> None:
    z = torch.tensor([1000 + 1j, -torch.inf + 0j], dtype=torch.complex128)
    expected = 1000 + 1j
    assert torch.logsumexp(z, 0).item() == pytest.approx(expected)
    assert torch.logaddexp(z[0], z[1]).item() == pytest.approx(expected)
    assert torch.logcumsumexp(z, 0)[1].item() == pytest.approx(expected)
