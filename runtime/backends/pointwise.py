"""Pointwise expressions as straight-line array code, for NumPy and CuPy.

A formula of one operation is that array function itself. A longer one becomes a Python function;
on large contiguous arrays it runs in blocks that stay in cache, so that a formula of ten operations
passes over memory once instead of ten times.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

from ..core.expressions import Expression, walk
from ..errors import DivisionError

BLOCK = 16_384
"""Elements per block: 64 KiB of float32, so that a handful of blocks fit into the L2 cache."""

LARGE = 32_768
"""Elements from which on any formula is worth a look at how it is computed best: threads begin to
help."""
LEAST_LARGE = 1_024
"""Elements from which on that may be, so that small work loads no compiler."""
CALL_NANOSECONDS = 350
LOOP_NANOSECONDS = 2_300
"""What a call of an array function, and of a fused loop, takes besides its elements."""
NANOSECONDS = {
    "sqrt": 0.4, "rsqrt": 0.6, "reciprocal": 0.25, "sign": 0.5, "copysign": 0.6, "maximum": 0.5,
    "minimum": 0.5, "fmax": 0.5, "fmin": 0.5, "where": 1.1, "exp": 0.5, "exp2": 0.25, "expm1": 0.4,
    "log": 0.4, "log2": 0.3, "log10": 0.25, "log1p": 0.5, "tanh": 0.4, "sigmoid": 3.3, "erf": 10.0,
    "logaddexp": 17.0, "softplus": 17.0,
}  # fmt: skip
"""What array functions take for an element of float32 that is in the cache, if not USUAL (NumPy 2.4
and SciPy on an AMD Zen 4)."""
USUAL = 0.15

UFUNCS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "pow": "power", "abs": "absolute", "sign": "sign", "floor": "floor", "ceil": "ceil",
    "trunc": "trunc", "round": "rint", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log",
    "log2": "log2", "log10": "log10", "log1p": "log1p", "sqrt": "sqrt", "square": "square",
    "reciprocal": "reciprocal", "sin": "sin", "cos": "cos", "tan": "tan", "asin": "arcsin",
    "acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "atan2": "arctan2", "fmod": "fmod",
    "remainder": "remainder", "floor_divide": "floor_divide", "maximum": "maximum",
    "minimum": "minimum", "logaddexp": "logaddexp", "hypot": "hypot", "copysign": "copysign",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
    "ne": "not_equal", "logical_and": "logical_and", "logical_or": "logical_or",
    "logical_not": "logical_not", "logical_xor": "logical_xor", "isnan": "isnan", "isinf": "isinf",
    "isfinite": "isfinite", "signbit": "signbit", "bitwise_and": "bitwise_and",
    "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor", "bitwise_not": "invert",
    "fmax": "fmax", "fmin": "fmin", "logaddexp2": "logaddexp2", "nextafter": "nextafter",
    "gcd": "gcd", "lcm": "lcm", "left_shift": "left_shift", "right_shift": "right_shift",
}  # fmt: skip
"""Array functions by formula operation; all take `out=`."""

SPECIAL = {
    "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "lgamma": "gammaln", "digamma": "digamma",
    "sigmoid": "expit", "erfcx": "erfcx", "zeta": "zeta",
    "gammainc": "gammainc", "gammaincc": "gammaincc", "ndtri": "ndtri", "log_ndtr": "log_ndtr",
    "i0": "i0", "i0e": "i0e", "i1": "i1", "i1e": "i1e", "j0": "j0", "j1": "j1", "y0": "y0",
    "y1": "y1", "k0": "k0", "k0e": "k0e", "k1": "k1", "k1e": "k1e",
}  # fmt: skip
"""Functions that scipy.special and cupyx.scipy.special name alike."""


def lower(expression: Expression) -> Expression:
    """`expression` in terms of array functions only: rsqrt and softplus are taken apart, and a
    `where` with 0 for the rest becomes `keep`."""
    done: dict[int, Expression] = {}
    m = expression.maths
    for node in walk([expression]):
        args = tuple(done[id(a)] for a in node.args)
        if node.op == "rsqrt":
            done[id(node)] = m.make("reciprocal", m.make("sqrt", *args))
        elif node.op == "softplus":
            # log(1 + exp(x)) without overflow.
            done[id(node)] = m.make("logaddexp", args[0], 0.0)
        elif node.op == "where" and _is_zero(args[2]) and args[1].op not in NUMBERS:
            done[id(node)] = m.make("keep", args[0], args[1])
        elif node.args:
            done[id(node)] = m.make(node.op, *args)
        else:
            done[id(node)] = node
    return done[id(expression)]


NUMBERS = ("constant", "parameter")


def least_large(expression: Expression) -> int:
    """The number of elements from which on a fused loop may take less time than an array function
    for each operation."""
    times = [NANOSECONDS.get(n.op, USUAL) for n in walk([expression]) if n.args]
    ahead = LOOP_NANOSECONDS - CALL_NANOSECONDS * len(times)
    least = max(LEAST_LARGE, int(ahead / max(sum(times), USUAL)))
    return least if least <= LARGE // 4 else LARGE


def _is_zero(expression: Expression) -> bool:
    return expression.op == "constant" and expression.value == 0


class _Code:
    """Source of one array function of `inputs` and `parameters`, and the names it uses."""

    def __init__(self, expression: Expression, inputs: list[str], parameters: list[str]) -> None:
        self.inputs, self.parameters = inputs, parameters
        self.steps = [n for n in walk([expression]) if n.args]
        self.root = expression
        self.names: dict[int, str] = {}
        self.constants: dict[str, Any] = {}
        for node in walk([expression]):
            self.names[id(node)] = self._name(node)

    def _name(self, node: Expression) -> str:
        if node.op == "input":
            return f"x_{node.value}"
        if node.op == "parameter":
            return str(node.value)
        if node.op == "constant":
            name = f"c{len(self.constants)}"
            self.constants[name] = node.value
            return name
        return f"t{len(self.names)}"

    def call(self, node: Expression, out: str = "") -> str:
        """The line that computes `node`, into the array `out` if one is named."""
        args = ", ".join([self.names[id(a)] for a in node.args] + ([f"out={out}"] if out else []))
        return f"f_{node.op}({args})"

    @property
    def signature(self) -> str:
        return ", ".join([f"x_{n}" for n in self.inputs] + self.parameters)

    def plain(self) -> str:
        """Source of the function that makes an array per operation."""
        lines = [f"def plain({self.signature}):"]
        lines += [f"    {self.names[id(n)]} = {self.call(n)}" for n in self.steps]
        return "\n".join([*lines, f"    return {self.names[id(self.root)]}"])

    def blocked(self) -> str:
        """Source of the function that computes `out` block by block with reused scratch arrays."""
        arrays = ", ".join([f"x_{n}" for n in self.inputs])
        numbers = "".join(f", {n}" for n in self.parameters)
        lines = [f"def blocked({arrays}, out, empty{numbers}):"]
        slots, scratch = self._scratch()
        lines += [f"    {s} = empty({BLOCK}, {t})" for s, t in scratch.items()]
        lines += [f"    whole = ({arrays},)", f"    for start in range(0, out.size, {BLOCK}):"]
        lines += [
            f"        stop = start + {BLOCK}",
            "        o = out[start:stop]",
            "        n = o.size",
        ]
        for name in self.inputs:
            k = self.inputs.index(name)
            lines.append(
                f"        x_{name} = whole[{k}][start:stop] if whole[{k}].ndim else whole[{k}]"
            )
        for node in self.steps:
            out = "o" if node is self.root else f"{slots[id(node)]}[:n]"
            lines.append(f"        {self.names[id(node)]} = {self.call(node, out)}")
        return "\n".join(lines)

    def _scratch(self) -> tuple[dict[int, str], dict[str, str]]:
        """A scratch array for every step; it is free again after the step's last reader."""
        last: dict[int, int] = {}
        for k, node in enumerate(self.steps):
            for argument in node.args:
                last[id(argument)] = k
        slots: dict[int, str] = {}
        scratch: dict[str, str] = {}
        free: dict[str, list[str]] = {"bool": [], "dtype": []}
        for k, node in enumerate(self.steps):
            kind = "bool" if node.is_boolean else "dtype"
            if node is not self.root:
                if free[kind]:
                    slots[id(node)] = free[kind].pop()
                else:
                    slots[id(node)] = f"s{len(scratch)}"
                    scratch[slots[id(node)]] = "bool" if kind == "bool" else "out.dtype"
            for argument in dict.fromkeys(node.args):
                if last.get(id(argument)) == k and id(argument) in slots:
                    free["bool" if argument.is_boolean else "dtype"].append(slots[id(argument)])
        return slots, scratch


