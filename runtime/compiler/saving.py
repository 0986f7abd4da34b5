"""What is kept for gradients, and what is rather computed again."""

from __future__ import annotations

from .graph import Graph, Step

MOVES = frozenset("view_as_shape transpose permute_dims expand_shape reshape_like cast".split())

DEAR = frozenset("tanh softplus erf erfc".split())
"""Formulas that take longer to compute again than to write and read (tanh of a million numbers with
its gradient: 1.3 ms if computed twice, 0.9 if kept)."""


def _is_cheap(step: Step) -> bool:
    """Whether the results may rather be computed again than kept."""
    name = step.operation.name
    return (step.operation.formula is not None and name not in DEAR) or name in MOVES


def chosen(
    graph: Graph, needed: set[int], outputs: set[int], cut: tuple[int, ...]
) -> tuple[tuple[int, ...], list[Step]]:
    """Of the values `needed` by gradients: those to save besides the inputs and the values `cut`,
    and the steps that compute the others again from these.

    A value that follows cheaply is kept only where it is smaller than all it follows from.
    """
    maker = {v.number: s for s in graph.steps for v in s.outputs}
    given = {*[v.number for v in graph.inputs], *cut}
    saved: dict[int, None] = {}

    def roots(number: int, found: dict[int, None]) -> dict[int, None]:
        waiting = [number]
        while waiting:
            n = waiting.pop()
            if n in given or n in saved or n in found or n in graph.constants:
                continue
            if (n != number and n in outputs) or not _is_cheap(maker[n]):
                found[n] = None
            else:
                waiting += [v.number for v in maker[n].read()]
        return found

    for number in sorted(needed - given):
        found = roots(number, {})
        cost = sum(graph.values[n].nbytes for n in found if n not in outputs)
        if number in outputs or cost > graph.values[number].nbytes:
            saved[number] = None
        else:
            saved.update(found)
    ends = {*given, *saved}
    made = reached(graph, needed, ends) - ends
    return tuple(saved), [s for s in graph.steps if any(v.number in made for v in s.outputs)]


def reached(graph: Graph, needed: set[int], ends: set[int]) -> set[int]:
    """Numbers of the values that `needed` ones follow from, as far as `ends`."""
    maker = {v.number: s for s in graph.steps for v in s.outputs}
    found: set[int] = set()
    waiting = list(needed)
    while waiting:
        n = waiting.pop()
        if n not in found:
            found.add(n)
            if n in maker and n not in ends:
                waiting += [v.number for v in maker[n].read()]
    return found
