"""Divergences of the rarer families: heavy tails, continuous coins, low-rank covariances.

As in `kl`, -entropy(p) - E_p[log q(x)] where log q needs few expectations of x.
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.engine import grad
from ..core.tensor import Tensor
from ..ops.arithmetic import where
from .exponential_family import ExponentialFamily
from .kl import _infinite, _register, _to_exponential, _to_normal, register_kl
from .location_scale import Gumbel, Laplace, Normal
from .low_rank import LowRankMultivariateNormal
from .multivariate import MultivariateNormal, _solved, half_log_det
from .parameters import sum_rightmost
from .positive import Beta, Exponential, Gamma
from .power_laws import Pareto
from .relaxed import ContinuousBernoulli
from .uniform import Uniform

__all__: list[str] = []


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_families(p: Any, q: Any) -> Tensor:
    """The Bregman divergence of the log-normalizer, from q's natural parameters to p's."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "kl_divergence: expected two exponential families of one class. Got "
            f"{type(p).__name__} and {type(q).__name__}."
        )
    natural = [t.detach().requires_grad_() for t in p._natural_params]
    normalizer = p._log_normalizer(*natural)
    slopes = grad(normalizer.sum(), natural, create_graph=True)
    found = q._log_normalizer(*q._natural_params) - normalizer
    for own, other, slope in zip(natural, q._natural_params, slopes, strict=True):
        term = (other - own) * slope
        found = found - sum_rightmost(term, term.ndim - len(q.batch_shape))
    return found


# -- Pareto ----------------------------------------------------------------------------------------


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return where(p.scale < q.scale, math.inf, found)


register_kl(Pareto, Exponential)(_to_exponential)
register_kl(Pareto, Normal)(_to_normal)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p: Pareto, q: Gamma) -> Tensor:
    mean_log = p.scale.log() + p.alpha.reciprocal()
    constant = q.concentration.lgamma() - q.concentration * q.rate.log()
    mean_log_q = (q.concentration - 1) * mean_log - q.rate * p.mean - constant
    return where(p.alpha <= 1, math.inf, -p.entropy() - mean_log_q)


@register_kl(Uniform, Pareto)
def _uniform_pareto(p: Uniform, q: Pareto) -> Tensor:
    whole = p.high * p.high.log() - p.low * p.low.log()
    mean_log = whole / (p.high - p.low) - 1
    mean_log_q = q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * mean_log
    return where(p.low < q.scale, math.inf, -p.entropy() - mean_log_q)


# -- continuous Bernoulli --------------------------------------------------------------------------


def _mean_log_coin(p: Any, q: ContinuousBernoulli) -> Tensor:
    """E[log q(x)] for x of p."""
    return p.mean * q.logits + (-q.probs).log1p() + q._log_normalizer()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
@register_kl(Beta, ContinuousBernoulli)
def _to_coin(p: Any, q: ContinuousBernoulli) -> Tensor:
    return -p.entropy() - _mean_log_coin(p, q)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_coin(p: Uniform, q: ContinuousBernoulli) -> Tensor:
    outside = (p.high > 1) | (p.low < 0)
    return where(outside, math.inf, _to_coin(p, q))


register_kl(ContinuousBernoulli, Exponential)(_to_exponential)
register_kl(ContinuousBernoulli, Normal)(_to_normal)


@register_kl(ContinuousBernoulli, Uniform)
def _coin_uniform(p: ContinuousBernoulli, q: Uniform) -> Tensor:
    inside = (q.low <= 0) & (q.high >= 1)
    return where(inside, (q.high - q.low).log() - p.entropy(), math.inf)


@_register([Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Normal], Pareto)
@_register([Exponential, Gamma, Gumbel, Laplace, Normal, Pareto], ContinuousBernoulli)
@_register([Pareto], Beta)
@_register([Pareto], Uniform)
def _never(p: Any, q: Any) -> Tensor:
    """p reaches where q does not."""
    return _infinite(p, q)


# -- low-rank covariances --------------------------------------------------------------------------


@_register([LowRankMultivariateNormal, MultivariateNormal], LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _normal_vectors(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "kl_divergence: expected vectors of one length. Got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    volumes = half_log_det(q.scale_tril) - half_log_det(p.scale_tril)
    trace = _solved(q.scale_tril, p.scale_tril).square().sum((-2, -1))
    shift = _solved(q.scale_tril, (q.loc - p.loc).unsqueeze(-1)).square().sum((-2, -1))
    return volumes + 0.5 * (trace + shift - p.event_shape[0])
