"""`%%nan`: a cell runs until the first operation, forward or backward, that makes NaN or Inf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flambeau import Tensor
from flambeau.core import observers
from flambeau.core.dispatch import operations

from .base import Instrument, named_tensors, table
from .source import user_line
from .statistics import HEADINGS, Statistics, values_of

ASKING = {"isnan", "isinf", "isfinite", "isposinf", "isneginf", "nan_to_num"}
"""Operations that expect to meet NaN."""


class NonFiniteError(FloatingPointError):
    """An operation made NaN or infinity; the message shows its line and its operands."""


class NonFiniteWatch(observers.Observer):
    """Raises at the first operation or backward node whose result is not finite though its operands
    are.

    A constant that is infinite already, such as the -inf of an attention mask, is nobody's fault
    and may be handed on; a NaN that comes in from data or parameters is named at its first use.
    `names` call tensors by their id. `allow_infinite` stops at NaN only.
    """

    def __init__(
        self, names: Mapping[int, str] | None = None, allow_infinite: bool = False
    ) -> None:
        self.names = names or {}
        self.allow_infinite = allow_infinite

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Look at what a forward operation made."""
        if name in ASKING:
            return
        for k, out in enumerate(outputs):
            made = self._made(out, inputs)
            if made:
                result = "result" if len(outputs) == 1 else f"result {k}"
                operands = [*self._operands(name, inputs), (result, out)]
                line = user_line()
                at = f"\n  at {line}" if line is not None else ""
                raise NonFiniteError(f"{name} {made}, in the forward pass{at}\n{_table(operands)}")

    def node_recorded(self, node: Any) -> None:
        """Remember the line, for an error in the backward pass."""
        node.metadata["line"] = user_line()

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Look at what a backward node hands on."""
        arrived = node.metadata.pop("arrived", ())
        for k, g in enumerate(gradients):
            made = self._made(g, arrived)
            if made and node.edges[k] is not None:
                raise NonFiniteError(self._backward_text(node, k, made, arrived, g))

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """Keep what arrives until the node has run."""
        node.metadata["arrived"] = gradients

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """Look at the parameters after a step."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                made = self._made(parameter, (parameter.grad,))
                if made:
                    name = self.names.get(id(parameter), "a parameter")
                    operands = [(name, parameter), ("its gradient", parameter.grad)]
                    kind = type(optimizer).__name__
                    raise NonFiniteError(
                        f"{kind}.step {made} in {name} (lr {group.get('lr')})\n{_table(operands)}"
                    )

    # -- what is wrong ---------------------------------------------------------------------------

    def _made(self, result: Any, operands: Any) -> str:
        """`made 3 NaN of 128`, if it was this operation; empty if all is well."""
        found = _troubled(result)
        if found is None:
            return ""
        before = [s for s in (_troubled(x) for x in _flat(operands)) if s is not None]
        size = int(np.prod(found.shape))
        if found.nan:
            verb = "was given" if any(s.nan for s in before) else "made"
            return f"{verb} {found.nan} NaN of {size}"
        if before or self.allow_infinite:
            return ""
        return f"made {found.infinite} Inf of {size}"

    def _operands(self, name: str, inputs: tuple[Any, ...]) -> list[tuple[str, Any]]:
        found = []
        for argument_name, value in zip(_argument_names(name, len(inputs)), inputs, strict=False):
            many = value if isinstance(value, list | tuple) else [value]
            for k, x in enumerate(many):
                if isinstance(x, Tensor):
                    label = argument_name if many is not value else f"{argument_name}[{k}]"
                    known = self.names.get(id(x))
                    found.append((f"{label} ({known})" if known else label, x))
        return found

    def _backward_text(self, node: Any, k: int, made: str, arrived: Any, g: Any) -> str:
        operation: Any = getattr(node, "operation", None)
        label = operation.label if operation is not None else node.name()
        names = list(operation.array_names) if operation is not None else []
        which = names[k] if k < len(names) and not operation.takes_list else f"input {k}"
        operands = [("gradient that arrived", x) for x in arrived if x is not None]
        for n, value in enumerate(node.saved or ()):
            if getattr(value, "nbytes", None) is not None:
                operands.append((f"saved {names[n] if n < len(names) else 'result'}", value))
        operands.append((f"gradient of {which}", g))
        line = node.metadata.get("line")
        at = f"\n  recorded at {line}" if line is not None else ""
        return f"{label} {made}, in the backward pass{at}\n{_table(operands)}"


def _flat(operands: Any) -> Iterator[Any]:
    for value in operands:
        if isinstance(value, list | tuple):
            yield from value
        elif value is not None:
            yield value


def _troubled(value: Any) -> Statistics | None:
    """The statistics of a value that is not finite; None for all others."""
    if isinstance(value, float):
        return None if np.isfinite(value) else Statistics.of(np.float64(value))
    values = values_of(value)
    if values is None or values.dtype.kind not in "fcV" or not values.size:
        return None
    if values.dtype.kind == "V":  # bfloat16, which NumPy has no kind for
        values = values.astype(np.float32)
    with np.errstate(all="ignore"):
        if np.isfinite(values.sum()):  # a sum of finite numbers may overflow, so look again
            return None
    found = Statistics.of(values)
    return None if found.is_finite else found


def _argument_names(label: str, count: int) -> list[str]:
    """Several operations may bear one label: the one with as many parameters is meant."""
    for operation in operations.values():
        if operation.label == label and len(operation.parameters) == count:
            return [p.name for p in operation.parameters]
    return [f"argument {k}" for k in range(count)]


def _table(operands: list[tuple[str, Any]]) -> str:
    rows: list[tuple[str, ...]] = [("", *HEADINGS)]
    for name, value in operands:
        values = values_of(value)
        if values is not None:
            rows.append((name, *Statistics.of(values).words()))
    return "\n".join("  " + line for line in table(rows, "<<>>>>><"))


@contextmanager
def stop_at_nonfinite(
    names: Mapping[int, str] | None = None, allow_infinite: bool = False
) -> Iterator[NonFiniteWatch]:
    """A `with` block that ends with a NonFiniteError at the first NaN or Inf that is made.

    Example:
        >>> with stop_at_nonfinite():
        ...     model(x).log().sum().backward()
    """
    watch = NonFiniteWatch(names, allow_infinite)
    with observers.observing(watch):
        yield watch


@magics_class
class NanMagics(Instrument):
    """Finds the first NaN."""

    @magic_arguments()
    @argument("--nan-only", action="store_true", help="let infinities pass")
    @cell_magic("nan")
    def nan(self, line: str, cell: str) -> None:
        """Run the cell until the first operation, forward or backward, that makes NaN or Inf; show
        its line, and the statistics of its operands.

        Example: %%nan on the first line, loss = model(x).log().sum(); loss.backward() below it
        """
        arguments = self.arguments(self.nan, line)
        names = named_tensors(self.namespace)
        with stop_at_nonfinite(names, arguments.nan_only):
            succeeded = self.run_cell(cell)
        if succeeded:
            print("No NaN" + ("." if arguments.nan_only else " and no Inf was made."))
