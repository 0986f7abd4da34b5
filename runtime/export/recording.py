"""One run of a function, written down: each operation with its attributes and where values came
from.

Writes in place become values of their own: a tensor that was written is from then on what was
written, its base and its views with it. Values that Python reads become constants, which is told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core import callsite, observers
from ..core.dispatch import operations
from ..core.tensor import Tensor
from ..errors import FlambeauError
from ..nn import Parameter
from .reading import current_place, reads_told, warn_of_read
from .strided import shown_elements

__all__ = ["Constant", "ExportError", "Input", "Record", "Recording", "Result"]


class ExportError(FlambeauError, RuntimeError):
    """A model that cannot be traced or written in another format, and why."""


@dataclass(frozen=True)
class Input:
    """The tensor input number `index`."""

    index: int


@dataclass(frozen=True)
class Constant:
    """A tensor that no recorded operation made: a parameter, a buffer, or other data."""

    index: int


@dataclass(frozen=True)
class Result:
    """One result of the record number `record`."""

    record: int
    index: int


Reference = Input | Constant | Result


@dataclass
class Record:
    """One operation: its arguments by name, with references for tensors and index arrays."""

    operation: Any
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    dtypes: list[Any]
    place: Any = None
    sized_by_values: bool = False
    """Whether values decide how many elements the results have."""

    @property
    def where(self) -> str:
        """The user's line, in words; empty if it is not known."""
        return "" if self.place is None else f" ({callsite.shown(self.place)})"


@dataclass
class _Known:
    """What a tensor is in the trace, as of a version of its memory."""

    reference: Reference
    version: int
    shape: tuple[int, ...]
    parent: Tensor | None = None  # of a view, what it shows,
    record: int = -1  # the operation that made it
    index: int = 0  # and which of its results it was


SIZED_BY_VALUES = frozenset(
    ["nonzero", "nonzero.parts", "unique", "unique.parts", "unique_consecutive",
     "unique_consecutive.parts", "bincount", "nms"]
)  # fmt: skip
"""Operations whose results have as many elements as values say."""


SHORTENED = frozenset(["nonzero", "nonzero.parts", "nms"])
"""Those of which any beginning would do."""


def _has_mask(arguments: dict[str, Any]) -> bool:
    """Whether there is an index with truth values, which picks out as many elements as are true."""
    index = arguments.get("index")
    items = index if isinstance(index, tuple) else ()
    return any(
        getattr(i, "ndim", 0) and i.dtype.kind == "b" for i in items if hasattr(i, "strides")
    )


STRIDED = frozenset(["strided", "strided_by_element"])
SAME = frozenset(["copied", "detached", "pass_through"])
"""Operations whose result has the values of the input: no step of a trace."""


