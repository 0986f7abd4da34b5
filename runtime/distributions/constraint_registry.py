"""Maps from unconstrained numbers onto constraints: `biject_to` and `transform_to`.

Example:
    >>> transform_to(constraints.positive)(torch.zeros(2))
    tensor([1., 1.])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import constraints, transforms
from .constraints import Constraint
from .transforms import Transform

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """Transforms by the class of the constraint that is their codomain; call it with a constraint.

    Raises: NotImplementedError for a constraint without one.
    """

    def __init__(self) -> None:
        self._factories: dict[type, Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Let `factory(constraint)` make the transform onto constraints of this class; without a
        factory, a decorator of one. Raises: TypeError for what is no constraint."""
        if factory is None:
            return lambda given: self.register(constraint, given)
        cls = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(cls, Constraint):
            raise TypeError(
                f"register: expected a Constraint or a class of them. Got {constraint!r}."
            )
        self._factories[cls] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        factory = self._factories.get(type(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Expected a constraint with a transform. Got {type(constraint).__name__}. "
                "Register one with register()."
            )
        return factory(constraint)


biject_to = ConstraintRegistry()
"""Invertible transforms, with volume changes: what densities are carried over by."""
transform_to = ConstraintRegistry()
"""Transforms that need not be invertible: what optimization is unconstrained by."""


def _both(*kinds: Any) -> Callable[[Factory], Factory]:
    def register(factory: Factory) -> Factory:
        for kind in kinds:
            biject_to.register(kind, factory)
            transform_to.register(kind, factory)
        return factory

    return register


@_both(constraints.real)
def _identity(constraint: Any) -> Transform:
    return transforms.identity_transform


@biject_to.register(constraints.independent)
def _biject_independent(constraint: Any) -> Transform:
    return _independent(biject_to, constraint)


@transform_to.register(constraints.independent)
def _transform_independent(constraint: Any) -> Transform:
    return _independent(transform_to, constraint)


def _independent(registry: ConstraintRegistry, constraint: Any) -> Transform:
    base, extra = constraint.base_constraint, constraint.reinterpreted_batch_ndims
    return transforms.IndependentTransform(registry(base), extra)


def _moved(first: Transform, loc: Any, scale: Any) -> Transform:
    return transforms.ComposeTransform([first, transforms.AffineTransform(loc, scale)])


@_both(constraints.positive, constraints.nonnegative)
def _above(constraint: Any) -> Transform:
    exp, bound = transforms.ExpTransform(), constraint.lower_bound
    return exp if isinstance(bound, int | float) and bound == 0 else _moved(exp, bound, 1)


@_both(constraints.less_than)
def _below(constraint: Any) -> Transform:
    return _moved(transforms.ExpTransform(), constraint.upper_bound, -1)


@_both(constraints.interval, constraints.half_open_interval)
def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    sigmoid = transforms.SigmoidTransform()
    is_unit = all(isinstance(b, int | float) for b in (low, high)) and (low, high) == (0, 1)
    return sigmoid if is_unit else _moved(sigmoid, low, high - low)


@biject_to.register(constraints.simplex)
def _broken_stick(constraint: Any) -> Transform:
    return transforms.StickBreakingTransform()


@transform_to.register(constraints.simplex)
def _softmax(constraint: Any) -> Transform:
    return transforms.SoftmaxTransform()


@_both(constraints.corr_cholesky)
def _corr_cholesky(constraint: Any) -> Transform:
    return transforms.CorrCholeskyTransform()


@_both(constraints.lower_cholesky)
def _lower_cholesky(constraint: Any) -> Transform:
    return transforms.LowerCholeskyTransform()


@_both(constraints.positive_definite, constraints.positive_semidefinite)
def _positive_definite(constraint: Any) -> Transform:
    return transforms.PositiveDefiniteTransform()


def _parts(registry: ConstraintRegistry) -> None:
    @registry.register(constraints.cat)
    def _cat(constraint: Any) -> Transform:
        parts = [registry(c) for c in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    @registry.register(constraints.stack)
    def _stack(constraint: Any) -> Transform:
        parts = [registry(c) for c in constraint.cseq]
        return transforms.StackTransform(parts, constraint.dim)


_parts(biject_to)
_parts(transform_to)
