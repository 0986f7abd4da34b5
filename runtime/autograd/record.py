"""Gradient rules as compiled code.

A rule is written once against a namespace `F`. For a first-order backward pass it is run once on
symbols (`Recorder`) and turned into a straight-line function of bare arrays. The code is kept by
operation, by which inputs need a gradient and by the attributes that the rule branches on; never by
shapes, so that ragged inputs share it. With `F = TAPE` the same rule is differentiable.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.concealed import revealed_key
from ..core.dispatch import operations

if TYPE_CHECKING:
    from ..core.dispatch import DispatchKey
    from ..ops.operation import Operation
    from .node import Node


class Symbol:
    """An array, a shape or an attribute that is only known when the compiled rule runs."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder = recorder
        self.name = name

    @property
    def dtype(self) -> Any:
        """The element type that the code is compiled for."""
        return self.recorder.key.dtype

    def _refuse(self, *args: Any) -> Any:
        raise TypeError(
            f"A gradient rule must not look at {self.name}: it is compiled for all shapes and "
            "values. "
            "Use operations of F, or declare the attribute in static=."
        )

    __bool__ = __iter__ = __getitem__ = __len__ = __eq__ = __lt__ = __add__ = __mul__ = _refuse
    __hash__ = object.__hash__


class Recorder:
    """A namespace F that writes down what a rule calls."""

    def __init__(self, key: DispatchKey, shape_of: Callable[[Symbol], str]) -> None:
        self.key = key
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self.data_used: set[str] = set()
        self.shapes_used: set[str] = set()
        self.fresh: dict[str, bool | None] = {}
        self._shape_of = shape_of

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = operations.get(name)
        if operation is None:
            raise AttributeError(f"A gradient rule called F.{name}, which is no operation.")
        body = operation.body
        together = getattr(self.key.backend, "together", ())
        if body is not None and operation.is_plain_composite and name not in together:
            return lambda *args, **kwargs: body(self, *args, **kwargs)
        return lambda *args, **attributes: self._call(operation, args, attributes)

    def _call(self, operation: Operation, args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        if operation.name == "sum_to":
            return self._sum_to(args[0], attributes["like"])
        self.names[f"k_{operation.name}"] = getattr(self.key, operation.name)
        words = [self._data(a) for a in args]
        words += [f"{n}={self._attribute(n, v)}" for n, v in attributes.items()]
        call = f"k_{operation.name}({', '.join(words)})"
        if operation.formula is not None and isinstance(args[0], Symbol):
            self.names["key"] = self.key
            words[: len(args)] = [self._data(self._loop_operand(a)) for a in args]
            large = f"key.large.{operation.name}({', '.join(words)})"
            call = f"{call} if {words[0]}.size < {operation.large} else {large}"
        fresh = not operation.may_alias
        if operation.outputs == 1:
            return self._emit(call, fresh)
        results = [self._result(fresh) for _ in range(operation.outputs)]
        self.lines.append(f"{', '.join(r.name for r in results)} = {call}")
        return tuple(results)

    def _loop_operand(self, value: Any) -> Any:
        """A number as the 0-d array that a fused loop wants."""
        has_loops = self.key.large is not self.key
        is_number = isinstance(value, float | int) and not isinstance(value, bool)
        return self.key.backend.constant(value, self.key) if has_loops and is_number else value

    def paired(self, calls: list[tuple[Operation, list[Any]]]) -> list[Symbol] | None:
        """The results of two formulas, if the device has a way to compute them together."""
        make = getattr(self.key.backend, "paired", None)
        operands = {x.name: x for _, args in calls for x in args if isinstance(x, Symbol)}
        if make is None or not all(isinstance(x, Symbol) for _, args in calls for x in args):
            return None
        names = list(operands)
        places = [tuple([names.index(x.name) for x in args]) for _, args in calls]
        function = make([operation for operation, _ in calls], places, self.key)
        if function is None:
            return None
        name = "k_" + "_and_".join([operation.name for operation, _ in calls])
        self.names[name] = function
        results = [self._result(True) for _ in calls]
        words = ", ".join([self._data(x) for x in operands.values()])
        self.lines.append(f"{', '.join([r.name for r in results])} = {name}({words})")
        return results

    def _sum_to(self, x: Symbol, like: Symbol) -> Symbol:
        shape = self._attribute("like", like)
        self.names["k_sum_to"] = self.key.sum_to
        x_name = self._data(x)
        fresh = self.fresh.get(x_name, None if x_name.startswith("g") else False)
        return self._emit(
            f"{x_name} if {x_name}.shape == {shape} else k_sum_to({x_name}, like={shape})", fresh
        )

    def _result(self, fresh: bool | None) -> Symbol:
        name = f"v{len(self.fresh)}"
        self.fresh[name] = fresh
        return Symbol(self, name)

    def _emit(self, expression: str, fresh: bool | None) -> Symbol:
        result = self._result(fresh)
        self.lines.append(f"{result.name} = {expression}")
        return result

    def _data(self, value: Any) -> str:
        if isinstance(value, list | tuple):
            return "[" + ", ".join(self._data(v) for v in value) + "]"
        if isinstance(value, Symbol):
            self.data_used.add(value.name)
            return value.name
        return self._constant(value)

    def _attribute(self, name: str, value: Any) -> str:
        if name == "like":
            if isinstance(value, list | tuple) and any(isinstance(v, Symbol) for v in value):
                return "(" + "".join(self._like(v) + ", " for v in value) + ")"
            return self._like(value)
        if isinstance(value, Symbol):
            return value.name
        return self._constant(value)

    def _like(self, value: Any) -> str:
        if not isinstance(value, Symbol):
            return self._constant(value)
        self.shapes_used.add(value.name)
        return self._shape_of(value)

    def _constant(self, value: Any) -> str:
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name


class _Tape:
    """The namespace F whose operations the tape records."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = operations[name]
        function = operation.function
        if "like" not in operation.attribute_names:
            setattr(self, name, function)
            return function

        def call(*args: Any, like: Any, **attributes: Any) -> Any:
            return function(*args, like=_shape(like), **attributes)

        setattr(self, name, call)
        return call


def _shape(like: Any) -> Any:
    if isinstance(like, list | tuple) and like and not isinstance(like[0], int):
        return tuple(_shape(x) for x in like)
    return tuple(like.shape) if hasattr(like, "shape") else like


TAPE = _Tape()


class Recording:
    """One run of an operation's rule on symbols: its code and what it reads."""

    def __init__(
        self,
        operation: Operation,
        key: DispatchKey,
        needs: tuple[bool, ...],
        given: tuple[bool, ...],
        grads: tuple[bool, ...],
        statics: dict[str, Any],
    ) -> None:
        self.operation = operation
        self.inputs = [f"i{k}" for k in range(len(needs))]
        arrays = _saved_as_arrays(operation, needs)

        def shape_of(symbol: Symbol) -> str:
            if symbol.name in self.inputs and not arrays[self.inputs.index(symbol.name)]:
                return symbol.name
            return f"{symbol.name}.shape"

        F = self.recorder = Recorder(key, shape_of)
        attributes = {
            n: statics[n] if n in statics else Symbol(F, f"a_{n}")
            for n in operation.attribute_names
        }
        inputs: list[Any] = [
            Symbol(F, name) if there else None
            for name, there in zip(self.inputs, given, strict=True)
        ]
        if operation.takes_list:
            inputs = [inputs]
        g: Any = tuple(Symbol(F, f"g{k}") if there else None for k, there in enumerate(grads))
        out: Any = tuple(Symbol(F, f"o{k}") for k in range(len(grads)))
        extra = {"out": out if operation.outputs != 1 else out[0]} if operation.saves_out else {}
        single = operation.outputs == 1
        result = operation.vjp_rule(F, g[0] if single else g, needs, *inputs, **extra, **attributes)
        self.results = list(result) if isinstance(result, tuple | list) else [result]
        if len(self.results) != len(needs):
            raise TypeError(
                f"The gradient rule of {operation.name} must return {len(needs)} gradients. "
                f"It returned {len(self.results)}."
            )
        self.needs, self.single, self.grads = needs, single, grads

    def compile(self) -> Callable[..., Any]:
        """The function f(g, saved, attributes) -> gradients, with `f.fresh`: per gradient, whether
        its memory is new (True), someone else's (False) or that of `g` handed on (None)."""
        operation = self.operation
        outs = [f"o{k}" for k in range(len(self.grads))] if operation.saves_out else []
        lines = [f"def vjp({'g0' if self.single else 'g'}, saved, attributes):"]
        if not self.single:
            lines.append(f"    {''.join(f'g{k}, ' for k in range(len(self.grads)))} = g")
        if self.inputs + outs:
            lines.append(f"    {''.join(n + ', ' for n in self.inputs + outs)} = saved")
        if operation.attribute_names:
            names = "".join(f"a_{n}, " for n in operation.attribute_names)
            lines.append(f"    {names} = attributes")
        wirtinger = self.recorder.key.dtype.is_complex and operation.is_holomorphic
        if wirtinger:
            # conj(J).T @ g is conj(J.T @ conj(g)): the real rule, conjugations around it.
            self.recorder.names["conj"] = self.recorder.key.conj
            given = [f"g{k}" for k, there in enumerate(self.grads) if there]
            lines += [f"    {g} = conj({g})" for g in given]
        lines += ["    " + line for line in self.recorder.lines]
        names = [None if r is None or not n else r.name for r, n in self._pairs()]
        words = "".join(f"{n if n is None or not wirtinger else f'conj({n})'}, " for n in names)
        lines.append(f"    return ({words})")
        function = _execute("\n".join(lines), self.recorder.names, f"{operation.name} gradient")
        function.fresh = tuple([True] * len(names)) if wirtinger else self._freshness()
        return function

    def _pairs(self) -> list[tuple[Any, bool]]:
        return list(zip(self.results, self.needs, strict=True))

    def _freshness(self) -> tuple[bool | None, ...]:
        names = [r.name for r, n in self._pairs() if r is not None and n]
        found: list[bool | None] = []
        for result, need in self._pairs():
            if result is None or not need or names.count(result.name) > 1:
                found.append(False)
            else:
                handed_on = None if result.name.startswith("g") else False
                found.append(self.recorder.fresh.get(result.name, handed_on))
        shared = [f for f, (r, n) in zip(found, self._pairs(), strict=True) if r is not None and n]
        if sum(f is not True for f in shared) > 1:  # parts of g: nobody may add to it in place
            found = [False if f is None else f for f in found]
        return tuple(found)


def _saved_as_arrays(operation: Operation, needs: tuple[bool, ...]) -> list[bool]:
    """For each input, whether its array (not only its shape) is saved when `needs` is asked for."""
    if operation.takes_list:
        return [operation.array_names[0] in operation.saves] * len(needs)
    readers = operation.readers
    return [
        any(needs[k] for k in readers[name]) if name in readers else name in operation.saves
        for name in operation.array_names
    ]


def compiled_vjp(node: Node, g: Any) -> Any:
    """The compiled gradient rule for `node`."""
    operation = node.operation
    identity: Any = operation
    if operation.vjp_identity is not None:
        identity = operation.vjp_identity(node, g)
    elif len(node.edges) > 1 or operation.has_variants:
        operation.vjp_identity = _identity_of(operation)
        identity = operation.vjp_identity(node, g)
    vjp = node.key.vjps.get(identity)
    if vjp is None:
        needs = tuple([e is not None for e in node.edges])
        vjp = node.key.vjps[identity] = _compile(node, g, needs)
    return vjp


def _identity_of(operation: Operation) -> Callable[[Node, Any], Any]:
    """The function that tells the variants of the operation's gradient apart: by which inputs need
    one, which are there, which outputs got one, and the attributes that the rule branches on.

    It is generated, since it runs at each node of each pass.
    """
    if operation.takes_list or operation.outputs == 0:
        return _list_identity
    names = operation.array_names
    optional = [k for k, p in enumerate(operation.arrays) if p.optional]
    parts = [f"e{k} is not None" for k in range(len(names))]
    parts += [f"saved[{k}] is not None" for k in optional]
    parts += [f"g[{k}] is not None" for k in range(operation.outputs) if operation.outputs > 1]
    parts += [f"node.attributes[{k}]" for k in operation.static_positions]
    source = (
        "def vjp(node, g):\n"
        f"    {', '.join(f'e{k}' for k in range(len(names)))}, = node.edges\n"
        + ("    saved = node.saved\n" if optional else "")
        + f"    return (operation, {', '.join(parts)})\n"
    )
    return _execute(source, {"operation": operation}, f"{operation.name} gradient's identity")


def _list_identity(node: Node, g: Any) -> Any:
    operation = node.operation
    needs = tuple([e is not None for e in node.edges])
    grads = () if operation.outputs == 1 else tuple([x is not None for x in g])
    return operation, needs, grads, *[node.attributes[k] for k in operation.static_positions]


def _compile(node: Node, g: Any, needs: tuple[bool, ...]) -> Any:
    operation = node.operation
    given = tuple(s is not None for s in node.saved[: len(needs)])
    grads = (True,) if operation.outputs == 1 else tuple(x is not None for x in g)
    names = operation.attribute_names
    statics = {names[k]: node.attributes[k] for k in operation.static_positions}
    key = revealed_key(node.key)
    return Recording(operation, key, needs, given, grads, statics).compile()


def _execute(source: str, names: dict[str, Any], label: str) -> Any:
    filename = f"<flambeau {label}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {**names, "__name__": "flambeau.generated"}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["vjp"]
