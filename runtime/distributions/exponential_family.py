"""Distributions of the form exp(<t(x), theta> - F(theta) + k(x))."""

from __future__ import annotations

from typing import Any

from ..autograd.engine import grad
from ..core.tensor import Tensor
from .distribution import Distribution
from .parameters import sum_rightmost

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A base for families of natural parameters theta = `_natural_params`, log-normalizer F =
    `_log_normalizer(*theta)` and mean of k = `_mean_carrier_measure`.

    Its entropy F(theta) - <theta, dF/dtheta> - E[k] comes from F by differentiation.
    Source: Nielsen and Nock, Entropies and cross-entropies of exponential families, ICIP 2010.
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise self._lacks("_natural_params")

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise self._lacks("_log_normalizer")

    @property
    def _mean_carrier_measure(self) -> float:
        raise self._lacks("_mean_carrier_measure")

    def entropy(self) -> Tensor:
        found: Any = -self._mean_carrier_measure
        natural = [p.detach().requires_grad_() for p in self._natural_params]
        log_normalizer = self._log_normalizer(*natural)
        slopes = grad(log_normalizer.sum(), natural, create_graph=True)
        found = found + log_normalizer
        for parameter, slope in zip(natural, slopes, strict=True):
            inner = parameter * slope
            found = found - sum_rightmost(inner, inner.ndim - len(self._batch_shape))
        return found
