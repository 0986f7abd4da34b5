"""Two models beside each other: a teacher and its student, or one before and after a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import flambeau
from flambeau.nn import Module

from .base import TextReport, count_text, table, time_text
from .bench import Bench, bench
from .memory.pins import bytes_text
from .summary import Summary, as_input, summary, tensors
from .twins import evaluated


@dataclass
class Beside(TextReport):
    """Sizes, work and time of two models for one input, and how far their outputs agree.

    `agreement` is the share of positions in which the largest output is the same one, `difference`
    the largest absolute difference; None where the outputs are no tensors of one shape.
    """

    names: list[str]
    summaries: list[Summary]
    timing: Bench
    agreement: float | None
    difference: float | None

    def __str__(self) -> str:
        first, second = self.summaries
        seconds = [sorted(times)[len(times) // 2] for times in self.timing.seconds]
        work = [summary.layers[0].flops for summary in self.summaries]
        rows: list[tuple[str, ...]] = [("", *self.names, "first / second")]
        for word, values, text in (
            ("parameters", (first.parameters, second.parameters), lambda n: f"{n:,}"),
            (
                "memory",
                (first.parameter_bytes, second.parameter_bytes),
                lambda n: bytes_text(int(n)),
            ),
            ("FLOP", work, count_text),
            ("time", seconds, time_text),
        ):
            ratio = f"{values[0] / values[1]:.2f}" if values[1] else ""
            rows.append((word, text(values[0]), text(values[1]), ratio))
        return "\n".join([*table(rows, "<>>>"), self._outputs()])

    __repr__ = __str__

    def _outputs(self) -> str:
        given = self.summaries[0].inputs
        if self.agreement is None:
            return f"For {given}: outputs of other shapes."
        return (
            f"For {given}: the largest output is the same in {self.agreement:.1%}; outputs differ "
            f"by {self.difference:.3g} at most."
        )


def beside(
    first: Module,
    second: Module,
    *inputs: Any,
    names: tuple[str, str] = ("first", "second"),
    **keywords: Any,
) -> Beside:
    """Compare two models on one input, in evaluation mode: a tuple of integers stands for a tensor
    of that shape. Of several outputs the first tensors are compared. Modes, gradients and buffers
    stay as they are.

    Raises: what the forward pass of either raises.
    """
    given = [as_input(first, x) for x in inputs]
    summaries = [summary(model, *given, depth=0, **keywords) for model in (first, second)]
    for failed in summaries:
        if failed.error is not None:
            raise failed.error
    models = evaluated(first), evaluated(second)
    with flambeau.no_grad():
        outputs = [model(*given, **keywords) for model in models]
        runs = [_repeated(model, given, keywords) for model in models]
        timing = bench(*runs, names=list(names), block=0.05)
    return Beside(list(names), summaries, timing, *_agreement(*outputs))


def _repeated(model: Module, given: list[Any], keywords: dict[str, Any]) -> Any:
    def run(count: int) -> None:
        for _ in range(count):
            model(*given, **keywords)

    return run


def _agreement(first: Any, second: Any) -> tuple[float | None, float | None]:
    """See `Beside`."""
    ours, theirs = tensors(first)[:1], tensors(second)[:1]
    if not ours or not theirs or ours[0].shape != theirs[0].shape or not ours[0].ndim:
        return None, None
    first, second = ours[0], theirs[0]
    if not first.numel():
        return None, None
    same = (first.argmax(-1) == second.argmax(-1)).float().mean().item()
    return same, (first - second).abs().max().item()
