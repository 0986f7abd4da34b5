"""Functions and classes of the user, interpreted from their source."""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from . import pure
from .control import Control
from .frames import Frame, Function, Globals, Scope, UserError
from .values import MISSING, UNKNOWN, Stream

DEPTH = 24  # calls of interpreted functions within one another
RECURSION = 6  # activations of one function at a time
MOST_YIELDS = 16


class EndOfYieldsError(BaseException):
    """A generator gave as many items as the run looks at."""


class Functions(Control):
    """Makes and calls functions and classes whose source is known."""

    def __init__(self, steps: int, seconds: float) -> None:
        super().__init__(steps, seconds)
        self.records: WeakKeyDictionary[Any, Function] = WeakKeyDictionary()
        self.classes: set[type] = set()  # made by the run, or shadows of live ones
        self.class_functions: list[list[Function]] = []
        self.entered_nodes: set[ast.AST] = set()

    def record_of(self, value: Any) -> Function | None:
        """The record behind an interpreted function, or None."""
        return self.records.get(value) if isinstance(value, types.FunctionType) else None

    def own_classes(self) -> set[type]:
        return self.classes

    # -- making ----------------------------------------------------------------------------------

    def make_function(self, node: ast.FunctionDef | ast.Lambda) -> Any:
        """The function that `node` defines here."""
        arguments = node.args
        scope = self.frame.scope
        record = Function(
            node,
            scope.parent if scope.is_class else scope,
            scope.globals,
            [self.evaluate(d) for d in arguments.defaults],
            {
                a.arg: self.evaluate(d)
                for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
                if d is not None
            },
            self.frame.in_cell,
        )
        if scope.is_class and self.class_functions:
            self.class_functions[-1].append(record)
        return self.function_of(record)

    def function_of(self, record: Function) -> Any:
        """A Python function that interprets `record` when it is called."""

        def interpreted(*args: Any, **kwargs: Any) -> Any:
            value = self.call_function(record, args, kwargs)
            if value is UNKNOWN:
                self.unknown_returns += 1
            return value

        interpreted.__name__ = interpreted.__qualname__ = record.name
        self.records[interpreted] = record
        return interpreted

    def make_class(self, node: ast.ClassDef) -> Any:
        """The class that `node` defines here; UNKNOWN if a base is not known."""
        bases = [self.evaluate(base) for base in node.bases]
        keywords = {k.arg: self.evaluate(k.value) for k in node.keywords if k.arg is not None}
        scope = Scope({}, self.frame.scope, self.frame.scope.globals, is_class=True)
        outer, self.frame.scope = self.frame.scope, scope
        functions: list[Function] = []
        self.class_functions.append(functions)
        try:
            self.run_block(node.body)
        finally:
            self.frame.scope = outer
            self.class_functions.pop()
        if any(
            not isinstance(base, type) and not hasattr(base, "__mro_entries__") for base in bases
        ):
            return UNKNOWN
        if self.is_opaque(list(keywords.values())) or any(not self.is_safe_base(b) for b in bases):
            return UNKNOWN
        scope.names.setdefault("__module__", "__main__")
        scope.names["__qualname__"] = node.name
        return self.build_class(node, node.name, bases, keywords, scope.names, functions)

    def build_class(
        self,
        node: ast.AST,
        name: str,
        bases: list[Any],
        keywords: dict[str, Any],
        names: dict[str, Any],
        functions: list[Function],
    ) -> Any:
        """A class of interpreted `functions`, which learn that they belong to it."""

        def fill(namespace: Any) -> None:
            for key, value in names.items():
                if key != "__del__":  # it would run when the checker has ended
                    namespace[key] = value

        made = self.attempt(node, types.new_class, name, tuple(bases), keywords, fill)
        if isinstance(made, type):
            self.classes.add(made)
            for function in functions:
                function.owner = made
        return made

    def is_safe_base(self, base: Any) -> bool:
        """Whether what a class inherits from `base` only computes."""
        return base in self.classes or pure.is_base(base)

    def decorated(self, decorator: Any, value: Any, node: ast.expr) -> Any:
        """What `@decorator` makes of a function or class."""
        if decorator is UNKNOWN:
            self.unknown_calls += 1
            return UNKNOWN
        return self.call(decorator, [value], {}, node)

    # -- calling ---------------------------------------------------------------------------------

    def call_function(
        self,
        record: Function,
        args: Any,
        kwargs: dict[str, Any],
        block: Callable[[Any], None] | None = None,
    ) -> Any:
        """Interpret one call, of a generator with `block` at its first yield. Raises: UserError
        where its arguments do not fit."""
        self.tick()
        if len(self.frames) > DEPTH or record.entered >= RECURSION:
            return UNKNOWN
        names = self.bound_arguments(record, list(args), dict(kwargs))
        self.entered_nodes.add(record.node)
        return self.activate(record, names, args[0] if args else MISSING, block)

    def activate(
        self,
        record: Function,
        names: dict[str, Any],
        first: Any,
        block: Callable[[Any], None] | None = None,
    ) -> Any:
        """Run the body of `record` with its arguments bound."""
        scope = Scope(
            names,
            record.scope,
            record.globals,
            declared_global=record.declared_global,
            declared_nonlocal=record.declared_nonlocal,
        )
        frame = Frame(scope, record.in_cell, record, first, block=block)
        self.frames.append(frame)
        record.entered += 1
        try:
            if isinstance(record.node, ast.Lambda):
                return self._lambda_value(record.node)
            return self._returned(frame, record)
        finally:
            record.entered -= 1
            self.frames.pop()

    def _lambda_value(self, node: ast.Lambda) -> Any:
        try:
            return self.evaluate(node.body)
        except UserError as error:
            if self.guarded:
                raise
            self.report(error)
            return UNKNOWN

    def _returned(self, frame: Frame, record: Function) -> Any:
        exact = True
        try:
            completion = self.run_block(record.body)
        except EndOfYieldsError:
            exact, completion = False, None
        if record.is_generator:
            return Stream(frame.yields, exact and not self.maybe)
        if isinstance(record.node, ast.AsyncFunctionDef):
            return UNKNOWN
        values = list(frame.returns)
        if completion is None:
            values.append(None)
        elif completion.kind == "return":
            values.append(completion.value)
        elif not values:
            return UNKNOWN
        found: Any = MISSING
        for value in values:
            found = self.joined_values(found, value)
        return found

    def yielded(self, value: Any) -> None:
        """A generator gives `value`."""
        block, self.frame.block = self.frame.block, None
        if block is not None:
            block(value)
            return
        self.frame.yields.append(value)
        if len(self.frame.yields) >= MOST_YIELDS:
            raise EndOfYieldsError

    # -- arguments -------------------------------------------------------------------------------

    def bound_arguments(
        self, record: Function, args: list[Any], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Parameters by name. Raises: UserError, a TypeError like Python's own."""
        a = record.node.args
        positional = [p.arg for p in (*a.posonlyargs, *a.args)]
        names: dict[str, Any] = dict(zip(positional, args, strict=False))
        extra = args[len(positional) :]
        if a.vararg is not None:
            names[a.vararg.arg] = tuple(extra)
        elif extra:
            self._mismatch(
                record, f"takes {len(positional)} positional arguments but {len(args)} were given"
            )
        only_positional = {p.arg for p in a.posonlyargs}
        accepted = set(positional) - only_positional | {p.arg for p in a.kwonlyargs}
        rest = {}
        for name, value in kwargs.items():
            if name in accepted:
                if name in names:
                    self._mismatch(record, f"got multiple values for argument {name!r}")
                names[name] = value
            elif a.kwarg is not None:
                rest[name] = value
            else:
                self._mismatch(record, f"got an unexpected keyword argument {name!r}")
        if a.kwarg is not None:
            names[a.kwarg.arg] = rest
        self._fill_defaults(record, positional, names)
        return names

    def _fill_defaults(
        self, record: Function, positional: list[str], names: dict[str, Any]
    ) -> None:
        if record.defaults:
            for name, value in zip(
                positional[-len(record.defaults) :], record.defaults, strict=True
            ):
                names.setdefault(name, value)
        for name, value in record.keyword_defaults.items():
            names.setdefault(name, value)
        required = [*positional, *(p.arg for p in record.node.args.kwonlyargs)]
        missing = [name for name in required if name not in names]
        if missing:
            self._mismatch(record, f"missing required argument: {', '.join(map(repr, missing))}")

    def _mismatch(self, record: Function, words: str) -> None:
        node: ast.AST = self.frame.node or record.node
        error = TypeError(f"{record.name}() {words}")
        self.fail(node, error, "arguments")

    def unknown_arguments(self, record: Function) -> dict[str, Any]:
        """All parameters of `record`, not known."""
        a = record.node.args
        names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        names += [p.arg for p in (a.vararg, a.kwarg) if p is not None]
        return dict.fromkeys(names, UNKNOWN)

    def cell_scope(self, live: dict[str, Any]) -> Scope:
        """The scope of the cell, with the live names behind it."""
        found = Globals(live, in_cell=True)
        return Scope(found.names, None, found)
