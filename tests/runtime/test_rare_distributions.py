"""The rarer distributions against SciPy, numerical integrals and the definitions."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import flambeau as torch
from flambeau import distributions as D
from flambeau.distributions import biject_to, constraints, transform_to


def tensor(data: Any, requires_grad: bool = False) -> torch.Tensor:
    return torch.tensor(data, dtype=torch.float64, requires_grad=requires_grad)


SCIPY: dict[str, tuple[Any, Any, list[float]]] = {
    "GeneralizedPareto": (
        lambda: D.GeneralizedPareto(tensor(0.5), tensor(2.0), tensor(0.3)),
        stats.genpareto(0.3, 0.5, 2.0),
        [0.6, 3.0, 50.0],
    ),
    "GeneralizedPareto, bounded": (
        lambda: D.GeneralizedPareto(tensor(0.5), tensor(2.0), tensor(-0.4)),
        stats.genpareto(-0.4, 0.5, 2.0),
        [0.6, 3.0, 5.0],
    ),
    "GeneralizedPareto, exponential": (
        lambda: D.GeneralizedPareto(tensor(0.5), tensor(2.0), tensor(0.0)),
        stats.genpareto(0.0, 0.5, 2.0),
        [0.6, 3.0, 20.0],
    ),
    "Pareto": (lambda: D.Pareto(tensor(1.5), tensor(3.0)), stats.pareto(3.0, 0, 1.5), [1.6, 9.0]),
    "Weibull": (
        lambda: D.Weibull(tensor(1.5), tensor(0.8)),
        stats.weibull_min(0.8, 0, 1.5),
        [0.1, 2.0, 9.0],
    ),
    "InverseGamma": (
        lambda: D.InverseGamma(tensor(3.0), tensor(2.0)),
        stats.invgamma(3.0, 0, 2.0),
        [0.1, 1.0, 9.0],
    ),
    "HalfCauchy": (lambda: D.HalfCauchy(tensor(2.0)), stats.halfcauchy(0, 2.0), [0.1, 1.0, 90.0]),
    "FisherSnedecor": (
        lambda: D.FisherSnedecor(tensor(3.0), tensor(7.0)),
        stats.f(3.0, 7.0),
        [0.1, 1.0, 9.0],
    ),
}


@pytest.mark.parametrize("name", SCIPY)
def test_densities_and_moments_equal_scipys(name: str) -> None:
    make, wanted, points = SCIPY[name]
    dist, x = make(), tensor(points)
    np.testing.assert_allclose(dist.log_prob(x).numpy(), wanted.logpdf(points), 1e-10)
    moments = [float(dist.mean), float(dist.variance)]
    if name != "HalfCauchy":  # SciPy says NaN where the integrals are infinite
        np.testing.assert_allclose(moments, [wanted.mean(), wanted.var()], 1e-9)
    if name != "FisherSnedecor":
        np.testing.assert_allclose(float(dist.entropy()), wanted.entropy(), 1e-7)
    if name not in ("FisherSnedecor", "InverseGamma"):
        np.testing.assert_allclose(dist.cdf(x).numpy(), wanted.cdf(points), 1e-10)
        np.testing.assert_allclose(dist.icdf(dist.cdf(x)).numpy(), points, 1e-8)


def test_counts_before_failures_equal_scipys() -> None:
    dist = D.NegativeBinomial(tensor(2.5), tensor(0.3))
    wanted = stats.nbinom(2.5, 0.7)
    counts = np.arange(6)
    np.testing.assert_allclose(dist.log_prob(tensor(counts)).numpy(), wanted.logpmf(counts), 1e-10)
    np.testing.assert_allclose(float(dist.variance), wanted.var(), 1e-10)
    empty = D.NegativeBinomial(tensor(0.0), tensor(0.3))
    assert empty.log_prob(tensor(0.0)) == 0


def test_angles_are_von_mises() -> None:
    dist = D.VonMises(tensor(0.5), tensor(3.0))
    wanted = stats.vonmises(3.0, 0.5)
    x = [-3.0, 0.0, 0.5, 2.0]
    np.testing.assert_allclose(dist.log_prob(tensor(x)).numpy(), wanted.logpdf(x), 1e-10)
    torch.manual_seed(0)
    drawn = dist.sample((20_000,)).numpy()
    assert stats.kstest(drawn, wanted.cdf).pvalue > 1e-3
    assert np.abs(drawn).max() <= math.pi


@pytest.mark.parametrize("probs", [0.01, 0.3, 0.4995, 0.5, 0.9])
def test_a_continuous_coin_integrates_to_one(probs: float) -> None:
    dist = D.ContinuousBernoulli(tensor(probs))

    def density(x: float) -> float:
        return float(dist.log_prob(tensor(x)).exp())

    mean = integrate.quad(lambda x: x * density(x), 0, 1)[0]
    np.testing.assert_allclose(integrate.quad(density, 0, 1)[0], 1, 1e-7)
    np.testing.assert_allclose(float(dist.mean), mean, 1e-7)
    spread = integrate.quad(lambda x: (x - mean) ** 2 * density(x), 0, 1)[0]
    np.testing.assert_allclose(float(dist.variance), spread, 1e-6)
    if abs(probs - 0.5) > 0.01:
        np.testing.assert_allclose(float(dist.cdf(dist.icdf(tensor(0.3)))), 0.3, 1e-9)


def test_the_mode_of_kumaraswamy_is_the_highest_place() -> None:
    dist = D.Kumaraswamy(tensor(2.0), tensor(3.0))
    x = torch.linspace(0.001, 0.999, 9999, dtype=torch.float64)
    assert abs(float(x[dist.log_prob(x).argmax()] - dist.mode)) < 1e-3
    assert math.isnan(float(D.Kumaraswamy(tensor(0.5), tensor(3.0)).mode))


def test_a_low_rank_normal_is_the_normal_of_its_covariance() -> None:
    torch.manual_seed(0)
    factor, diagonal = torch.randn(5, 4, 2).double(), torch.rand(5, 4).double() + 0.5
    loc = torch.randn(4).double()
    low = D.LowRankMultivariateNormal(loc, factor, diagonal)
    whole = D.MultivariateNormal(loc, low.covariance_matrix)
    x = torch.randn(3, 5, 4).double()
    for name in ("variance", "precision_matrix", "scale_tril"):
        torch.testing.assert_close(getattr(low, name), getattr(whole, name))
    torch.testing.assert_close(low.log_prob(x), whole.log_prob(x))
    torch.testing.assert_close(low.entropy(), whole.entropy())
    for p, q in ((low, whole), (whole, low), (low, low)):
        torch.testing.assert_close(D.kl_divergence(p, q), torch.zeros(5).double())
    sample = D.LowRankMultivariateNormal(loc, factor[0], diagonal[0]).sample((60_000,))
    wanted = low.covariance_matrix[0].numpy()
    np.testing.assert_allclose(np.cov(sample.numpy().T), wanted, atol=0.12)
    assert low.expand((2, 5)).rsample((3,)).shape == (3, 2, 5, 4)


def test_wishart_matrices_have_their_density_and_moments() -> None:
    v = tensor([[2.0, 0.3], [0.3, 1.0]])
    wanted = stats.wishart(4.5, v.numpy())
    x = np.array([[4.0, -1.0], [-1.0, 3.0]])
    for given in (
        {"covariance_matrix": v},
        {"precision_matrix": v.inverse()},
        {"scale_tril": torch.linalg.cholesky(v)},
    ):
        dist = D.Wishart(tensor(4.5), **given)
        np.testing.assert_allclose(float(dist.log_prob(tensor(x))), wanted.logpdf(x), 1e-10)
        np.testing.assert_allclose(float(dist.entropy()), wanted.entropy(), 1e-10)
        np.testing.assert_allclose(dist.mean.numpy(), wanted.mean(), 1e-10)
        np.testing.assert_allclose(dist.variance.numpy(), wanted.var(), 1e-10)
    torch.manual_seed(0)
    drawn = dist.sample((40_000,))
    np.testing.assert_allclose(drawn.mean(0).numpy(), wanted.mean(), rtol=0.05)
    np.testing.assert_allclose(drawn.var(0).numpy(), wanted.var(), rtol=0.08)
    assert dist.expand((3,)).sample().shape == (3, 2, 2)
    with pytest.raises(ValueError, match="df above 1"):
        D.Wishart(1.0, v)


@pytest.mark.parametrize("concentration", [0.5, 1.0, 4.0])
def test_correlation_factors_integrate_to_one_and_are_drawn_so(concentration: float) -> None:
    dist = D.LKJCholesky(2, tensor(concentration))

    def density(r: float) -> float:
        # Of the factor's free element r; the volume of the diagonal one is 1 / sqrt(1 - r**2).
        factor = tensor([[1.0, 0.0], [r, math.sqrt(1 - r * r)]])
        return float(dist.log_prob(factor).exp())

    assert integrate.quad(density, -1, 1)[0] == pytest.approx(1, rel=1e-5)
    torch.manual_seed(0)
    wide = D.LKJCholesky(4, tensor(concentration)).sample((5_000,))
    assert bool(constraints.corr_cholesky.check(wide).all())
    matrices = wide @ wide.mT
    # Each correlation is 2 * Beta(c, c) - 1 with c = concentration + (4 - 2) / 2.
    c = concentration + 1
    for r in (matrices[:, 1, 0], matrices[:, 3, 2]):
        assert stats.kstest((r.numpy() + 1) / 2, stats.beta(c, c).cdf).pvalue > 1e-3


def test_a_mixture_mixes() -> None:
    weights, loc = tensor([0.3, 0.7]), tensor([-2.0, 1.0])
    dist = D.MixtureSameFamily(D.Categorical(weights), D.Normal(loc, tensor([0.5, 1.0])))
    parts = [stats.norm(-2.0, 0.5), stats.norm(1.0, 1.0)]
    x = np.array([-3.0, 0.0, 2.0])
    density = 0.3 * parts[0].pdf(x) + 0.7 * parts[1].pdf(x)
    np.testing.assert_allclose(dist.log_prob(tensor(x)).exp().numpy(), density, 1e-10)
    torch.manual_seed(0)
    drawn = dist.sample((50_000,)).numpy()
    np.testing.assert_allclose(drawn.mean(), float(dist.mean), atol=0.03)
    np.testing.assert_allclose(drawn.var(), float(dist.variance), rtol=0.03)
    vectors = D.MultivariateNormal(torch.zeros(2, 3), torch.eye(3))
    joint = D.MixtureSameFamily(D.Categorical(torch.ones(2)), vectors)
    assert joint.sample((5,)).shape == (5, 3)
    assert joint.expand((4,)).log_prob(torch.zeros(4, 3)).shape == (4,)
    with pytest.raises(ValueError, match=r"batch_shape \(\.\.\., 2\)"):
        D.MixtureSameFamily(D.Categorical(torch.ones(2)), D.Normal(torch.zeros(3), 1.0))


def test_relaxed_choices_have_gradients_and_straight_through_ones_are_hard() -> None:
    torch.manual_seed(0)
    logits = tensor([0.5, -1.0, 2.0], True)
    soft = D.RelaxedOneHotCategorical(tensor(0.5), logits=logits)
    sample = soft.rsample((1000,))
    torch.testing.assert_close(sample.sum(-1), torch.ones(1000).double())
    chosen = sample.argmax(-1).bincount(minlength=3) / 1000
    np.testing.assert_allclose(chosen.numpy(), soft.probs.detach().numpy(), atol=0.05)
    (slope,) = torch.autograd.grad(sample[:, 0].sum(), logits)
    assert bool((slope != 0).all())
    hard = D.OneHotCategoricalStraightThrough(logits=logits).rsample((5,))
    assert set(hard.detach().round(decimals=9).unique().tolist()) == {0.0, 1.0}
    (slope,) = torch.autograd.grad(hard[:, 0].sum(), logits)
    assert bool((slope != 0).all())
    coin = D.RelaxedBernoulli(tensor(0.1), logits=tensor(1.0)).sample((4000,))
    assert float((coin > 0.5).double().mean()) == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)


CONSTRAINED = {
    "positive": constraints.positive,
    "above 2": constraints.greater_than(2.0),
    "below 2": constraints.less_than(2.0),
    "interval": constraints.interval(-1.0, 3.0),
    "unit": constraints.unit_interval,
    "simplex": constraints.simplex,
    "correlation": constraints.corr_cholesky,
    "triangular": constraints.lower_cholesky,
    "definite": constraints.positive_definite,
    "vector": constraints.real_vector,
    "parts": constraints.cat([constraints.positive, constraints.unit_interval], -1, [1, 2]),
    "slices": constraints.stack([constraints.positive, constraints.real, constraints.real], -1),
}


@pytest.mark.parametrize("name", CONSTRAINED)
@pytest.mark.parametrize("registry", [biject_to, transform_to])
def test_unconstrained_numbers_are_mapped_onto_the_constraint(registry: Any, name: str) -> None:
    torch.manual_seed(0)
    shape = (5, 3, 3) if name in ("triangular", "definite") else (5, 3)
    transform = registry(CONSTRAINED[name])
    x = torch.randn(shape).double()
    y = transform(x)
    assert bool(CONSTRAINED[name].check(y).all())
    again = transform(transform.inv(y))
    torch.testing.assert_close(again, y)
    assert tuple(transform.forward_shape(x.shape)) == tuple(y.shape)
    assert tuple(transform.inverse_shape(y.shape)) == tuple(x.shape)


@pytest.mark.parametrize("name", ["simplex", "correlation"])
def test_volume_changes_are_determinants(name: str) -> None:
    transform = biject_to(CONSTRAINED[name])
    x = tensor([0.3, -0.8, 1.1])

    def free(x: torch.Tensor) -> torch.Tensor:
        y = transform(x)
        if name == "simplex":
            return y[:-1]
        return D.utils.tril_matrix_to_vec(y, -1)

    jacobian = torch.autograd.functional.jacobian(free, x)
    found = transform.log_abs_det_jacobian(x, transform(x))
    assert float(found) == pytest.approx(float(jacobian.det().abs().log()), rel=1e-10)


def test_triangles_become_vectors_and_back() -> None:
    for n, diag in ((3, 0), (4, -1), (4, 1), (5, -2)):
        matrix = torch.randn(2, n, n).tril(diag)
        vector = D.utils.tril_matrix_to_vec(matrix, diag)
        assert torch.equal(D.utils.vec_to_tril_matrix(vector, diag), matrix)
    with pytest.raises(ValueError, match="as many numbers as a triangle"):
        D.utils.vec_to_tril_matrix(torch.ones(4))


def test_an_exponential_family_gets_entropy_and_divergence_by_differentiation() -> None:
    class Rate(D.ExponentialFamily):
        _mean_carrier_measure = 0

        def __init__(self, rate: Any) -> None:
            self.rate = rate
            super().__init__(rate.shape, validate_args=False)

        @property
        def _natural_params(self) -> Any:
            return (-self.rate,)

        def _log_normalizer(self, x: Any) -> Any:
            return -(-x).log()

    p, q = tensor([0.5, 2.0]), tensor([1.5, 0.7])
    torch.testing.assert_close(Rate(p).entropy(), D.Exponential(p).entropy())
    wanted = D.kl_divergence(D.Exponential(p), D.Exponential(q))
    torch.testing.assert_close(D.kl_divergence(Rate(p), Rate(q)), wanted)


@pytest.mark.parametrize(
    ("module", "name"),
    [("normal", "Normal"), ("studentT", "StudentT"), ("exp_family", "ExponentialFamily"),
     ("constraint_registry", "biject_to"), ("transforms", "StickBreakingTransform"),
     ("relaxed_bernoulli", "LogitRelaxedBernoulli"), ("utils", "broadcast_all")],
)  # fmt: skip
def test_pytorchs_module_names_are_found(module: str, name: str) -> None:
    found = importlib.import_module(f"flambeau.distributions.{module}")
    assert getattr(getattr(D, module), name) is getattr(found, name)
