"""The incomplete gamma function, and the distributions around it.

A sample of a gamma or Dirichlet distribution is made by rejection, which has no derivative. Its
derivative by the parameters follows implicitly from the distribution function F: as F(x; a) stays
what it is while a moves, dx/da = -(dF/da) / (dF/dx) (Figurnov, Mohamed and Mnih 2018,
arXiv:1805.08498).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..autograd.grad_mode import is_grad_enabled
from ..core import dtypes
from ..core.batched import anywhere
from ..core.dispatch import key_of
from ..core.tensor import Tensor, wrap
from ..random import Generator
from . import rejection, shapes
from .declare import Spec, primitive
from .sampling import CPU, GPU, drawn
from .slicewise import drawn_slicewise

__all__ = ["_standard_gamma", "binomial", "poisson"]


def _special(xp: Any) -> Any:
    """The special functions of the array library `xp`; loaded late, as they take long."""
    return import_module("scipy.special" if xp.__name__ == "numpy" else "cupyx.scipy.special")


# -- incomplete integrals --------------------------------------------------------------------------


@primitive
def gammainc(input: Spec, other: Spec) -> Spec:
    """The regularized lower incomplete gamma function P(input, other): the distribution function of
    a gamma variable of concentration `input` and rate 1 at `other`.

    Raises: RuntimeError for shapes that do not broadcast or a dtype that is not floating-point.
    """
    shapes.require_float("gammainc", "input", input)
    return Spec(shapes.broadcast("gammainc", {"input": input, "other": other}), input.dtype)


@gammainc.array
def gammainc_array(xp: Any, input: Any, other: Any) -> Any:
    """By the library, which may answer half precision in double."""
    return xp.asarray(_special(xp).gammainc(input, other)).astype(input.dtype, copy=False)


@gammainc.vjp(saves="input other")
def gammainc_vjp(F: Any, g: Any, needs: Any, input: Any, other: Any) -> Any:
    """The density by `other`; by `input` the density times minus the implicit slope."""
    log_density = F.minus(F.minus(F.xlogy(F.minus(input, 1.0), other), other), F.lgamma(input))
    weighted = F.mul(g, F.exp(log_density))
    by_input = None
    if needs[0]:
        by_input = F.sum_to(F.neg(F.mul(weighted, F.gamma_slope(other, input))), like=input)
    return by_input, F.sum_to(weighted, like=other) if needs[1] else None


STEP = 1e-3
"""Of a logarithmic distribution function's parameter, relative to the length on which it bends:
five points this far apart leave errors of 1e-12 by truncation and by rounding."""


def _log_slope(xp: Any, log_integral: Any, a: Any) -> Any:
    """d log_integral(a) / da by central differences of fourth order.

    The logarithm keeps the differences exact in the tails, where the integral itself is tiny.
    """
    h = STEP * xp.minimum(a, xp.sqrt(a))
    near = log_integral(a + h) - log_integral(a - h)
    far = log_integral(a + 2 * h) - log_integral(a - 2 * h)
    return (8 * near - far) / (12 * h)


def _implicit_slope(xp: Any, a: Any, log_density: Any, log_lower: Any, log_upper: Any) -> Any:
    """dx/da of a distribution of parameter a, from the logarithms of its density and of the
    integrals below and above x, of which the smaller is taken."""
    lower, upper = log_lower(a), log_upper(a)
    below = -xp.exp(lower - log_density) * _log_slope(xp, log_lower, a)
    above = xp.exp(upper - log_density) * _log_slope(xp, log_upper, a)
    slope = xp.where(lower < upper, below, above)
    return xp.where(xp.isfinite(slope), slope, 0.0)  # x has run into 0 or 1, and stays there


@primitive
def gamma_slope(sample: Spec, concentration: Spec) -> Spec:
    """d sample / d concentration of a gamma variable of rate 1."""
    named = {"sample": sample, "concentration": concentration}
    return Spec(shapes.broadcast("gamma_slope", named), sample.dtype)


@gamma_slope.array
def gamma_slope_array(xp: Any, sample: Any, concentration: Any) -> Any:
    """In double precision, whatever the samples have."""
    special = _special(xp)
    x, a = sample.astype(xp.float64), concentration.astype(xp.float64)
    with np.errstate(all="ignore"):
        slope = _implicit_slope(
            xp,
            a,
            (a - 1) * xp.log(x) - x - special.gammaln(a),
            lambda a: xp.log(special.gammainc(a, x)),
            lambda a: xp.log(special.gammaincc(a, x)),
        )
    return xp.asarray(slope).astype(sample.dtype)


@primitive
def beta_slope(sample: Spec, concentration: Spec, other: Spec) -> Spec:
    """d sample / d concentration of a beta variable of parameters `concentration`, `other`."""
    named = {"sample": sample, "concentration": concentration, "other": other}
    return Spec(shapes.broadcast("beta_slope", named), sample.dtype)


@beta_slope.array
def beta_slope_array(xp: Any, sample: Any, concentration: Any, other: Any) -> Any:
    """In double precision, whatever the samples have."""
    special = _special(xp)
    x, a, b = (array.astype(xp.float64) for array in (sample, concentration, other))
    log_beta = special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)
    with np.errstate(all="ignore"):
        slope = _implicit_slope(
            xp,
            a,
            (a - 1) * xp.log(x) + (b - 1) * xp.log1p(-x) - log_beta,
            lambda a: xp.log(special.betainc(a, b, x)),
            lambda a: xp.log(special.betainc(b, a, 1 - x)),
        )
    return xp.asarray(slope).astype(sample.dtype)


# -- samples ---------------------------------------------------------------------------------------


def _library(stream: Generator, method: str, *parameters: Any) -> Any:
    """NumPy's sampler `method`, fed by the words of `stream`."""
    with stream._lock:
        return getattr(np.random.Generator(stream._bits), method)(*parameters)


