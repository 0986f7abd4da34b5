"""Why a gradient is what it is, from the record of a block that ran."""

from __future__ import annotations

from flambeau import Tensor

from .flow import FlowRecorder, Source, Step


def account(flow: FlowRecorder, tensor: Tensor, name: str) -> list[str]:
    """Lines that say where the way from the loss to `tensor`, called `name`, is broken, or where
    the gradient became zero."""
    return _Account(flow, flow.source(tensor).step, name).lines()


class _Account:
    def __init__(self, flow: FlowRecorder, target: int, name: str) -> None:
        self.flow, self.target, self.name = flow, target, name
        self.influenced = flow.influenced(target)
        self.connected = flow.connected(target)

    def lines(self) -> list[str]:
        flow, name = self.flow, self.name
        if self.influenced == {self.target}:
            return [f"Nothing in the cell was computed from {name}."]
        if not flow.roots:
            return [*self.breaks(max(self.influenced)), "No backward pass ran in the cell."]
        root = flow.roots[-1]
        if root not in self.influenced:
            step = _shown(flow.steps[root])
            return [f"The backward pass began at {step}, which does not depend on {name}."]
        return self.death(root) if root in self.connected else self.breaks(root)

    def breaks(self, goal: int) -> list[str]:
        """The steps on the way to step `goal` where values go on but gradients do not flow back."""
        relevant = self.flow.ancestors(goal)
        lines = [
            self.reason(step, source)
            for number, step in enumerate(self.flow.steps)
            if number in relevant and number not in self.connected
            for source in step.inputs
            if source.step in self.connected
        ]
        if not lines:
            return [f"Gradients can flow back to {self.name}."]
        return [f"The way back to {self.name} is cut:", *(f"  {x}" for x in dict.fromkeys(lines))]

    def reason(self, step: Step, source: Source) -> str:
        """Why no gradient goes from `step` to `source`."""
        if not source.needs_grad:
            what = self.name
            if source.step != self.target:
                what = f"the result of {_shown(self.flow.steps[source.step])}"
            return f"{what} was detached before {_shown(step)}"
        if not step.grad_enabled:
            return f"{_shown(step)} ran under no_grad"
        return f"{_shown(step)} has no gradient"

    def death(self, root: int) -> list[str]:
        """Where, on the way from step `root` to the target, the gradient became zero."""
        lines = []
        for number in sorted(self.flow.ancestors(root) & self.connected, reverse=True):
            step = self.flow.steps[number] if number >= 0 else None
            if number == self.target or step is None or step.arriving is None:
                continue
            leaving = [
                g
                for source, g in zip(step.inputs, step.leaving, strict=False)
                if source.step in self.connected and source.needs_grad
            ]
            if step.arriving.zeros < 1.0 and leaving and all(_is_zero(g) for g in leaving):
                norm = f"{step.arriving.norm:.3g}"
                lines.append(f"{_shown(step)}: a gradient of norm {norm} arrives, zero leaves")
        if not lines:
            return [f"A gradient flows back to {self.name} and is not zero on the way."]
        start = f"On the way back to {self.name} the gradient becomes zero:"
        return [start, *(f"  {line}" for line in lines)]


def _is_zero(statistics: object) -> bool:
    return statistics is None or getattr(statistics, "zeros", 0.0) == 1.0


def _shown(step: Step) -> str:
    return f"{step.label} ({step.line})" if step.line is not None else step.label
