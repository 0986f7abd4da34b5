"""Kullback and Leibler's divergence, E_p[log p(x) - log q(x)], by pairs of families.

Closed forms of one family: Gil, Alajaji and Linder, Rényi divergence measures for commonly used
univariate continuous distributions, Information Sciences 249, 2013. Those of two families are
-entropy(p) - E_p[log q(x)], where log q needs few expectations of x.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor
from ..ops.arithmetic import where
from ..ops.special_functions import digamma, xlogy
from .categorical import Categorical, OneHotCategorical
from .discrete import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution
from .folded import HalfNormal
from .location_scale import Cauchy, Gumbel, Laplace, Normal
from .multivariate import MultivariateNormal, _solved, half_log_det
from .parameters import LOG_SQRT_2PI, SQRT_2, euler_constant, softplus, sum_rightmost
from .positive import Beta, Dirichlet, Exponential, Gamma
from .transformed import Independent, TransformedDistribution
from .uniform import Uniform

__all__ = ["kl_divergence", "register_kl"]

Rule = Callable[[Any, Any], Tensor]

_rules: dict[tuple[type, type], Rule] = {}
_found: dict[tuple[type, type], Rule] = {}  # by the exact classes asked for


def register_kl(type_p: type, type_q: type) -> Callable[[Rule], Rule]:
    """Decorate the function of (p, q) that computes their divergence, for two classes and what
    derives from them.

    Raises: TypeError for classes that are no distributions.

    Example:
        >>> @register_kl(MyNormal, Normal)
        ... def kl_mine_normal(p, q): ...
    """
    for given in (type_p, type_q):
        if not (isinstance(given, type) and issubclass(given, Distribution)):
            raise TypeError(f"register_kl: expected subclasses of Distribution. Got {given!r}.")

    def register(rule: Rule) -> Rule:
        _rules[type_p, type_q] = rule
        _found.clear()
        return rule

    return register


def _rule_for(pair: tuple[type, type]) -> Rule:
    """The rule of the nearest ancestors, those of p counting first."""
    p, q = (cls.__mro__ for cls in pair)
    fitting = [(p.index(a), q.index(b), r) for (a, b), r in _rules.items() if a in p and b in q]
    if not fitting:
        names = " and ".join(cls.__name__ for cls in pair)
        raise NotImplementedError(
            f"kl_divergence: expected a pair of families with a known divergence. Got {names}. "
            "Register one with register_kl."
        )
    return min(fitting, key=lambda found: found[:2])[2]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """E_p[log p(x) - log q(x)], over the batch.

    Raises: NotImplementedError for a pair without a rule.
    """
    pair = (type(p), type(q))
    if pair not in _found:
        _found[pair] = _rule_for(pair)
    return _found[pair](p, q)


# -- one family ------------------------------------------------------------------------------------


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p: HalfNormal, q: HalfNormal) -> Tensor:
    return _normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return ratio * (-distance / p.scale).exp() + distance / q.scale - 1 - ratio.log()


@register_kl(Cauchy, Cauchy)
def _cauchy(p: Cauchy, q: Cauchy) -> Tensor:
    # Chyzak and Nielsen 2019, arXiv:1905.10965.
    reach = (p.scale + q.scale).square() + (p.loc - q.loc).square()
    return reach.log() - (4 * p.scale * q.scale).log()


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    shapes = (a - b) * digamma(a) + b.lgamma() - a.lgamma()
    return shapes + b * (p.rate / q.rate).log() + a * (q.rate / p.rate - 1)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    logs = digamma(a) - digamma(a.sum(-1, keepdim=True))
    return q._log_normalizer() - p._log_normalizer() + ((a - b) * logs).sum(-1)


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    return _dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = (q.low <= p.low) & (p.high <= q.high)
    return where(inside, ((q.high - q.low) / (p.high - p.low)).log(), math.inf)


def _term(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """p * log_ratio for probabilities p and q: 0 where p is 0, otherwise infinite where q is."""
    return where(p == 0, 0.0, where(q == 0, math.inf, p * log_ratio))


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Any, q: Any) -> Tensor:
    success = softplus(-q.logits) - softplus(-p.logits)
    failure = softplus(q.logits) - softplus(p.logits)
    return _term(p.probs, q.probs, success) + _term(1 - p.probs, 1 - q.probs, failure)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "kl_divergence: expected a Binomial q of no more trials than p. Got "
            f"{q.total_count.tolist()} and {p.total_count.tolist()}."
        )
    divergence = p.total_count * _bernoulli(p, q)
    return where(p.total_count > q.total_count, math.inf, divergence)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    return _term(p.probs, q.probs, p.logits - q.logits).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - p.mean * (-q.probs).log1p() - q.probs.log()


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) - (p.rate - q.rate)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "kl_divergence: expected vectors of one length. Got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    trace = _solved(q.scale_tril, p.scale_tril).square().sum((-2, -1))
    shift = _solved(q.scale_tril, (q.loc - p.loc).unsqueeze(-1)).square().sum((-2, -1))
    volumes = half_log_det(q.scale_tril) - half_log_det(p.scale_tril)
    return volumes + 0.5 * (trace + shift - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "kl_divergence: expected the same reinterpreted_batch_ndims. Got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}."
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    """An invertible map changes both densities alike."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError(
            f"kl_divergence: expected the same transforms. Got {p.transforms} and {q.transforms}."
        )
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), extra)


