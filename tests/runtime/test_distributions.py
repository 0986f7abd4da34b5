"""Distributions: recorded numbers, gradients, moments of samples, divergences, errors."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import distributions as D
from flambeau.distributions import constraints
from flambeau.ops import gamma

from .recorded import distributions as recorded

RECORDED = json.loads(recorded.RECORD.read_text())


def tensor(data: Any, requires_grad: bool = False) -> torch.Tensor:
    return torch.tensor(data, dtype=torch.float64, requires_grad=requires_grad)


# -- recorded --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recorded.CASES)
def test_numbers_shapes_and_reprs_are_as_recorded(name: str) -> None:
    if name.startswith("Multivariate"):
        pytest.importorskip("flambeau.linalg")
    found = recorded.outcome(torch, *recorded.CASES[name])
    wanted = RECORDED["outcomes"][name]
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        if key in ("repr", "support", "shapes") or value is None:
            assert found[key] == value, key
        else:
            if (name, key) == ("Kumaraswamy", "mode"):
                continue  # PyTorch's is NaN everywhere
            # PyTorch computes the multinomial's entropy with a factorial in single precision, and
            # Bessel's function by a polynomial of about its accuracy.
            is_rough = (name, key) == ("Multinomial", "entropy") or name == "VonMises"
            rtol = 1e-5 if is_rough else 1e-10
            np.testing.assert_allclose(found[key], value, rtol, 1e-12, err_msg=key)


@pytest.mark.parametrize("expression", recorded.STREAMS)
def test_equal_seeds_give_pytorch_s_samples(expression: str) -> None:
    found = recorded.stream(torch, expression)
    for a, b in zip(found, RECORDED["streams"][expression], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


@pytest.mark.parametrize(("p", "q"), recorded.PAIRS)
def test_divergences_are_as_recorded(p: str, q: str) -> None:
    wanted = RECORDED["divergences"][f"{p} {q}"]
    assert recorded.divergence(torch, p, q) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize(("p", "q"), recorded.PAIRS)
def test_divergences_are_what_samples_say(p: str, q: str) -> None:
    wanted = RECORDED["divergences"][f"{p} {q}"]
    if math.isinf(wanted):
        pytest.skip("some sample of p is impossible under q")
    torch.manual_seed(0)
    first, second = recorded.of_family(torch, p, 0), recorded.of_family(torch, q, 1)
    x = first.sample((40_000,))
    second._validate_args = False
    ratios = (first.log_prob(x) - second.log_prob(x)).numpy()
    assert abs(ratios.mean() - wanted) < 6 * ratios.std() / math.sqrt(len(ratios)) + 1e-9


# -- gradients -------------------------------------------------------------------------------------

PARAMETERS: dict[str, tuple[Any, ...]] = {
    "Normal": ([0.5, -1.0], [0.7, 2.0]),
    "LogNormal": ([0.5, -1.0], [0.7, 1.1]),
    "Uniform": ([-1.0, -0.5], [2.0, 3.5]),
    "Exponential": ([0.3, 2.5],),
    "Laplace": ([0.5, -1.0], [0.7, 2.0]),
    "Gumbel": ([0.5, -1.0], [0.7, 2.0]),
    "Cauchy": ([0.5, -1.0], [0.7, 2.0]),
    "Gamma": ([0.5, 3.0], [0.7, 2.0]),
    "Beta": ([0.6, 3.0], [0.7, 2.0]),
    "Dirichlet": ([0.6, 3.0, 1.2],),
    "Chi2": ([1.5, 3.0],),
    "StudentT": ([4.5, 7.0], [0.5, -1.0], [0.7, 2.0]),
    "HalfNormal": ([0.7, 2.0],),
    "Bernoulli": ([0.3, 0.8],),
    "Geometric": ([0.3, 0.8],),
    "Poisson": ([0.3, 4.0],),
    "Categorical": ([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]],),
    "Pareto": ([0.5, 1.5], [9.0, 12.0]),
    "Weibull": ([0.5, 1.5], [3.0, 1.5]),
    "Kumaraswamy": ([0.5, 3.0], [1.7, 2.0]),
    "InverseGamma": ([9.0, 12.0], [0.7, 2.0]),
    "HalfCauchy": ([0.7, 2.0],),
    "FisherSnedecor": ([2.5, 6.0], [15.0, 20.0]),
    "GeneralizedPareto": ([0.5, -1.0], [0.7, 2.0], [0.1, -0.4]),
    "ContinuousBernoulli": ([0.3, 0.9],),
    "NegativeBinomial": ([2.5, 4.0], [0.3, 0.6]),
}
NO_ENTROPY = ("FisherSnedecor", "NegativeBinomial", "Poisson")
COUNTS = ("Bernoulli", "Geometric", "NegativeBinomial", "Poisson")
NO_MEAN = ("Cauchy", "HalfCauchy")
CONTINUOUS = [n for n in PARAMETERS if getattr(D, n).has_rsample]


def made(name: str, requires_grad: bool = False) -> tuple[Any, list[torch.Tensor]]:
    parameters = [tensor(p, requires_grad) for p in PARAMETERS[name]]
    return getattr(D, name)(*parameters, validate_args=False), parameters


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_of_log_prob_and_entropy_equal_differences(name: str) -> None:
    torch.manual_seed(2)
    dist, parameters = made(name, requires_grad=True)
    family = getattr(D, name)
    x = dist.sample((4,))

    def log_prob(*values: torch.Tensor) -> torch.Tensor:
        *values, at = values
        return family(*values, validate_args=False).log_prob(at)

    x.requires_grad_(dist.has_rsample is not False)
    if x.is_floating_point() and name not in COUNTS:
        assert torch.autograd.gradcheck(log_prob, [*parameters, x])
    else:
        assert torch.autograd.gradcheck(lambda *v: log_prob(*v, x.detach()), parameters)
    if name not in NO_ENTROPY:
        entropy = lambda *v: family(*v, validate_args=False).entropy()  # noqa: E731
        assert torch.autograd.gradcheck(entropy, parameters)


INVERTED = ["Normal", "Laplace", "Cauchy", "Gumbel", "Exponential", "Weibull", "Kumaraswamy",
            "HalfCauchy", "ContinuousBernoulli"]  # fmt: skip


@pytest.mark.parametrize("name", INVERTED)
def test_gradients_of_cdf_and_icdf_equal_differences(name: str) -> None:
    _, parameters = made(name, requires_grad=True)
    family = getattr(D, name)
    at = tensor([0.3, 0.8], True)
    assert torch.autograd.gradcheck(lambda *v: family(*v[:-1]).cdf(v[-1]), [*parameters, at])
    assert torch.autograd.gradcheck(lambda *v: family(*v[:-1]).icdf(v[-1]), [*parameters, at])


REPARAMETERIZED = ["Normal", "LogNormal", "Uniform", "Exponential", "Laplace", "Gumbel", "Cauchy",
                   "HalfNormal", "Pareto", "Weibull", "Kumaraswamy", "HalfCauchy",
                   "GeneralizedPareto", "ContinuousBernoulli"]  # fmt: skip


@pytest.mark.parametrize("name", REPARAMETERIZED)
def test_gradients_of_samples_equal_differences(name: str) -> None:
    _, parameters = made(name, requires_grad=True)

    def sampled(*values: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return getattr(D, name)(*values, validate_args=False).rsample((3,))

    assert torch.autograd.gradcheck(sampled, parameters)


def test_implicit_gradients_leave_the_distribution_function_where_it_is() -> None:
    """The sample moves with its parameter so that F(x; a) stays: dF/da + dF/dx * dx/da = 0."""
    special = pytest.importorskip("scipy.special")
    a, b, h = 1.7, 0.6, 1e-5
    for x in (0.01, 0.4, 0.9, 0.999, 2.5, 9.0):
        slope = gamma.gamma_slope(tensor(x), tensor(a)).item()
        moved = special.gammainc(a + h, x + slope * h) - special.gammainc(a - h, x - slope * h)
        assert abs(moved / (2 * h)) < 1e-9
        if x < 1:
            slope = gamma.beta_slope(tensor(x), tensor(a), tensor(b)).item()
            ahead = special.betainc(a + h, b, x + slope * h)
            assert abs(ahead - special.betainc(a - h, b, x - slope * h)) / (2 * h) < 1e-9


def test_implicit_gradients_hold_far_out_and_never_are_nan() -> None:
    sample = tensor([0.0, 1e-300, 1e-5, 3.0, 50.0, 1e4])
    for a in (1e-3, 0.5, 30.0, 1e4):
        assert bool(gamma.gamma_slope(sample, torch.full_like(sample, a)).isfinite().all())
    # A gamma variable of large concentration a is nearly a + sqrt(a) * normal.
    a = 1e6
    slope = gamma.gamma_slope(tensor(a + 2 * math.sqrt(a)), tensor(a)).item()
    assert slope == pytest.approx(1 + 2 / (2 * math.sqrt(a)), rel=1e-4)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradients_of_samples_are_those_of_the_mean(name: str) -> None:
    """The average of d sample / d parameter is d mean / d parameter."""
    if name in NO_MEAN:
        pytest.skip("it has no mean")
    torch.manual_seed(1)
    dist, parameters = made(name, requires_grad=True)
    weights = tensor([1.0, -2.0, 3.0][: dist.mean.shape[-1]])
    mean = (dist.mean * weights).sum()
    wanted = torch.autograd.grad(mean, parameters, retain_graph=True, allow_unused=True)
    found = torch.autograd.grad((dist.rsample((60_000,)).mean(0) * weights).sum(), parameters)
    for a, b in zip(found, wanted, strict=True):
        b = torch.zeros_like(a) if b is None else b
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0.05, atol=0.05)


def test_samples_carry_no_gradient_and_rsamples_do() -> None:
    scale = tensor(1.0, True)
    assert not D.Gamma(scale, 1.0).sample().requires_grad
    assert D.Gamma(scale, 1.0).rsample().requires_grad
    with torch.no_grad():
        assert not D.Gamma(scale, 1.0).rsample().requires_grad


# -- samples ---------------------------------------------------------------------------------------

DRAWN = [*PARAMETERS, "OneHotCategorical", "Binomial", "Multinomial"]


@pytest.mark.parametrize("name", DRAWN)
def test_samples_have_the_moments(name: str) -> None:
    torch.manual_seed(3)
    weights = tensor([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]])
    special = {
        "OneHotCategorical": lambda: D.OneHotCategorical(weights),
        "Binomial": lambda: D.Binomial(tensor([7.0, 40.0]), tensor([0.3, 0.8])),
        "Multinomial": lambda: D.Multinomial(5, weights),
    }
    dist = special[name]() if name in special else made(name)[0]
    x = dist.sample((50_000,))
    assert x.shape == (50_000, *dist.batch_shape, *dist.event_shape)
    assert bool(dist.support.check(x).all())
    x = x.double().numpy()
    if name == "Cauchy":
        np.testing.assert_allclose(np.median(x, 0), dist.loc.numpy(), atol=0.05)
    elif name == "HalfCauchy":
        np.testing.assert_allclose(np.median(x, 0), dist.scale.numpy(), rtol=0.03)
    elif name == "Categorical":
        for k in range(3):
            np.testing.assert_allclose((x == k).mean(0), dist.probs[:, k].numpy(), atol=0.01)
    else:
        spread = dist.stddev.numpy()
        np.testing.assert_allclose(x.mean(0), dist.mean.numpy(), atol=0.02 * spread.max())
        np.testing.assert_allclose(x.std(0), spread, rtol=0.08)


def test_seeds_govern_all_samples() -> None:
    for name in DRAWN[:-3]:
        dist, _ = made(name)
        torch.manual_seed(4)
        first = dist.sample((5,))
        torch.manual_seed(4)
        assert torch.equal(first, dist.sample((5,))), name


def test_small_concentrations_give_no_zeros_over_zeros() -> None:
    torch.manual_seed(0)
    x = D.Dirichlet(torch.full((100, 3), 1e-4)).sample()
    assert bool(((x.sum(-1) - 1).abs() < 1e-6).all())
    y = D.Gamma(torch.full((100,), 1e-4, requires_grad=True), 1.0).rsample()
    assert bool((y > 0).all())
    y.sum().backward()


def test_single_precision_and_half_shapes_stay() -> None:
    for name in PARAMETERS:
        parameters = [torch.tensor(p) for p in PARAMETERS[name]]
        dist = getattr(D, name)(*parameters)
        drawn = dist.sample()
        assert drawn.dtype is (torch.int64 if name == "Categorical" else torch.float32), name
        assert dist.log_prob(drawn).dtype is torch.float32, name


# -- shapes ----------------------------------------------------------------------------------------


def test_expanded_distributions_sample_their_new_shape() -> None:
    for name in PARAMETERS:
        dist, _ = made(name)
        wide = dist.expand((4, *dist.batch_shape))
        assert type(wide) is type(dist)
        assert wide.batch_shape == (4, *dist.batch_shape)
        assert wide.sample((3,)).shape == (3, 4, *dist.batch_shape, *dist.event_shape), name
        assert wide.mean.shape == (4, *dist.batch_shape, *dist.event_shape), name
        assert tuple(dist.batch_shape) == tuple(dist.log_prob(dist.sample()).shape), name


def test_independent_dimensions_are_summed() -> None:
    base = D.Normal(torch.zeros(2, 3), torch.ones(2, 3))
    dist = D.Independent(base, 1)
    x = dist.rsample()
    assert (dist.batch_shape, dist.event_shape) == ((2,), (3,))
    assert torch.allclose(dist.log_prob(x), base.log_prob(x).sum(-1))
    assert torch.allclose(dist.entropy(), base.entropy().sum(-1))
    assert dist.expand((5, 2)).sample().shape == (5, 2, 3)
    assert torch.allclose(D.kl_divergence(dist, dist), torch.zeros(2))


@pytest.mark.parametrize(
    "transform",
    [
        D.ExpTransform(),
        D.SigmoidTransform(),
        D.TanhTransform(),
        D.AffineTransform(1.0, -2.0),
        D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.TanhTransform(), D.ExpTransform()]),
    ],
)
def test_transforms_invert_and_tell_their_slope(transform: Any) -> None:
    x = tensor([-1.2, 0.1, 0.7], True)
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).tolist(), x.tolist(), rtol=1e-10)
    (slope,) = torch.autograd.grad(y.sum(), x)
    found = transform.log_abs_det_jacobian(x, y)
    np.testing.assert_allclose(found.tolist(), slope.abs().log().tolist(), rtol=1e-10)
    np.testing.assert_allclose(transform.inv.log_abs_det_jacobian(y, x).tolist(), (-found).tolist())
    assert transform.inv.inv == transform or isinstance(transform, D.ComposeTransform)
    assert transform.sign == (-1 if isinstance(transform, D.AffineTransform) else 1)
    assert bool(transform.codomain.check(y.detach()).all())
    assert transform.with_cache()(x).shape == x.shape


def test_a_cached_transform_remembers_its_last_value() -> None:
    tanh = D.TanhTransform(cache_size=1)
    x = tensor([30.0])
    assert tanh.inv(tanh(x)) is x


def test_transforms_compare_by_their_parameters() -> None:
    assert D.AffineTransform(1.0, 2.0) == D.AffineTransform(1.0, 2.0)
    assert D.AffineTransform(1.0, 2.0) != D.AffineTransform(1.0, 3.0)
    assert D.ExpTransform() != D.TanhTransform()
    assert D.ExpTransform().inv == D.ExpTransform().inv


def test_constraints_check_values() -> None:
    c = constraints
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    expected = {
        c.real: [1, 1, 1, 1, 1], c.boolean: [0, 1, 0, 1, 0], c.positive: [0, 0, 1, 1, 1],
        c.nonnegative: [0, 1, 1, 1, 1], c.unit_interval: [0, 1, 1, 1, 0],
        c.nonnegative_integer: [0, 1, 0, 1, 1], c.positive_integer: [0, 0, 0, 1, 1],
        c.less_than(1.0): [1, 1, 1, 0, 0], c.half_open_interval(0.0, 1.0): [0, 1, 1, 0, 0],
        c.integer_interval(0, 1): [0, 1, 0, 1, 0],
    }  # fmt: skip
    for constraint, inside in expected.items():
        assert constraint.check(x).int().tolist() == inside, constraint
    lower = torch.tensor([[1.0, 0.0], [2.0, 3.0]])
    assert c.lower_cholesky.check(lower).item()
    assert not c.lower_triangular.check(lower.mT).item()
    assert not c.symmetric.check(lower).item()
    assert c.square.check(lower).item()
    assert not c.square.check(lower[:1]).item()
    assert c.simplex.check(torch.tensor([[0.5, 0.5], [0.5, 0.6]])).tolist() == [True, False]
    assert c.one_hot.check(torch.tensor([[0.0, 1.0], [1.0, 1.0]])).tolist() == [True, False]
    assert c.positive_definite.check(lower @ lower.mT).item()
    assert not c.positive_definite.check(lower + lower.mT - 9).item()
    assert not c.positive_definite.check(lower).item()
    assert c.positive_semidefinite.check(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).item()
    stacked = c.stack([c.positive, c.real], -1)
    assert stacked.check(torch.tensor([[-1.0, -1.0]])).tolist() == [[False, True]]
    joined = c.cat([c.positive, c.real], -1, [1, 2])
    assert joined.check(torch.tensor([-1.0, -1.0, 0.0])).tolist() == [False, True, True]
    assert c.is_dependent(D.Uniform.support)
    assert repr(D.Uniform(0.0, 1.0).support) == "Interval(lower_bound=0.0, upper_bound=1.0)"


def test_families_of_one_s_own_are_written_as_for_pytorch() -> None:
    class Shifted(D.Distribution):
        arg_constraints: Any = {"loc": constraints.real}  # noqa: RUF012

        def __init__(self, loc: Any, validate_args: Any = None) -> None:
            self.loc = loc
            super().__init__(loc.shape, validate_args=validate_args)

        def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
            new = self._get_checked_instance(Shifted, _instance)
            new.loc = self.loc.expand(batch_shape)
            super(Shifted, new).__init__(batch_shape, validate_args=False)
            new._validate_args = self._validate_args
            return new

        def rsample(self, sample_shape: Any = ()) -> Any:
            return self.loc + torch.rand(self._extended_shape(sample_shape))

        def log_prob(self, value: Any) -> Any:
            self._validate_sample(value)
            return value * 0

    dist = Shifted(torch.zeros(2))
    assert repr(dist) == "Shifted(loc: torch.Size([2]))"
    assert dist.expand((3, 2)).sample((4,)).shape == (4, 3, 2)
    assert dist.log_prob(torch.ones(2)).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="expected loc to lie in Real"):
        Shifted(torch.tensor([math.nan]))


# -- multivariate normal ---------------------------------------------------------------------------


def test_a_multivariate_normal_of_independent_parts_is_their_product() -> None:
    pytest.importorskip("flambeau.linalg")
    scale = tensor([0.5, 2.0, 1.3])
    loc = tensor([1.0, -1.0, 0.0])
    single = D.Independent(D.Normal(loc, scale), 1)
    x = tensor([[0.3, 0.1, -0.5], [2.0, 1.0, 1.0]])
    diagonal = torch.eye(3, dtype=torch.float64)
    for given in (
        {"scale_tril": diagonal * scale},
        {"covariance_matrix": diagonal * scale.square()},
        {"precision_matrix": diagonal / scale.square()},
    ):
        dist = D.MultivariateNormal(loc, **given)
        assert torch.allclose(dist.log_prob(x), single.log_prob(x))
        assert torch.allclose(dist.entropy(), single.entropy())
        assert torch.allclose(dist.variance, scale.square())
        other = D.MultivariateNormal(loc * 0, diagonal)
        wanted = D.kl_divergence(D.Normal(loc, scale), D.Normal(loc * 0, scale * 0 + 1)).sum()
        assert torch.allclose(D.kl_divergence(dist, other), wanted)
        assert torch.allclose(dist.precision_matrix @ dist.covariance_matrix, diagonal)


def test_gradients_of_a_multivariate_normal_equal_differences() -> None:
    pytest.importorskip("flambeau.linalg")
    loc, x = tensor([0.5, -1.0], True), tensor([[0.3, 0.1], [2.0, 1.0]], True)
    factor = tensor([[1.0, 0.0], [0.5, 2.0]], True)

    def log_prob(loc: Any, factor: Any, x: Any) -> Any:
        covariance = factor @ factor.mT
        return D.MultivariateNormal(loc, covariance, validate_args=False).log_prob(x)

    assert torch.autograd.gradcheck(log_prob, [loc, factor, x])


def test_a_multivariate_normal_samples_by_its_factor() -> None:
    factor = tensor([[1.0, 0.0], [2.0, 0.5]])
    dist = D.MultivariateNormal(tensor([1.0, -1.0]), scale_tril=factor)
    torch.manual_seed(0)
    x = dist.sample((50_000,)).numpy()
    np.testing.assert_allclose(np.cov(x.T), (factor @ factor.mT).numpy(), atol=0.1)
    assert repr(dist) == "MultivariateNormal(loc: torch.Size([2]), scale_tril: torch.Size([2, 2]))"
    assert dist.expand((3,)).sample().shape == (3, 2)


# -- operations ------------------------------------------------------------------------------------


def test_the_gamma_family_equals_scipy_and_has_gradients() -> None:
    special = pytest.importorskip("scipy.special")
    x = tensor([0.3, 2.0, 5.5], True)
    y = tensor([1.0, 1.5, 7.0], True)
    close = np.testing.assert_allclose
    close(torch.digamma(x).tolist(), special.digamma(x.tolist()))
    close(torch.polygamma(2, x).tolist(), special.polygamma(2, x.tolist()))
    close(torch.polygamma(1, tensor([-0.3])).tolist(), [13.945160267805718])
    close(gamma.gammainc(x, y).tolist(), special.gammainc(x.tolist(), y.tolist()))
    close(torch.xlogy(x, y).tolist(), special.xlogy(x.tolist(), y.tolist()))
    assert torch.xlogy(tensor([0.0, 0.0]), tensor([0.0, 2.0])).tolist() == [0.0, 0.0]
    assert torch.autograd.gradgradcheck(torch.digamma, [x])
    assert torch.autograd.gradcheck(lambda v: torch.polygamma(2, v), [x])
    assert torch.autograd.gradcheck(gamma.gammainc, [x, y])
    assert torch.autograd.gradgradcheck(torch.xlogy, [x, y])
    assert torch.autograd.gradgradcheck(torch.lgamma, [x])
    at = tensor([0.4, 1.0, 3.0])
    assert torch.autograd.gradgradcheck(lambda a, b: D.Gamma(a, b).log_prob(at), [x, y])


# -- divergences and errors ------------------------------------------------------------------------


def test_divergences_are_found_by_the_nearest_ancestors() -> None:
    class Mine(D.Normal):
        """A family of the user's own."""

    p = Mine(0.0, 1.0)
    q = D.Normal(1.0, 2.0)
    assert torch.equal(D.kl_divergence(p, q), D.kl_divergence(D.Normal(0.0, 1.0), q))

    @D.register_kl(Mine, D.Normal)
    def special(p: Any, q: Any) -> Any:
        return torch.tensor(42.0)

    assert D.kl_divergence(p, q).item() == 42.0
    assert D.kl_divergence(p, p).item() == 42.0
    with pytest.raises(TypeError, match="expected subclasses of Distribution"):
        D.register_kl(int, D.Normal)