def _where_into(copyto: Callable[..., None]) -> Callable[..., Any]:
    """`where(condition, a, b, out)`, which array libraries do not offer; `out` is none of the
    others."""

    def where(condition: Any, a: Any, b: Any, out: Any) -> Any:
        copyto(out, b)
        copyto(out, a, where=condition)
        return out

    return where


def _keep(xp: Any) -> Callable[..., Any]:
    """`where(condition, x, 0)` by multiplying bit patterns with 0 or 1, which drops NaN and
    infinity too: half the time of `where`, which is no ufunc."""
    patterns = {1: xp.uint8, 2: xp.uint16, 4: xp.uint32, 8: xp.uint64}

    def keep(condition: Any, x: Any, out: Any = None) -> Any:
        bits = patterns.get(x.dtype.itemsize)
        if bits is None:
            result = xp.where(condition, x, x.dtype.type(0))
            if out is None:
                return result
            out[...] = result
            return out
        if out is None:
            return xp.multiply(x.view(bits), condition).view(x.dtype)
        xp.multiply(x.view(bits), condition, out=out.view(bits))
        return out

    return keep


def _sign(xp: Any) -> Callable[..., Any]:
    """The sign, 0 for NaN as CuPy and PyTorch have it; NumPy's own is NaN there."""

    def sign(x: Any, out: Any = None) -> Any:
        if x.dtype.kind != "f":
            return xp.sign(x, out=out)
        return xp.subtract(xp.greater(x, 0), xp.less(x, 0), out=out, dtype=x.dtype)

    return sign


