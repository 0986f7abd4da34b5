"""The loss of label sequences, against the sum over all alignments."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """A path without repetitions and blanks."""
    return [c for c, _ in itertools.groupby(path) if c != blank]


def by_enumeration(log_probs: Any, target: list[int], blank: int) -> float:
    """-log of the summed probabilities of all paths of classes that collapse to the target."""
    times, classes = log_probs.shape
    total = 0.0
    for path in itertools.product(range(classes), repeat=times):
        if collapsed(path, blank) == target:
            total += np.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    return float(-np.log(total)) if total else float("inf")


def scores(times: int, count: int, classes: int) -> torch.Tensor:
    values = np.random.default_rng(0).standard_normal((times, count, classes))
    return torch.from_numpy(values)


@pytest.mark.parametrize("blank", [0, 2])
def test_losses_equal_the_sum_over_all_alignments(blank: int) -> None:
    targets = [[1], [1, 1], [3, 1, 3], []]
    lengths = [4, 4, 5, 3]
    log_probs = scores(5, 4, 4).log_softmax(2)
    flat = torch.tensor([c for t in targets for c in t])
    found = F.ctc_loss(
        log_probs, flat, lengths, [len(t) for t in targets], blank=blank, reduction="none"
    )
    for n, (target, length) in enumerate(zip(targets, lengths, strict=True)):
        expected = by_enumeration(log_probs[:length, n].numpy(), target, blank)
        assert found[n].item() == pytest.approx(expected)


def test_forms_of_targets_agree() -> None:
    log_probs = scores(6, 2, 4).log_softmax(2)
    rows, lengths = torch.tensor([[1, 2, 9], [3, 1, 2]]), torch.tensor([2, 3])
    padded = F.ctc_loss(log_probs, rows, torch.tensor([6, 5]), lengths, reduction="none")
    line = F.ctc_loss(log_probs, torch.tensor([1, 2, 3, 1, 2]), (6, 5), (2, 3), reduction="none")
    assert torch.equal(padded, line)
    alone = F.ctc_loss(log_probs[:, 0], rows[0, :2], 6, 2, reduction="none")
    assert alone.item() == pytest.approx(padded[0].item())
    mean = F.ctc_loss(log_probs, rows, (6, 5), (2, 3))
    assert mean.item() == pytest.approx((padded / lengths).mean().item())
    total = F.ctc_loss(log_probs, rows, (6, 5), (2, 3), reduction="sum")
    assert total.item() == pytest.approx(padded.sum().item())


def test_gradients_through_log_softmax_equal_differences() -> None:
    x = scores(5, 2, 4).requires_grad_()

    def loss(x: Any) -> Any:
        return F.ctc_loss(x.log_softmax(2), torch.tensor([[1, 1], [3, 2]]), (5, 4), (2, 2))

    assert torch.autograd.gradcheck(loss, (x,))


def test_targets_that_do_not_fit() -> None:
    x = scores(2, 1, 4).requires_grad_()
    target = torch.tensor([[1, 1]])  # needs a blank between: three steps
    loss = F.ctc_loss(x.log_softmax(2), target, (2,), (2,), reduction="sum")
    assert loss.item() == float("inf")
    loss = F.ctc_loss(x.log_softmax(2), target, (2,), (2,), reduction="sum", zero_infinity=True)
    loss.backward()
    assert loss.item() == 0
    assert (x.grad == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_lengths": (7,)}, "input_lengths from 0 to 5"),
        ({"target_lengths": (3,)}, "target_lengths from 0 to 2"),
        ({"input_lengths": (5, 5)}, "expected 1 input_lengths.*Got 2"),
        ({"blank": 4}, "blank from 0 to 3. Got 4"),
        ({"reduction": "max"}, "'mean', 'sum' or 'none'. Got 'max'"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], words: str) -> None:
    given = {"input_lengths": (5,), "target_lengths": (2,), **options}
    with pytest.raises((ValueError, RuntimeError), match=words):
        F.ctc_loss(scores(5, 1, 4).log_softmax(2), torch.tensor([[1, 2]]), **given)
