"""Statements of the abstract run."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import Any

from flambeau.core.tensor import Tensor
from flambeau.errors import ShapeError

from .expressions import BINARY, Expressions
from .frames import Completion, UserError
from .values import UNKNOWN

RAISED = (ValueError, TypeError, RuntimeError, IndexError, KeyError, AttributeError)
"""What user code raises where something does not fit."""


class Statements(Expressions):
    """Executes statements. A block returns None, or how it ended before its last statement."""

    def run_block(self, body: list[ast.stmt]) -> Completion | None:
        """Execute `body`."""
        for statement in body:
            completion = self.execute(statement)
            if completion is not None:
                return completion
        return None

    def execute(self, statement: ast.stmt) -> Completion | None:
        """Execute one statement. After a failure that nobody catches, report it, forget what the
        statement would have bound, and go on."""
        self.frame.node = statement
        method = getattr(self, f"exec_{statement.__class__.__name__}", None)
        if method is None:
            return None
        try:
            completion: Completion | None = method(statement)
        except UserError as error:
            if self.guarded:
                raise
            self.report(error)
        except Exception as mishap:  # the checker's own: it must never be in the user's way
            self.mishaps.append(mishap)
        else:
            return completion
        self._forget(statement)
        return None

    def _forget(self, statement: ast.stmt) -> None:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bind(node, UNKNOWN)
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Attribute | ast.Subscript):
                    with suppress(Exception):
                        self.bind(target, UNKNOWN)

    # -- binding ---------------------------------------------------------------------------------

    def bind(self, target: ast.expr, value: Any) -> None:
        """Assign `value` to `target`."""
        if isinstance(target, ast.Name):
            holder = self.frame.scope.holder(target.id)
            self.will_write(holder)
            holder[target.id] = value
        elif isinstance(target, ast.Starred):
            self.bind(target.value, value)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value)
        elif isinstance(target, ast.Attribute):
            self.set_attribute(self.evaluate(target.value), target.attr, value, target)
        elif isinstance(target, ast.Subscript):
            self._set_item(target, value)

    def _unpack(self, target: ast.Tuple | ast.List, value: Any) -> None:
        items, exact = self.items_of(value, target)
        starred = [k for k, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
        if not exact or (isinstance(value, Tensor) and value.shape[0] != len(items)):
            item = self.one_of(items)
            for each in target.elts:
                self.bind(each, UNKNOWN if isinstance(each, ast.Starred) else item)
            return
        if starred:
            first = starred[0]
            behind = len(target.elts) - first - 1
            middle = items[first : len(items) - behind]
            items = [*items[:first], middle, *items[len(items) - behind :]]
        if len(items) != len(target.elts):
            words = f"expected {len(target.elts)} values to unpack. Got {len(items)}."
            of_shape = isinstance(value, tuple) and type(value).__name__ == "Size"
            runtime = of_shape or any(map(_holds_tensors, items))
            if runtime or self.guarded:
                extra = f" The shape is {tuple(value)}." if of_shape else ""
                code = "shape" if runtime else None
                self.fail(target, ValueError(words + extra), code)
            items = [UNKNOWN] * len(target.elts)
        for each, item in zip(target.elts, items, strict=True):
            self.bind(each, item)

    def _set_item(self, target: ast.Subscript, value: Any) -> None:
        owner, index = self.evaluate(target.value), self.evaluate(target.slice)
        if owner is UNKNOWN:
            return
        if isinstance(owner, list | dict):
            self.will_write(owner)
            if self.is_opaque(index):
                self.mark_open(owner)
                if isinstance(owner, list):
                    owner[:] = [self.joined_values(item, value) for item in owner]
                return
        elif self.is_opaque(index) or value is UNKNOWN:
            return
        if isinstance(owner, Tensor) and isinstance(value, Tensor):
            self._check_write(target, owner, index, value)
        self.attempt(target, type(owner).__setitem__, owner, index, value) if hasattr(
            type(owner), "__setitem__"
        ) else None

    def _check_write(self, target: ast.Subscript, owner: Tensor, index: Any, value: Tensor) -> None:
        """Whether `value` fits into `owner[index]`, which the meta device does not ask."""
        part = self.item(owner, index, target)
        if not isinstance(part, Tensor):
            return
        shape = tuple(value.shape)
        while len(shape) > part.ndim and shape[0] == 1:
            shape = shape[1:]
        pairs = zip(reversed(shape), reversed(part.shape), strict=False)
        fits = len(shape) <= part.ndim and all(
            a in (1, b) or self.symbols.any_in((a, b)) for a, b in pairs
        )
        if not fits:
            words = (
                f"expected a value that fits into the part of shape {tuple(part.shape)}. "
                f"Got one of shape {tuple(value.shape)}."
            )
            self.fail(target, ShapeError(words), "shape")

    # -- simple statements -----------------------------------------------------------------------

    def exec_Expr(self, node: ast.Expr) -> None:
        self.evaluate(node.value)

    def exec_Assign(self, node: ast.Assign) -> None:
        value = self.evaluate(node.value)
        for target in node.targets:
            self.bind(target, value)
            self.hint(target, value)

    def exec_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.frame.scope.is_class and isinstance(node.target, ast.Name):
            annotations = self.frame.scope.names.setdefault("__annotations__", {})
            annotations[node.target.id] = ast.unparse(node.annotation)
        if node.value is not None:
            value = self.evaluate(node.value)
            self.bind(node.target, value)
            self.hint(node.target, value)

    def exec_AugAssign(self, node: ast.AugAssign) -> None:
        target = node.target
        before = self.evaluate(_as_load(target))
        value = self.evaluate(node.value)
        if isinstance(before, list) and isinstance(node.op, ast.Add):
            self.will_write(before)
            items, exact = self.items_of(value, node.value)
            before.extend(items)
            if not exact:
                self.mark_open(before)
            return
        result = self.augmented(node, before, value)
        self.bind(target, result)
        self.hint(target, result)

    def augmented(self, node: ast.AugAssign, before: Any, value: Any) -> Any:
        """What `before op= value` leaves."""
        import operator

        plain = BINARY[node.op.__class__]
        in_place = getattr(operator, "i" + plain.__name__.rstrip("_"), plain)
        return self.binary(node, in_place if isinstance(before, Tensor) else plain, before, value)

    def exec_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                holder = self.frame.scope.holder(target.id)
                self.will_write(holder)
                holder[target.id] = UNKNOWN
            elif isinstance(target, ast.Subscript):
                owner = self.evaluate(target.value)
                if isinstance(owner, list | dict):
                    self.will_write(owner)
                    index = self.evaluate(target.slice)
                    if self.is_opaque(index) or self.quietly(owner.__delitem__, index) is UNKNOWN:
                        self.mark_open(owner)

    def exec_Assert(self, node: ast.Assert) -> Completion | None:
        truth = self.truth(self.evaluate(node.test), node.test)
        if truth is False:
            error = AssertionError(f"this assertion is false: {ast.unparse(node.test)}")
            if self.guarded:
                self.fail(node, error, None)
            if self.is_certain():
                self._report_at(node, error, "assertion")
            return Completion("raise", error)
        return None

    def exec_Raise(self, node: ast.Raise) -> Completion | None:
        error: Any = UNKNOWN if node.exc is None else self.evaluate(node.exc)
        if isinstance(error, type) and issubclass(error, BaseException):
            error = self.quietly(error)
        if not isinstance(error, BaseException):
            error = Exception("unknown")
        if self.guarded:
            raise UserError(error, None)
        if self.is_certain() and isinstance(error, RAISED) and node.exc is not None:
            self._report_at(node, error, "raises")
        return Completion("raise", error)

    def _report_at(self, node: ast.AST, error: BaseException, code: str) -> None:
        try:
            self.fail(node, error, code)
        except UserError as failure:
            self.report(failure)

    def exec_Return(self, node: ast.Return) -> Completion:
        value = None if node.value is None else self.evaluate(node.value)
        return Completion("return", value)

    def exec_Break(self, node: ast.Break) -> Completion:
        return Completion("break")

    def exec_Continue(self, node: ast.Continue) -> Completion:
        return Completion("continue")

    def exec_FunctionDef(self, node: ast.FunctionDef) -> None:
        value = self.make_function(node)
        for decorator in reversed(node.decorator_list):
            value = self.decorated(self.evaluate(decorator), value, decorator)
        self.bind(ast.Name(node.name, ast.Store()), value)

    def exec_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.bind(ast.Name(node.name, ast.Store()), UNKNOWN)

    def exec_ClassDef(self, node: ast.ClassDef) -> None:
        value = self.make_class(node)
        for decorator in reversed(node.decorator_list):
            value = self.decorated(self.evaluate(decorator), value, decorator)
        self.bind(ast.Name(node.name, ast.Store()), value)

    def exec_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            module = self.imported(alias.name)
            if alias.asname is None:
                module = self.imported(top)
            self.bind(ast.Name(alias.asname or top, ast.Store()), module)

    def exec_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            names = [alias.name]
            if alias.name == "*":
                names = self.public_names(node.module or "", node.level)
            for name in names:
                value = self.imported_name(node.module or "", name, node.level)
                self.bind(ast.Name(alias.asname or name, ast.Store()), value)


def _as_load(target: ast.expr) -> ast.expr:
    """An assignment's target as an expression to evaluate."""
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(target.id, ast.Load()), target)
    return target


def _holds_tensors(value: Any) -> bool:
    """Whether `value` is a tensor, or a list or tuple with one in it."""
    inner = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Tensor) for item in inner)
