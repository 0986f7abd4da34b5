"""Orthogonal polynomials against SciPy's, and factors whose packing NumPy and SciPy share."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from .kit import Sample, array

X = np.array([[-2.5, -1.0, -0.3], [0.0, 0.7, 1.0], [1.4, 3.0, -0.999]])
DEGREES = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 7.0], [12.0, 5.0, 9.0]])


def third_kind(n: Any, x: Any) -> Any:
    """V(n) = U(n) - U(n - 1)."""
    return sp.eval_chebyu(n, x) - np.where(n > 0, sp.eval_chebyu(np.maximum(n - 1, 0), x), 0)


def fourth_kind(n: Any, x: Any) -> Any:
    """W(n) = U(n) + U(n - 1)."""
    return sp.eval_chebyu(n, x) + np.where(n > 0, sp.eval_chebyu(np.maximum(n - 1, 0), x), 0)


KINDS = {
    "t": sp.eval_chebyt, "u": sp.eval_chebyu, "v": third_kind, "w": fourth_kind,
}  # fmt: skip
OTHERS = {
    "hermite_polynomial_h": sp.eval_hermite, "hermite_polynomial_he": sp.eval_hermitenorm,
    "laguerre_polynomial_l": sp.eval_laguerre, "legendre_polynomial_p": sp.eval_legendre,
}  # fmt: skip


def polynomial(reference: Any, shift: bool = False) -> list[Sample]:
    """At points inside and outside [-1, 1], and broadcast."""

    def values(x: Any, n: Any) -> Any:
        return reference(n.astype(int), 2 * x - 1 if shift else x)

    shapes = [(X, DEGREES), (X[0], np.arange(4.0)[:, None]), (X[:, :0], np.ones(()))]
    return [Sample((x, n), {}, values, gradient=False) for x, n in shapes]


SYMMETRIC = array(4, 4) + array(4, 4).T
SAMPLES: dict[str, list[Sample]] = {
    **{f"chebyshev_polynomial_{k}": polynomial(f) for k, f in KINDS.items()},
    **{f"shifted_chebyshev_polynomial_{k}": polynomial(f, True) for k, f in KINDS.items()},
    **{name: polynomial(f) for name, f in OTHERS.items()},
    "spherical_bessel_j0": [
        Sample((array(5, low=0.3),), {}, lambda x: sp.spherical_jn(0, x), gradient=True),
        Sample((np.array([0.0, np.inf, -np.inf]),), {}, lambda x: np.array([1.0, 0, 0]), False),
    ],
    "airy_ai": [Sample((array(5),), {}, lambda x: sp.airy(x)[0], gradient=False)],
    "householder_vectors": [
        Sample((array(*shape),), {}, None, gradient=False) for shape in [(4, 3), (2, 3, 3), (0, 3)]
    ],
    "ldl_packed": [Sample((SYMMETRIC,), {"hermitian": False}, None, gradient=False)],
}
