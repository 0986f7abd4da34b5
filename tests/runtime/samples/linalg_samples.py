"""Samples of linear algebra.

What is only defined on symmetric or positive matrices is sampled through functions of any matrix,
FUNCTIONS, as a difference by one element would leave the definition's domain.
"""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

import flambeau as torch

from .kit import Sample, apart, array

DIAGONAL = 2.5 * np.eye(3)
ONE = array(3, 3, seed=1) + DIAGONAL
BATCH = array(2, 3, 3, seed=2) + DIAGONAL
NONE = np.zeros((0, 3, 3))
TALL, WIDE = array(4, 3, seed=3), array(2, 3, 4, seed=4)
POSITIVE = ONE @ ONE.T + np.eye(3)
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
FLAT: dict[str, Any] = {"gradient": False}


def squares(reference: Callable[..., Any] | None, *rest: Any, **options: Any) -> list[Sample]:
    """A matrix, a batch, no matrix."""
    return [Sample((a, *rest), {}, reference, **options) for a in (ONE, BATCH, NONE)]


def symmetric(A: Any) -> Any:
    return A + A.mT


def positive(A: Any) -> Any:
    return A @ A.mT + torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cholesky_of_positive": lambda A, **k: torch.linalg.cholesky(positive(A), **k),
    "cholesky_ex_of_positive": lambda A: torch.linalg.cholesky_ex(positive(A)).L,
    "cholesky_solve_of_triangle": lambda B, L, **k: torch.cholesky_solve(B, L.triu() if k else L.tril(), **k),
    "cholesky_inverse_of_triangle": lambda L: torch.cholesky_inverse(L.tril()),
    "eigh_of_symmetric": lambda A, **k: torch.linalg.eigh(symmetric(A), **k),
    "eigvalsh_of_symmetric": lambda A, **k: torch.linalg.eigvalsh(symmetric(A), **k),
    "pinv_of_symmetric": lambda A: torch.linalg.pinv(symmetric(A), hermitian=True),
    "pinv_of_rank_2": lambda A, B: torch.linalg.pinv(A @ B),
    "inverse_and_info": lambda A: torch.linalg.inv_ex(A).inverse,
    "solution_and_info": lambda A, B: torch.linalg.solve_ex(A, B).result,
    "lu_factor_values": lambda A: torch.linalg.lu_factor(A).LU,
    "lu_without_pivots": lambda A: torch.linalg.lu(A, pivot=False)[1:],
    "lu_solved": lambda A, B, **k: torch.linalg.lu_solve(*torch.linalg.lu_factor(A), B, **k),
    "least_squares": lambda A, B, **k: torch.linalg.lstsq(A, B, **k)[:2],
}  # fmt: skip


def _eigh(A: Any, UPLO: str = "L") -> list[Any]:
    return list(np.linalg.eigh(A + np.swapaxes(A, -1, -2), UPLO))


def _power_sum(p: float) -> Callable[..., Any]:
    return lambda x, *rest, **k: np.linalg.norm(x, p, *rest)


