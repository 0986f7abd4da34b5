"""Losses of sequences, embeddings, dropouts: what PyTorch draws, changes in place and refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F


def ctc_arguments() -> tuple[Any, Any, Any, Any]:
    torch.manual_seed(0)
    log_probs = torch.randn(5, 2, 4, dtype=torch.float64).log_softmax(2)
    return log_probs, torch.tensor([[1, 2, 2], [3, 1, 0]]), (5, 4), (3, 2)


def test_ctc_takes_targets_and_lengths_in_all_forms() -> None:
    log_probs, targets, inputs, labels = ctc_arguments()
    wanted = F.ctc_loss(log_probs, targets, inputs, labels, reduction="none")
    joined = torch.tensor([1, 2, 2, 3, 1], dtype=torch.int32)
    given = F.ctc_loss(
        log_probs, joined, torch.tensor(inputs), torch.tensor(labels), reduction="none"
    )
    assert torch.equal(given, wanted)
    single = F.ctc_loss(log_probs[:, 0], targets[0], (5,), torch.tensor(3), reduction="none")
    assert single.shape == ()
    assert single.item() == wanted[0].item()
    mean = torch.ctc_loss(log_probs, targets, inputs, labels)
    assert mean.item() == pytest.approx(((wanted[0] / 3 + wanted[1] / 2) / 2).item())
    assert torch.ctc_loss(log_probs, targets, inputs, labels, 0, 2).item() == wanted.sum().item()


def test_ctc_of_targets_that_do_not_fit_is_infinite_or_zero_on_demand() -> None:
    log_probs, targets, _, labels = ctc_arguments()
    for zero in (False, True):
        x = log_probs.clone().requires_grad_()
        losses = F.ctc_loss(x, targets, (3, 4), labels, reduction="none", zero_infinity=zero)
        assert losses[0].item() == (0.0 if zero else np.inf)
        losses.sum().backward()
        grad = x.grad.numpy()
        assert np.all(grad[:3, 0] == 0) if zero else np.isnan(grad[:3, 0]).all()
        assert np.all(grad[3:, 0] == 0)
        assert np.all(grad[4:, 1] == 0)
        assert np.isfinite(grad[:, 1]).all()


def test_ctc_has_no_second_derivative() -> None:
    log_probs, *rest = ctc_arguments()
    x = log_probs.requires_grad_()
    (grad,) = torch.autograd.grad(F.ctc_loss(x, *rest), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input_lengths": (6, 4)}, "input_lengths from 0 to 5"),
        ({"input_lengths": (5, -1)}, "input_lengths from 0 to 5"),
        ({"input_lengths": (5,)}, "2 input_lengths"),
        ({"input_lengths": torch.tensor([5.0, 4.0])}, "integers as input_lengths"),
        ({"target_lengths": (4, 2)}, "target_lengths from 0 to 3"),
        ({"targets": torch.tensor([1, 2, 2, 3])}, "5 labels in targets"),
        ({"targets": torch.tensor([[1, 2, 3]])}, "targets of 2 rows"),
        ({"targets": torch.tensor([[1, 2, 9], [3, 1, 0]])}, "labels from 0 to 3"),
        ({"blank": 4}, "blank from 0 to 3"),
        ({"reduction": "product"}, "reduction"),
    ],
)
def test_ctc_refuses_what_does_not_fit(change: Any, words: str) -> None:
    names = ("log_probs", "targets", "input_lengths", "target_lengths")
    arguments = dict(zip(names, ctc_arguments(), strict=True))
    with pytest.raises((RuntimeError, ValueError, IndexError), match=words):
        F.ctc_loss(**{**arguments, **change})


def test_embedding_scales_long_rows_in_place_and_gradients_by_frequency() -> None:
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]], requires_grad=True)
    out = F.embedding(torch.tensor([0, 1, 0]), weight, max_norm=1.0, scale_grad_by_freq=True)
    np.testing.assert_allclose(out.detach().numpy(), [[0.6, 0.8], [0.3, 0.4], [0.6, 0.8]], 1e-6)
    np.testing.assert_allclose(weight.detach().numpy()[2], [6.0, 8.0])
    out.sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])


def test_embedding_bag_tells_bags_sizes_and_rows() -> None:
    weight = torch.arange(12.0).reshape(4, 3)
    indices, offsets = torch.tensor([0, 1, 2, 2, 3]), torch.tensor([0, 2, 2])
    values, bag, sizes, rows = torch.embedding_bag(weight, indices, offsets, mode=2)
    assert values.tolist() == [[3.0, 4.0, 5.0], [0.0, 0.0, 0.0], [9.0, 10.0, 11.0]]
    assert bag.tolist() == [0, 0, 2, 2, 2]
    assert sizes.tolist() == [2, 0, 3]
    assert rows.tolist() == [[1, 1, 1], [0, 0, 0], [3, 3, 3]]
    ends = torch.tensor([0, 2, 2, 5])
    last = F.embedding_bag(indices, weight, ends, include_last_offset=True, mode="max")
    assert torch.equal(last, values)
    none = F.embedding_bag(indices[:0], weight, torch.tensor([0, 0]))
    assert none.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (([0, 1], [1]), {}, RuntimeError),
        (([0, 1], [0, 3]), {}, RuntimeError),
        (([0, 1], [0, 2, 1]), {}, RuntimeError),
        (([0, 5], [0]), {}, IndexError),
        (([0, 1], None), {}, ValueError),
        (([[0, 1]], [0]), {}, ValueError),
        (([0, 1], [0]), {"mode": "median"}, ValueError),
        (([0, 1], [0]), {"mode": "max", "scale_grad_by_freq": True}, ValueError),
        (([0, 1], [0]), {"per_sample_weights": torch.ones(2)}, NotImplementedError),
        (([0, 1], [0]), {"per_sample_weights": torch.ones(3), "mode": "sum"}, ValueError),
    ],
)
def test_embedding_bag_refuses_what_does_not_fit(arguments: Any, options: Any, error: Any) -> None:
    indices, offsets = (None if a is None else torch.tensor(a) for a in arguments)
    with pytest.raises(error, match="embedding"):
        F.embedding_bag(indices, torch.ones(4, 3), offsets, **options)


KEPT = [False, False, True, False, False, False]
"""Of PyTorch's bernoulli draws with probability 0.5 after manual_seed(0)."""


