"""A traced graph of operations as an ONNX model."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from .. import fx
from ..core import creation, dtypes, ranges
from ..export.merging import sym_size
from ..export.tracing import Traced
from .builder import Builder, OnnxExporterError, Value
from .formulas import write_formula
from .model import assembled
from .rules import RULES

__all__ = ["lower"]

SINGLE: dict[str, str] = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softplus": "Softplus",
    "hardswish": "HardSwish", "mish": "Mish", "elu": "Elu", "celu": "Celu", "selu": "Selu",
    "leaky_relu": "LeakyRelu", "prelu_shaped": "PRelu", "gelu": "Gelu", "softsign": "Softsign",
    "hardsigmoid": "HardSigmoid",
}  # fmt: skip
"""Pointwise operations that are one ONNX operator, which runtimes have fast kernels for."""


NEWER = {"Mish": 18, "HardSwish": 14}
"""The opset that brought an operator, for those younger than the oldest that is written."""

LIMITS = {"hardtanh": ("min_val", "max_val"), "clamp_numbers": ("min", "max")}
"""Operations that are Clip, and what their limits are called."""


def lower(traced: Traced, output_names: list[str], opset: int, folds: bool = True) -> Any:
    """The onnx.ModelProto of a traced graph.

    Raises: OnnxExporterError for what ONNX cannot express, with the line that asked for it.
    """
    return _Lowering(traced, output_names, opset, folds).model()


class _Lowering:
    def __init__(self, traced: Traced, output_names: list[str], opset: int, folds: bool) -> None:
        self.traced = traced
        self.b = Builder(opset, folds)
        self.output_names = output_names
        self.values: dict[fx.Node, Any] = self.b.values
        self.b.reserve([*traced.input_names, *output_names])

    def model(self) -> Any:
        """All nodes, then the outputs under their names."""
        graph = self.traced.module.graph
        inputs = [n for n in graph.nodes if n.op == "placeholder"]
        for node in graph.nodes:
            if node.op == "output":
                made = node.args[0][len(self.traced.updates) :]
                results = [self.values[n] for n in made]
                names = self._named_outputs(results)
                described = list(zip(names, made, results, strict=True))
            else:
                self.values[node] = self._value(node)
        return assembled(self.b, self.traced, inputs, described)

    def _named_outputs(self, results: list[Value]) -> list[str]:
        """Identity for what has a name already: an input, a constant, or a result given twice."""
        for name, value in zip(self.output_names, results, strict=True):
            self.b.emit("Identity", [value.name], [name], {})
            self.b.dtypes[name] = value.dtype
        return self.output_names

    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return Value(str(node.target), node.meta["vals"][0].dtype, node.meta["dims"][0])
        if node.op == "get_attr":
            return self._attribute(node)
        if node.target is operator.getitem:
            return self.values[node.args[0]][node.args[1]]
        if node.target is sym_size:
            return self.b.size_of(self.values[node.args[0]], node.args[1])
        if node.target in SCALARS:
            return self._scalar(node)
        return self._operation(node)

    def _attribute(self, node: fx.Node) -> Value:
        path = str(node.target)
        here: Any = self.traced.module
        for part in path.split("."):
            here = getattr(here, part)
        array = here.detach().numpy_values()
        return self.b.tensor(array, here.dtype, path)

    def _scalar(self, node: fx.Node) -> Any:
        name = SCALARS[node.target]
        args = [self.values[a] if isinstance(a, fx.Node) else a for a in node.args]
        if isinstance(args[0], tuple):  # times of a recurrent layer, which its rule takes apart
            return args
        if all(isinstance(a, int) for a in args):
            return node.target(*args)  # type: ignore[operator]
        values = [a if isinstance(a, Value) else self.b.constant(a, dtypes.int64) for a in args]
        return self.b.add(name, *values)

    def _operation(self, node: fx.Node) -> Any:
        b = self.b
        b.node, b.operation = node, node.meta.get("operation")
        b.doc = node.meta.get("place", "").strip(" ()")
        args = fx.map_arg(node.args, self.values.__getitem__)
        kwargs = fx.map_arg(node.kwargs, self.values.__getitem__)
        try:
            found = self._written(node, args, kwargs)
        except OnnxExporterError as error:
            raise OnnxExporterError(f"{error}{node.meta.get('place', '')}") from None
        results = found if isinstance(found, tuple) else (found,)
        for value, spec, dims in zip(results, node.meta["vals"], node.meta["dims"], strict=True):
            if value is not None:
                value.dims = dims
                if value.array is None and value.dtype is not spec.dtype:
                    raise OnnxExporterError(
                        f"ONNX: the rule of {b.operation.label} gives {value.dtype}, and not "
                        f"{spec.dtype}."
                    )
        return found

    def _written(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.target in CREATORS:
            return CREATORS[node.target](self.b, *args, **kwargs)
        operation = node.meta["operation"]
        if operation.name == "view_as_shape":
            kwargs, args = {"shape": args[1]}, args[:1]
        if operation.name == "gather":
            kwargs, args = {**kwargs, "dim": args[1]}, (args[0], args[2])
        short = _single(self.b, operation, args, kwargs)
        if short is not None:
            return short
        rule = RULES.get(operation.name)
        if rule is not None:
            return rule(self.b, *args, **kwargs)
        if operation.formula is not None:
            return write_formula(self.b, operation, list(args), kwargs)
        raise OnnxExporterError(
            f"ONNX: {operation.label} cannot be exported, as ONNX has no operator for it. Compute "
            "it outside the exported model."
        )


def _single(b: Builder, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operation as one ONNX operator, if it is one for these types and attributes."""
    if operation.name in LIMITS and args[0].is_float:
        limits = [kwargs[word] for word in LIMITS[operation.name]]
        given = [None if n is None else b.constant(float(n), args[0].dtype) for n in limits]
        return b.Clip(args[0], *given)
    name = SINGLE.get(operation.name)
    if name is None or args[0].dtype not in (dtypes.float32, dtypes.float16):
        return None
    if name == "Gelu":
        return b.Gelu(args[0], approximate=kwargs["approximate"]) if b.opset >= 20 else None
    if name == "Softplus" and (kwargs["beta"], kwargs["threshold"]) != (1, 20):
        return None
    if b.opset < NEWER.get(name, 0) or name == "PRelu":
        return None
    options = {"Elu": "alpha", "Celu": "alpha", "LeakyRelu": "negative_slope"}
    attributes: dict[str, Any] = {"alpha": float(kwargs[options[name]])} if name in options else {}
    if name == "HardSigmoid":
        attributes = {"alpha": 1 / 6, "beta": 0.5}
    return b.add(name, args[0], **attributes)


SCALARS = {operator.add: "Add", operator.sub: "Sub", operator.mul: "Mul", operator.floordiv: "Div"}
"""Arithmetic of sizes."""


def _full(b: Builder, shape: Any, number: Any, *, dtype: Any, device: Any) -> Value:
    value = number if isinstance(number, Value) else b.constant(number, dtype)
    return b.Expand(b.cast(value, dtype), b.ints(shape))


def _arange(b: Builder, count: Any, *, dtype: Any, device: Any) -> Value:
    stop = count if isinstance(count, Value) else b.constant(count, dtypes.int64)
    zero, one = b.constant(0, dtypes.int64), b.constant(1, dtypes.int64)
    return b.cast(b.Range(zero, stop, one), dtype)


CREATORS: dict[Any, Callable[..., Value]] = {creation.full: _full, ranges.arange: _arange}
"""What makes tensors whose sizes stay open."""
