"""Formulas of pointwise operations as ONNX operators, one for each step that is no ONNX operator
itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import dtypes, expressions
from .builder import LOG2, Builder, OnnxExporterError, Value

__all__ = ["write_formula"]

DIRECT = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "neg": "Neg", "abs": "Abs", "sign": "Sign",
    "floor": "Floor", "ceil": "Ceil", "round": "Round", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
    "reciprocal": "Reciprocal", "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin",
    "acos": "Acos", "atan": "Atan", "sinh": "Sinh", "cosh": "Cosh", "tanh": "Tanh",
    "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf", "sigmoid": "Sigmoid",
    "maximum": "Max", "minimum": "Min", "div": "Div", "pow": "Pow", "where": "Where",
    "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual", "eq": "Equal",
    "isnan": "IsNaN", "isinf": "IsInf",
}  # fmt: skip
"""Steps of formulas that are ONNX operators."""

BITWISE = {"bitwise_and": "And", "bitwise_or": "Or", "bitwise_xor": "Xor", "bitwise_not": "Not"}
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not"}

Rule = Callable[..., Value]


def _log1p(b: Builder, x: Value) -> Value:
    """log(1 + x) * x / ((1 + x) - 1), which is exact to rounding near 0. Source: Kahan, in HP-15C
    Advanced Functions Handbook, appendix."""
    up = b.Add(x, 1.0)
    rest = b.Sub(up, 1.0)
    close = b.Equal(rest, 0.0)
    safe = b.Where(close, b.constant(1.0, x.dtype), rest)
    ratio = b.Mul(b.Log(up), b.Div(x, safe))
    ratio = b.Where(b.IsInf(x), x, ratio)
    return b.Where(close, x, ratio)


def _expm1(b: Builder, x: Value) -> Value:
    """2 tanh(x/2) / (1 - tanh(x/2)) near 0, exp(x) - 1 elsewhere."""
    half = b.Tanh(b.Mul(x, 0.5))
    near = b.Div(b.Mul(half, 2.0), b.Add(b.Neg(half), 1.0))
    return b.Where(b.Less(b.Abs(x), 0.5), near, b.Sub(b.Exp(x), 1.0))


def _softplus(b: Builder, x: Value) -> Value:
    return b.Add(b.Relu(x), _log1p(b, b.Exp(b.Neg(b.Abs(x)))))


def _logaddexp(b: Builder, x: Value, y: Value) -> Value:
    apart = b.Neg(b.Abs(b.Sub(x, y)))
    total = b.Add(b.Max(x, y), _log1p(b, b.Exp(apart)))
    return b.Where(b.Equal(x, y), b.Add(x, LOG2), total)


def _trunc(b: Builder, x: Value) -> Value:
    return b.Mul(b.Sign(x), b.Floor(b.Abs(x)))


def _atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle from the quadrant; x = 0 gives a quarter turn, as y / 0 is infinite."""
    zero, turn = b.constant(0.0, x.dtype), b.constant(math.pi, x.dtype)
    angle = b.Atan(b.Div(y, x))
    left = b.Where(b.Less(y, 0.0), b.Sub(angle, turn), b.Add(angle, turn))
    found = b.Where(b.Less(x, 0.0), left, angle)
    both = b.And(b.Equal(x, 0.0), b.Equal(y, 0.0))
    return b.Where(both, zero, found)


def _floor_divide(b: Builder, x: Value, y: Value) -> Value:
    if x.is_float:
        return b.Floor(b.Div(x, y))
    return b.Div(b.Sub(x, b.Mod(x, y)), y)


def _remainder(b: Builder, x: Value, y: Value) -> Value:
    if not x.is_float:
        return b.Mod(x, y)
    rest = b.Mod(x, y, fmod=1)
    apart = b.And(b.Not(b.Equal(rest, 0.0)), b.Xor(b.Less(rest, 0.0), b.Less(y, 0.0)))
    return b.Where(apart, b.Add(rest, y), rest)


