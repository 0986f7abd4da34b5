"""Linear algebra beyond its samples: eigenvalues, complex matrices, singular ones, refusals."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.ops import triangular

from .samples.kit import array

linalg = torch.linalg
REAL = array(3, 3, seed=1) + 2.5 * np.eye(3)
Z = REAL + 1j * array(3, 3, seed=5)
WIDE = array(2, 3, seed=3) + 1j * array(2, 3, seed=4)
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


def positive(A: Any) -> Any:
    return A @ A.mH + torch.eye(3, dtype=A.dtype)


def size(z: Any) -> Any:
    """|z|**2, which no phase changes."""
    return torch.view_as_real(z).square().sum(-1)


COMPLEX: dict[str, tuple[Any, Any]] = {
    "det": (linalg.det, Z),
    "slogdet": (lambda A: linalg.slogdet(A), Z),
    "inv": (linalg.inv, Z),
    "solve": (lambda A: linalg.solve(A, A[:, :2].sin()), Z),
    "solve_triangular": (lambda A: linalg.solve_triangular(A, A[:, :2].sin(), upper=True), Z),
    "cholesky": (lambda A: linalg.cholesky(positive(A)), Z),
    "upper cholesky": (lambda A: linalg.cholesky(positive(A), upper=True), Z),
    "cholesky_solve": (lambda A: torch.cholesky_solve(A[:, :1].sin(), A.tril()), Z),
    "qr": (linalg.qr, Z),
    "wide qr": (linalg.qr, WIDE),
    "eigh": (lambda A: (linalg.eigh(A + A.mH)[0], size(linalg.eigh(A + A.mH)[1])), Z),
    "svd": (lambda A: [(x := linalg.svd(A, False)), (x[0] @ x[2], x[1], size(x[0]))][1], WIDE),
    "svdvals": (linalg.svdvals, WIDE),
    "pinv": (linalg.pinv, WIDE),
    "lu": (lambda A: linalg.lu(A)[1:], Z),
    "lu_solve": (lambda A: linalg.lu_solve(*linalg.lu_factor(A), A.sin(), adjoint=True), Z),
    "matrix_exp": (linalg.matrix_exp, Z),
    "eigvals": (linalg.eigvals, Z),
    "eig": (lambda A: size(linalg.eig(A)[1]), Z),
}


def as_pairs(values: Any) -> Any:
    found = values if isinstance(values, tuple) else (values,)
    return tuple(torch.view_as_real(v) if v.is_complex() else v for v in found)


@pytest.mark.parametrize("name", COMPLEX)
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_of_complex_matrices_equal_differences(name: str, check: Any) -> None:
    function, A = COMPLEX[name]
    leaf = torch.from_numpy(np.stack([A.real, A.imag], -1)).requires_grad_()
    assert check(lambda x: as_pairs(function(torch.view_as_complex(x))), [leaf])


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_of_eigenvalues_equal_differences(check: Any) -> None:
    for A in (REAL, np.array([[0.5, 2.0], [-1.0, 0.3]])):  # with real and with complex ones
        leaf = torch.from_numpy(A.copy()).requires_grad_()
        assert check(lambda x: torch.view_as_real(linalg.eigvals(x)), [leaf])
        assert check(lambda x: size(linalg.eig(x)[1]), [leaf])


def test_eigenvectors_and_values_give_the_matrix_back() -> None:
    A = torch.from_numpy(REAL)
    w, V = linalg.eig(A)
    assert w.dtype is V.dtype is torch.complex128
    np.testing.assert_allclose((A.to(V.dtype) @ V).numpy(), (V * w).numpy(), rtol=1e-12)
    np.testing.assert_allclose(linalg.eigvals(A).numpy(), w.numpy(), rtol=1e-12)


def test_full_bases_are_orthonormal_and_get_no_gradient_beyond_the_rank() -> None:
    A = torch.from_numpy(array(4, 2)).requires_grad_()
    U, S, Vh = linalg.svd(A)
    np.testing.assert_allclose((U.mT @ U).detach().numpy(), np.eye(4), atol=1e-14)
    product = U[:, :2] @ torch.diag(S) @ Vh
    np.testing.assert_allclose(product.detach().numpy(), A.detach().numpy(), rtol=1e-13)
    U[:, 2:].sum().backward()
    assert A.grad is not None
    assert A.grad.abs().max() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.inv(torch.zeros(2, 2, 2)), "element 0.*element 1 is zero"),
        (lambda: linalg.solve(torch.from_numpy(SINGULAR), torch.ones(2).double()), "element 2"),
        (lambda: linalg.cholesky(torch.diag(torch.tensor([1.0, -1.0, 1.0]))), "order 2"),
        (lambda: linalg.cholesky(torch.full((2, 2), torch.nan)), "order 1"),
        (lambda: linalg.lu_factor(torch.zeros(2, 2)), "element 1 is zero"),
        (lambda: linalg.svd(torch.full((2, 2), torch.nan)), "Look for NaN"),
    ],
)  # fmt: skip
def test_matrices_without_what_is_asked_for_are_named(call: Any, message: str) -> None:
    with pytest.raises(linalg.LinAlgError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linalg.det(torch.ones(2, 3)), r"square matrices. Got shape \(2, 3\)"),
        (lambda: linalg.inv(torch.ones(2)), r"at least 2 dimensions.* \(2,\)"),
        (lambda: linalg.inv(torch.ones(2, 2, dtype=torch.int64)), "Got torch.int64"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(3, 1)), r"2 rows.*\(3, 1\)"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(2).double()), "one dtype"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(2), left=False), "left=False"),
        (lambda: linalg.qr(torch.eye(2), "full"), "'full'"),
        (lambda: linalg.eigh(torch.eye(2), "X"), "'X'"),
        (lambda: linalg.matrix_norm(torch.eye(2), 3), "Got 3"),
        (lambda: linalg.norm(torch.ones(2), "fro"), "two dimensions"),
        (lambda: linalg.vector_norm(torch.ones(0), -1), "expected elements"),
        (lambda: linalg.multi_dot([torch.eye(2)]), "two or more"),
        (lambda: linalg.lstsq(torch.eye(2), torch.eye(2), driver="x"), "'x'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()


def test_gradients_of_qr_without_what_they_need_are_refused() -> None:
    A = torch.ones(3, 2, requires_grad=True)
    for mode in ("r", "complete"):
        with pytest.raises(RuntimeError, match="expected mode 'reduced'"):
            linalg.qr(A, mode).R.sum().backward()


def test_info_tells_which_matrices_failed_and_leaves_the_others() -> None:
    batch = torch.stack([2 * torch.eye(2), torch.from_numpy(SINGULAR).float()])
    inverse, info = linalg.inv_ex(batch)
    assert info.tolist() == [0, 2]
    assert inverse[0].tolist() == [[0.5, 0], [0, 0.5]]
    assert inverse[1].isnan().all()
    assert linalg.cholesky_ex(-batch).info.tolist() == [1, 1]


def test_the_determinant_of_a_singular_matrix_has_its_cofactors_as_gradient() -> None:
    A = torch.from_numpy(SINGULAR).requires_grad_()
    linalg.det(A).backward()
    assert A.grad is not None
    np.testing.assert_allclose(A.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-14)


def test_subgradients_at_zero_are_zero() -> None:
    for p in (0.5, 1, 2, 3):
        x = torch.zeros(3, requires_grad=True)
        linalg.vector_norm(x, p).backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("unitriangular", [True, False])
@pytest.mark.parametrize("A", [REAL, Z], ids=["real", "complex"])
def test_the_fast_triangular_kernel_equals_the_general_one(
    A: Any, upper: bool, unitriangular: bool
) -> None:
    B = np.stack([array(3, 2), array(3, 2, seed=1)])
    fast, general = triangular.scipy_triangular, triangular.triangular_array
    np.testing.assert_allclose(
        fast(A, B, upper, unitriangular), general(np, A, B, upper, unitriangular), rtol=1e-12
    )


def test_a_zero_on_the_diagonal_of_a_triangle_gives_infinities() -> None:
    A = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    for batch in (A, A.expand(3, 2, 2)):
        x = linalg.solve_triangular(batch, torch.ones(2, 1), upper=True)
        assert x.isinf().all()


def test_lapacks_lu_equals_the_elimination() -> None:
    for A in (REAL, Z, array(2, 4, 3), array(2, 3, 4)):
        for fast, general in zip(
            triangular.lu_lapack(A, True), triangular.lu_array(np, A, True), strict=True
        ):
            np.testing.assert_allclose(fast, general, rtol=1e-12)


def test_results_print_as_pytorchs() -> None:
    shown = repr(linalg.slogdet(torch.eye(2)))
    assert shown == "torch.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(0.))"
    assert linalg.qr(torch.eye(1))._fields == ("Q", "R")


def test_linalg_is_imported_when_first_asked_for() -> None:
    assert torch.linalg is sys.modules["flambeau.linalg"]
    assert all(hasattr(linalg, name) for name in linalg.__all__)
