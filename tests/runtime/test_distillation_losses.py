"""Distillation losses: their papers' formulas in NumPy, gradients, masks, halves, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import flambeau as torch
from flambeau import distillation as kd
from flambeau.autograd import gradcheck

LABELS = np.array([0, 5, 2, 3])
TARGET = torch.tensor(LABELS)


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def entropy(p: Any, q: Any) -> Any:
    return scipy.special.rel_entr(p, q).sum(-1)


def soft_targets(s: Any, t: Any, temperature: float) -> Any:
    p, q = (scipy.special.softmax(x / temperature, -1) for x in (t, s))
    return temperature**2 * entropy(p, q).mean()


def decoupled(s: Any, t: Any, alpha: float, beta: float) -> Any:
    """Equation 7 sample by sample, with the temperature 4."""
    found = []
    for row, wanted, label in zip(s, t, LABELS, strict=True):
        q, p = (scipy.special.softmax(x / 4.0) for x in (row, wanted))
        pairs = [np.array([x[label], 1 - x[label]]) for x in (p, q)]
        others = [np.delete(x, label) / (1 - x[label]) for x in (p, q)]
        found.append(alpha * entropy(*pairs) + beta * entropy(*others))
    return 16.0 * np.mean(found)


def transfer(s: Any, t: Any) -> Any:
    maps = [(x**2).sum(1).reshape(len(x), -1) for x in (s, t)]
    a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in maps)
    return ((a - b) ** 2).sum(1).mean()


def huber(d: Any) -> Any:
    return np.where(abs(d) <= 1, d * d / 2, abs(d) - 0.5)


def relations(s: Any, t: Any) -> Any:
    """Equations 4 to 9 over all ordered pairs and triples."""
    count = range(len(s))
    pairs = list(itertools.permutations(count, 2))
    triples = list(itertools.permutations(count, 3))

    def distances(x: Any) -> Any:
        found = np.array([np.linalg.norm(x[i] - x[j]) for i, j in pairs])
        return found / found.mean()

    def angles(x: Any) -> Any:
        def side(i: int, j: int) -> Any:
            return (x[i] - x[j]) / np.linalg.norm(x[i] - x[j])

        return np.array([side(i, j) @ side(k, j) for i, j, k in triples])

    return huber(distances(s) - distances(t)).mean() + 2.0 * huber(angles(s) - angles(t)).mean()


def contrast(s: Any, t: Any) -> Any:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    return -np.diag(scipy.special.log_softmax(a @ b.T / 0.1, 1)).mean()


STUDENT, TEACHER = normal(4, 6), normal(4, 6, seed=1)
IMAGES, OTHERS = normal(2, 3, 4, 4), normal(2, 5, 4, 4, seed=1)
MAPS = [scipy.special.softmax(normal(2, 3, 4, 5, seed=k), -1) for k in (0, 1)]

Row = tuple[Callable[..., Any], Any, Any, float]
FORMULAS: dict[str, Row] = {
    "soft targets": (
        lambda s, t: kd.soft_target_loss(s, t, 3.0), STUDENT, TEACHER,
        soft_targets(STUDENT, TEACHER, 3.0),
    ),
    "decoupled": (
        lambda s, t: kd.decoupled_loss(s, t, TARGET, 4.0, 0.7, 3.0), STUDENT, TEACHER,
        decoupled(STUDENT, TEACHER, 0.7, 3.0),
    ),
    "reverse": (
        lambda s, t: kd.sequence_loss(s, t, None, 3.0, "reverse"), STUDENT, TEACHER,
        soft_targets(TEACHER, STUDENT, 3.0),
    ),
    "hint": (kd.hint_loss, IMAGES, IMAGES[::-1].copy(), ((IMAGES - IMAGES[::-1]) ** 2).mean()),
    "attention transfer": (kd.attention_transfer_loss, IMAGES, OTHERS, transfer(IMAGES, OTHERS)),
    "attention maps": (kd.attention_map_loss, *MAPS, entropy(MAPS[1], MAPS[0]).mean()),
    "scores": (
        lambda s, t: kd.attention_map_loss(s, t, metric="mse"), *MAPS,
        ((MAPS[0] - MAPS[1]) ** 2).mean(),
    ),
    "relations": (kd.relational_loss, STUDENT, TEACHER[:, :3], relations(STUDENT, TEACHER[:, :3])),
    "contrast": (kd.contrastive_loss, STUDENT, TEACHER, contrast(STUDENT, TEACHER)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_is_its_papers_formula_and_has_its_gradient(name: str) -> None:
    loss, student, teacher, wanted = FORMULAS[name]
    s, t = torch.tensor(student, requires_grad=True), torch.tensor(teacher)
    assert loss(s, t).item() == pytest.approx(wanted, rel=1e-12)
    assert gradcheck(lambda x: loss(x, t), (s,))


@pytest.mark.parametrize("name", [n for n in FORMULAS if n != "contrast"])
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    loss, student, teacher, _ = FORMULAS[name]
    s, t = (torch.tensor(x, requires_grad=True) for x in (student, teacher))
    loss(s, t).backward()
    assert s.grad is not None
    assert t.grad is None


@pytest.mark.parametrize("divergence", ["forward", "reverse", "jensen-shannon"])
def test_the_best_tokens_give_a_lower_bound_that_meets_the_loss(divergence: str) -> None:
    s, t = torch.tensor(STUDENT, requires_grad=True), torch.tensor(TEACHER)
    full = kd.sequence_loss(s, t, None, 2.0, divergence).item()
    kept = [kd.top_k(t, k, 2.0) for k in range(1, 6)]
    bounds = [kd.sequence_loss(s, top, None, 2.0, divergence).item() for top in kept]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(full, rel=1e-12)
    assert gradcheck(lambda x: kd.sequence_loss(x, kept[2], None, 2.0, divergence), (s,))


def test_the_rest_of_a_sure_teacher_does_not_cancel() -> None:
    logits = torch.tensor([[40.0, 0.0, 1.0, -1.0]])
    rest = kd.top_k(logits, 1).rest.item()
    assert rest == pytest.approx(np.log(1 + np.e + 1 / np.e) - 40.0, rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        kd.SoftTargetLoss(2.0),
        kd.SequenceLoss(2.0, top_k=3),
        kd.HintLoss(project=False),
        kd.HintLoss("cosine", project=False),
    ],
    ids=str,
)
def test_padding_counts_nothing(loss: Any) -> None:
    s, t = torch.tensor(normal(2, 3, 6)), torch.tensor(normal(2, 3, 6, seed=1))
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    kept = mask.bool()
    assert loss(s, t, mask=mask).item() == pytest.approx(loss(s[kept], t[kept]).item())
    s.requires_grad_()
    loss(s, t.masked_fill(~kept.unsqueeze(-1), np.nan), mask=mask).backward()
    assert torch.all(s.grad[~kept] == 0)
    assert torch.all(s.grad[kept].isfinite())
    assert loss(s, t, mask=mask * 0).item() == 0.0


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "loss", [kd.SoftTargetLoss(0.5), kd.SequenceLoss(top_k=3), kd.RelationalLoss()], ids=str
)
def test_halves_are_computed_in_float32(loss: Any, half: Any) -> None:
    s, t = (torch.tensor(1000 * x).to(half) for x in (STUDENT, TEACHER))
    found = loss(s.requires_grad_(), t)
    assert found.dtype is torch.float32
    assert found.item() == pytest.approx(loss(s.double(), t.double()).item(), rel=1e-5)
    found.backward()
    assert torch.all(s.grad.isfinite())


def test_classes_that_both_rule_out_count_nothing() -> None:
    s = torch.tensor(STUDENT)
    s[:, 2] = -torch.inf
    s.requires_grad_()
    t = torch.tensor(TEACHER)
    t[:, 2] = -torch.inf
    keep = [0, 1, 3, 4, 5]
    found = kd.soft_target_loss(s, t, 2.0)
    wanted = soft_targets(STUDENT[:, keep], TEACHER[:, keep], 2.0)
    assert found.item() == pytest.approx(wanted)
    found.backward()
    assert torch.all(s.grad.isfinite())


def test_masked_keys_of_attention_have_a_gradient_of_zero() -> None:
    scores = torch.tensor(normal(1, 2, 3, 3), requires_grad=True)
    mask = torch.full((3, 3), -torch.inf).triu(1)
    teacher = (torch.tensor(normal(1, 4, 3, 3, seed=1)) + mask).softmax(-1)
    kd.attention_map_loss((scores + mask).softmax(-1), teacher).backward()
    assert torch.all(scores.grad.isfinite())
    assert scores.grad.abs().sum() > 0


def test_a_projection_learns_widths_after_an_optimizer_took_it() -> None:
    hint = kd.HintLoss()
    optimizer = torch.optim.SGD(hint.parameters(), lr=1.0)
    student, teacher = torch.tensor(IMAGES).float(), torch.tensor(OTHERS[:, :, ::2, ::2]).float()
    first = hint(student, teacher)
    assert hint.weight.shape == (5, 3)
    first.backward()
    optimizer.step()
    assert hint(student, teacher) < first
    again = kd.HintLoss()
    again.load_state_dict(hint.state_dict())
    assert again(student, teacher).item() == hint(student, teacher).item()


def test_a_projection_between_equal_widths_starts_as_the_identity() -> None:
    x, y = torch.tensor(normal(2, 3, 4)).float(), torch.tensor(normal(2, 3, 4, seed=1)).float()
    assert kd.HintLoss()(x, y).item() == pytest.approx(kd.hint_loss(x, y).item())


def test_relations_of_too_few_or_equal_samples_are_zero() -> None:
    for rows in (np.ones((1, 4)), np.ones((3, 4))):
        s = torch.tensor(rows, requires_grad=True)
        loss = kd.relational_loss(s, s.detach())
        loss.backward()
        assert loss.item() == 0.0
        assert torch.all(s.grad == 0)


def test_relations_keep_full_precision_under_autocast() -> None:
    s, t = torch.tensor(STUDENT).float(), torch.tensor(TEACHER).float()
    wanted = kd.relational_loss(s, t).item()
    with torch.autocast("cpu"):
        assert kd.relational_loss(s, t).item() == wanted


S, T = torch.zeros(2, 3), torch.zeros(2, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kd.soft_target_loss(S, T), r"\(2, 3\) and \(2, 4\).*same classes"),
        (lambda: kd.soft_target_loss(S, S, 0.0), "temperature above 0. Got 0.0"),
        (lambda: kd.soft_target_loss(S, S, mask=S), r"mask \(2,\).*Got \(2, 3\)"),
        (lambda: kd.soft_target_loss(S, S, reduction="product"), "reduction"),
        (lambda: kd.decoupled_loss(S, S, TARGET), r"class numbers \(N,\).*\(4,\)"),
        (lambda: kd.top_k(S, 3), "k from 1 to 2"),
        (lambda: kd.sequence_loss(S, S, divergence="both"), "'forward', 'reverse'"),
        (lambda: kd.sequence_loss(S, kd.top_k(T[:1], 2)), r"\(2,\) positions.*\(1, 2\)"),
        (lambda: kd.hint_loss(S, T), "learns a projection"),
        (lambda: kd.hint_loss(S, S, metric="l1"), "'mse' or 'cosine'"),
        (lambda: kd.attention_transfer_loss(S, S), r"images \(N, C, H, W\)"),
        (lambda: kd.attention_map_loss(S, S), r"maps \(N, H, L, S\)"),
        (lambda: kd.attention_map_loss(S, S, metric="l1"), "'kl' or 'mse'"),
        (lambda: kd.relational_loss(S, T[:1]), "same N samples"),
        (lambda: kd.contrastive_loss(S, T), "ContrastiveLoss.. projects them"),
    ],
)
def test_what_does_not_fit_is_told_with_shapes_and_advice(call: Any, words: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=words):
        call()


@pytest.mark.parametrize("name", FORMULAS)
def test_losses_know_their_shape_on_meta(name: str) -> None:
    loss, student, teacher, _ = FORMULAS[name]
    target = TARGET.to("meta")
    s, t = (torch.tensor(x).to("meta") for x in (student, teacher))
    found = kd.decoupled_loss(s, t, target) if name == "decoupled" else loss(s, t)
    assert found.is_meta
    assert found.shape == ()
