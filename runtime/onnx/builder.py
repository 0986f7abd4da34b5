"""ONNX nodes, written one call each: `b.Add(x, y)`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import dtypes
from ..errors import FlambeauError

__all__ = ["Builder", "OnnxExporterError", "Value"]


class OnnxExporterError(FlambeauError, RuntimeError):
    """A model that ONNX cannot express, and what to do instead."""


@dataclass(eq=False)
class Value:
    """A tensor of the ONNX graph: its name, its element type, its sizes with None for open ones
    (if they are known), and its values if it is a constant."""

    name: str
    dtype: dtypes.dtype
    dims: tuple[int | None, ...] | None = None
    array: Any = None

    @property
    def shape(self) -> tuple[Any, ...]:
        """The sizes, for rules that are written for tensors."""
        if self.dims is None:
            raise OnnxExporterError(f"ONNX: the shape of {self.name} is not known.")
        return self.dims

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.is_floating_point

    def size(self, dim: int) -> int:
        """The size of a dimension. Raises: OnnxExporterError if it is open."""
        found = self.shape[dim]
        if found is None:
            raise OnnxExporterError(
                f"ONNX: dimension {dim} of {self.name} must be fixed here, and is open. Leave it "
                "out of dynamic_shapes (dynamic_axes)."
            )
        return found


BOOLEAN = "Equal Less LessOrEqual Greater GreaterOrEqual Not And Or Xor IsNaN IsInf".split()
RESULTS = dict.fromkeys(BOOLEAN, dtypes.bool_)
RESULTS |= dict.fromkeys("Shape Size ArgMax ArgMin NonZero".split(), dtypes.int64)
"""Types of results that are not those of the inputs."""

FOLDED: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": lambda a, b: a / b if a.dtype.kind == "f" else a // b,
    "Neg": np.negative,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Transpose": lambda a, perm: np.ascontiguousarray(a.transpose(perm)),
    "Reshape": lambda a, shape, allowzero=0: a.reshape(shape),
    "Squeeze": lambda a, axes: np.squeeze(a, tuple(int(k) for k in axes)),
    "Slice": lambda a, *ends: _sliced(a, *ends),
    "Unsqueeze": lambda a, axes: np.expand_dims(a, tuple(int(k) for k in axes)),
    "Concat": lambda *parts, axis: np.concatenate(parts, axis),
    "Gather": lambda a, index, axis=0: np.take(a, index, axis),
    "Expand": lambda a, shape: a * np.ones(shape, a.dtype),
}
"""Operators that are computed at once where all inputs are constants."""


def _sliced(a: Any, starts: Any, stops: Any, axes: Any, steps: Any) -> Any:
    index = [slice(None)] * a.ndim
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        is_whole = step < 0 and stop < -a.shape[axis]
        index[axis] = slice(int(start), None if is_whole else int(stop), int(step))
    return a[tuple(index)]


LARGEST_FOLD = 1 << 24
"""Elements up to which constants are computed at export; beyond, a file would grow by them."""


class Builder:
    """Nodes and constants of an ONNX graph. `b.Name(x, y, attribute=...)` adds an operator.

    Numbers among the inputs take the dtype of the first tensor; None is an input left out.
    """

    def __init__(self, opset: int, folds: bool = True) -> None:
        self.opset = opset
        self.folds = folds
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.dtypes: dict[str, dtypes.dtype] = {}
        self.values: dict[Any, Any] = {}  # of the nodes of the traced graph, as far as written
        self.node: Any = None  # the one that is being written, and its operation
        self.operation: Any = None
        self.doc = ""  # the user's line, which nodes keep
        self._names: set[str] = set()
        self._numbers: dict[Any, Value] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not name[:1].isupper():
            raise AttributeError(name)
        return lambda *inputs, **attributes: self.add(name, *inputs, **attributes)

    def add(
        self,
        op_type: str,
        *inputs: Any,
        outputs: int = 1,
        dtype: dtypes.dtype | None = None,
        **attributes: Any,
    ) -> Any:
        """The results of one operator; of `dtype`, or of that which its kind or inputs tell."""
        first = next((x for x in inputs if isinstance(x, Value)), None)
        like = first.dtype if first is not None else dtypes.float32
        values = [
            x if x is None or isinstance(x, Value) else self.constant(x, like) for x in inputs
        ]
        if outputs == 1 and self._foldable(op_type, values):
            arrays = [v.array for v in values if v is not None]
            with np.errstate(all="ignore"):
                return self._keep(np.asarray(FOLDED[op_type](*arrays, **attributes)), first)
        if dtype is None:
            lead = values[1] if op_type == "Where" else values[0] if values else None
            dtype = RESULTS.get(op_type) or (lead.dtype if lead is not None else like)
        names = [self.unused(op_type.lower()) for _ in range(outputs)]
        self.emit(op_type, [v.name if v is not None else "" for v in values], names, attributes)
        results = [Value(name, dtype) for name in names]
        for result in results:
            self.dtypes[result.name] = dtype
        return results[0] if outputs == 1 else tuple(results)

    def emit(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: dict[str, Any],
    ) -> None:
        """Append a node as it is."""
        from onnx import helper

        kept = list(inputs)
        while kept and not kept[-1]:
            kept.pop()
        node = helper.make_node(
            op_type, kept, list(outputs), name=f"{outputs[0]}_node", **attributes
        )
        node.doc_string = self.doc
        self.nodes.append(node)

    def _foldable(self, op_type: str, values: list[Value | None]) -> bool:
        return (
            self.folds
            and op_type in FOLDED
            and all(v is None or v.array is not None for v in values)
            and sum(v.array.size for v in values if v is not None) <= LARGEST_FOLD
        )

    def _keep(self, array: Any, first: Value | None) -> Value:
        name = first.name if first is not None else "constant"
        dtype = first.dtype if first is not None else dtypes.from_numpy(array.dtype)
        return self.tensor(array, dtype, f"{name}.folded" if "." in name else name)

    # -- constants and names ---------------------------------------------------------------------

    def reserve(self, names: Sequence[str]) -> None:
        """Keep names for inputs and outputs."""
        self._names.update(names)

    def unused(self, wanted: str) -> str:
        """`wanted`, with a number behind it if it is taken."""
        name, count = wanted, 1
        while name in self._names:
            name, count = f"{wanted}_{count}", count + 1
        self._names.add(name)
        return name

    def tensor(self, array: Any, dtype: dtypes.dtype, name: str) -> Value:
        """A constant of the graph."""
        value = Value(self.unused(name), dtype, tuple(array.shape), array)
        self.constants[value.name] = array
        self.dtypes[value.name] = dtype
        return value

    def constant(self, number: Any, dtype: dtypes.dtype | None = None) -> Value:
        """A number, list or array as a constant, the same one for equal numbers."""
        if isinstance(number, np.ndarray):
            return self.tensor(number, dtype or dtypes.from_numpy(number.dtype), "constant")
        if isinstance(number, list | tuple):
            return self.ints(number)
        wanted = dtype or dtypes.of_number(number)
        key = (repr(number), wanted)
        found = self._numbers.get(key)
        if found is None:
            array = np.asarray(number).astype(wanted.numpy)
            found = self._numbers[key] = self.tensor(array, wanted, "number")
        return found

    def ints(self, numbers: Sequence[Any]) -> Value:
        """A vector of int64: numbers, or scalars that the graph computes."""
        if all(isinstance(n, int) for n in numbers):
            key = ("ints", *numbers)
            found = self._numbers.get(key)
            if found is None:
                array = np.asarray(numbers, np.int64).reshape(len(numbers))
                found = self._numbers[key] = self.tensor(array, dtypes.int64, "sizes")
            return found
        parts = [
            self.ints([n]) if isinstance(n, int) else self.Reshape(n, self.ints([1]))
            for n in numbers
        ]
        return parts[0] if len(parts) == 1 else self.Concat(*parts, axis=0)

    # -- what rules share ------------------------------------------------------------------------

    def cast(self, x: Value, dtype: dtypes.dtype) -> Value:
        """x in `dtype`."""
        if x.dtype is dtype:
            return x
        out: Value = self.Cast(x, to=element_type(dtype), dtype=dtype)
        out.dims = x.dims
        return out

    def size_of(self, x: Value, dim: int) -> Any:
        """The size of a dimension: a number, or a scalar that the graph computes."""
        if x.dims is not None and x.dims[dim] is not None:
            return x.dims[dim]
        return self.Gather(self.Shape(x), self.constant(dim, dtypes.int64), axis=0)

    def reshape(self, x: Value, shape: Sequence[Any]) -> Value:
        """x with other sizes, of which those that the graph would compute may be left to it."""
        if x.dims is not None and list(x.dims) == list(shape) and None not in x.dims:
            return x
        fixed = [n if isinstance(n, int) else -1 for n in shape]
        if fixed.count(-1) > 1 or 0 in fixed:
            if 0 in fixed:
                self.require(14, "reshape with a size of 0")
            return self.Reshape(x, self.ints(shape), **({"allowzero": 1} if 0 in fixed else {}))
        return self.Reshape(x, self.ints(fixed))

    def permuted(self, x: Value, order: Sequence[int]) -> Value:
        """x with its dimensions in another order."""
        if list(order) == list(range(len(order))):
            return x
        return self.Transpose(x, perm=list(order))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        """x with dimensions of size 1 there."""
        return self.Unsqueeze(x, self.ints(axes))

    def squeeze(self, x: Value, *axes: int) -> Value:
        """x without these dimensions of size 1."""
        return self.Squeeze(x, self.ints(axes))

    def slice(self, x: Value, start: Any, stop: Any, axis: int, step: int = 1) -> Value:
        """A part along one dimension."""
        ends = [self.ints([n]) for n in (start, stop, axis, step)]
        return self.Slice(x, *ends)

    def require(self, opset: int, what: str) -> None:
        """Raises: OnnxExporterError for an older opset than `what` needs."""
        if self.opset < opset:
            raise OnnxExporterError(
                f"ONNX: {what} needs opset {opset}. Give opset_version={opset}."
            )

    def scatter(
        self, x: Value, index: Value, updates: Value, axis: int = 0, reduction: str = "none"
    ) -> Value:
        """x with updates written, or combined, at the index along one dimension."""
        if reduction == "none":
            return self.ScatterElements(x, index, updates, axis=axis)
        self.require(18 if reduction in ("max", "min") else 16, f"scatter with {reduction}")
        return self.ScatterElements(x, index, updates, axis=axis, reduction=reduction)

    def triangle(self, shape: Any, diagonal: int, upper: bool) -> Value:
        """Truth values of that shape, a vector of the graph: those of a triangle are true."""
        if self.opset >= 14:
            ones = self.Expand(self.constant(1, dtypes.int64), shape)
            k = self.constant(int(diagonal), dtypes.int64)
            return self.cast(self.Trilu(ones, k, upper=int(upper)), dtypes.bool_)
        zero, one = self.constant(0, dtypes.int64), self.constant(1, dtypes.int64)
        ends = [self.Gather(shape, self.constant(k, dtypes.int64), axis=0) for k in (-2, -1)]
        rows, columns = (self.Range(zero, end, one) for end in ends)
        apart = self.Sub(columns, self.unsqueeze(rows, 1))
        limit = self.constant(int(diagonal), dtypes.int64)
        flags = (self.GreaterOrEqual if upper else self.LessOrEqual)(apart, limit)
        return self.cast(self.Expand(self.cast(flags, dtypes.int64), shape), dtypes.bool_)

    def reduce(self, kind: str, x: Value, axes: Sequence[int] | None, keepdim: bool) -> Value:
        """A reduction such as ReduceMax over `axes`, or over all dimensions."""
        if axes is not None and not axes:
            return x
        chosen = {} if axes is None else {"axes": [int(a) for a in axes]}
        if self.opset >= 18 or kind == "ReduceSum":
            given = [self.ints(axes)] if axes is not None else []
            return self.add(kind, x, *given, keepdims=int(keepdim))
        return self.add(kind, x, keepdims=int(keepdim), **chosen)


def element_type(dtype: dtypes.dtype) -> int:
    """ONNX's number for a dtype. Raises: OnnxExporterError for one that it has not."""
    from onnx import TensorProto

    names = {
        "float32": "FLOAT", "float64": "DOUBLE", "float16": "FLOAT16", "bfloat16": "BFLOAT16",
        "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8",
        "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "bool": "BOOL",
        "complex64": "COMPLEX64", "complex128": "COMPLEX128",
    }  # fmt: skip
    name = str(dtype).removeprefix("torch.")
    if name not in names:
        raise OnnxExporterError(
            f"ONNX: expected a dtype that ONNX has. Got {dtype}. Cast with .to()."
        )
    return int(getattr(TensorProto, names[name]))


INT64_MAX = np.iinfo(np.int64).max
LOG2 = math.log(2.0)
