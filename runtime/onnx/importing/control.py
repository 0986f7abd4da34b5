"""Branches and loops, whose bodies are modules."""

from __future__ import annotations

from typing import Any

from ... import fx
from ...core.creation import tensor
from ...ops.joins import stack

__all__ = ["Branch", "if_", "loop"]

Branch = fx.GraphModule


def if_(condition: Any, *, then_branch: tuple[Branch, Any], else_branch: tuple[Branch, Any]) -> Any:
    """The results of one of two modules, each given with the values that it reads."""
    branch, around = then_branch if bool(condition) else else_branch
    found = branch(*around)
    return found if len(found) > 1 else found[0]


def loop(limit: Any, condition: Any, *carried: Any, body: tuple[Branch, Any]) -> Any:
    """`body(step, condition, *carried)` gives the condition, what is carried on, and rows of
    results, as long as the condition holds and the limit is not reached.

    Returns: what was carried last, and the rows of each step.
    """
    branch, around = body
    state, rows, step = list(carried), [], 0
    goes_on = condition is None or bool(condition)
    while goes_on and (limit is None or step < int(limit)):
        found = branch(tensor(step), tensor(True), *state, *around)
        goes_on = bool(found[0])
        state = list(found[1 : len(carried) + 1])
        rows.append(found[len(carried) + 1 :])
        step += 1
    stacked = [stack(list(parts), dim=0) for parts in zip(*rows, strict=True)]
    results = (*state, *stacked)
    return results if len(results) > 1 else results[0]
