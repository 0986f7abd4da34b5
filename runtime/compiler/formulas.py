"""The formulas of steps, as devices compile them."""

from __future__ import annotations

from ..core.expressions import Expression, Maths, walk
from .graph import Step


def expression_of(step: Step) -> Expression:
    """The formula of a step, with the numbers among its attributes put in."""
    operation = step.operation
    statics = {n: step.attributes[n] for n in operation.statics}
    read = operation.expression(statics)
    m = Maths()
    done: dict[int, Expression] = {}
    for node in walk([read]):
        if node.args:
            done[id(node)] = m.make(node.op, *[done[id(a)] for a in node.args])
        elif node.op == "parameter":
            done[id(node)] = m.leaf("constant", step.attributes[node.value])
        else:
            done[id(node)] = m.leaf(node.op, node.value)
    return done[id(read)]
