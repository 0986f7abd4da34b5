"""Averages of weights: SWA, EMA, batch normalization after them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.optim import swa_utils


def visited(model: Any, averaged: Any, values: list[float]) -> None:
    """Let the weights of the model be each value once, and the average see them."""
    for value in values:
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(value)
        averaged.update_parameters(model)


def weights(averaged: Any) -> set[float]:
    return {round(v, 6) for p in averaged.parameters() for v in p.reshape(-1).tolist()}


EMA = 0.9 * (0.9 * 1.0 + 0.1 * 4.0) + 0.1 * 7.0


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, 4.0),
        ({"avg_fn": swa_utils.get_swa_avg_fn()}, 4.0),
        ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, 4.0),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.9)}, EMA),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}, EMA),
        ({"avg_fn": lambda average, value, count: value * 0 + count}, 2.0),
    ],
)
def test_parameters_are_averaged_as_asked(options: Any, wanted: float) -> None:
    model = nn.Linear(3, 2)
    averaged = swa_utils.AveragedModel(model, **options)
    visited(model, averaged, [1.0, 4.0, 7.0])
    assert weights(averaged) == {round(wanted, 6)}
    assert averaged.n_averaged.item() == 3
    assert weights(model) == {7.0}


def test_an_average_is_a_model_of_its_own(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    averaged = swa_utils.AveragedModel(model)
    visited(model, averaged, [0.5, 1.5])
    x = torch.ones(1, 3)
    np.testing.assert_allclose(averaged(x).detach().numpy(), np.tanh([[4.0, 4.0]]), rtol=1e-6)
    torch.save(averaged.state_dict(), tmp_path / "average.pt")
    assert list(averaged.state_dict()) == ["n_averaged", "module.0.weight", "module.0.bias"]
    twin = swa_utils.AveragedModel(copy.deepcopy(model))
    twin.load_state_dict(torch.load(tmp_path / "average.pt"))
    visited(model, twin, [4.0])
    assert weights(twin) == {2.0}


@pytest.mark.parametrize("use_buffers", [False, True])
def test_buffers_are_copied_or_averaged(use_buffers: bool) -> None:
    model = nn.BatchNorm1d(2)
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers)
    for value in (2.0, 4.0):
        model.running_mean.fill_(value)
        model.num_batches_tracked.fill_(int(value))
        averaged.update_parameters(model)
    wanted = 3.0 if use_buffers else 4.0
    assert averaged.module.running_mean.tolist() == [wanted, wanted]
    assert averaged.module.num_batches_tracked.item() == int(wanted)


def test_update_bn_makes_the_statistics_plain_means() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=0.3)).eval()
    batches = [torch.randn(8, 3) for _ in range(5)]
    swa_utils.update_bn([(x, 0) for x in batches], model)
    hidden = [model[0](x).detach().numpy() for x in batches]
    mean = np.mean([h.mean(0) for h in hidden], axis=0)
    var = np.mean([h.var(0, ddof=1) for h in hidden], axis=0)
    np.testing.assert_allclose(model[1].running_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model[1].running_var.numpy(), var, rtol=1e-5)
    assert (model[1].momentum, model.training, model[1].training) == (0.3, False, False)


def test_update_bn_leaves_models_without_batch_normalization_alone() -> None:
    def loader() -> Any:
        raise AssertionError("nothing to learn from it")
        yield

    swa_utils.update_bn(loader(), nn.Linear(3, 4))


def test_averaging_a_real_training_smooths_it() -> None:
    torch.manual_seed(1)
    inputs = torch.randn(200, 4)
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5, 3.0]) + torch.randn(200)
    model = nn.Linear(4, 1)
    averaged = swa_utils.AveragedModel(
        model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(decay=0.95)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    distances = []
    best = torch.linalg.lstsq(inputs, targets[:, None]).solution
    for step in range(300):
        chosen = torch.randint(0, 200, (4,))
        optimizer.zero_grad()
        (model(inputs[chosen])[:, 0] - targets[chosen]).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(model)
        if step >= 150:
            distances.append(
                [float((m.weight.detach().T - best).norm()) for m in (model, averaged.module)]
            )
    plain, smooth = np.mean(distances, axis=0)
    assert smooth < plain / 2


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: swa_utils.get_ema_avg_fn(1.5), ValueError, "decay from 0 to 1. Got 1.5"),
        (lambda: swa_utils.get_ema_multi_avg_fn(-1), ValueError, "decay from 0 to 1. Got -1"),
        (
            lambda: swa_utils.AveragedModel(nn.Linear(1, 1), avg_fn=max, multi_avg_fn=max),
            AssertionError,
            "avg_fn or multi_avg_fn. Got both",
        ),
    ],
)
def test_what_makes_no_sense_is_named(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()