def complex_logaddexp(xp: Any, x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)) of complex numbers, without overflow."""
    is_first = x.real >= y.real
    larger, smaller = xp.where(is_first, x, y), xp.where(is_first, y, x)
    # Both -inf: the sum of nothing, where the difference would be NaN.
    nothing = xp.isneginf(larger.real)
    ratio = xp.exp(xp.where(nothing, smaller.dtype.type(0), smaller - larger))
    return xp.where(nothing, larger, larger + xp.log1p(ratio))


def _logaddexp(xp: Any, special: Callable[[], Any]) -> Callable[..., Any]:
    """The library's own for real numbers; it has none for complex ones."""

    def logaddexp(x: Any, y: Any, out: Any = None) -> Any:
        if x.dtype.kind != "c":
            return xp.logaddexp(x, y, out=out)
        result = complex_logaddexp(xp, x, y)
        if out is None:
            return result
        out[...] = result
        return out

    return logaddexp


def _sigmoid(xp: Any, special: Callable[[], Any]) -> Callable[..., Any]:
    """The library's own for real numbers, 1 / (1 + exp(-x)) for complex ones."""
    expit = special().expit

    def sigmoid(x: Any, out: Any = None) -> Any:
        if x.dtype.kind != "c":
            return expit(x, out=out)
        return xp.reciprocal(1 + xp.exp(-x), out=out)

    return sigmoid


