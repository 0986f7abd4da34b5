"""Sets of values that parameters and samples must lie in.

Each has `check(value)`, a bool tensor over the batch; `event_dim`, how many last dimensions make
one value; `is_discrete`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dispatch import guarded
from ..core.tensor import Tensor, wrap
from ..ops.joins import cat as _cat
from ..ops.joins import stack as _stack

__all__ = [
    "Constraint", "MixtureSameFamilyConstraint", "boolean", "cat", "corr_cholesky", "dependent",
    "dependent_property", "greater_than", "greater_than_eq", "half_open_interval", "independent",
    "integer_interval", "interval",
    "is_dependent", "less_than", "lower_cholesky", "lower_triangular", "multinomial", "nonnegative",
    "nonnegative_integer", "one_hot", "positive", "positive_definite", "positive_integer",
    "positive_semidefinite", "real", "real_vector", "simplex", "square", "stack", "symmetric",
    "unit_interval",
]  # fmt: skip


class Constraint:
    """A set of values: of numbers, or of events with `event_dim` dimensions."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Which values lie in the set: bool, of value's shape without the event's dimensions."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Dependent(Constraint):
    """A set that depends on other parameters; nothing can be checked without them."""

    def __init__(self, *, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> Dependent:
        return Dependent(is_discrete=is_discrete, event_dim=event_dim)

    def check(self, value: Tensor) -> Tensor:
        raise ValueError(
            "check: expected a constraint that stands by itself. Got a dependent one. Ask the "
            "distribution, as in dist.support.check(value)."
        )


def is_dependent(constraint: Any) -> bool:
    """Whether `constraint` depends on other parameters."""
    return isinstance(constraint, Dependent)


class DependentProperty(property, Dependent):
    """A property that gives an instance's constraint, and stands for a dependent one on the class.

    Use as `@dependent_property` or `@dependent_property(is_discrete=..., event_dim=...)`.
    """

    def __init__(self, function: Any = None, *, is_discrete: bool = False, event_dim: int = 0):
        super().__init__(function)
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, function: Any) -> DependentProperty:  # type: ignore[override]
        return DependentProperty(function, is_discrete=self.is_discrete, event_dim=self.event_dim)


# -- numbers ---------------------------------------------------------------------------------------


class Real(Constraint):
    """All numbers but NaN."""

    def check(self, value: Tensor) -> Tensor:
        return value == value


class Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


def _whole(value: Tensor) -> Tensor:
    return value % 1 == 0


class _Bounded(Constraint):
    """A set given by bounds, which its repr shows."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v}' for n, v in vars(self).items())})"


class _Above(_Bounded):
    def __init__(self, lower_bound: Any) -> None:
        self.lower_bound = lower_bound


class GreaterThan(_Above):
    """Numbers above a bound."""

    def check(self, value: Tensor) -> Tensor:
        return value > self.lower_bound


class GreaterThanEq(_Above):
    """Numbers not below a bound."""

    def check(self, value: Tensor) -> Tensor:
        return value >= self.lower_bound


class IntegerGreaterThan(_Above):
    """Whole numbers not below a bound."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & (value >= self.lower_bound)


class LessThan(_Bounded):
    """Numbers below a bound."""

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound


class Interval(_Bounded):
    """Numbers between two bounds, both included."""

    def __init__(self, lower_bound: Any, upper_bound: Any) -> None:
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class HalfOpenInterval(Interval):
    """Numbers between two bounds, the lower included."""

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value < self.upper_bound)


class IntegerInterval(Interval):
    """Whole numbers between two bounds, both included."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & super().check(value)


# -- vectors ---------------------------------------------------------------------------------------


class IndependentConstraint(Constraint):
    """`base_constraint` for each of the elements of `reinterpreted_batch_ndims` more dimensions."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        if value.ndim < self.event_dim:
            raise ValueError(
                f"{self!r}.check: expected a value with at least {self.event_dim} dimensions. Got "
                f"shape {tuple(value.shape)}."
            )
        found = self.base_constraint.check(value)
        kept = found.ndim - self.reinterpreted_batch_ndims
        return found.reshape((*found.shape[:kept], -1)).all(-1)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class Simplex(Constraint):
    """Vectors of numbers not below 0 whose sum is 1, up to 1e-6."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class OneHot(Constraint):
    """Vectors of zeros and a single 1."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return boolean.check(value).all(-1) & (value.sum(-1) == 1)