DECOMPOSITIONS: dict[str, list[Sample]] = {
    "cholesky_of_positive": [
        *squares(lambda A: np.linalg.cholesky(A @ np.swapaxes(A, -1, -2) + np.eye(3))),
        Sample((ONE,), {"upper": True}, lambda A, upper: np.linalg.cholesky(A @ A.T + np.eye(3)).T),
    ],
    "cholesky_ex_of_positive": squares(None),
    "linalg.cholesky": [Sample((POSITIVE,), {}, np.linalg.cholesky, **FLAT)],
    "cholesky_solve_of_triangle": [
        Sample((array(3, 2), ONE), {}, lambda B, L: np.linalg.solve(np.tril(L) @ np.tril(L).T, B)),
        Sample((array(2, 3, 1), ONE), {"upper": True}, lambda B, L, upper: np.linalg.solve(np.triu(L).T @ np.triu(L), B)),
    ],
    "cholesky_inverse_of_triangle": squares(lambda L: np.linalg.inv(np.tril(L) @ np.swapaxes(np.tril(L), -1, -2))),
    "linalg.qr": [
        *(Sample((a,), {}, lambda A: list(np.linalg.qr(A))) for a in (ONE, TALL, BATCH, NONE)),
        Sample((WIDE,), {}, None),
        Sample((WIDE, "complete"), {}, None),
        Sample((TALL, "complete"), {}, lambda A, mode: list(np.linalg.qr(A, mode)), **FLAT),
        Sample((TALL, "r"), {}, lambda A, mode: [np.empty(0), np.linalg.qr(A, mode)], **FLAT),
    ],
    "eigh_of_symmetric": [*squares(_eigh), Sample((ONE,), {"UPLO": "U"}, _eigh)],
    "eigvalsh_of_symmetric": [*squares(lambda A: _eigh(A)[0]), Sample((ONE,), {"UPLO": "U"}, lambda A, UPLO: _eigh(A)[0])],
    "linalg.svd": [
        *(Sample((a, False), {}, lambda A, full: list(np.linalg.svd(A, full))) for a in (ONE, TALL, WIDE, NONE)),
        Sample((TALL,), {}, None, **FLAT), Sample((WIDE,), {}, None, **FLAT),
    ],
    "linalg.svdvals": [Sample((a,), {}, lambda A: np.linalg.svd(A, compute_uv=False)) for a in (ONE, TALL, WIDE, NONE)],
    "linalg.lu": [Sample((a,), {}, lambda A: list(scipy.linalg.lu(A))) for a in (ONE, TALL, TALL.T)],
    "lu_factor_values": [Sample((a,), {}, None) for a in (ONE, TALL, WIDE)],
    "lu_without_pivots": [Sample((a,), {}, None) for a in (ONE, TALL, WIDE)],
    "linalg.householder_product": [Sample((TALL, array(2)), {}, lambda A, tau: scipy.linalg.lapack.dorgqr(A, np.append(tau, 0))[0])],
    "lu_solved": [
        Sample((ONE, array(3, 2)), {}, np.linalg.solve),
        Sample((BATCH, array(3, 2)), {"adjoint": True}, lambda A, B, adjoint: np.linalg.solve(np.swapaxes(A, -1, -2), B)),
        Sample((ONE, array(2, 3)), {"left": False}, lambda A, B, left: B @ np.linalg.inv(A)),
    ],
}  # fmt: skip