# -- expectations ----------------------------------------------------------------------------------


def _mean_log(p: Any) -> Tensor:
    """E[log x]."""
    if isinstance(p, Uniform):
        whole = xlogy(p.high, p.high) - xlogy(p.low, p.low)
        return whole / (p.high - p.low) - 1
    if isinstance(p, Beta):
        a = p.concentration1
        return digamma(a) - digamma(a + p.concentration0)
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    return digamma(p.concentration) - p.rate.log()


def _mean_decay(p: Any, loc: Tensor, scale: Tensor) -> Tensor:
    """E[exp(-(x - loc) / scale)], from the moment generating functions."""
    if isinstance(p, Normal):
        return ((loc - p.loc) / scale + 0.5 * (p.scale / scale).square()).exp()
    if isinstance(p, Gumbel):
        return ((loc - p.loc) / scale + (1 + p.scale / scale).lgamma()).exp()
    if isinstance(p, Uniform):
        ends = ((loc - p.low) / scale).exp() - ((loc - p.high) / scale).exp()
        return ends * scale / (p.high - p.low)
    count = p.concentration if isinstance(p, Gamma) else 1
    return (loc / scale - count * (1 / (p.rate * scale)).log1p()).exp()


# -- two families ----------------------------------------------------------------------------------


def _register(sources: list[type], target: type) -> Callable[[Rule], Rule]:
    """Register a rule for several families p and one family q."""

    def register(rule: Rule) -> Rule:
        for source in sources:
            register_kl(source, target)(rule)
        return rule

    return register


@_register([Beta, Exponential, Gamma, Gumbel, Laplace, Uniform], Normal)
def _to_normal(p: Any, q: Normal) -> Tensor:
    squares = (p.variance + (p.mean - q.loc).square()) / (2 * q.scale.square())
    return squares + q.scale.log() + LOG_SQRT_2PI - p.entropy()


@_register([Beta, Gamma, Uniform], Exponential)
def _to_exponential(p: Any, q: Exponential) -> Tensor:
    return _above_zero(p, q.rate * p.mean - q.rate.log() - p.entropy())


@_register([Beta, Exponential, Uniform], Gamma)
def _to_gamma(p: Any, q: Gamma) -> Tensor:
    c = q.concentration
    constant = c.lgamma() - c * q.rate.log()
    mean_log_q = (c - 1) * _mean_log(p) - q.rate * p.mean - constant
    return _above_zero(p, -p.entropy() - mean_log_q)


def _above_zero(p: Any, divergence: Tensor) -> Tensor:
    """Infinite for a uniform p that reaches below 0."""
    return where(p.low >= 0, divergence, math.inf) if isinstance(p, Uniform) else divergence


@_register([Exponential, Gamma, Gumbel, Normal, Uniform], Gumbel)
def _to_gumbel(p: Any, q: Gumbel) -> Tensor:
    z = (p.mean - q.loc) / q.scale
    return z + _mean_decay(p, q.loc, q.scale) + q.scale.log() - p.entropy()


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    shift = (p.loc - q.loc) / (SQRT_2 * p.scale)
    # E|x - q.loc|, the mean of a folded normal variable (Leone, Nelson and Nottingham 1961).
    distance = (
        SQRT_2 * p.scale * ((-shift.square()).exp() / math.sqrt(math.pi) + shift * shift.erf())
    )
    return distance / q.scale + (2 * q.scale).log() - p.entropy()


@register_kl(Uniform, Beta)
def _uniform_beta(p: Uniform, q: Beta) -> Tensor:
    a, b = q.concentration1, q.concentration0
    mirrored = Uniform(1 - p.high, 1 - p.low, validate_args=False)
    mean_log_q = (a - 1) * _mean_log(p) + (b - 1) * _mean_log(mirrored)
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    inside = (p.low >= 0) & (p.high <= 1)
    return where(inside, log_beta - mean_log_q - p.entropy(), math.inf)


@register_kl(Beta, Uniform)
def _beta_uniform(p: Beta, q: Uniform) -> Tensor:
    inside = (q.low <= 0) & (q.high >= 1)
    return where(inside, (q.high - q.low).log() - p.entropy(), math.inf)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return q.rate - xlogy(p.probs, q.rate) - p.entropy()


@_register([Gumbel, Laplace, Normal], Exponential)
@_register([Gumbel, Laplace, Normal], Gamma)
@_register([Exponential, Gamma, Gumbel, Laplace, Normal], Beta)
@_register([Exponential, Gamma, Gumbel, Laplace, Normal], Uniform)
@_register([Poisson], Bernoulli)
@_register([Poisson], Binomial)
def _infinite(p: Any, q: Any) -> Tensor:
    """p reaches where q does not."""
    return (p.mean + q.mean).detach() * 0 + math.inf