def test_dropouts_draw_as_pytorch_does() -> None:
    ones = torch.ones(6)
    torch.manual_seed(0)
    out, mask = torch.native_dropout(ones, 0.5, True)
    assert mask.tolist() == KEPT
    assert out.tolist() == [2.0 * k for k in KEPT]
    torch.manual_seed(0)
    out = F.alpha_dropout(ones, 0.5, True)
    np.testing.assert_allclose(out.numpy(), np.where(KEPT, 1.6656, -0.7792), atol=5e-5)
    torch.manual_seed(0)
    out = torch.feature_dropout(torch.ones(2, 3, 4), 0.5, True)
    assert out[:, :, 0].reshape(-1).tolist() == [2.0 * k for k in KEPT]
    torch.manual_seed(0)
    rows = F.feature_alpha_dropout(torch.ones(2, 3, 4), 0.5, True)
    found = rows.numpy()[..., 3].reshape(-1)
    np.testing.assert_allclose(found, np.where(KEPT, 1.6656, -0.7792), atol=5e-5)
    x = torch.ones(6)
    torch.manual_seed(0)
    assert torch.dropout_(x, 0.5, True) is x
    assert x.tolist() == [2.0 * k for k in KEPT]
    assert torch.native_dropout(ones, 0.5, False)[1].all()
    assert F.alpha_dropout(ones, 0.5) is ones


def test_random_slopes_are_drawn_for_what_is_not_positive_only() -> None:
    torch.manual_seed(0)
    drawn = torch.rand(2, dtype=torch.float64) * 0.2 + 0.1
    torch.manual_seed(0)
    x = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    out = F.rrelu(x, 0.1, 0.3, training=True)
    np.testing.assert_allclose(out.detach().numpy(), [-drawn[0].item(), 2.0, -drawn[1].item()])
    out.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [drawn[0].item(), 1.0, drawn[1].item()])
    assert torch.rrelu(torch.tensor([-2.0]), 0.1, 0.3).item() == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: F.alpha_dropout(x, 1.5, True), "probability from 0 to 1"),
        (lambda x: torch.feature_dropout(x, 0.5, True), "at least 2 dimensions"),
        (lambda x: torch.feature_alpha_dropout(x, 0.5, True), "at least 2 dimensions"),
        (lambda x: torch.alpha_dropout(x.long(), 0.5, True), "floating-point input"),
        (lambda x: torch.native_dropout(x.long(), 0.5, True), "floating-point input"),
        (lambda x: torch.rrelu(x, 0.3, 0.1), "lower not above upper"),
        (lambda x: torch.celu(x, 0.0), "alpha other than 0"),
        (lambda x: F.softshrink(x, -0.5), "lambd not below 0"),
        (lambda x: F.hardtanh(x, 1.0, -1.0), "min_val not above max_val"),
        (lambda x: torch.kl_div(x, x, 3), "reduction 0"),
        (lambda x: F.linear_cross_entropy(x, x, x), "linear_weight"),
    ],
)
def test_what_does_not_fit_is_explained(call: Any, words: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=words):
        call(torch.ones(3))


def test_complex_numbers_meet_double_ones_in_double_precision() -> None:
    assert (torch.tensor(1 + 2j) - torch.tensor(1.0, dtype=torch.float64)).dtype is torch.complex128


def test_corners_of_losses_are_pytorchs() -> None:
    scores = torch.randn(2, 3, requires_grad=True)
    loss = F.cross_entropy(scores, torch.tensor([1, 1]), ignore_index=1)
    loss.backward()
    assert loss.isnan()  # the mean of nothing
    assert (scores.grad == 0).all()
    logs = F.kl_div(torch.tensor(0.5), torch.tensor([-1.0, 0.0, float("nan")]), reduction="none")
    assert logs.isnan().tolist() == [True, False, True]
    same = torch.ones(4, 3)
    for sizes in ((1, 3), (4, 1), (4,), (4, 3)):
        assert F.gaussian_nll_loss(same, same, torch.ones(sizes)).item() == 0
    with pytest.raises(ValueError, match=r"one dimension of 1.* Got \(2, 3\)"):
        F.gaussian_nll_loss(same, same, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, y: F.cross_entropy(x, y[:3]), ValueError, r"batch size of input \(4, 3\)"),
        (lambda x, y: F.nll_loss(x, y[:3]), ValueError, r"batch size of input \(4, 3\)"),
        (lambda x, y: F.nll_loss(x, y, x[0].double()), RuntimeError, "Got torch.float64"),
        (lambda x, y: F.cross_entropy(x, y, x[:, 0]), RuntimeError, r"Got \(4,\)"),
        (lambda x, y: F.cross_entropy(x, x, ignore_index=1), RuntimeError, "no ignore_index"),
        (lambda x, y: torch.nn.HuberLoss(delta=1j), TypeError, "number as delta. Got complex"),
    ],
)
def test_class_losses_refuse_what_does_not_fit(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(torch.ones(4, 3), torch.tensor([0, 1, 2, 2]))
