"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any, ClassVar

from ..autograd.grad_mode import no_grad
from ..core.tensor import Tensor
from . import constraints
from .categorical import Categorical
from .distribution import Distribution
from .parameters import shape_of

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """sum_k mixture_k * component_k(x): a batch of components along their last batch dimension, one
    of which is drawn by the Categorical `mixture_distribution`.

    Raises: ValueError for another mixture, or batch shapes that do not fit.

    Example:
        >>> mixture = Categorical(torch.ones(2))
        >>> MixtureSameFamily(mixture, Normal(torch.tensor([-1.0, 1.0]), 0.5)).mean
        tensor(0.)
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "MixtureSameFamily: expected a Categorical as mixture_distribution. Got "
                f"{type(mixture_distribution).__name__}."
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "MixtureSameFamily: expected a Distribution as component_distribution. Got "
                f"{type(component_distribution).__name__}."
            )
        mixed, parts = mixture_distribution.batch_shape, component_distribution.batch_shape
        outer = zip(reversed(mixed), reversed(parts[:-1]), strict=False)
        count = mixture_distribution.logits.shape[-1]
        if not parts or parts[-1] != count or any(1 != a != b != 1 for a, b in outer):
            raise ValueError(
                f"MixtureSameFamily: expected components of batch_shape (..., {count}), where ... "
                f"is the mixture's {tuple(mixed)}. Got {tuple(parts)}."
            )
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        event = component_distribution.event_shape
        super().__init__(parts[:-1], event, validate_args=validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """What draws the component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The batch of components."""
        return self._component_distribution

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        shape = shape_of(batch_shape)
        component = self._component_distribution.expand((*shape, self._num_component))
        new = type(self)(self._mixture_distribution.expand(shape), component, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _weights(self) -> Tensor:
        """The mixture's probabilities, with a dimension of 1 for each of the event."""
        probs = self._mixture_distribution.probs
        return probs.reshape((*probs.shape, *[1] * self._event_ndims))

    def _mixed(self, values: Tensor) -> Tensor:
        return (self._weights() * values).sum(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return self._mixed(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances and the variance of the means."""
        means = self._component_distribution.mean
        apart = means - self.mean.unsqueeze(-1 - self._event_ndims)
        return self._mixed(self._component_distribution.variance) + self._mixed(apart.square())

    def _for_components(self, value: Tensor) -> Tensor:
        return value.unsqueeze(-1 - self._event_ndims)

    def cdf(self, value: Tensor) -> Tensor:
        shares = self._component_distribution.cdf(self._for_components(value))
        return (shares * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        shares = self._component_distribution.log_prob(self._for_components(value))
        return (shares + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            events = self._event_ndims
            chosen = self._mixture_distribution.sample(sample_shape)
            values = self._component_distribution.sample(sample_shape)
            dim = values.ndim - events - 1
            places = chosen.reshape((*chosen.shape, *[1] * (events + 1)))
            places = places.expand((*values.shape[:dim], 1, *self.event_shape))
            return values.gather(dim, places).squeeze(dim)

    def __repr__(self) -> str:
        parts = f"{self._mixture_distribution!r},\n  {self._component_distribution!r}"
        return f"{type(self).__name__}(\n  {parts})"
