"""Linear algebra, with the API of `torch.linalg`.

Matrices are the last two dimensions, all others a batch. `torch.linalg.LinAlgError` is a
RuntimeError.
"""

from .errors import LinAlgError
from .ops.decompositions import cholesky, cholesky_ex, eig, eigh, eigvals, eigvalsh, qr
from .ops.linalg import matmul
from .ops.norms import cond, cross, diagonal, matrix_norm, norm, vander, vecdot, vector_norm
from .ops.older_factors import ldl_factor, ldl_factor_ex, ldl_solve
from .ops.singular_values import lstsq, matrix_rank, pinv, svd, svdvals
from .ops.solving import (
    det,
    inv,
    inv_ex,
    matrix_exp,
    matrix_power,
    multi_dot,
    slogdet,
    solve,
    solve_ex,
    tensorinv,
    tensorsolve,
)
from .ops.triangular import (
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    solve_triangular,
)

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex",
    "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power",
    "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve", "solve_ex",
    "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander", "vecdot",
    "vector_norm",
]  # fmt: skip
