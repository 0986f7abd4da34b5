"""Runs of a model at several sizes, merged into one graph in which open sizes stay open."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import fx
from ..core import creation, ranges
from ..core.spec import Spec
from ..core.tensor import Tensor
from .fitting import Source, fit
from .recording import Constant, ExportError, Input, Record, Recording, Reference, Result

__all__ = ["Merged", "merge", "sym_size"]

RECURRENT = frozenset(["rnn_steps", "lstm_steps", "gru_steps", "int8_lstm_steps", "int8_gru_steps"])


def sym_size(input: Tensor, dim: int) -> int:
    """The size of dimension `dim`, where it stays open."""
    return int(input.shape[dim])


@dataclass
class Merged:
    """Runs of one model at several sizes: `sizes[k]` are the open ones of run k.

    `graph` grows as the records are merged; `attributes` holds what its get_attr nodes read.
    """

    runs: list[Recording]
    sizes: list[dict[str, int]]
    opened: Any
    input_names: list[str]
    graph: fx.Graph = field(default_factory=fx.Graph)
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._nodes: dict[Any, Any] = {}
        self._sizes: dict[Any, fx.Node] = {}
        self._index_of_results: dict[tuple[int, int], fx.Node] = {}
        for k, (tensor, name) in enumerate(zip(self.first.inputs, self.input_names, strict=True)):
            node = self.graph.placeholder(name)
            shapes = [tuple(r.inputs[k].shape) for r in self.runs]
            self._describe(node, [shapes], [tensor.dtype])
            self._nodes[Input(k)] = node
        self.symbols = [
            Source(Input(k), dim, tuple(s[name] for s in self.sizes), name)
            for name in opened_names(self.opened)
            for k, dim in [next(self.opened.places(name))]
        ]

    @property
    def first(self) -> Recording:
        """The run at the sizes that the user gave."""
        return self.runs[0]

    # -- records ---------------------------------------------------------------------------------

    def add(self, number: int) -> None:
        """Merge the records with that number, one of each run."""
        records = [r.records[number] for r in self.runs]
        record = records[0]
        if any(r.operation is not record.operation for r in records):
            raise _parted(record, records)
        arguments = {
            name: self._merged([r.arguments[name] for r in records], record, name)
            for name in record.arguments
        }
        function, args, kwargs = _called(record.operation, arguments)
        node = self.graph.call_function(function, args, kwargs, name=record.operation.label)
        count = len(record.shapes)
        if any(len(r.shapes) != count for r in records):
            raise _parted(record, records)
        shapes = [[r.shapes[k] for r in records] for k in range(count)]
        self._describe(node, shapes, record.dtypes)
        node.meta["place"] = record.where
        node.meta["operation"] = record.operation
        if record.operation.outputs == 1:
            self._nodes[Result(number, 0)] = node
        else:
            self._nodes[number] = node
        if record.sized_by_values:  # other numbers may follow from these sizes
            for dim, values in enumerate(zip(*shapes[0], strict=True)):
                self.symbols.append(Source(Result(number, 0), dim, tuple(values)))

    def _describe(self, node: fx.Node, shapes: list[list[tuple[int, ...]]], dtypes: Any) -> None:
        """Note what is known of the node's results: Specs of the first run, open sizes as None."""
        vals = [Spec(s[0], d) for s, d in zip(shapes, dtypes, strict=True)]
        dims = [
            tuple(
                n if len(set(ns)) == 1 else None
                for n, ns in zip(s[0], zip(*s, strict=True), strict=True)
            )
            for s in shapes
        ]
        node.meta["vals"], node.meta["dims"], node.meta["shapes"] = vals, dims, shapes
        node.meta["val"] = vals[0] if len(vals) == 1 else tuple(vals)

    # -- arguments -------------------------------------------------------------------------------

    def _merged(self, values: list[Any], record: Record | None, name: str) -> Any:
        """One argument from those of all runs."""
        first = values[0]
        if isinstance(first, Input | Constant | Result):
            return self.node(values, record)
        if name == "batch_sizes" and record is not None and record.operation.name in RECURRENT:
            return self._batch_sizes(values, record)
        if isinstance(first, list | tuple):
            if any(type(v) is not type(first) or len(v) != len(first) for v in values):
                raise self._unfitted(values, record, name)
            parts = [self._merged(list(vs), record, name) for vs in zip(*values, strict=True)]
            return type(first)(parts) if type(first) in (list, tuple) else tuple(parts)
        if isinstance(first, slice):
            ends = [self._merged([getattr(v, end) for v in values], record, name)
                    for end in ("start", "stop", "step")]  # fmt: skip
            return slice(*ends)
        if all(v is first or v == first for v in values):
            return first
        if all(type(v) is int or (type(v) is float and v.is_integer()) for v in values):
            return self._fitted([int(v) for v in values], record, name)
        raise self._unfitted(values, record, name)

    def _batch_sizes(self, values: list[Any], record: Record) -> Any:
        if any(len(set(v)) != 1 for v in values):
            if all(v == values[0] for v in values):
                return values[0]
            raise self._unfitted(values, record, "batch_sizes")
        batch = self._fitted([v[0] for v in values], record, "batch_sizes")
        steps = self._fitted([len(v) for v in values], record, "batch_sizes")
        if isinstance(batch, int) and isinstance(steps, int):
            return values[0]
        return self.graph.call_function(operator.mul, ((batch,), steps))

    def _fitted(self, values: list[int], record: Record | None, name: str) -> Any:
        """An int, or a node that computes it from sizes."""
        found = fit(values, [*self.symbols, *self._sources(record)])
        if found is None:
            raise self._unfitted(values, record, name)
        return self._computed(found)

    def _sources(self, record: Record | None) -> list[Source]:
        """The sizes of the operation's tensors."""
        found = []
        tensors = [] if record is None else record.arguments.values()
        flat = [x for v in tensors for x in (v if isinstance(v, list | tuple) else [v])]
        for reference in flat:
            if isinstance(reference, Input | Result) and self._has(reference):
                shapes = self._shapes(reference)
                for dim, sizes in enumerate(zip(*shapes, strict=True)):
                    found.append(Source(reference, dim, tuple(sizes)))
        return found

    def _has(self, reference: Reference) -> bool:
        return reference in self._nodes or (
            isinstance(reference, Result) and reference.record in self._nodes
        )

    def _shapes(self, reference: Reference) -> list[tuple[int, ...]]:
        if isinstance(reference, Result):
            return [r.records[reference.record].shapes[reference.index] for r in self.runs]
        return [tuple(r.inputs[reference.index].shape) for r in self.runs]

    def _computed(self, expression: Any) -> Any:
        if isinstance(expression, int):
            return expression
        key = (expression.of, expression.dim) if isinstance(expression, Source) else expression
        found = self._sizes.get(key)
        if found is None:
            if isinstance(expression, Source):
                node = self.node([expression.of] * len(self.runs), None)
                found = self.graph.call_function(sym_size, (node, expression.dim))
            else:
                name, *parts = expression
                args = tuple(self._computed(p) for p in parts)
                found = self.graph.call_function(getattr(operator, name), args)
            self._sizes[key] = found
        return found

    # -- tensors ---------------------------------------------------------------------------------

    def node(self, references: Sequence[Any], record: Record | None) -> fx.Node:
        """The node of a tensor, from its references in all runs."""
        first = references[0]
        if isinstance(first, Constant):
            if not all(isinstance(r, Constant) for r in references):
                raise _parted(record, [])
            return self._constant(references, record)
        if any(r != first for r in references):
            raise _parted(record, [])
        found = self._nodes.get(first)
        if found is None:
            assert isinstance(first, Result)
            whole = self._nodes[first.record]
            found = self.graph.call_function(operator.getitem, (whole, first.index))
            meta = {k: [whole.meta[k][first.index]] for k in ("vals", "dims", "shapes")}
            found.meta.update(meta, val=meta["vals"][0], place=whole.meta["place"])
            self._nodes[first] = found
        return found

    def _constant(self, references: Sequence[Constant], record: Record | None) -> fx.Node:
        key = tuple(r.index for r in references)
        found = self._nodes.get(key)
        if found is not None:
            return found
        name = self.first.names.get(id(self.first.constants[key[0]]))
        tensors = [r.values.get(k, r.constants[k]) for r, k in zip(self.runs, key, strict=True)]
        if name is None and not all(t is tensors[0] for t in tensors):
            open_one = self._open_constant(tensors, record)
            if open_one is not None:
                self._nodes[key] = open_one
                return open_one
        if name is None:
            name = f"_tensor_constant{sum(k.startswith('_tensor_') for k in self.attributes)}"
        self.attributes[name] = tensors[0]
        node = self.graph.get_attr(name)
        self._describe(node, [[tuple(tensors[0].shape)] * len(self.runs)], [tensors[0].dtype])
        self._nodes[key] = node
        return node

    def _open_constant(self, tensors: list[Tensor], record: Record | None) -> fx.Node | None:
        """A call that makes data which follow the sizes: one number everywhere, or a range. None
        if they are the same at all sizes."""
        arrays = [t.detach().numpy_values() for t in tensors]
        if all(a.shape == arrays[0].shape and _same(a, arrays[0]) for a in arrays):
            return None
        shape = self._merged([a.shape for a in arrays], record, "shape")
        options: dict[str, Any] = {"dtype": tensors[0].dtype, "device": tensors[0].device}
        numbers = [a.flat[0].item() if a.size else 0 for a in arrays]
        if all(_same(a, np.full_like(a, n)) for a, n in zip(arrays, numbers, strict=True)):
            number: Any = numbers[0]
            if any(n != number for n in numbers):
                if not all(float(n).is_integer() for n in numbers):
                    raise self._unfitted(numbers, record, "a number")
                number = self._fitted([int(n) for n in numbers], record, "a number")
            args, function = (shape, number), creation.full
        elif all(a.ndim == 1 and _is_range(a) for a in arrays):
            start, step = arrays[0][0].item(), (arrays[0][1] - arrays[0][0]).item()
            stop = operator.mul if step == 1 else None
            if stop is None or start != 0 or any(a[0] != 0 or a[1] != 1 for a in arrays):
                raise self._unfitted([a.shape for a in arrays], record, "a range")
            args, function = (shape[0],), ranges.arange
        else:
            raise self._unfitted([a.shape for a in arrays], record, "data")
        node = self.graph.call_function(function, args, options)
        self._describe(node, [[a.shape for a in arrays]], [tensors[0].dtype])
        node.meta["place"] = "" if record is None else record.where
        return node

    def _unfitted(self, values: Sequence[Any], record: Record | None, name: str) -> ExportError:
        operation = "the model" if record is None else record.operation.label
        where = "" if record is None else record.where
        listed = ", ".join(
            f"{v} at {s}" for v, s in list(zip(values, self.sizes, strict=False))[:3]
        )
        return ExportError(
            f"Export: {operation}{where} was given a value ({name}) that depends on an open size, "
            f"or on values, in a way that is not known: {listed}. Compute it from the shape of a "
            "tensor by +, * and //, or leave the dimension fixed."
        )