CPU.update(
    gamma=lambda g, n, dtype, a: rejection.gammas(g, a),
    poisson=lambda g, n, dtype, rate: rejection.counts(g, rate),
    binomial=lambda g, n, dtype, count, p: _library(g, "binomial", count, p),
)
GPU.update(
    gamma=lambda g, shape, a: g.standard_gamma(a, shape),
    poisson=lambda g, shape, rate: g.poisson(rate, shape),
    binomial=lambda g, shape, count, p: g.binomial(count, p, shape),
)


def _values(input: Tensor, dtype: dtypes.dtype) -> Any:
    return input.detach().to(dtype)._array


def _moving(*parameters: Tensor) -> bool:
    return is_grad_enabled() and any(p.requires_grad for p in parameters)


def _change(parameter: Tensor) -> Tensor:
    """0 with the gradient of `parameter`."""
    return parameter - parameter.detach()


@drawn_slicewise
def standard_gamma(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Gamma variables of `concentration` and rate 1, its shape and dtype; differentiable by it."""
    key = concentration._key
    shapes.require_float("standard_gamma", "concentration", concentration)
    values = drawn(
        "gamma",
        key_of(key.device, dtypes.float64),
        tuple(concentration.shape),
        generator,
        _values(concentration, dtypes.float64),
    )
    sample = wrap(values, key_of(key.device, dtypes.float64)).to(concentration.dtype)
    sample = sample.clamp(min=_smallest(concentration.dtype))
    if not _moving(concentration):
        return sample
    return sample + gamma_slope(sample, concentration.detach()) * _change(concentration)


_standard_gamma = standard_gamma  # PyTorch's name


@drawn_slicewise
def standard_dirichlet(concentration: Tensor, generator: Generator | None = None) -> Tensor:
    """Points (..., K) of the simplex with Dirichlet parameters `concentration` (..., K);
    differentiable by them.

    Coordinate k alone is a beta variable, and the others divided by their sum do not depend on it:
    as parameter k moves, coordinate k takes its beta slope, and the others shrink alike.
    """
    wide = concentration.detach().to(dtypes.float64)
    # log of gamma(a) as log of gamma(a + 1) * uniform**(1 / a): a small a gives no 0 / 0
    # (Marsaglia and Tsang, ACM TOMS 26(3), 2000, section 6).
    key, shape = wide._key, tuple(wide.shape)
    gammas = wrap(drawn("gamma", key, shape, generator, (wide + 1)._array), key)
    spread = wrap(drawn("exponential", key, shape, generator, 1.0), key)
    logs = gammas.log() - spread / wide
    sample = logs.softmax(-1).to(concentration.dtype)
    if not _moving(concentration):
        return sample
    rest = wide.sum(-1, keepdim=True) - wide
    slope = beta_slope(sample.to(dtypes.float64), wide, rest).to(sample.dtype)
    pushes = slope / (1 - sample).clamp(min=_smallest(sample.dtype)) * _change(concentration)
    return sample + pushes - sample * pushes.sum(-1, keepdim=True)


def _smallest(dtype: dtypes.dtype) -> float:
    return float(np.finfo(dtype.numpy).tiny)


@drawn_slicewise
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson counts of the rates `input`, its shape and dtype.

    Raises: RuntimeError for negative rates.
    """
    shapes.require_float("poisson", "input", input)
    if not input.is_meta and anywhere(input < 0):
        raise RuntimeError("poisson: expected rates of 0 or more. Got negative ones.")
    rates = _values(input, dtypes.float64)
    return wrap(drawn("poisson", input._key, tuple(input.shape), generator, rates), input._key)


@drawn_slicewise
def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Successes in `count` trials of probability `prob`, of one shape; prob's dtype.

    Raises: RuntimeError for shapes that differ.
    """
    if tuple(count.shape) != tuple(prob.shape):
        raise RuntimeError(
            "binomial: expected count and prob of one shape. Got "
            f"{tuple(count.shape)} and {tuple(prob.shape)}."
        )
    trials, chances = _values(count, dtypes.int64), _values(prob, dtypes.float64)
    key = prob._key
    return wrap(drawn("binomial", key, tuple(prob.shape), generator, trials, chances), key)
