"""Distributions and what PyTorch computes with them, recorded once.

`python -m tests.runtime.recorded.distributions`, in an environment that has PyTorch, writes
distributions.json anew. The tests read it and never import PyTorch.
"""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

CASES: dict[str, tuple[str, Any]] = {
    "Normal": ("Normal(T([0.5, -1.0]), T([0.7, 2.0]))", [[0.2, 1.5], [-3.0, 4.0]]),
    "LogNormal": ("LogNormal(T([0.5, -1.0]), T([0.7, 1.1]))", [[0.2, 1.5], [3.0, 0.4]]),
    "Uniform": ("Uniform(T([-1.0, 0.5]), T([2.0, 3.5]))", [[0.2, 1.5], [1.5, 3.0]]),
    "Bernoulli": ("Bernoulli(T([0.3, 0.8]))", [[0.0, 1.0], [1.0, 1.0]]),
    "Bernoulli of logits": ("Bernoulli(logits=T([-1.5, 0.4]))", [[0.0, 1.0], [1.0, 1.0]]),
    "Categorical": ("Categorical(T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))", [[0, 2], [1, 1]]),
    "Categorical of logits": (
        "Categorical(logits=T([[0.2, -0.5, 1.3], [3.0, 1.0, -4.0]]))",
        [[0, 2], [1, 1]],
    ),
    "OneHotCategorical": (
        "OneHotCategorical(T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    ),
    "Binomial": ("Binomial(5, T([0.3, 0.8]))", [[0.0, 4.0], [5.0, 2.0]]),
    "Binomial of logits": (
        "Binomial(T([4.0, 4.0]), logits=T([-1.5, 0.4]))",
        [[0.0, 4.0], [3.0, 2.0]],
    ),
    "Geometric": ("Geometric(T([0.3, 0.8]))", [[0.0, 4.0], [5.0, 2.0]]),
    "Geometric of logits": ("Geometric(logits=T([-1.5, 0.4]))", [[0.0, 4.0], [5.0, 2.0]]),
    "Poisson": ("Poisson(T([0.3, 7.5]))", [[0.0, 4.0], [5.0, 2.0]]),
    "Exponential": ("Exponential(T([0.3, 2.5]))", [[0.2, 1.5], [3.0, 0.4]]),
    "Laplace": ("Laplace(T([0.5, -1.0]), T([0.7, 2.0]))", [[0.2, 1.5], [-3.0, 4.0]]),
    "Gumbel": ("Gumbel(T([0.5, -1.0]), T([0.7, 2.0]))", [[0.2, 1.5], [-0.5, 4.0]]),
    "Cauchy": ("Cauchy(T([0.5, -1.0]), T([0.7, 2.0]))", [[0.2, 1.5], [-3.0, 4.0]]),
    "Gamma": ("Gamma(T([0.5, 3.0]), T([0.7, 2.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "Beta": ("Beta(T([0.5, 3.0]), T([0.7, 2.0]))", [[0.2, 0.9], [0.4, 0.5]]),
    "Dirichlet": (
        "Dirichlet(T([[0.5, 3.0, 1.2], [2.0, 2.0, 3.5]]))",
        [[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]],
    ),
    "Chi2": ("Chi2(T([0.5, 3.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "StudentT": (
        "StudentT(T([0.8, 1.5, 7.0]), T([0.5, -1.0, 0.0]), T([0.7, 2.0, 1.0]))",
        [[0.2, 1.5, -1.0], [-3.0, 4.0, 0.5]],
    ),
    "HalfNormal": ("HalfNormal(T([0.7, 2.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "Multinomial": (
        "Multinomial(4, T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
        [[0.0, 1.0, 3.0], [2.0, 1.0, 1.0]],
    ),
    "Independent": (
        "Independent(Normal(T([[0.5, -1.0], [1.0, 2.0]]), T([0.7, 2.0])), 1)",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "MultivariateNormal": (
        "MultivariateNormal(T([[0.5, -1.0], [0.0, 1.0]]), scale_tril=T([[0.7, 0.0], [-0.4, 2.0]]))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "MultivariateNormal of covariance": (
        "MultivariateNormal(T([0.5, -1.0]), T([[[2.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 3.0]]]))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "MultivariateNormal of precision": (
        "MultivariateNormal(T([0.5, -1.0]), precision_matrix=T([[2.0, 0.3], [0.3, 1.0]]))",
        [0.2, 1.5],
    ),
    "affine": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), AffineTransform(T(1.5), T([-2.0, 3.0])))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "affine event": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), AffineTransform(1.5, 3.0, event_dim=1))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "sigmoid": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), SigmoidTransform())",
        [[0.2, 0.5], [0.9, 0.05]],
    ),
    "tanh": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), TanhTransform())",
        [[0.2, 0.5], [-0.9, 0.05]],
    ),
    "Pareto": ("Pareto(T([0.5, 1.5]), T([3.0, 1.5]))", [[0.7, 1.6], [3.0, 2.4]]),
    "Weibull": ("Weibull(T([0.5, 1.5]), T([3.0, 1.5]))", [[0.7, 1.6], [0.3, 2.4]]),
    "Kumaraswamy": ("Kumaraswamy(T([0.5, 3.0]), T([1.7, 2.0]))", [[0.2, 0.9], [0.4, 0.5]]),
    "InverseGamma": ("InverseGamma(T([0.5, 3.0]), T([0.7, 2.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "HalfCauchy": ("HalfCauchy(T([0.7, 2.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "FisherSnedecor": ("FisherSnedecor(T([0.5, 6.0]), T([3.0, 5.0]))", [[0.2, 1.5], [3.0, 0.4]]),
    "NegativeBinomial": (
        "NegativeBinomial(T([2.5, 4.0]), T([0.3, 0.8]))",
        [[0.0, 4.0], [5.0, 2.0]],
    ),
    "NegativeBinomial of logits": (
        "NegativeBinomial(T([2.5, 4.0]), logits=T([-1.5, 0.4]))",
        [[0.0, 4.0], [5.0, 2.0]],
    ),
    "VonMises": ("VonMises(T([0.5, -1.0]), T([0.7, 20.0]))", [[0.2, 1.5], [-3.0, -0.9]]),
    "LogisticNormal": (
        "LogisticNormal(T([[0.5, -1.0], [0.0, 0.2]]), T([0.7, 2.0]))",
        [[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]],
    ),
    "ContinuousBernoulli": (
        "ContinuousBernoulli(T([0.3, 0.9, 0.5003]))",
        [[0.2, 0.9, 0.4], [0.4, 0.5, 0.0]],
    ),
    "RelaxedBernoulli": ("RelaxedBernoulli(T(0.7), T([0.3, 0.8]))", [[0.2, 0.9], [0.4, 0.5]]),
    "RelaxedOneHotCategorical": (
        "RelaxedOneHotCategorical(T(0.7), T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
        [[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]],
    ),
    "OneHotCategoricalStraightThrough": (
        "OneHotCategoricalStraightThrough(T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    ),
    "LowRankMultivariateNormal": (
        "LowRankMultivariateNormal(T([[0.5, -1.0, 0.1], [0.0, 1.0, 2.0]]), T([[0.7], [-0.4], [0.2]]), T([1.0, 0.5, 2.0]))",
        [[0.2, 1.5, 0.0], [-3.0, 4.0, 1.0]],
    ),
    "Wishart": (
        "Wishart(T([3.0, 4.5]), T([[2.0, 0.3], [0.3, 1.0]]))",
        [[[2.0, 0.5], [0.5, 3.0]], [[4.0, -1.0], [-1.0, 1.0]]],
    ),
    "Wishart of a factor": (
        "Wishart(T(3.5), scale_tril=T([[0.7, 0.0], [-0.4, 2.0]]))",
        [[2.0, 0.5], [0.5, 3.0]],
    ),
    "LKJCholesky": (
        "LKJCholesky(3, T([0.7, 2.5]))",
        [[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]],
    ),
    "mixture": (
        "MixtureSameFamily(Categorical(T([[0.2, 0.8], [3.0, 1.0]])), Normal(T([[0.5, -1.0], [2.0, 0.0]]), T([0.7, 2.0])))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "mixture of vectors": (
        "MixtureSameFamily(Categorical(T([0.2, 0.8])), Independent(Normal(T([[0.5, -1.0], [2.0, 0.0]]), T([0.7, 2.0])), 1))",
        [[0.2, 1.5], [-3.0, 4.0]],
    ),
    "softplus and power": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), [SoftplusTransform(), PowerTransform(T(0.5))])",
        [[0.2, 0.5], [0.9, 3.0]],
    ),
    "stick breaking": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T([0.7, 2.0])), StickBreakingTransform())",
        [[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]],
    ),
    "reshaped": (
        "TransformedDistribution(Normal(T([0.5, -1.0, 0.2, 0.3]), T(0.7)), ReshapeTransform((4,), (2, 2)))",
        [[0.2, 0.5], [0.9, 0.05]],
    ),
    "stacked": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T(0.7)), StackTransform([ExpTransform(), TanhTransform()], -1))",
        [[0.2, 0.5], [0.9, 0.05]],
    ),
    "joined": (
        "TransformedDistribution(Normal(T([0.5, -1.0, 0.0]), T(0.7)), CatTransform([ExpTransform(), TanhTransform()], -1, [1, 2]))",
        [[0.2, 0.5, -0.5], [0.9, 0.05, 0.3]],
    ),
    "uniform by its function": (
        "TransformedDistribution(Normal(T([0.5, -1.0]), T(0.7)), CumulativeDistributionTransform(Normal(T(0.0), T(1.0))))",
        [[0.2, 0.5], [0.9, 0.05]],
    ),
    "chain": (
        "TransformedDistribution(Gamma(T([0.5, 3.0]), T([0.7, 2.0])), [ExpTransform().inv, AffineTransform(0.3, 2.0), ExpTransform()])",
        [[0.2, 0.5], [0.9, 3.0]],
    ),
}
"""Expressions of float64 parameters, and values inside the support."""

