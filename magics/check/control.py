"""Branches, loops, `with` and `try` of the abstract run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from time import thread_time
from typing import Any

from .frames import Completion, Manager, UserError
from .patterns import matched
from .state import Trail
from .statements import Statements
from .values import MISSING, UNKNOWN

ROUNDS = 3  # of a loop whose number of rounds is not known, or whose body takes long
LONG_LOOP = 0.03  # s of the processor that a loop may take before it is cut short


class Control(Statements):
    """Executes the statements that decide which others run."""

    # -- branches --------------------------------------------------------------------------------

    def exec_If(self, node: ast.If) -> Completion | None:
        truth = self.truth(self.evaluate(node.test), node.test)
        if truth is not UNKNOWN:
            return self.run_block(node.body if truth else node.orelse)
        return self.branches([node.body, node.orelse])

    def branches(self, blocks: list[list[ast.stmt]]) -> Completion | None:
        """Run each of `blocks`, of which one is taken, nobody knows which."""
        return self.settle(self.fork([self.guarded_block(block) for block in blocks]))

    def guarded_block(self, block: list[ast.stmt]) -> Callable[[], Completion | None]:
        """A run of `block` whose failure, where someone may catch it, is a completion."""

        def run() -> Completion | None:
            try:
                return self.run_block(block)
            except UserError as error:
                return Completion("raise", error)

        return run

    def settle(self, completions: list[Completion | None]) -> Completion | None:
        """How branches end together: as one if all end alike, else what may go on goes on."""
        returned = [c.value for c in completions if c is not None and c.kind == "return"]
        if None in completions:
            self.frame.returns.extend(returned)
            self.frame.doubtful |= any(c is not None for c in completions)
            return None
        ends = [c for c in completions if c is not None]
        if all(c.kind == "raise" for c in ends):
            if self.guarded and isinstance(ends[0].value, UserError):
                raise ends[0].value
            return ends[0]
        others = [c for c in ends if c.kind != "raise"]
        if len(returned) == len(others):
            value: Any = MISSING
            for each in returned:
                value = self.joined_values(value, each)
            return Completion("return", value)
        self.frame.returns.extend(returned)
        return next(c for c in others if c.kind != "return")

    def exec_Match(self, node: ast.Match) -> Completion | None:
        subject = self.evaluate(node.subject)
        possible: list[list[ast.stmt]] = []
        for case in node.cases:
            fits = matched(self, case.pattern, subject)
            if fits is True and case.guard is not None:
                fits = self.truth(self.evaluate(case.guard), case.guard)
            if fits is True and not possible:
                return self.run_block(case.body)
            if fits is not False:
                possible.append(case.body)
            if fits is True:
                return self.branches(possible)
        return self.branches([*possible, []]) if possible else None

    # -- loops -----------------------------------------------------------------------------------

    def exec_For(self, node: ast.For) -> Completion | None:
        items, exact = self.items_of(self.evaluate(node.iter), node.iter)
        if not exact and len(items) == 1:
            items = items * 2

        def rounds() -> Any:
            for item in items:
                self.bind(node.target, item)
                self.hint(node.target, item)
                yield

        return self._loop(node, rounds(), exact)

    exec_AsyncFor = exec_For

    def exec_While(self, node: ast.While) -> Completion | None:
        known: list[Any] = []

        def rounds() -> Any:
            while True:
                known[:] = [self.truth(self.evaluate(node.test), node.test)]
                if known[0] is False:
                    return
                yield
                if known[0] is UNKNOWN and len(self.trails) > 0:
                    continue

        endless = isinstance(node.test, ast.Constant)
        return self._loop(node, rounds(), not endless, known)

    def _loop(
        self, node: ast.For | ast.While | ast.AsyncFor, rounds: Any, exact: bool, known: Any = None
    ) -> Completion | None:
        """Run the body once for each of `rounds`, a few times if they are many."""
        started = thread_time()
        patience = 2 if _trains(node) else ROUNDS
        trail: Trail = {}
        count = 0
        doubtful, returns = self.frame.doubtful, len(self.frame.returns)
        named = len(self.named)
        self.push_trail(trail)
        self.loops.append(node)
        try:
            for _ in rounds:
                count += 1
                completion = self.loop_body(node.body)
                if completion is not None and completion.kind != "continue":
                    if completion.kind == "break":
                        return None
                    return completion
                if count >= patience and self._is_long(node, started, exact, known):
                    exact = False
                    break
                if count > 1:
                    self.pop_trail()
                    trail = {}
                    self.push_trail(trail)
        finally:
            self.loops.pop()
            last = self.pop_trail()
        if not exact and count:
            self.widen(last)
            for owner in self.named[named:]:  # later rounds would set more
                self.mark_open(vars(owner))
        if not self.loops:
            self.named.clear()
        if node.orelse and self.frame.doubtful and not doubtful:  # it may have ended by a break
            return self.branches([node.orelse, []])
        self.frame.doubtful = doubtful or len(self.frame.returns) > returns
        return self.run_block(node.orelse)

    def loop_body(self, body: list[ast.stmt]) -> Completion | None:
        """One round."""
        return self.run_block(body)

    def _is_long(self, node: ast.AST, started: float, exact: bool, known: Any) -> bool:
        if known is not None and (not known or known[0] is UNKNOWN or not exact):
            return True
        return _trains(node) or thread_time() - started > LONG_LOOP

    # -- with and try ----------------------------------------------------------------------------

    def exec_With(self, node: ast.With) -> Completion | None:
        return self._with(node.items, node)

    exec_AsyncWith = exec_With

    def _with(self, items: list[ast.withitem], node: ast.With) -> Completion | None:
        if not items:
            return self.run_block(node.body)
        first, rest = items[0], items[1:]
        manager = self.evaluate(first.context_expr)
        if isinstance(manager, Manager):
            return self._managed(manager, first, rest, node)
        with self.entered(manager, first.context_expr) as value:
            if first.optional_vars is not None:
                self.bind(first.optional_vars, value)
                self.hint(first.optional_vars, value)
            return self._with(rest, node)

    def _managed(
        self, manager: Manager, first: ast.withitem, rest: list[ast.withitem], node: ast.With
    ) -> Completion | None:
        """The `with` block at the yield of the generator that makes its manager."""
        outside, ends = list(self.frames), list[Completion | None]()

        def block(value: Any) -> None:
            inside, self.frames = self.frames, outside
            try:
                if first.optional_vars is not None:
                    self.bind(first.optional_vars, value)
                    self.hint(first.optional_vars, value)
                ends.append(self._with(rest, node))
            finally:
                self.frames = inside

        self.call_function(manager.record, manager.args, manager.kwargs, block)
        if not ends:
            block(UNKNOWN)
        return ends[0]

    def exec_Try(self, node: ast.Try) -> Completion | None:
        try:
            completion = self._tried(node) if node.handlers else self.run_block(node.body)
        except UserError:
            self.run_block(node.finalbody)
            raise
        final = self.run_block(node.finalbody)
        return final if final is not None else completion

    exec_TryStar = exec_Try

    def _tried(self, node: ast.Try) -> Completion | None:
        unknowns = self.unknown_calls
        self.guarded += 1
        try:
            completion = self.run_block(node.body)
        except UserError as error:
            self.guarded -= 1
            return self._handle(node, error)
        except BaseException:
            self.guarded -= 1
            raise
        self.guarded -= 1
        if completion is None:
            completion = self.run_block(node.orelse)
        if self.unknown_calls != unknowns:  # it may have raised
            blocks = [handler.body for handler in node.handlers]
            for handler in node.handlers:
                if handler.name is not None:
                    self.bind(ast.Name(handler.name, ast.Store()), UNKNOWN)
            ends = self.fork([lambda: None, *(self.guarded_block(block) for block in blocks)])
            self.settle(ends)
        return completion

    def _handle(self, node: ast.Try, failure: UserError) -> Completion | None:
        """Run the handler that catches `failure`; pass it on if none does."""
        for handler in node.handlers:
            kinds: Any = BaseException if handler.type is None else self.evaluate(handler.type)
            caught = self.quietly(isinstance, failure.error, kinds)
            if caught is False:
                continue
            if handler.name is not None:
                value = failure.error if caught is True else UNKNOWN
                self.bind(ast.Name(handler.name, ast.Store()), value)
            return self.run_block(handler.body)
        if self.guarded:
            raise failure
        self.report(failure)
        return Completion("raise", failure.error)


def _trains(node: ast.AST) -> bool:
    """Whether a loop's body calls backward() or step(): then its rounds are alike."""
    found = getattr(node, "_trains", None)
    if found is None:
        found = any(
            isinstance(each, ast.Attribute) and each.attr in ("backward", "step", "zero_grad")
            for each in ast.walk(node)
        )
        node._trains = found  # type: ignore[attr-defined]
    return bool(found)
