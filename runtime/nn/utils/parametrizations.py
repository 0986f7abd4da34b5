"""Parametrizations: weights of unit spectral norm, of given lengths, and orthogonal ones."""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd.grad_mode import no_grad
from ...core.creation import zeros_like
from ...core.limits import finfo
from ...core.tensor import Tensor
from ...linalg import householder_product, matrix_exp, solve
from ...ops.joins import cat
from ...ops.older_factors import geqrf
from ...ops.sampling import randn
from ...ops.similarity import normalize
from ..modules.module import Module
from ..parameter import is_lazy
from . import parametrize
from .spectral_norm import OUTPUTS_SECOND, as_matrix
from .weight_norm import norm_except_dim, scaled_direction

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

M = TypeVar("M", bound=Module)

ORTHOGONAL_MAPS = ("matrix_exp", "cayley", "householder")

FIRST_ITERATIONS = 15
"""Power iterations when a spectral norm is installed, as there may be none before evaluation."""


def _weight_of(function: str, module: Module, name: str) -> Any:
    """Raises: ValueError if there is no tensor `name`, or one without a shape."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(
            f"{function}: expected a parameter or buffer {name!r} of {type(module).__name__}. Got "
            f"{type(weight).__name__}."
        )
    if is_lazy(weight):
        raise ValueError(
            f"{function}: expected a parameter with a shape. Got an uninitialized one. Call the "
            "lazy module once on an input before."
        )
    return weight


# -- orthogonal ------------------------------------------------------------------------------------


def _orthonormalized(A: Any) -> Any:
    """The orthogonal factor of A, such that the triangular one has a positive diagonal."""
    factors, tau = geqrf(A)
    signs = factors.diagonal(dim1=-2, dim2=-1).sgn()
    return householder_product(factors, tau) * signs.unsqueeze(-2)


def _is_orthogonal(Q: Any) -> bool:
    """Whether Q^H Q is the identity, but for rounding."""
    n, k = Q.shape[-2:]
    error = Q.mH @ Q - _identity(k, Q)
    return bool((error.abs() <= 10 * n * finfo(Q.dtype).eps).all())


def _identity(n: int, like: Any) -> Any:
    out = like.new_zeros(n, n)
    out.fill_diagonal_(1)
    return out


class _Orthogonal(Module):
    """A map of any matrix to one with orthonormal columns (rows, where there are fewer).

    From the lower triangle of X a skew-symmetric A = X - X^T is made, and of it exp(A) or the
    Cayley map (I - A / 2)^-1 (I + A / 2); or X holds Householder vectors. With trivialization the
    result is multiplied by `base`, so that any value can be assigned.
    Source: Lezcano-Casado, Trivializations for Gradient-Based Optimization on Manifolds,
    arXiv:1909.09501; Lezcano-Casado and Martinez-Rubio, arXiv:1901.08428.
    """

    base: Any

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("orthogonal: expected a real weight for householder. Got complex.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        """(..., n, k) -> the same shape."""
        is_wide = X.shape[-2] < X.shape[-1]
        tall = X.mT if is_wide else X
        if self.orthogonal_map == "householder":
            Q = self._of_householder_vectors(tall)
        else:
            Q = self._of_skew_symmetric(tall)
        if hasattr(self, "base"):
            Q = self.base @ Q
        return Q.mT if is_wide else Q

    def _of_householder_vectors(self, X: Any) -> Any:
        vectors = X.tril(-1)
        tau = 2.0 / (1.0 + (vectors * vectors).sum(dim=-2))
        signs = X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        return householder_product(vectors, tau) * signs

    def _of_skew_symmetric(self, X: Any) -> Any:
        n, k = X.shape[-2:]
        lower = X.tril()
        if n != k:
            rest = X.new_zeros(n, n - k).expand(*X.shape[:-2], n, n - k)
            lower = cat([lower, rest], dim=-1)
        A = lower - lower.mH
        if self.orthogonal_map == "matrix_exp":
            Q = matrix_exp(A)
        else:
            half, identity = A * 0.5, _identity(n, A)
            Q = solve(identity - half, identity + half)
        return Q if n == k else Q[..., :k]

    @no_grad()
    def right_inverse(self, Q: Any) -> Any:
        """What `forward` maps to Q, or, with trivialization, to Q made orthogonal.

        Raises: ValueError for another shape, NotImplementedError without trivialization but for
        Householder's map.
        """
        if Q.shape != self.shape:
            raise ValueError(
                f"orthogonal: expected a value of shape {tuple(self.shape)}. Got {tuple(Q.shape)}."
            )
        is_wide = Q.shape[-2] < Q.shape[-1]
        tall = Q.mT if is_wide else Q
        if hasattr(self, "base"):
            self.base = self._completed(tall)
            # The diagonal of -1 is Householder's identity; the other maps do not see it, as a
            # diagonal cancels in X - X^T.
            start = zeros_like(Q)
            start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
            return start
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"orthogonal: expected use_trivialization=True to assign a value to the map "
                f"{self.orthogonal_map}. Got False."
            )
        vectors, tau = geqrf(tall)
        diagonal = vectors.diagonal(dim1=-2, dim2=-1)
        diagonal.copy_(diagonal.sign() * (1 - 2 * (tau == 0).to(vectors.dtype)))
        return vectors.mT if is_wide else vectors

    def _completed(self, tall: Any) -> Any:
        """A square orthogonal matrix that begins with the columns of `tall`."""
        n, k = tall.shape[-2:]
        if n == k:
            return tall.clone() if _is_orthogonal(tall) else _orthonormalized(tall)
        place = {"dtype": tall.dtype, "device": tall.device}
        rest = randn(*tall.shape[:-2], n, n - k, **place)
        return _orthonormalized(cat([tall, rest], dim=-1))


def orthogonal(
    module: M,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> M:
    """Keep the matrices (..., n, k) of the tensor `name` orthogonal while they are trained: Q^T Q
    = I for n >= k, Q Q^T = I else (unitary if complex). Returns the module.

    `orthogonal_map` is "matrix_exp" (by default for square or complex matrices), "cayley" or
    "householder" (else). Without `use_trivialization`, values can only be assigned to the last.
    Raises: ValueError for another map, fewer than two dimensions, or no tensor.
    Source: arXiv:1909.09501, arXiv:1901.08428.
    """
    weight = _weight_of("orthogonal", module, name)
    if weight.ndim < 2:
        raise ValueError(
            f"orthogonal: expected a matrix, or several. Got shape {tuple(weight.shape)}."
        )
    if orthogonal_map is None:
        is_square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if is_square or weight.is_complex() else "householder"
    if orthogonal_map not in ORTHOGONAL_MAPS:
        raise ValueError(
            f"orthogonal: expected a map of {', '.join(ORTHOGONAL_MAPS)}. Got {orthogonal_map!r}."
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization)
    parametrize.register_parametrization(module, name, made, unsafe=True)
    return module


# -- lengths and directions ------------------------------------------------------------------------


class _WeightNorm(Module):
    """g and v -> g * v / |v|."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """(norms, weight) -> a weight of those norms."""
        return scaled_direction(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        """Norms and direction of a weight."""
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Let the tensor `name` be g * v / |v|, |v| over all dimensions but `dim` (over all for None).

    The state has `parametrizations.<name>.original0`, g, and `.original1`, v; that of the older
    `nn.utils.weight_norm` is read too. Returns the module. Raises: ValueError if there is no such
    tensor. Source: arXiv:1602.07868, equation 2.
    """
    _weight_of("weight_norm", module, name)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state_dict: Any, prefix: str, *rest: Any) -> None:
        older = [f"{prefix}{name}_{part}" for part in "gv"]
        if all(key in state_dict for key in older):
            for k, key in enumerate(older):
                new = f"{prefix}parametrizations.{name}.original{k}"
                state_dict[new] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# -- largest singular value ------------------------------------------------------------------------