POINTS = [[0.1, 0.5], [0.35, 0.9]]
"""Where `icdf` is read."""

PARAMETERS = {
    "Normal": ("0.5, 0.7", "-1.0, 2.0"), "Uniform": ("0.1, 0.8", "0.0, 1.0"),
    "Beta": ("0.8, 2.5", "3.0, 1.4"), "Exponential": ("0.3", "2.5"), "Gamma": ("1.5, 0.7", "3.0, 2.0"),
    "Gumbel": ("0.5, 0.7", "-1.0, 2.0"), "Laplace": ("0.5, 0.7", "-1.0, 2.0"),
    "Cauchy": ("0.5, 0.7", "-1.0, 2.0"), "HalfNormal": ("0.7", "2.0"), "LogNormal": ("0.5, 0.7", "-1.0, 2.0"),
    "Chi2": ("3.0", "1.5"), "Poisson": ("0.7", "4.0"), "Bernoulli": ("0.3", "0.8"),
    "Geometric": ("0.3", "0.8"), "Binomial": ("4, T(0.3)", "4, T(0.8)"),
    "Categorical": ("[0.2, 0.5, 0.3]", "[3.0, 1.0, 4.0]"),
    "OneHotCategorical": ("[0.2, 0.5, 0.3]", "[3.0, 1.0, 4.0]"),
    "Dirichlet": ("[0.5, 3.0, 1.2]", "[2.0, 2.0, 3.5]"),
    "Pareto": ("1.5, 3.5", "0.7, 2.5"), "ContinuousBernoulli": ("0.3", "0.8"),
}  # fmt: skip
"""Parameters of p and of q."""

