"""Native steps of the abstract run: each may fail, and a failure may be a finding."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from time import thread_time
from types import ModuleType
from typing import Any, NoReturn

import flambeau
from flambeau.core.tensor import Tensor
from flambeau.errors import (
    DeviceError,
    DTypeError,
    FlambeauError,
    GradientError,
    OutOfBoundsError,
    ShapeError,
)
from flambeau.nn import Module

from .findings import Finding, Hint
from .frames import BudgetSpentError, Completion, Frame, Scope, UserError
from .messages import explained
from .parts import Parts
from .source import span
from .values import MISSING, SOME_FLOAT, UNKNOWN, UnknownUsedError, join

CODES: tuple[tuple[type[BaseException], str], ...] = (
    (OutOfBoundsError, "index"),
    (ShapeError, "shape"),
    (DTypeError, "dtype"),
    (DeviceError, "device"),
    (GradientError, "gradient"),
    (AttributeError, "attribute"),
    (NotImplementedError, "not-implemented"),
    (TypeError, "arguments"),
    (ValueError, "value"),
    (IndexError, "index"),
    (KeyError, "name"),
    (RuntimeError, "runtime"),
)
MOST_TRIALS = 8  # sizes that are tried for a symbolic one
MOST_PAIRS = 200  # of symbolic sizes that are tried at once
UNSURE = ("shape", "value", "runtime", "index", "arguments")
"""Kinds of failures that depend on sizes."""
_UNKNOWN = re.compile(r"\bUnknown\b")  # the class of what is not known, which no user ever sees
_META = re.compile(r"\bmeta\b|with values|\bSpec\b|no values")
_DEVICES = "expected all tensors on one device"


class Attempts(Parts):
    """Runs native steps within the budget, and turns what they raise into findings."""

    hypothetical = False  # whether functions run on arguments that are made up

    def __init__(self, steps: int, seconds: float) -> None:
        super().__init__()
        self.steps_left = steps
        self.started = thread_time()
        self.deadline = self.started + seconds
        self.late = self.started + seconds / 2
        self.findings: dict[tuple[Any, ...], Finding] = {}
        self.hints: dict[tuple[int, int], Hint] = {}
        self.frames: list[Frame] = []
        self.unknown_calls = 0  # how often something unknown was called
        self.mishaps: list[Exception] = []  # errors of the checker itself
        self.made: dict[int, tuple[Any, ast.AST]] = {}  # modules made in the cell, by id
        self.writes: list[tuple[Tensor, ast.AST]] = []  # in place, in the checked cell
        self.masked: dict[int, tuple[Tensor, int]] = {}  # masks, and how many they select
        self.named: list[Any] = []  # objects given attributes by computed names, in running loops
        self.loops: list[ast.AST] = []  # that run, the innermost last
        self.guarded = 0  # how many try blocks with handlers are around
        self.unknown_returns = 0  # how often an interpreted function gave something unknown

    # -- budget ----------------------------------------------------------------------------------

    def tick(self) -> None:
        """Count a step. Raises: BudgetSpentError when steps or time are used up."""
        self.steps_left -= 1
        if self.steps_left < 0 or (self.steps_left & 31 == 0 and thread_time() > self.deadline):
            raise BudgetSpentError

    def is_late(self) -> bool:
        """Whether so much time went by that loops should end early."""
        return thread_time() > self.late

    # -- frames ----------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The running activation."""
        return self.frames[-1]

    @contextmanager
    def inner_scope(self) -> Iterator[None]:
        """A scope of its own for a comprehension."""
        outer = self.frame.scope
        self.frame.scope = Scope({}, outer, outer.globals)
        try:
            yield
        finally:
            self.frame.scope = outer

    def place(self, node: ast.AST | None) -> ast.AST | None:
        """The node of the checked cell to blame: `node`, or the call that led to it."""
        if self.frame.in_cell and node is not None:
            return node
        for frame in reversed(self.frames):
            if frame.in_cell and frame.node is not None:
                return frame.node
        return None

    # -- native steps ----------------------------------------------------------------------------

    def attempt(
        self, node: ast.AST, function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """`function(*args, **kwargs)`; UNKNOWN if that cannot be known.

        Raises: UserError if it fails for sure, so that the user's program would fail too.
        """
        self.tick()
        before = self.unknown_returns
        try:
            return function(*args, **kwargs)
        except UserError:
            raise
        except (UnknownUsedError, RecursionError, MemoryError, StopIteration):
            return UNKNOWN
        except Exception as error:
            if self.unknown_returns != before:
                return UNKNOWN
            return self.failed(node, error, function, args, kwargs)

    def quietly(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`function(*args, **kwargs)`; UNKNOWN if it fails."""
        try:
            return function(*args, **kwargs)
        except UserError:
            raise
        except Exception:
            return UNKNOWN

    def failed(
        self,
        node: ast.AST,
        error: Exception,
        function: Any = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Answer a native failure: UNKNOWN if the checker itself is its cause."""
        if _UNKNOWN.search(str(error)):
            return UNKNOWN
        code = self.code_of(error, function, args, kwargs or {})
        if code in UNSURE and self._depends_on_symbols(function, args, kwargs or {}):
            found = self._with_a_size(function, args, kwargs or {})
            if found is not None or not isinstance(error, FlambeauError):
                return UNKNOWN if found is None else found
        if code is None and not self.guarded:
            return UNKNOWN
        if code is None and _META.search(str(error)):
            return UNKNOWN
        return self.fail(node, error, code, (function, args, kwargs or {}))

    def _depends_on_symbols(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bool:
        """Whether a symbolic size is among the sizes of a call."""
        if not self.symbols.names:
            return False
        held = list(function.parameters()) if isinstance(function, Module) else []
        owner = getattr(function, "__self__", None)
        return self.symbols.any_in([*args, *kwargs.values(), *held, owner])

    def _with_a_size(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a call that fails on symbolic sizes, if it works once one or two of these
        are other sizes that are there; UNKNOWN where nobody can try, None if nothing works."""
        operands = [*args, *kwargs.values(), getattr(function, "__self__", None)]
        held = list(function.parameters()) if isinstance(function, Module) else []
        plain = [a for a in operands if not isinstance(a, Tensor)]
        if self.symbols.any_in([*held, *plain]) or function in (
            operator.getitem,
            Tensor.__setitem__,
        ):
            return UNKNOWN
        sizes = [n for t in [*held, *operands] if isinstance(t, Tensor) for n in t.shape]
        symbols = list(dict.fromkeys(n for n in sizes if self.symbols.is_symbolic(n)))
        others = list(dict.fromkeys([*sizes, 1]))[:MOST_TRIALS]
        single = [{symbol: size} for symbol in symbols for size in others if size != symbol]
        pairs = [{**a, **b} for a, b in combinations(single, 2) if a.keys() != b.keys()]
        for sizes_of in single + pairs[:MOST_PAIRS]:
            found = _tried(function, args, kwargs, sizes_of)
            if found is not None:
                return found
        for size in others:  # it may be that all are meant to be one
            if _tried(function, args, kwargs, dict.fromkeys(symbols, size)) is not None:
                return UNKNOWN
        return None

    def fail(
        self, node: ast.AST, error: BaseException, code: str | None, call: Any = None
    ) -> NoReturn:
        """Raise UserError with the finding about `error` at `node`."""
        finding = None
        if code is not None:
            place = self.place(node)
            if place is not None:
                finding = explained(self, place, node, error, code, call)
        raise UserError(error, code, finding)

    def code_of(
        self, error: Exception, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str | None:
        """The kind of finding that `error` is; None if it is none that is certain and ours."""
        text = str(error)
        if isinstance(error, DeviceError) and _DEVICES in text:
            return None if any(_is_number(a) for a in (*args, *kwargs.values())) else "device"
        if _META.search(text):
            return None
        if args and args[0] is SOME_FLOAT and isinstance(error, AttributeError):
            return "attribute" if hasattr(Tensor, str(args[1])) else None
        if isinstance(error, TypeError) and function in self.own_classes():
            return "arguments" if "argument" in text else None
        if not isinstance(error, FlambeauError) and not concerns_runtime(function, args, kwargs):
            return None
        return next((code for kind, code in CODES if isinstance(error, kind)), None)

    def own_classes(self) -> set[type]:
        """Classes of the user."""
        return set()

    def is_certain(self) -> bool:
        """Whether the running statement is reached for sure, as far as is known."""
        return not self.maybe and not any(frame.doubtful for frame in self.frames)

    def truth(self, value: Any, node: ast.AST) -> Any:
        """True, False, or UNKNOWN."""
        if value is True or value is False:
            return value
        if self.is_opaque(value) and not (value.__class__ in (list, dict, tuple) and value):
            return UNKNOWN
        if isinstance(value, Tensor):
            if value.numel() != 1:
                self.attempt(node, bool, value)
            return UNKNOWN
        if id(value) in self.open and not value:
            return UNKNOWN
        return self.attempt(node, bool, value)

    # -- either way ------------------------------------------------------------------------------

    def joined_values(self, a: Any, b: Any) -> Any:
        """What is known of a value that is `a` or `b`."""
        return join(a, b)

    def either(self, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        """The value of one of two expressions, nobody knows which."""
        values: list[Any] = []

        def run(expression: Callable[[], Any]) -> Callable[[], Completion | None]:
            def body() -> Completion | None:
                try:
                    values.append(expression())
                except UserError as error:
                    if self.guarded:
                        return Completion("raise", error)
                    self.report(error)
                    values.append(UNKNOWN)
                return None

            return body

        self.fork([run(first), run(second)])
        found: Any = MISSING
        for value in values:
            found = self.joined_values(found, value)
        return UNKNOWN if found is MISSING else found

    # -- findings --------------------------------------------------------------------------------

    def report(self, error: UserError) -> None:
        """Keep the finding of `error`, if it has one."""
        sure = not self.hypothetical or error.code in ("shape", "attribute", "value")
        if error.finding is not None and sure:
            for finding in error.finding:
                self.add(finding)

    def add(self, finding: Finding) -> None:
        """Keep a finding; the same one at the same place counts once."""
        key = (finding.line, finding.column, finding.code)
        self.findings.setdefault(key, finding)

    def warn(
        self,
        node: ast.AST | None,
        code: str,
        message: str,
        fix: str | None = None,
        severity: str = "warning",
        **more: Any,
    ) -> None:
        """Report what runs but is hardly meant."""
        if self.hypothetical:
            return
        place = self.place(node)
        if place is not None:
            self.add(Finding(*span(place), severity, code, message, fix, **more))


def _tried(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: dict[int, int]
) -> Any:
    """What a call gives with other sizes for symbols; None if it fails."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, Tensor):
        function = getattr(_with_sizes(owner, sizes), function.__name__)
    try:
        return function(
            *(_with_sizes(a, sizes) for a in args),
            **{k: _with_sizes(v, sizes) for k, v in kwargs.items()},
        )
    except Exception:
        return None


def _with_sizes(value: Any, sizes: dict[int, int]) -> Any:
    """`value` with other sizes for symbols."""
    if isinstance(value, Tensor):
        shape = [sizes.get(n, n) for n in value.shape]
        return flambeau.empty(tuple(shape), dtype=value.dtype, device=value.device)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)([_with_sizes(item, sizes) for item in value])
    return value


def concerns_runtime(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call is the runtime's business: its function, or a tensor or module among its
    arguments."""
    owner = getattr(function, "__self__", None)
    names = getattr(function, "__module__", None), type(owner).__module__
    if any(isinstance(name, str) and name.partition(".")[0] == "flambeau" for name in names):
        return True
    return any(_is_runtime(a) for a in (owner, *args, *kwargs.values()))


def _is_runtime(value: Any) -> bool:
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
        return True
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] == "flambeau"
    return isinstance(value, Tensor | Module)


def _is_number(value: Any) -> bool:
    """Whether `value` is a 0-d tensor, which may meet tensors of every device."""
    return isinstance(value, Tensor) and value.ndim == 0
