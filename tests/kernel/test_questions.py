"""Signature help, summaries and the status, as front ends ask for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flambeau.kernel import Session, questions
from flambeau.kernel.signature import call_at


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    made = Session()
    made.execute("lin = nn.Linear(3, 4)\ndef area(width, height=2, *, unit='m'): 'How large.'")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f(", ("f", 0, None)),
        ("f(1, g(2), ", ("f", 2, None)),
        ("f(1, g(2, ", ("g", 1, None)),
        ("torch.cat((a, b), dim=", ("torch.cat", 1, "dim")),
        ("f([1, 2, (3, ", ("f", 0, None)),
        ("f('a(b, c', \"(\", ", ("f", 2, None)),
        ("f(1)  # g(", None),
        ("f(1)\nx = g(x,\n  y ==", ("g", 1, None)),
        ("def f(a, ", None),
        ("class A(", None),
        ("(1, ", None),
    ],
)
def test_the_innermost_open_call_is_found(source: str, expected: Any) -> None:
    call = call_at(source, len(source))
    assert (call and (call.path, call.position, call.keyword)) == expected


@pytest.mark.parametrize(
    ("source", "text", "active"),
    [
        ("area(", "area(width, height=2, *, unit='m')", 0),
        ("area(1, ", "area(width, height=2, *, unit='m')", 1),
        ("area(1, unit=", "area(width, height=2, *, unit='m')", 2),
        ("area(1, 2, 3, ", "area(width, height=2, *, unit='m')", None),
        ("nn.Linear(", "Linear(in_features, out_features, bias=True, device=None, dtype=None)", 0),
        ("lin(", "lin(input)", 0),
        ("lin.weight.sum(", "sum(dim=None, keepdim=False, dtype=None, out=None)", 0),
        ("lin(lin.weight).t().sum(0, ", "sum(dim=None, keepdim=False, dtype=None, out=None)", 1),
        ("nothing(", None, None),
    ],
)
def test_signatures_name_the_parameter_at_the_cursor(
    session: Session, source: str, text: str | None, active: int | None
) -> None:
    found = session.signature(source)
    if text is None:
        assert found is None
    else:
        assert found is not None
        assert (found.active, found.name) == (active, text.partition("(")[0])
        assert ", ".join(p for p in found.parameters) == text.partition("(")[2][:-1].replace(
            "*, ", ""
        )


def test_a_summary_tells_what_a_name_stands_for(session: Session) -> None:
    def summary(source: str) -> Any:
        content = {"question": "summary", "source": source, "cursor": len(source)}
        return questions.answer(session, content)["answer"]

    assert summary("x = area") == "area(width, height=2, *, unit='m')  How large."
    assert summary("lin.weight") == "lin.weight: Parameter (4, 3) float32 cpu requires_grad"
    assert summary("lin.nothing") is None


def test_the_status_tells_the_policy_and_only_a_chosen_seed(session: Session) -> None:
    assert (session.status.device, session.status.seed) == ("cpu", None)
    session.execute("torch.manual_seed(5); torch.set_grad_enabled(False)")
    assert (session.status.seed, session.status.grad) == (5, False)
    session.execute("torch.set_grad_enabled(True)")
    assert session.status.memory > 10_000_000


def test_a_question_nobody_knows_is_answered_with_those_there_are(session: Session) -> None:
    reply = questions.answer(session, {"question": "weather"})
    assert reply["status"] == "error"
    assert "expected one of status" in reply["evalue"].lower()