LINE = ["Beta", "Exponential", "Gamma", "Gumbel", "Laplace", "Normal", "Uniform"]
PAIRS = [(n, n) for n in PARAMETERS]
PAIRS += [(p, q) for p in LINE for q in LINE if p != q]
PAIRS += [("Bernoulli", "Poisson"), ("Poisson", "Bernoulli"), ("Poisson", "Binomial")]
COIN, TAIL = "ContinuousBernoulli", "Pareto"
PAIRS += [(p, COIN) for p in LINE] + [(p, TAIL) for p in LINE] + [(COIN, TAIL), (TAIL, COIN)]
PAIRS += [(COIN, q) for q in ("Exponential", "Normal")]
PAIRS += [(TAIL, q) for q in ("Beta", "Exponential", "Gamma", "Normal", "Uniform")]
UNKNOWN = {("Beta", "Gumbel"), ("Beta", "Laplace"), ("Exponential", "Laplace"), ("Gamma", "Laplace"),
           ("Gumbel", "Laplace"), ("Laplace", "Gumbel"), ("Uniform", "Laplace")}  # fmt: skip
"""Pairs of the line without a rule, in PyTorch as here."""
PAIRS = [pair for pair in PAIRS if pair not in UNKNOWN]

STREAMS = ["Normal(T([0.5, -1.0]), T([0.7, 2.0]))", "Uniform(T([-1.0, 0.5]), T([2.0, 3.5]))",
           "Bernoulli(T([0.3, 0.8]))", "Categorical(T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
           "OneHotCategorical(T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))",
           "Multinomial(4, T([[0.2, 0.5, 0.3], [3.0, 1.0, 4.0]]))", "Geometric(T([0.3, 0.8]))",
           "Exponential(T([0.3, 2.5]))", "Laplace(T([0.5, -1.0]), T([0.7, 2.0]))",
           "Gumbel(T([0.5, -1.0]), T([0.7, 2.0]))", "Cauchy(T([0.5, -1.0]), T([0.7, 2.0]))",
           "LogNormal(T([0.5, -1.0]), T([0.7, 1.1]))", "HalfNormal(T([0.7, 2.0]))",
           "Pareto(T([0.5, 1.5]), T([3.0, 1.5]))", "Weibull(T([0.5, 1.5]), T([3.0, 1.5]))",
           "Kumaraswamy(T([0.5, 3.0]), T([1.7, 2.0]))", "HalfCauchy(T([0.7, 2.0]))",
           "VonMises(T([0.5, -1.0]), T([0.7, 20.0]))", "ContinuousBernoulli(T([0.3, 0.9]))",
           "LogisticNormal(T([0.5, -1.0]), T([0.7, 2.0]))",
           "RelaxedBernoulli(T(0.7), T([0.3, 0.8]))",
           "RelaxedOneHotCategorical(T(0.7), T([0.2, 0.5, 0.3]))",
           "LowRankMultivariateNormal(T([0.5, -1.0]), T([[0.7], [-0.4]]), T([1.0, 0.5]))",
           "MixtureSameFamily(Categorical(T([0.2, 0.8])), Normal(T([0.5, -1.0]), T([0.7, 2.0])))"]  # fmt: skip
