"""What operations are made of, where their parts may be fused with what stands around them.

Composites have bodies; here are those of primitives whose kernels do several things at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.dispatch import operations
from ..core.layouts import preserve_format
from .graph import Graph, Step, Tracer, Value

if TYPE_CHECKING:
    from ..ops.operation import Operation


def _softmax(F: Any, input: Any, *, dim: int) -> Any:
    shifted = F.exp(F.minus(input, F.amax(input, dim=dim, keepdim=True)))
    share = F.reciprocal(F.sum_over(shifted, dim=dim, keepdim=True))
    return F.mul(shifted, share)


def _log_softmax(F: Any, input: Any, *, dim: int) -> Any:
    shifted = F.minus(input, F.amax(input, dim=dim, keepdim=True))
    return F.minus(shifted, F.log(F.sum_over(F.exp(shifted), dim=dim, keepdim=True)))


BODIES: dict[str, Callable[..., Any]] = {"softmax_over": _softmax, "log_softmax_over": _log_softmax}
TAKEN_APART = frozenset(
    """
    softmax_gradient log_softmax_gradient normalize_over normalize_gradient layer_norm_over
    layer_norm_gradient rms_norm_over rms_norm_gradient
    """.split()
)
"""Composites that are taken apart by their bodies; others have kernels that do better."""


def dims_of(step: Step) -> tuple[int, ...]:
    """The dimensions that a step goes along, counted from the front."""
    given = step.attributes.get("dims", step.attributes.get("dim"))
    ndim = len(next(iter(step.read())).shape)
    dims = range(ndim) if given is None or given == () else given
    return tuple(sorted(d % max(ndim, 1) for d in ((dims,) if isinstance(dims, int) else dims)))


def _is_along_rows(step: Step) -> bool:
    """Whether the dimensions are the last ones."""
    ndim = len(next(iter(step.read())).shape)
    dims = dims_of(step)
    return bool(dims) and dims == tuple(range(ndim - len(dims), ndim))


class _Apart(Tracer):
    """A tracer on which operations that can be taken apart are, as long as `is_apart`."""

    is_apart = False

    def call(self, operation: Operation, args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        body = BODIES.get(operation.name)
        if body is None and operation.name in TAKEN_APART:
            body = operation.body
        if body is None or not self.is_apart:
            return super().call(operation, args, attributes)
        return body(self, *args, **attributes)


class _Turning:
    """Formulas of values that lie in memory in another order, as formulas of rows: their operands
    are seen in the order of memory, and the results back.

    What was turned and is turned back is what it was, so chains of such formulas are of one order.
    """

    def __init__(self, F: Tracer) -> None:
        self.F = F
        self.sources: dict[int, tuple[Value, tuple[int, ...]]] = {}  # what a value is turned from

    def note(self, step: Step, x: Any, out: Any) -> None:
        """Remember `out` if the step, whose input is `x` now, turns it."""
        name, attributes = step.operation.name, step.attributes
        ndim = len(step.outputs[0].shape)
        if name == "permute_dims":
            self.sources[out.number] = x, tuple([d % ndim for d in attributes["dims"]])
        elif name == "transpose" and ndim:
            order = list(range(ndim))
            a, b = attributes["dim0"] % ndim, attributes["dim1"] % ndim
            order[a], order[b] = b, a
            self.sources[out.number] = x, tuple(order)

    def root(self, value: Value) -> int:
        """The number of the value whose memory the result of a formula is."""
        return (
            self.sources[value.number][0].number if value.number in self.sources else value.number
        )

    def formula(self, step: Step, inputs: list[Any]) -> Value:
        """The output of `step`."""
        out = step.outputs[0]
        order = tuple(sorted(range(len(out.shape)), key=lambda k: -out.strides[k]))
        turned = [None if x is None else self._turned(x, order) for x in inputs]
        made = self.F.call(step.operation, tuple(turned), dict(step.attributes))
        back = sorted(range(len(order)), key=order.__getitem__)
        return self._turned(made, tuple(back))

    def _turned(self, x: Value, order: tuple[int, ...]) -> Value:
        if x.size == 1:
            return x
        missing = len(order) - len(x.shape)
        if missing:
            x = self.F.view_as_shape(x, shape=(1,) * missing + x.shape)
        source, before = self.sources.get(x.number, (x, tuple(range(len(order)))))
        dims = tuple([before[k] for k in order])
        if dims == tuple(range(len(order))):
            return source
        found: Value = self.F.permute_dims(source, dims=dims)
        self.sources[found.number] = source, dims
        return found


_AS_IT_LIES = {"memory_format": preserve_format}


def taken_apart(
    graph: Graph, steps: list[Step], targets: list[int], may: Callable[[Step], bool]
) -> tuple[list[Step], dict[int, Value]]:
    """`steps` with those taken apart that can be and that `may`, equal ones made once; and by
    number of a value the one that stands for it now. Targets keep memory of their own: of two
    equal ones the second is a copy."""
    scratch = Graph()
    scratch.values, scratch.constants = graph.values, graph.constants
    F = _Apart(scratch)
    instead: dict[int, Value] = {}
    turning = _Turning(F)
    own = _owners(steps, targets)
    taken: set[int] = set()

    def current(x: Any) -> Any:
        if x.__class__ is list:
            return [current(y) for y in x]
        return None if x is None else instead.get(x.number, x)

    for step in steps:
        operation = step.operation
        inputs = [current(x) for x in step.inputs]
        is_known = operation.name in BODIES or operation.name in TAKEN_APART
        F.is_apart = is_known and _is_along_rows(step) and may(step)
        args = (inputs[0],) if operation.takes_list else tuple(inputs)
        if operation.formula is not None and not step.outputs[0].is_plain and may(step):
            out = turning.formula(step, inputs)
        else:
            out = F.call(operation, args, dict(step.attributes))
            turning.note(step, inputs[0], out)
        outs = out if isinstance(out, tuple) else (out,)
        for old, new in zip(step.outputs, outs, strict=True):
            if old.number in own:
                if turning.root(new) in taken:
                    new = scratch.append(operations["copied"], (new,), _AS_IT_LIES)
                taken.add(turning.root(new))
            instead[old.number] = new
    return scratch.steps, instead


def _owners(steps: list[Step], targets: list[int]) -> set[int]:
    """Numbers of the values whose memory `targets` show: their own, or that of which they are
    views."""
    shown = {
        v.number: step.inputs[0].number
        for step in steps
        if step.operation.is_view
        for v in step.outputs
    }
    found = set()
    for number in targets:
        while number in shown:
            number = shown[number]
        found.add(number)
    return found
