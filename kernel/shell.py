"""Our interactive shell: the user's line on top of tracebacks, scripts under their own names."""

from __future__ import annotations

import ast
import atexit
import sys
import threading
from typing import Any

from ipykernel.compiler import XCachingCompiler
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .interrupts import Gate
from .tracebacks import without_our_frames


class PlacedCompiler(XCachingCompiler):
    """Compiles cells under the name and line numbers of the script they come from, if any."""

    script: str | None = None
    first_line: int = 1

    def place(self, script: str, first_line: int) -> None:
        """The next cells begin at `first_line` of the file `script`."""
        self.script, self.first_line = script, first_line

    def ast_parse(self, source: str, filename: str = "<unknown>", symbol: str = "exec") -> Any:
        tree = super().ast_parse(source, filename, symbol)
        if self.script is not None and filename == self.script:
            ast.increment_lineno(tree, self.first_line - 1)
        return tree

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str:
        if self.script is None:
            return str(super().cache(transformed_code, number, raw_code))
        return self.script


class Workbench(InteractiveShell):
    """What our shells have beyond IPython's: tracebacks that end at the user's line, and scripts
    under their own names."""

    session: Any = None
    """The session that lives here, which sets it; `get_ipython().session` finds it."""

    def __init__(self, **options: Any) -> None:
        # ipykernel names its own compiler class, whatever default the shell has.
        super().__init__(**{**options, "compiler_class": PlacedCompiler})
        self.gate = Gate()

    async def run_ast_nodes(
        self, nodelist: Any, cell_name: Any, *args: Any, result: Any = None, **options: Any
    ) -> bool:
        """Run a cell's statements, then wait for the GPU: what failed there is told at the cell
        that asked for it. Here Ctrl-C is let through."""
        failed, may_interrupt = False, self.gate.is_open
        try:
            with self.gate.opened():
                failed = await super().run_ast_nodes(
                    nodelist, cell_name, *args, result=result, **options
                )
                _wait_for_gpu()
            if failed and result is not None:
                result.error_in_exec = self.gate.told(result.error_in_exec)
        except BaseException as error:
            self.gate.is_open = may_interrupt  # Ctrl-C may have come while it was shut
            if failed:  # the first error tells more
                return True
            if result is not None:
                result.error_in_exec = error
            self.showtraceback()
            return True
        return bool(failed)

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """Drop all names but those that a session begins with, as `%reset` does."""
        super().reset(new_session, aggressive)
        if self.session is not None:
            self.session.push_starting_names()

    @property
    def debugger_cls(self) -> Any:
        """What `%debug` begins; `pdb` is not loaded before."""
        from .debugger import Debugger

        return Debugger

    def user_expressions(self, expressions: dict[str, str]) -> dict[str, Any]:
        """The values that a front end asks for beside a cell; Ctrl-C ends this, too."""
        may_interrupt = self.gate.is_open
        try:
            with self.gate.opened():
                found: dict[str, Any] = super().user_expressions(expressions)
                return found
        except KeyboardInterrupt:
            self.gate.is_open = may_interrupt
            return {name: self._user_obj_error() for name in expressions}

    def _get_exc_info(self, exc_tuple: Any = None) -> Any:
        """The exception with the runtime's own frames cut off below the user's last line.

        `%xmode Verbose` shows them all.
        """
        _, value, traceback = super()._get_exc_info(exc_tuple)
        value = self.gate.told(value)
        if self.InteractiveTB.mode != "Verbose":
            traceback = without_our_frames(traceback)
        return type(value), value, traceback

    def _showtraceback(self, kind: Any, value: Any, text: list[str]) -> None:
        """Show a traceback with the explanation below it, as one message."""
        if self.session is not None and self.InteractiveTB.mode != "Minimal":
            text = [*text, *self.session.explain(value)]
        super()._showtraceback(kind, value, text)


def _wait_for_gpu() -> None:
    is_main = threading.current_thread() is threading.main_thread()
    cuda = sys.modules.get("flambeau.cuda")  # a kernel that waits has not loaded the runtime
    if is_main and cuda is not None and cuda.is_initialized():
        cuda.synchronize()


class FlambeauShell(Workbench, ZMQInteractiveShell):
    """The shell of the Jupyter kernel."""


def plain_shell() -> Workbench:
    """A shell in this process that keeps its history to itself and writes to standard output.

    Where there is no shell yet, `get_ipython()` and `display()` find it; otherwise it lives beside
    the other.
    """
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    if not InteractiveShell.initialized():
        return Workbench.instance(config=config)  # type: ignore[no-any-return]
    shell = Workbench(config=config)
    shell.restore_sys_module_state()  # `__main__` stays that of the first
    return shell


def close_shell(shell: Workbench) -> None:
    """End a shell of `plain_shell`: the program gets its `__main__` back, and `get_ipython()` finds
    none."""
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    if type(shell)._instance is shell:
        type(shell).clear_instance()
        shell.restore_sys_module_state()
