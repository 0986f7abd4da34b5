"""LU, LDL, reflections and low ranks under their older names; layers with their statistics."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F

A = torch.randn(2, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
B = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_lu_and_back() -> None:
    LU, pivots = torch.lu(A)
    P, L, U = torch.lu_unpack(LU, pivots)
    torch.testing.assert_close(P @ L @ U, A)
    torch.testing.assert_close(A @ torch.lu_solve(B, LU, pivots), B)
    assert len(torch.lu(A, get_infos=True)) == 3
    empty = torch.lu_unpack(LU, pivots, unpack_data=False)
    assert empty.L.numel() == empty.U.numel() == 0
    assert torch.autograd.gradcheck(
        lambda A: torch.lu_unpack(*torch.lu(A))[1:], (A.clone().requires_grad_(),)
    )


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_triangular_solve(upper: bool, transpose: bool) -> None:
    T = (A.triu() if upper else A.tril()) + 3 * torch.eye(4, dtype=torch.float64)
    X, copy = torch.triangular_solve(B, T, upper=upper, transpose=transpose)
    torch.testing.assert_close((T.mT if transpose else T) @ X, B)
    assert torch.equal(copy, T)


def test_reflections_make_an_orthogonal_matrix() -> None:
    packed, tau = torch.geqrf(A)
    Q = torch.orgqr(packed, tau)
    torch.testing.assert_close(Q @ packed.triu(), A)
    torch.testing.assert_close(torch.ormqr(packed, tau, B), Q @ B)
    torch.testing.assert_close(torch.ormqr(packed, tau, B, transpose=True), Q.mT @ B)
    torch.testing.assert_close(torch.ormqr(packed, tau, B.mT, left=False), B.mT @ Q)
    inputs = [t.clone().requires_grad_() for t in (packed, tau, B)]
    assert torch.autograd.gradcheck(torch.ormqr, inputs)
    assert torch.equal(torch.ger(B[0, :, 0], B[1, :, 0]), torch.outer(B[0, :, 0], B[1, :, 0]))


def test_ldl() -> None:
    S = A + A.mT
    LD, pivots = torch.linalg.ldl_factor(S)
    torch.testing.assert_close(S @ torch.linalg.ldl_solve(LD, pivots, B), B)
    H = torch.complex(A + A.mT, A - A.mT)
    LD, pivots = torch.linalg.ldl_factor(H, hermitian=True)
    right = B.to(torch.complex128)
    torch.testing.assert_close(H @ torch.linalg.ldl_solve(LD, pivots, right, hermitian=True), right)
    with pytest.raises(ValueError, match="pivots as ldl_factor gives them"):
        torch.linalg.ldl_solve(LD, pivots * 0 + 99, right)


def test_low_ranks() -> None:
    low = torch.randn(20, 3, dtype=torch.float64) @ torch.randn(3, 12, dtype=torch.float64)
    for matrix in (low, low.mT):
        U, S, V = torch.svd_lowrank(matrix, q=4)
        torch.testing.assert_close(U @ torch.diag(S) @ V.mT, matrix)
    U, S, V = torch.pca_lowrank(low + 5, q=4)
    centred = low + 5 - (low + 5).mean(0)
    torch.testing.assert_close(U @ torch.diag(S) @ V.mT, centred)
    with pytest.raises(ValueError, match="q from 0 to 12"):
        torch.pca_lowrank(low, q=13)
    nuclear = torch.norm(low, "nuc")
    assert nuclear.item() == pytest.approx(np.linalg.norm(low.numpy(), "nuc"))


def test_layers_with_their_statistics() -> None:
    x = torch.randn(3, 4, 5)
    weight, bias = torch.randn(5), torch.randn(5)
    out, mean, scale = torch.native_layer_norm(x, [5], weight, bias, 1e-5)
    assert torch.equal(out, F.layer_norm(x, [5], weight, bias))
    torch.testing.assert_close((x - mean) * scale * weight + bias, out)
    out, mean, scale = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    torch.testing.assert_close((x - mean[:, None]) * scale[:, None], out)
    out, mean, scale = torch.native_group_norm(x, None, None, 3, 4, 5, 2, 1e-5)
    assert mean.shape == scale.shape == (3, 2)
    torch.testing.assert_close(out, F.group_norm(x, 2))
    assert torch.constant_pad_nd(x, (1, 2), 3.0).shape == (3, 4, 8)
    kept, mask = torch.native_dropout(torch.ones(1000), 0.25, True)
    assert kept[mask].unique().item() == pytest.approx(4 / 3)
    assert (kept[~mask] == 0).all()
