"""Scopes, frames and functions of the abstract run, and how a block of statements ends."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .values import MISSING

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class BudgetSpentError(BaseException):
    """Steps or time of the run are used up; what was found until then is told."""


class UserError(Exception):
    """The checked program raises `error` at `node` of the frame where it happens.

    `code` is None for what the checker does not report by itself: exceptions that user code raises.
    """

    def __init__(self, error: BaseException, code: str | None, finding: Any = None) -> None:
        super().__init__(error)
        self.error, self.code, self.finding = error, code, finding


@dataclass
class Completion:
    """How a block ended before its last statement: return, break, continue or raise."""

    kind: str
    value: Any = None


@dataclass
class Globals:
    """Names of a module: those that the run bound or looked up, and the live ones behind them."""

    live: dict[str, Any]
    names: dict[str, Any] = field(default_factory=dict)
    in_cell: bool = False


@dataclass
class Scope:
    """Local names, the scope around them, and the module's."""

    names: dict[str, Any]
    parent: Scope | None
    globals: Globals
    is_class: bool = False
    declared_global: frozenset[str] = frozenset()
    declared_nonlocal: frozenset[str] = frozenset()

    def holder(self, name: str) -> dict[str, Any]:
        """The dict that an assignment to `name` writes to."""
        if name in self.declared_global:
            return self.globals.names
        if name in self.declared_nonlocal:
            scope = self.parent
            while scope is not None:
                if not scope.is_class and name in scope.names:
                    return scope.names
                scope = scope.parent
        return self.names

    def find(self, name: str) -> Any:
        """The value of a local or enclosing name; MISSING if it is none."""
        if name in self.declared_global:
            return MISSING
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not scope.is_class):
                return scope.names[name]
            scope = scope.parent
        return MISSING


@dataclass(eq=False)
class Function:
    """A function of the user that the checker interprets from its source."""

    node: FunctionNode
    scope: Scope | None
    globals: Globals
    defaults: list[Any]
    keyword_defaults: dict[str, Any]
    in_cell: bool
    owner: type | None = None
    entered: int = 0

    @property
    def name(self) -> str:
        """Its name, `<lambda>` for one without."""
        return getattr(self.node, "name", "<lambda>")

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements; a lambda has none."""
        return [] if isinstance(self.node, ast.Lambda) else self.node.body

    @cached_property
    def is_generator(self) -> bool:
        """Whether its body yields."""
        return isinstance(self.node, ast.FunctionDef) and yields(self.node)

    @cached_property
    def declared_global(self) -> frozenset[str]:
        """Names that it declares global."""
        return declared(self.body, ast.Global)

    @cached_property
    def declared_nonlocal(self) -> frozenset[str]:
        """Names that it declares nonlocal."""
        return declared(self.body, ast.Nonlocal)


@dataclass(eq=False)
class Frame:
    """One activation of a function, or of the cell itself."""

    scope: Scope
    in_cell: bool
    function: Function | None = None
    first_argument: Any = MISSING
    doubtful: bool = False  # whether it may have ended before the running statement
    node: ast.AST | None = None
    returns: list[Any] = field(default_factory=list)
    yields: list[Any] = field(default_factory=list)
    block: Callable[[Any], None] | None = None  # what runs at its first yield


@dataclass
class ManagerMaker:
    """What `contextmanager` makes of a generator function."""

    record: Function


@dataclass
class Manager:
    """What a call of it gives: the body of the generator, to run around a `with` block."""

    record: Function
    args: list[Any]
    kwargs: dict[str, Any]


def yields(node: ast.AST) -> bool:
    """Whether a function's own body, without functions inside it, has a yield."""
    pending: list[ast.AST] = list(ast.iter_child_nodes(node))
    while pending:
        child = pending.pop()
        if isinstance(child, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
        ):
            pending.extend(ast.iter_child_nodes(child))
    return False


def declared(body: list[ast.stmt], kind: type[ast.Global] | type[ast.Nonlocal]) -> frozenset[str]:
    """Names that the statements of a function declare global or nonlocal."""
    found: set[str] = set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, kind):
                found.update(node.names)
    return frozenset(found)
