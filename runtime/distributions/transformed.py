"""Distributions made of others: transformed ones, and batches read as events."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

from ..autograd.grad_mode import no_grad
from ..core.tensor import Size, Tensor
from . import constraints
from .distribution import Distribution
from .parameters import shape_of, sum_rightmost
from .transforms import ComposeTransform, Transform

__all__ = ["Independent", "TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The law of transform(x) for x of `base_distribution`, for one transform or a list in order.

    Raises: ValueError for what is no transform, or a base of too few dimensions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    base_dist: Any

    def __init__(
        self,
        base_distribution: Any,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        given = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(given, list | tuple) or not all(isinstance(t, Transform) for t in given):
            raise ValueError(
                "TransformedDistribution: expected a Transform or a list of them. Got "
                f"{transforms!r}."
            )
        self.transforms = list(given)
        base_shape = (*base_distribution.batch_shape, *base_distribution.event_shape)
        whole = ComposeTransform(self.transforms)
        if len(base_shape) < whole.domain.event_dim:
            raise ValueError(
                f"TransformedDistribution: expected a base of at least {whole.domain.event_dim} "
                f"dimensions, as its transforms need. Got shape {base_shape}."
            )
        shape = tuple(whole.forward_shape(base_shape))
        base_batch = tuple(whole.inverse_shape(shape))
        events = len(base_distribution.event_shape)
        base_batch = base_batch[: len(base_batch) - events]
        if base_batch != tuple(base_distribution.batch_shape):
            base_distribution = base_distribution.expand(base_batch)
        # Dimensions that the transforms read as one value move from the batch to the event.
        moved = whole.domain.event_dim - events
        self.base_dist = Independent(base_distribution, moved) if moved > 0 else base_distribution
        event_dim = whole.codomain.event_dim + max(-moved, 0)
        cut = len(shape) - event_dim
        super().__init__(Size(shape[:cut]), Size(shape[cut:]), validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        """Whether the base has."""
        return self.base_dist.has_rsample

    @constraints.dependent_property
    def support(self) -> Any:
        """Where the last transform leads."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        batch_shape = shape_of(batch_shape)
        new = copy.copy(self) if _instance is None else _instance
        shape = (*batch_shape, *self.event_shape)
        for transform in reversed(self.transforms):
            shape = transform.inverse_shape(shape)
        base_batch = shape[: len(shape) - len(self.base_dist.event_shape)]
        vars(new).update(vars(self), _batch_shape=batch_shape)
        new.base_dist = self.base_dist.expand(base_batch)
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        event_dim = len(self.event_shape)
        total: Any = 0.0
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            change = transform.log_abs_det_jacobian(x, y)
            total = total - sum_rightmost(change, event_dim - transform.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return total + sum_rightmost(base, event_dim - len(self.base_dist.event_shape))

    def _rising(self, probability: Tensor) -> Tensor:
        """`probability` for a rising chain of transforms, 1 - probability for a falling one."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return probability
        return sign * (probability - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._rising(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._transformed(self.base_dist.icdf(self._rising(value)))


class Independent(Distribution):
    """`base_distribution` with its last `reinterpreted_batch_ndims` batch dimensions read as part
    of the event: their log-probabilities are summed.

    Raises: ValueError if the base has fewer batch dimensions.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        base_distribution: Any,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = tuple(base_distribution.batch_shape)
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Independent: expected reinterpreted_batch_ndims up to the base's "
                f"{len(batch)} batch dimensions. Got {reinterpreted_batch_ndims}, with batch_shape "
                f"{batch}."
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        cut = len(batch) - reinterpreted_batch_ndims
        event = Size((*batch[cut:], *base_distribution.event_shape))
        super().__init__(Size(batch[:cut]), event, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        """Whether the base has."""
        return self.base_dist.has_rsample

    @property
    def has_enumerate_support(self) -> bool:
        """Whether the base has, and its events are not combined."""
        return self.reinterpreted_batch_ndims == 0 and self.base_dist.has_enumerate_support

    @constraints.dependent_property
    def support(self) -> Any:
        """The base's, for each element of the event."""
        base = self.base_dist.support
        extra = self.reinterpreted_batch_ndims
        return constraints.independent(base, extra) if extra else base

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = copy.copy(self) if _instance is None else _instance
        batch_shape = shape_of(batch_shape)
        vars(new).update(vars(self), _batch_shape=batch_shape)
        kept = self.event_shape[: self.reinterpreted_batch_ndims]
        new.base_dist = self.base_dist.expand(Size((*batch_shape, *kept)))
        return new

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        if self.reinterpreted_batch_ndims:
            raise NotImplementedError(
                "enumerate_support: expected reinterpreted_batch_ndims 0, as combinations are not "
                f"enumerated. Got {self.reinterpreted_batch_ndims}."
            )
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"
