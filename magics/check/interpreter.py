"""The abstract run of a cell: names, imports and hints, and the order of it all."""

from __future__ import annotations

import ast
import importlib
import sys
import types
from functools import partial
from typing import Any, ClassVar

import numpy as np

from flambeau.core.tensor import Tensor
from flambeau.nn import Module

from . import arrays, library, pure
from .apart import apart
from .arrays import Array
from .builtin_calls import BUILTINS, NAMES
from .calls import Handler
from .containers import CONTAINERS, KINDS
from .findings import Hint
from .frames import BudgetSpentError, Frame, Globals
from .hypotheses import Hypotheses
from .messages import described
from .runtime_calls import METHODS, RUNTIME
from .values import MISSING, UNKNOWN

STEPS = 1_000_000
PASSED_THROUGH = ("tqdm",)
"""Packages whose functions give back the iterable that they are given."""


CYTHON_FUNCTION = type(np.random.default_rng)


def passed_through(iterable: Any = UNKNOWN, *args: Any, **kwargs: Any) -> Any:
    """Stands for a progress bar around an iterable."""
    return iterable


class Interpreter(Hypotheses):
    """Runs a cell over abstract values, in the calling thread, and keeps what it found."""

    handlers: ClassVar[dict[Any, Handler]] = {
        **BUILTINS,
        **RUNTIME,
        **KINDS,
        **arrays.HANDLERS,
        **library.HANDLERS,
    }
    array_types: ClassVar[tuple[type, ...]] = (Tensor, Array)
    method_handlers: ClassVar[dict[tuple[type, str], Handler]] = {
        **METHODS,
        **CONTAINERS,
        **library.METHODS,
    }

    def __init__(self, namespace: dict[str, Any], seconds: float) -> None:
        super().__init__(STEPS, seconds)
        scope = self.cell_scope(namespace)
        self.frames.append(Frame(scope, in_cell=True))
        self.complete = True

    def run(self, tree: ast.Module) -> None:
        """Interpret the cell. What the budget does not reach is not looked at."""
        with apart(gradients=True):
            try:
                self.run_block_to_the_end(tree.body)
                self.look_into_uncalled(tree.body)
            except BudgetSpentError:
                self.complete = False

    def shapes_through(self, module: Module) -> tuple[str, str] | None:
        """What a live module takes and gives, in words; None if that is not known."""
        with apart(gradients=False):
            try:
                found = self.flow(module)
            except BudgetSpentError:
                return None
            texts = [self.shape_text(value) for value in found or ()]
        return (texts[0], texts[1]) if len(texts) == 2 and texts[0] and texts[1] else None

    def forget(self) -> None:
        """Let go of all values. Functions of the run and the run refer to each other, and the
        user's tensors, which are among them, would live until the next collection of garbage."""
        for record in list(self.records.values()):
            if record.scope is not None:
                record.scope.names.clear()
            record.globals.names.clear()
            vars(record).clear()
        self.frames[0].scope.globals.names.clear()
        vars(self).clear()

    def run_block_to_the_end(self, body: list[ast.stmt]) -> None:
        """Execute each statement, whatever the ones before it did."""
        for statement in body:
            self.execute(statement)

    # -- names -----------------------------------------------------------------------------------

    def global_name(self, found: Globals, name: str) -> Any:
        """The value of a name of the module, of the live namespace, or of Python."""
        if name in found.names:
            return found.names[name]
        if name in found.live:
            value = self.twin(found.live[name])
            found.names[name] = value
            return value
        return NAMES.get(name, MISSING)

    def imported(self, name: str) -> Any:
        """The module that `import name` binds: the runtime, or one that can do no harm."""
        if pure.is_runtime_module(name):
            real = sys.modules.get(name)
            if real is not None and real.__name__.partition(".")[0] != "flambeau":
                return UNKNOWN
            return pure.runtime_module(name)
        if name in pure.MODULES:
            return importlib.import_module(name)
        found = sys.modules.get(name)
        return UNKNOWN if found is None else found

    def imported_name(self, module: str, name: str, level: int) -> Any:
        """The value that `from module import name` binds."""
        if level:
            return UNKNOWN
        if module.partition(".")[0] in PASSED_THROUGH:
            return passed_through
        owner = self.imported(module)
        if owner is UNKNOWN:
            return UNKNOWN
        if pure.is_runtime_module(module):
            inner = pure.runtime_module(f"{module}.{name}")
            if not hasattr(owner, name) and inner is not UNKNOWN:
                return inner
            node = self.frame.node
            assert node is not None
            return self.attribute(owner, name, node)
        value = vars(owner).get(name, UNKNOWN)
        return value if isinstance(value, types.ModuleType) else self.twin(value)

    def public_names(self, module: str, level: int) -> list[str]:
        """The names that `from module import *` binds, of a module that can do no harm."""
        known = not level and (pure.is_runtime_module(module) or module in pure.MODULES)
        owner = self.imported(module) if known else UNKNOWN
        if not isinstance(owner, types.ModuleType):
            return []
        return [*getattr(owner, "__all__", (n for n in vars(owner) if not n.startswith("_")))]

    # -- NumPy -----------------------------------------------------------------------------------

    def array_of(self, tensor: Tensor) -> Any:
        return Array(tensor)

    def twin(self, value: Any) -> Any:
        native = isinstance(value, types.MethodType | types.BuiltinFunctionType | CYTHON_FUNCTION)
        if (native or type(value).__module__ == "numpy") and callable(value):
            return value if value in self.handlers else super().twin(value)
        return super().twin(value)

    def array_twin(self, value: Any) -> Any:
        return arrays.made(value.shape, value.dtype)

    def attribute(self, owner: Any, name: str, node: ast.AST) -> Any:
        if isinstance(owner, Array):
            return arrays.attribute(self, owner, name)
        if isinstance(owner, arrays.Generator):
            drawn = arrays.DRAWS.get(name)
            return UNKNOWN if drawn is None else partial(drawn, self)
        return super().attribute(owner, name, node)

    def call(
        self,
        function: Any,
        args: list[Any],
        kwargs: dict[str, Any],
        node: ast.AST,
        exact: bool = True,
    ) -> Any:
        if isinstance(function, arrays.Method):
            known = exact and not self.is_opaque(args) and not self.is_opaque(kwargs)
            return self.quietly(function.function, *args, **kwargs) if known else UNKNOWN
        if isinstance(function, partial) and function.func in arrays.DRAWS.values():
            return function.func(self, args, kwargs, node) if exact else UNKNOWN
        return super().call(function, args, kwargs, node, exact)

    def binary(self, node: ast.AST, function: Any, a: Any, b: Any) -> Any:
        if not isinstance(a, Array) and not isinstance(b, Array):
            return super().binary(node, function, a, b)
        if self.is_opaque(a) or self.is_opaque(b) or isinstance(a, Tensor) or isinstance(b, Tensor):
            return UNKNOWN
        operands = [v.tensor if isinstance(v, Array) else v for v in (a, b)]
        return arrays.wrapped(self.quietly(function, *operands), [a, b])

    def unary(self, node: ast.AST, function: Any, value: Any) -> Any:
        if isinstance(value, Array):
            return arrays.wrapped(self.quietly(function, value.tensor), [value])
        return super().unary(node, function, value)

    def item(self, owner: Any, index: Any, node: ast.AST) -> Any:
        if isinstance(index, Array):
            index = index.tensor
        if not isinstance(owner, Array):
            return super().item(owner, index, node)
        index = arrays.forwards(tuple(owner.tensor.shape), index)
        return arrays.wrapped(self.quietly(super().item, owner.tensor, index, node), [owner])

    def items_of(self, value: Any, node: ast.AST) -> tuple[list[Any], bool]:
        if isinstance(value, Array):
            rows, exact = super().items_of(value.tensor, node)
            return [arrays.wrapped(row, [value]) for row in rows], exact
        return super().items_of(value, node)

    # -- hints -----------------------------------------------------------------------------------

    def hint(self, target: ast.expr, value: Any) -> None:
        """Tell the shape of what was just assigned to `target`."""
        if not self.frame.in_cell:
            return
        if isinstance(target, ast.Tuple | ast.List):
            if isinstance(value, tuple | list) and len(value) == len(target.elts):
                for each, item in zip(target.elts, value, strict=True):
                    self.hint(each, item)
            return
        if not isinstance(target, ast.Name | ast.Attribute):
            return
        text = self.shape_text(value)
        if text is None:
            return
        place = (target.end_lineno or target.lineno, target.end_col_offset or 0)
        known = self.hints.get(place)
        if known is not None and known.text != text:
            text = _common(known.text, text)
        self.hints[place] = Hint(*place, ast.unparse(target), text)

    def shape_text(self, value: Any) -> str | None:
        """`(32, 10) float32` of a tensor, several parted by commas of a tuple; else None."""
        if isinstance(value, Tensor):
            return described(value, self.symbols)
        if isinstance(value, tuple) and value and len(value) <= 4:
            texts = [self.shape_text(item) for item in value]
            if all(text is not None for text in texts):
                return ", ".join(text for text in texts if text is not None)
        return None


def _common(a: str, b: str) -> str:
    """What two descriptions of one variable have in common, sizes that differ as `?`."""
    first, _, kind = a.partition(") ")
    second, _, other = b.partition(") ")
    sizes, others = first.strip("(,").split(", "), second.strip("(,").split(", ")
    if kind != other or len(sizes) != len(others) or ") " in kind:
        return b
    shape = ", ".join(x if x == y else "?" for x, y in zip(sizes, others, strict=True))
    return f"({shape}{',' if len(sizes) == 1 else ''}) {kind}"