def getitem(input: Tensor, *, index: Any) -> Tensor:
    """input[index], with tensors in the index."""
    return input[index]


def put(input: Tensor, values: Tensor, *, index: Any, accumulate: bool) -> Tensor:
    """A copy of `input` with `values` written, or added, at `index`."""
    if accumulate:
        return input.index_put(index, values, True)
    out = input.clone()
    out[index] = values
    return out


FUNCTIONS = {"index_elements": getitem, "index_put_values": put}
"""What graphs call where the operation takes bare arrays."""


def _called(
    operation: Any, arguments: dict[str, Any]
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The function of a graph that does `operation`, and its arguments."""
    names = list(operation.array_names)
    if operation.name == "view_as_shape":  # which must not depend on how memory lies
        return Tensor.reshape, (arguments["input"], arguments["shape"]), {}
    if operation.name == "gather":  # whose dimension stands before the index
        names = ["input", "dim", "index"]
    rest = {name: a for name, a in arguments.items() if name not in names}
    function = FUNCTIONS.get(operation.name, operation.function)
    return function, tuple(arguments[name] for name in names), rest


def opened_names(opened: Any) -> list[str]:
    """The names of open dimensions."""
    return opened.all_names()


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def _is_range(a: Any) -> bool:
    return a.size > 1 and a.dtype.kind in "iuf" and bool((np.diff(a) == a[1] - a[0]).all())


def _parted(record: Record | None, records: list[Record]) -> ExportError:
    others = sorted({r.operation.label for r in records})
    what = f" ({' or '.join(others)})" if len(others) > 1 else ""
    where = "" if record is None else record.where
    return ExportError(
        f"Export: the model does different things at different sizes of an open dimension{what}"
        f"{where}. A Python `for` or `if` over a size is run once, when the model is traced: use "
        "operations over the whole dimension, or leave it fixed."
    )


def merge(merged: Merged, results: list[list[Any]]) -> fx.Node:
    """Merge all records and the `results` of each run, references by run; returns the output."""
    counts = {len(r.records) for r in merged.runs}
    for number in range(min(counts)):
        merged.add(number)
    if len(counts) > 1:
        record = max(merged.runs, key=lambda r: len(r.records)).records[min(counts)]
        raise _parted(record, [])
    outputs = [merged.node(list(refs), None) for refs in zip(*results, strict=True)]
    return merged.graph.output(tuple(outputs))