class Multinomial(Constraint):
    """Vectors of counts not below 0 whose sum is `upper_bound`."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) == self.upper_bound)


# -- matrices --------------------------------------------------------------------------------------


class _Matrix(Constraint):
    event_dim = 2


def _everywhere(condition: Tensor) -> Tensor:
    return condition.all(-1).all(-1)


class LowerTriangular(_Matrix):
    """Matrices of zeros above the diagonal."""

    def check(self, value: Tensor) -> Tensor:
        return _everywhere(value.tril() == value)


class LowerCholesky(_Matrix):
    """Lower triangular matrices with a diagonal above 0."""

    def check(self, value: Tensor) -> Tensor:
        rows = min(value.shape[-2:])
        positive_rows = [value[..., k, k] > 0 for k in range(rows)]
        return lower_triangular.check(value) & _stack(positive_rows, -1).all(-1)


class CorrCholesky(_Matrix):
    """Lower Cholesky factors of correlation matrices: their rows have length 1."""

    def check(self, value: Tensor) -> Tensor:
        # Rounding of n squares.
        tolerance = float(np.finfo(value.dtype.numpy).eps) * value.shape[-1] * 10
        rows = value.detach().square().sum(-1).sqrt()
        return lower_cholesky.check(value) & ((rows - 1).abs() < tolerance).all(-1)


class Square(_Matrix):
    """Matrices of as many rows as columns."""

    def check(self, value: Tensor) -> Tensor:
        fits = value.shape[-1] == value.shape[-2]
        found = value[..., 0, 0] == value[..., 0, 0]
        return found | True if fits else found & False


class Symmetric(Square):
    """Square matrices that equal their transpose, up to 1e-6."""

    def check(self, value: Tensor) -> Tensor:
        found = super().check(value)
        if value.shape[-1] != value.shape[-2]:
            return found
        return _everywhere((value - value.mT).abs() <= 1e-6 + 1e-5 * value.abs())


class PositiveSemidefinite(Symmetric):
    """Symmetric matrices of eigenvalues not below 0."""

    def check(self, value: Tensor) -> Tensor:
        found = super().check(value)
        return found & (_eigenvalues(value) >= 0).all(-1) if bool(found.all()) else found


class PositiveDefinite(Symmetric):
    """Symmetric matrices of eigenvalues above 0."""

    def check(self, value: Tensor) -> Tensor:
        found = super().check(value)
        return found & (_eigenvalues(value) > 0).all(-1) if bool(found.all()) else found


@guarded
def _eigenvalues(symmetric: Tensor) -> Tensor:
    key = symmetric._key
    return wrap(key.backend.xp.linalg.eigvalsh(symmetric.detach()._array), key)


# -- parts of tensors ------------------------------------------------------------------------------


class Cat(Constraint):
    """Constraints for successive pieces of `lengths` along `dim`."""

    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        self.event_dim = max(c.event_dim for c in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        pieces = value.split(self.lengths, self.dim)
        return _cat([c.check(p) for c, p in zip(self.cseq, pieces, strict=True)], self.dim)


class Stack(Constraint):
    """Constraints for successive slices of `dim`."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(c.is_discrete for c in self.cseq)
        deepest = max(c.event_dim for c in self.cseq)
        self.event_dim = deepest + 1 if dim + deepest < 0 else deepest

    def check(self, value: Tensor) -> Tensor:
        slices = value.unbind(self.dim)
        return _stack([c.check(s) for c, s in zip(self.cseq, slices, strict=True)], self.dim)


class MixtureSameFamilyConstraint(Constraint):
    """`base_constraint` of a mixture's components, for values without the components' dimension."""

    def __init__(self, base_constraint: Constraint) -> None:
        self.base_constraint = base_constraint
        self.is_discrete = base_constraint.is_discrete
        self.event_dim = base_constraint.event_dim

    def check(self, value: Tensor) -> Tensor:
        if value.ndim < self.event_dim:
            raise ValueError(
                f"{self!r}.check: expected a value with at least {self.event_dim} dimensions. Got "
                f"shape {tuple(value.shape)}."
            )
        components = value.unsqueeze(value.ndim - self.event_dim)
        found = self.base_constraint.check(components)
        return found.all(-1) if found.ndim > value.ndim - self.event_dim else found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_constraint!r})"


dependent = Dependent()
dependent_property = DependentProperty
independent = IndependentConstraint
greater_than, greater_than_eq, less_than = GreaterThan, GreaterThanEq, LessThan
interval, half_open_interval, integer_interval = Interval, HalfOpenInterval, IntegerInterval
multinomial, cat, stack = Multinomial, Cat, Stack

boolean = Boolean()
one_hot = OneHot()
real = Real()
real_vector = independent(real, 1)
positive, nonnegative = greater_than(0.0), greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
nonnegative_integer, positive_integer = IntegerGreaterThan(0), IntegerGreaterThan(1)
simplex = Simplex()
lower_triangular = LowerTriangular()
lower_cholesky = LowerCholesky()
corr_cholesky = CorrCholesky()
square = Square()
symmetric = Symmetric()
positive_semidefinite = PositiveSemidefinite()
positive_definite = PositiveDefinite()
