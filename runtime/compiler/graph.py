"""Graphs of operations on values that are known by their shapes and dtypes only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..core import dtypes
from ..core.dispatch import operations
from ..core.spec import Spec, contiguous_strides

if TYPE_CHECKING:
    from ..ops.operation import Operation


class Value(Spec):
    """A value of a graph: a `Spec` with a number. Rules take it wherever they take a Spec."""

    __slots__ = ("number",)

    def __init__(self, spec: Spec, number: int) -> None:
        super().__init__(spec.shape, spec.dtype, spec.strides)
        self.number = number

    @property
    def is_plain(self) -> bool:
        """Whether it lies row by row, without gaps."""
        return self.strides == contiguous_strides(self.shape)

    __eq__ = object.__eq__  # type: ignore[assignment]
    __hash__ = object.__hash__  # type: ignore[assignment]


class Step:
    """One operation of a graph: `inputs` are values, None or lists of values, `outputs` values."""

    __slots__ = ("attributes", "inputs", "is_recorded", "operation", "outputs")

    def __init__(
        self,
        operation: Operation,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        outputs: tuple[Value, ...],
        is_recorded: bool = False,
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.attributes = attributes
        self.outputs = outputs
        self.is_recorded = is_recorded  # whether gradients pass through it

    def read(self) -> Iterable[Value]:
        """The values that the step reads."""
        for x in self.inputs:
            if x.__class__ is Value:
                yield x
            elif x.__class__ is list:
                yield from x


class Graph:
    """Steps in order, over inputs, numbers and the outputs of earlier steps."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.inputs: list[Value] = []
        self.constants: dict[int, float] = {}  # by number of the value
        self.steps: list[Step] = []

    def value(self, spec: Spec) -> Value:
        """A new value."""
        made = Value(spec, len(self.values))
        self.values.append(made)
        return made

    def input(self, spec: Spec) -> Value:
        """A new value that comes from outside."""
        made = self.value(spec)
        self.inputs.append(made)
        return made

    def constant(self, number: float, dtype: dtypes.dtype) -> Value:
        """A 0-d value that is always `number`."""
        made = self.value(Spec((), dtype))
        self.constants[made.number] = number
        return made

    def append(
        self,
        operation: Operation,
        inputs: tuple[Any, ...],
        attributes: dict[str, Any],
        is_recorded: bool = False,
    ) -> Any:
        """Append a step; its output, or a tuple of them. Raises what the shape rule does."""
        outputs = tuple([self.value(s) for s in results_of(operation, inputs, attributes)])
        self.steps.append(Step(operation, inputs, attributes, outputs, is_recorded))
        return outputs if operation.outputs != 1 else outputs[0]


def results_of(
    operation: Operation, inputs: tuple[Any, ...], attributes: dict[str, Any]
) -> tuple[Spec, ...]:
    """What `operation` gives, with the strides that kernels give it. Raises what the shape rule
    does."""
    specs = operation.rule(*inputs, **attributes)
    if operation.outputs != 1:
        return tuple(specs)
    is_elementwise = operation.formula is not None or operation.name == "cast"
    return (_laid_out(specs, inputs) if is_elementwise else specs,)


_BYTE = np.zeros(1, np.uint8)


def _laid_out(spec: Spec, inputs: tuple[Value | None, ...]) -> Spec:
    """`spec` with the strides of what NumPy makes of `inputs` element by element."""
    values = [x for x in inputs if x is not None]
    if 0 in spec.shape or all(v.is_plain for v in values):
        return spec
    shown = [as_strided(_BYTE, v.shape, v.strides, writeable=False) for v in values]  # never read
    flags = [["readonly"]] * len(shown) + [["writeonly", "allocate"]]
    made = np.nditer([*shown, None], op_flags=flags, order="K").operands[-1]
    return Spec(spec.shape, spec.dtype, made.strides)


class Tracer:
    """The namespace F of rules and bodies whose operations become steps of `graph`.

    Equal steps are made once. Bodies of plain composites run on it too.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._made: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = operations[name]
        if operation.is_plain_composite and operation.body is not None:
            body = operation.body
            return lambda *args, **kwargs: body(self, *args, **kwargs)
        return lambda *args, **attributes: self.call(operation, args, attributes)

    def call(self, operation: Operation, args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """The results of one operation."""
        if "like" in attributes:
            attributes["like"] = _shape(attributes["like"])
            is_fit = attributes["like"] == args[0].shape
            if is_fit and operation.name in ("sum_to", "reshape_like", "expand_to"):
                return args[0]
        names = operation.array_names
        if len(args) > len(names):
            surplus = zip(operation.attribute_names, args[len(names) :], strict=False)
            attributes.update(surplus)
        args = args[: len(names)]
        args += tuple([attributes.pop(n, None) for n in names[len(args) :]])
        inputs = self._values(operation, args)
        complete = {**operation.defaults, **attributes}
        identity = operation.name, _identity(inputs), _identity(complete)
        found = self._made.get(identity)
        if found is None:
            found = self._made[identity] = self.graph.append(operation, inputs, complete)
        return found

    def _values(self, operation: Operation, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Numbers among the arguments as constants of the others' dtype."""
        if operation.takes_list:
            return (list(args[0]),)
        main = next(
            (
                x.dtype
                for x, p in zip(args, operation.arrays, strict=True)
                if x.__class__ is Value and p.role == "main"
            ),
            dtypes.float32,
        )
        return tuple(
            [self.graph.constant(x, main) if isinstance(x, int | float) else x for x in args]
        )


def _shape(like: Any) -> Any:
    if isinstance(like, list | tuple) and like and not isinstance(like[0], int):
        return tuple(_shape(x) for x in like)
    return tuple(getattr(like, "shape", like))


def _identity(tree: Any) -> Any:
    """What tells `tree` of values and attributes apart from others, hashable."""
    if tree.__class__ is Value:
        return tree.number
    if tree.__class__ is tuple or tree.__class__ is list:
        return tuple([_identity(x) for x in tree])
    if tree.__class__ is dict:
        return tuple([(n, _identity(x)) for n, x in tree.items()])
    if tree.__class__ is float:
        return repr(tree)  # which tells 0.0 from -0.0 and 1.0 from 1
    try:
        hash(tree)
    except TypeError:
        return tree.__class__, id(tree)
    return tree.__class__, tree
