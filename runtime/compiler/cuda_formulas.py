"""Groups of formulas as kernels of the GPU: one launch for each result that others read.

A kernel computes all that its result follows from, so that nothing between is written to memory;
what two results share is computed for both, which costs less than to write and read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backends.cuda.formulas import is_supported
from ..backends.cuda.pointwise import Formula
from ..core.dispatch import key_of
from ..core.expressions import Expression, Maths, leaves, walk
from .formulas import expression_of
from .fusion import Group
from .graph import Step, Value

if TYPE_CHECKING:
    from ..core.devices import device


def is_fit(step: Step) -> bool:
    """Whether kernels can compute the formula of a step."""
    reals = {v.dtype.name for v in step.read() if v.dtype.is_floating_point}
    kinds = {v.dtype.name for v in step.read()} | {step.outputs[0].dtype.name}
    if len(reals) != 1 or not kinds <= {*reals, "bool"}:
        return False
    expression = expression_of(step)
    return not expression.args or is_supported(expression, reals.pop())


class FusedFormulas:
    """The kernels of a group: from the arrays of its inputs to those of `outputs`."""

    def __init__(self, group: Group, outputs: list[Value], place: device) -> None:
        self.group, self.outputs, self.place = group, outputs, place
        self.inputs = group.inputs()
        numbers = [v.number for v in self.inputs]
        self.formulas: list[tuple[Formula, list[int]]] = []
        roots = _composed(group)
        for value in outputs:
            root = roots[value.number]
            names = leaves(root, "input")
            formula = Formula(f"fused_{len(group.steps)}", root, names, [], group.real)
            self.formulas.append((formula, [numbers.index(int(n[1:])) for n in names]))

    def __call__(self, arrays: list[Any]) -> list[Any]:
        """The arrays of the outputs."""
        found = [formula(*[arrays[k] for k in places]) for formula, places in self.formulas]
        return self._by_steps(arrays) if any(x is None for x in found) else found

    def _by_steps(self, arrays: list[Any]) -> list[Any]:
        """The same by the kernels of the single operations, for operands that no kernel takes."""
        known = dict(zip([v.number for v in self.inputs], arrays, strict=True))
        for step in self.group.steps:
            inputs = [None if x is None else known[x.number] for x in step.inputs]
            main = next(x for x in step.read() if x.dtype.is_floating_point)
            kernel = getattr(key_of(self.place, main.dtype), step.operation.name)
            known[step.outputs[0].number] = kernel(*inputs, **step.attributes)
        return [known[v.number] for v in self.outputs]


def _composed(group: Group) -> dict[int, Expression]:
    """The formula of each value that the group makes, on its inputs alone: `v3` is value 3."""
    m = Maths()
    found: dict[int, Expression] = {
        v.number: m.leaf("input", f"v{v.number}") for v in group.inputs()
    }
    for step in group.steps:
        expression = expression_of(step)
        given = {
            name: found[x.number]
            for name, x in zip(step.operation.array_names, step.inputs, strict=True)
            if x is not None
        }
        done: dict[int, Expression] = {}
        for node in walk([expression]):
            if node.args:
                done[id(node)] = m.make(node.op, *[done[id(a)] for a in node.args])
            elif node.op == "input":
                done[id(node)] = given[node.value]
            else:
                done[id(node)] = m.leaf("constant", node.value)
        found[step.outputs[0].number] = done[id(expression)]
    return found
