"""Losses: element by element in NumPy, then reduced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp
from hypothesis import strategies as st

from flambeau import int64

from .calls import Arguments, In, Row
from .drawing import FLOATS, shapes

WIDE = FLOATS[2:]
POSITIVE = {"low": 0.2, "high": 3.0}
REDUCTIONS = st.sampled_from(["none", "mean", "sum"])


def paired(least: int = 0, target: Any = None, **options: Any) -> Callable[[Any], Arguments]:
    """input and target of one shape, one of each of the `options`, and reduction."""

    def arguments(draw: Any) -> Arguments:
        shape = draw(shapes(min_dims=least, max_dims=3))
        y = In(shape, **target) if target else In(shape)
        chosen = {k: draw(st.sampled_from(v)) for k, v in options.items()}
        return (In(shape), y), {**chosen, "reduction": draw(REDUCTIONS)}

    return arguments


def reduced(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The elements' losses by `formula`, all of them, their mean or their sum."""

    def reference(*args: Any, reduction: str, **kwargs: Any) -> Any:
        each = np.asarray(formula(*args, **kwargs))
        return each if reduction == "none" else getattr(np, reduction)(each)

    return reference


def huber(x: Any, y: Any, delta: float) -> Any:
    d = np.abs(x - y)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def smooth(x: Any, y: Any, beta: float) -> Any:
    return huber(x, y, beta) / beta


def probabilities(draw: Any) -> Arguments:
    inside = {"low": 0.1, "high": 0.9}
    (x, _), kwargs = paired()(draw)
    return (In(x.shape, **inside), In(x.shape, **inside)), kwargs


def signs(a: Any) -> Any:
    return np.where(a > 0, 1.0, -1.0)


def ranks(draw: Any) -> Arguments:
    (x, _), kwargs = paired()(draw)
    return (x, In(x.shape), In(x.shape, made=signs)), {**kwargs, "margin": 0.5}


def labelled(draw: Any) -> Arguments:
    """Rows of scores and a class for each, with a weight for each class."""
    n, c = draw(st.integers(1, 3)), draw(st.integers(2, 4))
    where = In((n,), 0, c - 1, dtype=int64)
    weight = {"weight": In((c,), **POSITIVE, constant=True)} if draw(st.booleans()) else {}
    return (In((n, c)), where), {**weight, "reduction": draw(REDUCTIONS)}


def nll(x: Any, y: Any, reduction: str, weight: Any = None) -> Any:
    w = np.ones(x.shape[1]) if weight is None else weight
    each = -x[np.arange(len(y)), y] * w[y]
    return {"none": each, "sum": each.sum(), "mean": each.sum() / w[y].sum()}[reduction]


def cross_entropy(x: Any, y: Any, **options: Any) -> Any:
    return nll(x - np.log(np.exp(x).sum(1, keepdims=True)), y, **options)


def multi_margin(x: Any, y: Any, reduction: str, weight: Any = None) -> Any:
    rows = np.arange(len(y))
    gaps = np.maximum(0, 1 - x[rows, y][:, None] + x)
    gaps = gaps if weight is None else gaps * weight[y][:, None]
    gaps[rows, y] = 0
    each = gaps.sum(1) / x.shape[1]
    return each if reduction == "none" else getattr(np, reduction)(each)


def gaussians(draw: Any) -> Arguments:
    shape = draw(shapes(min_dims=1, max_dims=3))
    return (In(shape), In(shape), In(shape, **POSITIVE)), {"reduction": draw(REDUCTIONS)}


def triplets(draw: Any) -> Arguments:
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 4)))
    return (In(shape), In(shape), In(shape)), {"margin": 1.0, "reduction": draw(REDUCTIONS)}


def distance(x: Any, y: Any) -> Any:
    return np.sqrt(((x - y + 1e-6) ** 2).sum(-1))


def triplet(a: Any, p: Any, n: Any, margin: float) -> Any:
    return np.maximum(distance(a, p) - distance(a, n) + margin, 0)


def similar(draw: Any) -> Arguments:
    n, d = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    y = In((n,), made=signs, constant=True)
    return (In((n, d)), In((n, d)), y), {"margin": 0.2, "reduction": draw(REDUCTIONS)}


def cosine_embedding(x: Any, y: Any, sign: Any, margin: float) -> Any:
    sizes = [(a * a).sum(1) + 1e-12 for a in (x, y)]
    angle = (x * y).sum(1) / np.sqrt(sizes[0] * sizes[1])
    return np.where(sign > 0, 1 - angle, np.maximum(0, angle - margin))


def loss(name: str, arguments: Any, formula: Any, **options: Any) -> Row:
    return Row(f"F.{name}", arguments, reduced(formula), **{"only": WIDE, "terms": 64, **options})


ROWS = [
    loss("mse_loss", paired(), lambda x, y: (x - y) ** 2),
    loss("l1_loss", paired(), lambda x, y: np.abs(x - y)),
    loss("smooth_l1_loss", paired(beta=[0.5, 1.0]), smooth),
    loss("huber_loss", paired(delta=[0.5, 1.0]), huber),
    loss("binary_cross_entropy", probabilities,
         lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p))),
    loss("binary_cross_entropy_with_logits", paired(target={"low": 0.1, "high": 0.9}),
         lambda x, t: np.logaddexp(0, x) - x * t),
    loss("kl_div", paired(1, target=POSITIVE), lambda x, t: sp.xlogy(t, t) - t * x),
    loss("soft_margin_loss", paired(target={"made": signs}), lambda x, y: np.log1p(np.exp(-x * y))),
    loss("hinge_embedding_loss", paired(target={"made": signs}),
         lambda x, y: np.where(y > 0, x, np.maximum(0, 1 - x))),
    loss("margin_ranking_loss", ranks, lambda a, b, y, margin: np.maximum(0, margin - y * (a - b))),
    loss("poisson_nll_loss", paired(target=POSITIVE), lambda x, t: np.exp(x) - t * x),
    loss("gaussian_nll_loss", gaussians, lambda x, t, v: 0.5 * (np.log(v) + (x - t) ** 2 / v)),
    loss("triplet_margin_loss", triplets, triplet),
    Row("F.nll_loss", labelled, nll, only=WIDE, terms=64),
    Row("F.cross_entropy", labelled, cross_entropy, only=WIDE, terms=64),
    Row("F.multi_margin_loss", labelled, multi_margin, only=WIDE, terms=64),
    Row("F.pairwise_distance", lambda draw: (triplets(draw)[0][:2], {}), distance, only=WIDE,
        terms=64),
    loss("cosine_embedding_loss", similar, cosine_embedding),
    loss("multilabel_soft_margin_loss", paired(2, target={"low": 0, "high": 1}),
         lambda x, y: (np.logaddexp(0, x) - x * y).mean(-1)),
]  # fmt: skip