def _finite(b: Builder, x: Value) -> Value:
    return b.Not(b.Or(b.IsNaN(x), b.IsInf(x)))


def _signbit(b: Builder, x: Value) -> Value:
    """-0.0 counts: its reciprocal is negative."""
    if not x.is_float:
        return b.Less(x, 0)
    zero = b.And(b.Equal(x, 0.0), b.Less(b.Reciprocal(x), 0.0))
    return b.Or(b.Less(x, 0.0), zero)


def _hypot(b: Builder, x: Value, y: Value) -> Value:
    """Scaled by the larger one, so that squares stay in range."""
    a, c = b.Abs(x), b.Abs(y)
    large, small = b.Max(a, c), b.Min(a, c)
    safe = b.Where(b.Equal(large, 0.0), b.constant(1.0, x.dtype), large)
    ratio = b.Div(small, safe)
    return b.Mul(large, b.Sqrt(b.Add(b.Mul(ratio, ratio), 1.0)))


def _power_of_two(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """x and 2**y in int64, for which runtimes have powers."""
    wide = b.cast(y, dtypes.int64)
    return b.cast(x, dtypes.int64), b.Pow(b.constant(2, dtypes.int64), wide)


COMPOSED: dict[str, Rule] = {
    "left_shift": lambda b, x, y: b.cast(b.Mul(*_power_of_two(b, x, y)), x.dtype),
    "right_shift": lambda b, x, y: b.cast(_floor_divide(b, *_power_of_two(b, x, y)), x.dtype),
    "exp2": lambda b, x: b.Exp(b.Mul(x, LOG2)),
    "expm1": _expm1,
    "log1p": _log1p,
    "log2": lambda b, x: b.Mul(b.Log(x), 1 / LOG2),
    "log10": lambda b, x: b.Mul(b.Log(x), 1 / math.log(10.0)),
    "rsqrt": lambda b, x: b.Reciprocal(b.Sqrt(x)),
    "square": lambda b, x: b.Mul(x, x),
    "erfc": lambda b, x: b.Add(b.Neg(b.Erf(x)), 1.0),
    "softplus": _softplus,
    "trunc": lambda b, x: x if not x.is_float else _trunc(b, x),
    "ne": lambda b, x, y: b.Not(b.Equal(x, y)),
    "atan2": _atan2,
    "fmod": lambda b, x, y: b.Mod(x, y, fmod=1),
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "fmax": lambda b, x, y: b.Where(b.IsNaN(x), y, b.Where(b.IsNaN(y), x, b.Max(x, y))),
    "fmin": lambda b, x, y: b.Where(b.IsNaN(x), y, b.Where(b.IsNaN(y), x, b.Min(x, y))),
    "logaddexp": _logaddexp,
    "logaddexp2": lambda b, x, y: b.Mul(_logaddexp(b, b.Mul(x, LOG2), b.Mul(y, LOG2)), 1 / LOG2),
    "hypot": _hypot,
    "copysign": lambda b, x, y: b.Where(_signbit(b, y), b.Neg(b.Abs(x)), b.Abs(x)),
    "isfinite": _finite,
    "signbit": _signbit,
}
"""Steps of formulas as several ONNX operators."""

NOT_OF_INTEGERS = frozenset(["isnan", "isinf", "floor", "ceil", "round"])


def write_formula(
    b: Builder, operation: Any, arrays: list[Value], attributes: dict[str, Any]
) -> Value:
    """The formula of a pointwise operation on `arrays`.

    Raises: OnnxExporterError for a step that ONNX has no operators for.
    """
    statics = {n: attributes[n] for n in operation.statics}
    numbers = {n: attributes[n] for n in operation.parameter_names}
    root = operation.expression(statics)
    inputs = dict(zip(operation.array_names, arrays, strict=True))
    main = [inputs[p.name] for p in operation.arrays if p.role == "main"]
    writer = _Formula(b, operation, inputs, numbers, main[0].dtype if main else arrays[0].dtype)
    return writer.written(root)


class _Formula:
    def __init__(
        self, b: Builder, operation: Any, inputs: dict[str, Value], numbers: dict[str, Any],
        dtype: dtypes.dtype,
    ) -> None:  # fmt: skip
        self.b, self.operation, self.dtype = b, operation, dtype
        self.inputs, self.numbers = inputs, numbers

    def written(self, root: expressions.Expression) -> Value:
        """The value of the formula, in the dtype of its result."""
        done: dict[int, Any] = {}
        for node in expressions.walk([root]):
            done[id(node)] = self._step(node, [done[id(a)] for a in node.args])
        found = done[id(root)]
        if not isinstance(found, Value):  # a formula that is a number
            like = next(iter(self.inputs.values()))
            number = self.b.constant(found, self.dtype)
            return self.b.Expand(number, self.b.Shape(like))
        return found if found.dtype is dtypes.bool_ else self.b.cast(found, self.dtype)

    def _step(self, node: expressions.Expression, args: list[Any]) -> Any:
        if node.op == "input":
            return self.inputs[node.value]
        if node.op == "parameter":
            return self.numbers[node.value]
        if node.op == "constant":
            return node.value
        if node.op in LOGICAL:
            flags = [self._flag(a) for a in args]
            return self.b.add(LOGICAL[node.op], *flags)
        if node.op in BITWISE:
            return self._bitwise(BITWISE[node.op], args)
        if node.op == "where":
            return self._chosen(self._flag(args[0]), *self._alike(args[1:]))
        values = self._alike(args)
        if node.op in ("isnan", "isinf") and not values[0].is_float:
            return self.b.Less(values[0], values[0])
        if node.op in NOT_OF_INTEGERS and not values[0].is_float:
            return values[0]
        return self._operator(node.op, values)

    def _chosen(self, condition: Value, x: Value, y: Value) -> Value:
        """One or the other; ONNX Runtime has no choice between truth values."""
        b = self.b
        if x.dtype is not dtypes.bool_ or y.dtype is not dtypes.bool_:
            return b.Where(condition, x, y)
        return b.Or(b.And(condition, x), b.And(b.Not(condition), y))

    def _operator(self, op: str, values: list[Value]) -> Value:
        if op in DIRECT:
            return self.b.add(DIRECT[op], *values)
        rule = COMPOSED.get(op)
        if rule is None:
            raise OnnxExporterError(
                f"ONNX: {self.operation.label} needs {op}, for which ONNX has no operator. Compute "
                "it outside the exported model, or replace it by operations that ONNX has."
            )
        return rule(self.b, *values)

    def _flag(self, x: Any) -> Value:
        value = x if isinstance(x, Value) else self.b.constant(bool(x), dtypes.bool_)
        return self.b.cast(value, dtypes.bool_)

    def _alike(self, args: list[Any]) -> list[Value]:
        """Operands of one dtype: that of the operation, but for truth values among themselves."""
        wanted = self.dtype
        if wanted is dtypes.bool_ and any(not isinstance(a, Value) for a in args):
            numbers = [a for a in args if not isinstance(a, Value)]
            wanted = dtypes.int64 if all(isinstance(a, int) for a in numbers) else dtypes.float32
        found = []
        for a in args:
            if isinstance(a, Value):
                found.append(self.b.cast(a, wanted))
            else:
                is_whole = wanted.is_floating_point or float(a).is_integer() or not np.isfinite(a)
                found.append(self.b.constant(a, wanted if is_whole else dtypes.float32))
        return found

    def _bitwise(self, name: str, args: list[Any]) -> Value:
        values = self._alike(args)
        prefix = "" if values[0].dtype is dtypes.bool_ else "Bitwise"
        if prefix:
            self.b.require(18, f"{self.operation.label} of integers")
        return self.b.add(f"{prefix}{name}", *values)