class _SpectralNorm(Module):
    """weight -> weight / its largest singular value, u . W v with u and v by power iterations."""

    _u: Any
    _v: Any

    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"spectral_norm: expected a dim from {-weight.ndim} to {weight.ndim - 1}. Got "
                f"{dim}."
            )
        if n_power_iterations <= 0:
            raise ValueError(
                f"spectral_norm: expected n_power_iterations above 0. Got {n_power_iterations}."
            )
        self.dim, self.eps = dim % weight.ndim, eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim > 1:  # of a vector the norm is the value itself
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                start = matrix.new_empty(size).normal_(0, 1)
                self.register_buffer(name, normalize(start, dim=0, eps=eps))
            self._power_method(matrix, FIRST_ITERATIONS)

    @no_grad()
    def _power_method(self, matrix: Any, n_power_iterations: int) -> None:
        for _ in range(n_power_iterations):
            # In place, as several replicas of a module share these buffers.
            self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
            self._v.copy_(normalize(matrix.mH.mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        """The weight divided; in training the vectors move first."""
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            self._power_method(matrix.detach(), self.n_power_iterations)
        # Copies: the graph keeps them, and the next call writes into the buffers.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(matrix.mv(v))

    def right_inverse(self, value: Any) -> Any:
        """The value: it is taken to be of any norm."""
        return value


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide the tensor `name` by its largest singular value, found by `n_power_iterations` at each
    computation in training; as a matrix its rows are `dim` (0, but 1 for transposed convolutions).

    The state has `parametrizations.<name>.original`, and vectors `_u` and `_v` below
    `parametrizations.<name>.0`. Returns the module. Raises: ValueError if there is no such tensor
    or for less than one iteration, IndexError for a dim that is not there.
    Source: arXiv:1802.05957, algorithm 1.
    """
    weight = _weight_of("spectral_norm", module, name)
    if dim is None:
        dim = 1 if isinstance(module, OUTPUTS_SECOND) else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, made)
    return module