"""Distributions whose samples are PyTorch's own."""


def made(torch: Any, expression: str) -> Any:
    """The distribution of `expression`, where T makes float64 tensors."""

    def tensor(data: Any) -> Any:
        return torch.tensor(data, dtype=torch.float64)

    return eval(expression, {**vars(torch.distributions), "T": tensor})


def of_family(torch: Any, name: str, which: int) -> Any:
    """The family `name` with its parameters of p (0) or q (1)."""
    words = PARAMETERS[name][which]
    if name == "Binomial":
        return made(torch, f"{name}({words})")
    parts = [words] if words.startswith("[") else words.split(", ")
    return made(torch, f"{name}({', '.join(f'T({w})' for w in parts)})")


def outcome(torch: Any, expression: str, values: Any) -> dict[str, Any]:
    """The repr, shapes, and all numbers that the distribution gives; None for what it has not."""
    dist = made(torch, expression)
    whole = expression.startswith("Categorical")
    value = torch.tensor(values, dtype=torch.int64 if whole else torch.float64)
    points = torch.tensor(POINTS, dtype=torch.float64)
    found: dict[str, Any] = {"repr": repr(dist), "support": repr(dist.support)}
    found["shapes"] = [list(dist.batch_shape), list(dist.event_shape)]
    asked = {
        "log_prob": lambda: dist.log_prob(value),
        "cdf": lambda: dist.cdf(value),
        "icdf": lambda: dist.icdf(
            points[:, :1] if len(dist.batch_shape) and dist.batch_shape[0] == 3 else points
        ),
        "enumerated": lambda: dist.enumerate_support(),
        "expanded": lambda: dist.expand((2, *dist.batch_shape)).log_prob(value),
        **{n: (lambda n=n: getattr(dist, n)) for n in ("mean", "mode", "variance", "stddev")},
        "entropy": lambda: dist.entropy(),
    }
    for name, ask in asked.items():
        try:
            result = ask()
        except NotImplementedError:
            result = None
        found[name] = None if result is None else result.double().tolist()
    return found


def divergence(torch: Any, p: str, q: str) -> float:
    """KL(p || q) of the two families."""
    pair = of_family(torch, p, 0), of_family(torch, q, 1)
    return float(torch.distributions.kl_divergence(*pair))


def stream(torch: Any, expression: str) -> Any:
    """Single samples, then many, after one seed."""
    torch.manual_seed(7)
    dist = made(torch, expression)
    return [
        dist.sample().tolist(),
        dist.sample((3,)).tolist(),
        dist.sample((20,)).double().sum().tolist(),
    ]


if __name__ == "__main__":
    import torch

    rows = {
        "outcomes": {n: outcome(torch, *case) for n, case in CASES.items()},
        "divergences": {f"{p} {q}": divergence(torch, p, q) for p, q in PAIRS},
        "streams": {e: stream(torch, e) for e in STREAMS},
    }
    lines = [
        f"{json.dumps(part)}: {{\n"
        + ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in found.items())
        + "\n}"
        for part, found in rows.items()
    ]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