SOLVING: dict[str, list[Sample]] = {
    "linalg.det": [*squares(np.linalg.det), Sample((SINGULAR,), {}, np.linalg.det, second_order=False)],
    "linalg.slogdet": squares(lambda A: list(np.linalg.slogdet(A))),
    "logdet": squares(lambda A: np.linalg.slogdet(A)[1]),
    "linalg.inv": squares(np.linalg.inv),
    "inverse_and_info": squares(np.linalg.inv),
    "linalg.solve": [
        Sample((ONE, array(3)), {}, np.linalg.solve),
        Sample((BATCH, array(3, 2)), {}, np.linalg.solve),
        Sample((ONE, array(2, 3, 2)), {}, np.linalg.solve),
        Sample((BATCH, array(2, 3)), {}, lambda A, B: np.linalg.solve(A, B[..., None])[..., 0]),
        Sample((ONE, array(2, 3)), {"left": False}, lambda A, B, left: B @ np.linalg.inv(A)),
    ],
    "solution_and_info": [Sample((ONE, array(3, 2)), {}, np.linalg.solve)],
    "linalg.solve_triangular": [
        Sample((ONE, array(3, 2)), {"upper": True}, lambda A, B, upper: np.linalg.solve(np.triu(A), B)),
        Sample((BATCH, array(3, 2)), {"upper": False}, lambda A, B, upper: np.linalg.solve(np.tril(A), B)),
        Sample((ONE, array(2, 2, 3)), {"upper": True, "left": False}, lambda A, B, upper, left: B @ np.linalg.inv(np.triu(A))),
        Sample((ONE, array(3, 2)), {"upper": False, "unitriangular": True},
               lambda A, B, upper, unitriangular: np.linalg.solve(np.tril(A, -1) + np.eye(3), B)),
    ],
    "linalg.pinv": [Sample((a,), {}, np.linalg.pinv) for a in (ONE, TALL, WIDE)],
    "pinv_of_symmetric": squares(lambda A: np.linalg.pinv(A + np.swapaxes(A, -1, -2))),
    "pinv_of_rank_2": [Sample((array(4, 2), array(2, 3)), {}, lambda A, B: np.linalg.pinv(A @ B))],
    "linalg.matrix_rank": [Sample((a,), {}, np.linalg.matrix_rank, **FLAT) for a in (ONE, SINGULAR, WIDE)],
    "least_squares": [
        Sample((TALL, array(4, 2)), {"driver": "gels"}, lambda A, B, driver: list(np.linalg.lstsq(A, B)[:2])),
        Sample((array(3, 4), array(3)), {}, lambda A, B: [np.linalg.lstsq(A, B)[0], np.empty(0)]),
    ],
    "linalg.matrix_power": [Sample((ONE, n), {}, np.linalg.matrix_power) for n in (0, 1, 3, 6, -2)],
    "linalg.matrix_exp": [*squares(scipy.linalg.expm), Sample((20 * ONE / 7,), {}, scipy.linalg.expm)],
    "linalg.multi_dot": [
        Sample(([array(2, 3), array(3, 4), array(4, 2)],), {}, np.linalg.multi_dot),
        Sample(([array(3), array(3, 4), array(4)],), {}, np.linalg.multi_dot),
    ],
    "linalg.tensorinv": [Sample((array(2, 3, 6) + np.eye(6).reshape(2, 3, 6) * 3,), {}, np.linalg.tensorinv)],
    "linalg.tensorsolve": [Sample((array(2, 3, 6) + np.eye(6).reshape(2, 3, 6) * 3, array(2, 3)), {}, np.linalg.tensorsolve)],
}  # fmt: skip

NORMS: dict[str, list[Sample]] = {
    "linalg.vector_norm": [
        Sample((apart(3, 4),), {}, np.linalg.norm),
        *(Sample((apart(3, 4), p, 1), {}, lambda x, p, d: np.linalg.norm(x, p, d))
          for p in (0, 0.5, 1, 2, 3, -1, np.inf, -np.inf)),
        Sample((apart(3, 4), 3, (0, 1), True), {}, lambda x, p, d, k: np.linalg.norm(x.reshape(-1), 3).reshape(1, 1)),
        Sample((np.asarray(-1.5),), {}, np.abs),
    ],
    "linalg.matrix_norm": [
        *(Sample((ONE, p), {}, np.linalg.norm) for p in ("fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf)),
        *(Sample((WIDE, p, (0, 2), True), {}, np.linalg.norm) for p in ("fro", "nuc", 2, 1, -np.inf)),
        *(Sample((WIDE, p, (2, 0)), {}, np.linalg.norm) for p in (1, np.inf)),
    ],
    "linalg.norm": [Sample((ONE,), {}, np.linalg.norm), Sample((ONE, 2), {}, np.linalg.norm), Sample((array(4), 3), {}, np.linalg.norm)],
    "linalg.cond": [Sample((ONE, p), {}, np.linalg.cond) for p in (None, 2, -2, 1, "fro")],
    "linalg.cross": [Sample((array(2, 3), array(1, 3, seed=1)), {}, np.cross),
                     Sample((array(3, 2), array(3, 2, seed=1)), {"dim": 0}, lambda x, y, dim: np.cross(x, y, axis=0))],
    "linalg.vecdot": [Sample((array(2, 3), array(3)), {}, lambda x, y: (x * y).sum(-1))],
    "linalg.diagonal": [Sample((WIDE,), {"offset": 1}, lambda x, offset: np.diagonal(x, offset, 1, 2))],
    "linalg.vander": [Sample((array(3),), {}, lambda x: np.vander(x, increasing=True)),
                      Sample((array(2, 3),), {"N": 2}, lambda x, N: np.stack([x**0, x], -1))],
}  # fmt: skip

SAMPLES: dict[str, list[Sample]] = {**DECOMPOSITIONS, **SOLVING, **NORMS}