def _dividing(function: Callable[..., Any], errstate: Any) -> Callable[..., Any]:
    """`function`, a quotient or a rest, which raises DivisionError for integers over 0."""

    def divide(x: Any, y: Any, out: Any = None) -> Any:
        if x.dtype.kind not in "iu":
            return function(x, y, out=out)
        try:
            with errstate(divide="raise"):
                return function(x, y, out=out)
        except FloatingPointError:
            raise DivisionError(
                f"{function.__name__}: expected divisors other than 0 for integers of {x.dtype}. "
                f"Got a 0. Divide floating-point numbers, or replace it first."
            ) from None

    return divide


COMPLEX = {"logaddexp": _logaddexp, "sigmoid": _sigmoid}
"""Functions that the array libraries have for real numbers only."""


def compile_array(
    expression: Expression,
    inputs: list[str],
    parameters: list[str],
    xp: Any,
    special: Callable[[], Any],
    constant: Callable[[Any], Any],
    blocks: bool,
    label: str,
) -> Callable[..., Any]:
    """The function `f(*inputs, **parameters)` on arrays of library `xp` that computes `expression`.

    `special()` gives the module of special functions, `constant(value)` a fast form of a number,
    `blocks` allows evaluation in cache-sized blocks, `label` names the code in tracebacks.
    """
    expression = lower(expression)
    code = _Code(expression, inputs, parameters)
    functions = {f"f_{n.op}": _function(n.op, xp, special) for n in code.steps}
    operands = [code.names[id(a)] for a in expression.args]
    if len(code.steps) == 1 and operands == [f"x_{n}" for n in inputs] and not parameters:
        return functions[f"f_{expression.op}"]
    names = {**functions, **{n: constant(v) for n, v in code.constants.items()}}
    if not code.steps:
        return _execute(_leaf_source(code), {**names, "full_like": xp.full_like}, label)["plain"]
    plain = _execute(code.plain(), dict(names), label)["plain"]
    if not blocks or len(code.steps) < 2 or expression.is_boolean:
        return plain
    into = {**names, "f_where": _where_into(xp.copyto)} if "f_where" in names else names
    return _by_size(plain, _execute(code.blocked(), into, label + "-blocks")["blocked"], xp)


def _leaf_source(code: _Code) -> str:
    """Source of a formula that is only an input or a number."""
    name = code.names[id(code.root)]
    value = name if code.root.op == "input" else f"full_like(x_{code.inputs[0]}, {name})"
    return f"def plain({code.signature}):\n    return {value}"


def _function(op: str, xp: Any, special: Callable[[], Any]) -> Callable[..., Any]:
    if op in COMPLEX:
        return COMPLEX[op](xp, special)
    if op in SPECIAL:
        return getattr(special(), SPECIAL[op])
    if op == "keep":
        return _keep(xp)
    if op == "sign" and xp.__name__ == "numpy":
        return _sign(xp)
    if op in ("floor_divide", "remainder", "fmod") and xp.__name__ == "numpy":
        return _dividing(getattr(xp, op), xp.errstate)
    return getattr(xp, UFUNCS.get(op, op))


def _by_size(plain: Any, blocked: Any, xp: Any) -> Callable[..., Any]:
    """`plain` for small or strided arrays, `blocked` for large contiguous ones of one shape."""

    def pointwise(first: Any, *rest: Any, **numbers: Any) -> Any:
        if first.size < 2 * BLOCK or not first.flags.c_contiguous:
            return plain(first, *rest, **numbers)
        shape, dtype = first.shape, first.dtype
        for a in rest:
            same = (
                a.shape == shape and a.flags.c_contiguous and (a.dtype == dtype or a.dtype == bool)
            )
            if a.ndim and not same:
                return plain(first, *rest, **numbers)
        out = xp.empty(shape, dtype)
        flat = (a.reshape(-1) if a.ndim else a for a in rest)
        blocked(first.reshape(-1), *flat, out.reshape(-1), xp.empty, **numbers)
        return out

    return pointwise


def _execute(source: str, namespace: dict[str, Any], label: str) -> dict[str, Any]:
    """The names that `source` defines; its text is kept for tracebacks."""
    filename = f"<flambeau {label}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace["__name__"] = "flambeau.generated"
    exec(compile(source, filename, "exec"), namespace)
    return namespace
