"""Probability distributions: samples, densities, moments, divergences."""

import importlib
import sys

from . import constraints as constraints
from . import kl as kl
from . import kl_pairs as kl_pairs  # registers the divergences of the rarer families
from . import parameters as parameters
from . import transforms as transforms
from .categorical import Categorical, Multinomial, OneHotCategorical
from .circular import VonMises
from .constraint_registry import biject_to, transform_to
from .discrete import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from .distribution import Distribution
from .exponential_family import ExponentialFamily
from .folded import HalfCauchy, HalfNormal, LogisticNormal, LogNormal
from .kl import kl_divergence, register_kl
from .location_scale import Cauchy, Gumbel, Laplace, Normal, StudentT
from .low_rank import LowRankMultivariateNormal
from .matrices import LKJCholesky, Wishart
from .mixtures import MixtureSameFamily
from .multivariate import MultivariateNormal
from .positive import Beta, Chi2, Dirichlet, Exponential, FisherSnedecor, Gamma
from .power_laws import GeneralizedPareto, InverseGamma, Kumaraswamy, Pareto, Weibull
from .relaxed import (
    ContinuousBernoulli,
    OneHotCategoricalStraightThrough,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)
from .transformed import Independent, TransformedDistribution
from .transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)
from .uniform import Uniform

PYTORCH_MODULES = {
    "bernoulli": "discrete", "beta": "positive", "binomial": "discrete", "cauchy": "location_scale",
    "chi2": "positive", "continuous_bernoulli": "relaxed", "dirichlet": "positive",
    "exp_family": "exponential_family", "exponential": "positive", "fishersnedecor": "positive",
    "gamma": "positive", "generalized_pareto": "power_laws", "geometric": "discrete",
    "gumbel": "location_scale", "half_cauchy": "folded", "half_normal": "folded",
    "independent": "transformed", "inverse_gamma": "power_laws", "kumaraswamy": "power_laws",
    "laplace": "location_scale", "lkj_cholesky": "matrices", "log_normal": "folded",
    "logistic_normal": "folded", "lowrank_multivariate_normal": "low_rank",
    "mixture_same_family": "mixtures", "multinomial": "categorical",
    "multivariate_normal": "multivariate", "negative_binomial": "discrete",
    "normal": "location_scale", "one_hot_categorical": "relaxed", "pareto": "power_laws",
    "poisson": "discrete", "relaxed_bernoulli": "relaxed", "relaxed_categorical": "relaxed",
    "studentT": "location_scale", "transformed_distribution": "transformed",
    "utils": "parameters", "von_mises": "circular", "weibull": "power_laws", "wishart": "matrices",
}  # fmt: skip
"""Where PyTorch has a module for each family: the modules here that hold them."""


def _offer_pytorch_modules() -> None:
    """Let `torch.distributions.normal.Normal` be found, by attribute and by import."""
    for name, home in PYTORCH_MODULES.items():
        module = importlib.import_module(f".{home}", __name__)
        sys.modules[f"{__name__}.{name}"] = globals()[name] = module


_offer_pytorch_modules()

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "CatTransform",
    "Categorical", "Cauchy", "Chi2", "ComposeTransform", "ContinuousBernoulli",
    "CorrCholeskyTransform", "CumulativeDistributionTransform", "Dirichlet", "Distribution",
    "ExpTransform", "Exponential", "ExponentialFamily", "FisherSnedecor", "Gamma",
    "GeneralizedPareto", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent",
    "IndependentTransform", "InverseGamma", "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal",
    "LogisticNormal", "LowRankMultivariateNormal", "LowerCholeskyTransform", "MixtureSameFamily",
    "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "PositiveDefiniteTransform",
    "PowerTransform", "RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform",
    "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform",
    "StickBreakingTransform", "StudentT", "TanhTransform", "Transform", "TransformedDistribution",
    "Uniform", "VonMises", "Weibull", "Wishart", "biject_to", "constraints", "identity_transform",
    "kl", "kl_divergence", "parameters", "register_kl", "transform_to", "transforms",
]  # fmt: skip