@dataclass(eq=False)
class Recording(observers.Observer):
    """An observer that writes down what a thread computes from `inputs`.

    `names` tells parameters and buffers by id. After the run `finish(results)` gives references to
    the results.
    """

    inputs: list[Tensor]
    names: dict[int, str] = field(default_factory=dict)
    warns: bool = True
    records: list[Record] = field(default_factory=list)
    constants: list[Tensor] = field(default_factory=list)
    shortens: bool = False  # whether choices are of one element less than values say
    values: dict[int, Tensor] = field(default_factory=dict)
    """By number of a constant that the run may write to, its values from before."""

    traces = True

    def __post_init__(self) -> None:
        self.thread = threading.get_ident()
        self._known: dict[int, _Known] = {}
        self._owners: dict[int, Tensor] = {}  # of arrays, by id, the first tensor
        self._synced: dict[int, int] = {}  # versions of memories that were written, as followed
        self._told: set[Any] = set()
        self._alive: list[Any] = []  # so that no id means two things
        for k, tensor in enumerate(self.inputs):
            self._note(tensor, Input(k))

    @property
    def operations(self) -> list[Any]:
        """What was done, in order."""
        return [r.operation for r in self.records]

    @property
    def value_sizes(self) -> list[Any]:
        """The shapes that values decided about."""
        return [r.shapes for r in self.records if r.sized_by_values]

    @property
    def told(self) -> bool:
        """Whether Python came to know values."""
        return bool(self._told)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The block whose operations are recorded."""
        with observers.observing(self), reads_told(self):
            yield

    # -- events ----------------------------------------------------------------------------------

    def operation_applied(
        self, operation: Any, arguments: dict[str, Any], outputs: tuple[Tensor, ...]
    ) -> None:
        """Write the operation down."""
        if threading.get_ident() != self.thread:
            return
        outputs = tuple(outputs[0]) if isinstance(outputs[0], list | tuple) else tuple(outputs)
        if any(o._key.level for o in outputs):
            place = current_place()
            where = "" if place is None else f" ({callsite.shown(place)})"
            raise ExportError(
                f"Export: expected operations on whole tensors. Got {operation.label} inside vmap"
                f"{where}. Write it over the whole dimension."
            )
        first = operation.array_names[0]
        if operation.name in SAME:
            sources = arguments[first] if operation.takes_list else [arguments[first]]
            for source, out in zip(sources, outputs, strict=True):
                parent = source if out._writes is source._writes else None
                self._note(out, self.reference(source), parent)
            return
        read = {n: self._argument(n, v, operation) for n, v in arguments.items()}
        shapes = [tuple(map(int, o.shape)) for o in outputs]
        record = Record(operation, read, shapes, [o.dtype for o in outputs], current_place())
        self.records.append(record)
        number = len(self.records) - 1
        if operation.name in SIZED_BY_VALUES or _has_mask(arguments):
            record.sized_by_values = True
        for k, out in enumerate(outputs):
            source = arguments[first] if operation.is_view else None
            self._note(out, Result(number, k), source, number)

    def step_taken(self, step: Any, result: Any) -> Any:
        """One element less, if asked, of as many as values say."""
        if not self.shortens or step.name not in SHORTENED:
            return result
        with observers.unobserved():
            parts = [x[: max(1, len(x) - 1)] for x in (result if step.outputs > 1 else [result])]
        return tuple(parts) if step.outputs > 1 else parts[0]

    def tensor_written(self, tensor: Tensor, result: Tensor) -> None:
        """From now on `tensor` is what `result` is."""
        if threading.get_ident() != self.thread:
            return
        known = self._known.get(id(tensor))
        reference = self.reference(result)
        if known is None and tensor._base is None:  # a constant until now, or another's alias
            self.reference(tensor, before_write=True)
            known = self._known[id(tensor)]
        written = tensor
        while known is not None:
            self._synced[id(written._writes)] = version = written._version
            self._alive.append(written._writes)
            known.reference, known.version = reference, version
            if known.parent is None:
                break
            parent = known.parent
            before = self._known[id(parent)]
            whole = self._current(parent, before, parent._version)
            reference = self._put(whole, parent, known, reference)
            written, known = parent, before
        self._owners[id(tensor._array)] = written if written._array is tensor._array else tensor

    def value_read(self, tensor: Tensor) -> None:
        """Tell of a value that Python comes to know, once for each place."""
        if threading.get_ident() != self.thread or not self.warns:
            return
        place = current_place()
        if id(tensor) in self._known and place not in self._told:
            self._told.add(place)
            warn_of_read(tensor, place)

    # -- what tensors are ------------------------------------------------------------------------

    def _note(
        self, tensor: Tensor, reference: Reference, parent: Tensor | None = None, record: int = -1
    ) -> None:
        shape, index = tuple(tensor.shape), getattr(reference, "index", 0)
        self._known[id(tensor)] = _Known(
            reference, tensor._version, shape, parent, record, index if record >= 0 else 0
        )
        if parent is None or parent._array is not tensor._array:
            self._owners[id(tensor._array)] = tensor
        self._alive += [tensor, tensor._array]

    def reference(self, tensor: Tensor, before_write: bool = False) -> Reference:
        """What `tensor` is in the trace; a constant if nothing recorded made it."""
        known = self._known.get(id(tensor))
        if known is None:
            owner = self._owners.get(id(tensor._array))
            if owner is None:
                found: Reference = self._constant(tensor)
            else:
                found = self.reference(owner, before_write)
            self._note(tensor, found, owner)
            return found
        if known.shape != tuple(tensor.shape):
            raise ExportError(
                f"Export: expected tensors that keep their shape. One of shape {known.shape} got "
                f"{tuple(tensor.shape)} in place. Use the out-of-place function."
            )
        if before_write:
            return known.reference
        return self._current(tensor, known, self._synced.get(id(tensor._writes), known.version))

    def _constant(self, tensor: Tensor) -> Constant:
        """A new constant, with the values from before the run writes to it."""
        found = Constant(len(self.constants))
        self.constants.append(tensor)
        if id(tensor) not in self.names and not isinstance(tensor, Parameter):
            with observers.unobserved():
                self.values[found.index] = tensor.detach().clone()
        return found

    def _current(self, tensor: Tensor, known: _Known, version: int) -> Reference:
        """The reference to `tensor` as of `version` of its memory."""
        if tensor._version > version:
            raise ExportError(
                f"Export: expected writes in place that can be followed. A tensor of shape "
                f"{tuple(tensor.shape)} was written by {callsite.last_write(tensor._writes)}. "
                "Use the out-of-place function."
            )
        if known.version < version and known.parent is not None:
            parent = self._known[id(known.parent)]
            since = self._synced.get(id(known.parent._writes), parent.version)
            source = self._current(known.parent, parent, since)
            known.reference = self._seen_again(source, known)
        known.version = version
        return known.reference

    def _seen_again(self, source: Reference, known: _Known) -> Reference:
        """The view again, of what its parent holds now."""
        if known.record < 0:
            return source
        made = self.records[known.record]
        arguments = {**made.arguments, made.operation.array_names[0]: source}
        self.records.append(Record(made.operation, arguments, made.shapes, made.dtypes, made.place))
        return Result(len(self.records) - 1, known.index)

    def _put(
        self, whole: Reference, parent: Tensor, known: _Known, written: Reference
    ) -> Reference:
        """The parent with what was written to its view."""
        if known.record < 0:
            return written
        record = self.records[known.record]
        name, attributes = record.operation.name, record.arguments
        shape = tuple(parent.shape)
        if name == "transpose":
            again = {"dim0": attributes["dim0"], "dim1": attributes["dim1"]}
            return self._add("transpose", {"input": written, **again}, shape, parent.dtype)
        if name == "permute_dims":
            inverse = tuple(int(k) for k in np.argsort(attributes["dims"]))
            arguments = {"input": written, "dims": inverse}
            return self._add("permute_dims", arguments, shape, parent.dtype)
        if name == "view_as_shape":
            return self._reshaped(written, shape, parent)
        if name in STRIDED and attributes["geometry"] is not None:
            return self._put_strided(whole, parent, attributes, written)
        place = _index_of(name, attributes, known.index, shape)
        if place is None:
            raise ExportError(
                "Export: expected writes in place that can be followed. Got one to a view made by "
                f"{record.operation.label}{record.where}. Write to the tensor itself, by index, or "
                "use the out-of-place function."
            )
        arguments = {"input": whole, "values": written, "index": place, "accumulate": False}
        return self._add("index_put_values", arguments, shape, parent.dtype)

    def _put_strided(
        self, whole: Reference, parent: Tensor, view: dict[str, Any], written: Reference
    ) -> Reference:
        """The parent with what was written to a view by strides, such as a diagonal."""
        from ..core.creation import as_tensor

        shown = shown_elements(view["geometry"], view["size"], view["stride"], view["offset"])
        index = (self.reference(as_tensor(shown.reshape(-1))),)
        flat = self._reshaped(whole, (parent.numel(),), parent)
        values = self._reshaped(written, (shown.size,), parent)
        arguments = {"input": flat, "values": values, "index": index, "accumulate": False}
        put = self._add("index_put_values", arguments, (parent.numel(),), parent.dtype)
        return self._reshaped(put, tuple(parent.shape), parent)

    def _reshaped(self, x: Reference, shape: tuple[int, ...], like: Tensor) -> Reference:
        return self._add("view_as_shape", {"input": x, "shape": shape}, shape, like.dtype)

    def _add(
        self, name: str, arguments: dict[str, Any], shape: tuple[int, ...], dtype: Any
    ) -> Reference:
        place = current_place()
        self.records.append(Record(operations[name], arguments, [shape], [dtype], place))
        return Result(len(self.records) - 1, 0)

    def _argument(self, name: str, value: Any, operation: Any) -> Any:
        """`value` with references for tensors; arrays occur in indices, where tensors gave them."""
        if isinstance(value, Tensor):
            return self.reference(value)
        if isinstance(value, np.ndarray):
            owner = self._owners.get(id(value))
            if owner is None:
                from ..core.creation import as_tensor

                return self.reference(as_tensor(value))
            return self.reference(owner)
        if isinstance(value, list | tuple):
            return type(value)([self._argument(name, v, operation) for v in value])
        return value


def _index_of(
    name: str, arguments: dict[str, Any], index: int, shape: tuple[int, ...]
) -> tuple[Any, ...] | None:
    """The index of a parent of that shape that shows what the view shows; None if there is none."""
    if name == "slice_view":
        return arguments["index"]
    dim = arguments["dim"] % len(shape) if "dim" in arguments else 0
    before = (slice(None),) * dim
    if name == "select_at":
        return (*before, arguments["index"])
    if name == "narrow":
        start = arguments["start"] % max(1, shape[dim])
        return (*before, slice(start, start + arguments["length"]))
    if name == "unbind":
        return (*before, index)
    if name == "split_sizes":
        start = sum(arguments["sizes"][:index])
        return (*before, slice(start, start + arguments["sizes"][index]))
    return None