@pytest.mark.parametrize(("p", "q"), sorted(recorded.UNKNOWN))
def test_unknown_divergences_say_so(p: str, q: str) -> None:
    with pytest.raises(NotImplementedError, match=f"Got {p} and {q}"):
        recorded.divergence(torch, p, q)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: D.Normal(0.0, -1.0), "expected scale to lie in GreaterThan.*Got .* -1"),
        (lambda: D.Normal("a", 1.0), "expected tensors or numbers"),
        (lambda: D.Normal(torch.ones(2), torch.ones(3)), "Expected shapes that broadcast"),
        (lambda: D.Normal(0.0, 1.0).log_prob(3.0), "expected a tensor as value"),
        (lambda: D.Normal(0.0, 1.0).log_prob(torch.tensor(math.nan)), "inside the support Real"),
        (lambda: D.Normal(torch.zeros(3), 1.0).log_prob(torch.zeros(2)), r"batch_shape \(3,\)"),
        (lambda: D.Exponential(1.0).log_prob(torch.tensor([1.0, -2.0])), "-2"),
        (lambda: D.Bernoulli(), "either probs or logits. Got neither"),
        (lambda: D.Bernoulli(0.5, 0.0), "either probs or logits. Got both"),
        (lambda: D.Bernoulli(1.5), "expected probs to lie in Interval"),
        (lambda: D.Geometric(0.0), "expected probs above 0"),
        (lambda: D.Uniform(2.0, 1.0), "expected low below high"),
        (lambda: D.Categorical(torch.tensor(1.0)), "one dimension at least"),
        (lambda: D.Dirichlet(torch.tensor(1.0)), "one dimension at least"),
        (lambda: D.MultivariateNormal(torch.zeros(2)), "exactly one of"),
        (lambda: D.MultivariateNormal(torch.zeros(2), torch.eye(3)), r"\(\.\.\., n, n\). Got"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), "reinterpreted_batch_ndims up to"),
        (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]), "a Transform or a list"),
        (lambda: D.ExpTransform(cache_size=2), "expected 0 or 1"),
        (lambda: D.Distribution.set_default_validate_args(1), "expected True or False"),
    ],
)
def test_errors_say_what_was_expected(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){message}"):
        call()


def test_what_a_family_has_not_is_named() -> None:
    for ask in (
        lambda: D.Poisson(1.0).rsample(),
        lambda: D.Gamma(1.0, 1.0).icdf(torch.tensor(0.5)),
        lambda: D.Normal(0.0, 1.0).enumerate_support(),
        lambda: D.Multinomial(3, torch.ones(2)).mode,
        lambda: D.HalfNormal(1.0).transforms[0].sign,
    ):
        with pytest.raises(NotImplementedError, match="has no"):
            ask()


def test_validation_can_be_switched_off() -> None:
    assert math.isnan(D.Normal(0.0, -1.0, validate_args=False).entropy().item())
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
