"""What the layers of the abstract run ask of one another.

Each layer is a class above the one before it: state, attempts, expressions, statements, control,
functions, live values, sequences, calls, training, recurrent layers, hypotheses, interpreter. A
layer may call what a later one provides; here stands what that is.
"""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .frames import Function, Globals
from .state import State


class Parts(State, ABC):
    """The methods that layers call before the layer that provides them."""

    @abstractmethod
    def evaluate(self, node: ast.expr) -> Any:
        """The value of an expression."""

    @abstractmethod
    def bind(self, target: ast.expr, value: Any) -> None:
        """Assign `value` to `target`."""

    @abstractmethod
    def hint(self, target: ast.expr, value: Any) -> None:
        """Tell the shape of what was just assigned to `target`."""

    @abstractmethod
    def global_name(self, found: Globals, name: str) -> Any:
        """The value of a name of the module, of the live namespace, or of Python."""

    @abstractmethod
    def imported(self, name: str) -> Any:
        """The module that `import name` binds."""

    @abstractmethod
    def imported_name(self, module: str, name: str, level: int) -> Any:
        """The value that `from module import name` binds."""

    @abstractmethod
    def public_names(self, module: str, level: int) -> list[str]:
        """The names that `from module import *` binds, of a module that can do no harm."""

    @abstractmethod
    def call_function(
        self,
        record: Function,
        args: Any,
        kwargs: dict[str, Any],
        block: Callable[[Any], None] | None = None,
    ) -> Any:
        """Interpret one call, of a generator with `block` at its first yield."""

    @abstractmethod
    def items_of(self, value: Any, node: ast.AST) -> tuple[list[Any], bool]:
        """What `value` gives when it is gone through, and whether that is all."""

    @abstractmethod
    def attribute(self, owner: Any, name: str, node: ast.AST) -> Any:
        """`owner.name`."""

    @abstractmethod
    def set_attribute(self, owner: Any, name: str, value: Any, node: ast.AST) -> None:
        """`owner.name = value`."""

    @abstractmethod
    def entered(self, manager: Any, node: ast.AST) -> AbstractContextManager[Any]:
        """The `with` block of `manager`; gives the value that `as` binds."""

    @abstractmethod
    def make_function(self, node: ast.FunctionDef | ast.Lambda) -> Any:
        """The function that `node` defines here."""

    @abstractmethod
    def make_class(self, node: ast.ClassDef) -> Any:
        """The class that `node` defines here; UNKNOWN if a base is not known."""

    @abstractmethod
    def decorated(self, decorator: Any, value: Any, node: ast.expr) -> Any:
        """What `@decorator` makes of a function or class."""

    @abstractmethod
    def record_of(self, value: Any) -> Function | None:
        """The record behind an interpreted function, or None."""

    @abstractmethod
    def yielded(self, value: Any) -> None:
        """A generator gives `value`."""

    @abstractmethod
    def call(
        self,
        function: Any,
        args: list[Any],
        kwargs: dict[str, Any],
        node: ast.AST,
        exact: bool = True,
    ) -> Any:
        """The result of `function(*args, **kwargs)`; `exact` unless there may be more arguments."""

    @abstractmethod
    def array_of(self, tensor: Any) -> Any:
        """The NumPy array of a tensor's values."""
