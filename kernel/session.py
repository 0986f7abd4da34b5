"""The session: one namespace with the runtime in it, its services, free of any transport."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from flambeau import initial_seed, is_grad_enabled
from flambeau.backends.cuda import waits
from flambeau.core import callsite
from flambeau.magics.base import UsageError
from flambeau.magics.safe import SafeCell

from . import completion, display, inspection, saved_sessions, signature, status, torch_alias
from .completion import Completion
from .execution import Cells, Execution
from .explanations import explanation
from .launch import AS_TORCH
from .origins import CellSource, Origin, Origins
from .policy import Policy
from .receipts import Receipt
from .reports import Flows, Reports
from .script_services import ScriptServices
from .shell import Workbench, close_shell, plain_shell
from .signature import Signature
from .snapshot import Facts, Photographer, Snapshot, facts_of
from .status import Status

if TYPE_CHECKING:
    from flambeau.magics.check import Finding, Hint, Report

SNAPSHOT_INTERVAL = 0.5
"""Seconds between two snapshots while one cell runs."""

LONGEST_KEPT = 1_000_000
"""Characters of a cell's output that IPython's history may keep."""


class Session:
    """What every door leads to. It lives in one IPython shell, which executes and completes.

    The namespace holds `torch` (the runtime), `nn`, `F` and `optim`; the magics are loaded; `import
    torch` finds the runtime where PyTorch is not installed. Without a `shell` the session makes a
    quiet one of its own, in this process.

    Example:
        >>> from flambeau.kernel import Session
        >>> session = Session()
        >>> session.execute("x = torch.ones(2, 3)").success
        True
        >>> str(session.facts("x"))
        'Tensor (2, 3) float32 cpu'
    """

    def __init__(self, shell: Any = None) -> None:
        self._owns_shell = shell is None
        self.grad_enabled = True
        self.first_seed = initial_seed()  # what nobody has chosen
        self.shell = shell = plain_shell() if shell is None else shell
        waits.let_interrupts_through()
        torch_alias.install(first=os.environ.get(AS_TORCH) == "1")
        self.push_starting_names()
        display.register(shell.display_formatter)
        # jedi calls repr on big arrays, and takes seconds to start.
        shell.Completer.use_jedi = False
        completion.limit(shell.Completer)
        shell.extension_manager.load_extension("flambeau.magics")
        self.policy = Policy(shell)
        self._before: SafeCell | None = None
        self._origins = Origins(shell.transform_cell)
        self._photographer = Photographer(shell.user_ns, self._origins, SNAPSHOT_INTERVAL)
        self._flows = Flows(shell.user_ns)
        self._reports = Reports(shell.user_ns, SNAPSHOT_INTERVAL)
        self._cells = Cells(shell, lambda: self.policy.observe, self._cell_starts, self._cell_ends)

        callsite.name_of = self.place  # for errors that tell where something began
        self.script = ScriptServices(self)
        if isinstance(shell, Workbench):
            shell.session = self

    def explain(self, error: BaseException) -> list[str]:
        """Lines that explain an error of a shape, dtype or device: its operands by their names, the
        clash, and what would work; none for other errors."""

        def earlier(name: str, file: str, line: int) -> Origin | None:
            return self._origins.before(name, self.place(file), line)

        return explanation(error, self.place, earlier)

    def place(self, file: str) -> str:
        """What a user calls the file that code came from: `In[3]` for a cell."""
        found = self.shell.compile.format_code_name(file)
        return file if found is None else str(found[1])

    def push_starting_names(self) -> None:
        """Bind the starting names, as names that were there before the user came."""
        self.shell.push(starting_names(), interactive=False)

    def _cell_starts(self, cell: CellSource, is_outermost: bool) -> None:
        self._origins.add(cell)
        if is_outermost and self.policy.safe:
            try:
                self._before = SafeCell(self.shell)
            except UsageError as error:
                print(f"This cell is not safe: {error}")

    def _cell_ends(self, success: bool) -> None:
        before, self._before = self._before, None
        if before is not None and not success:
            print(before.undo())
        self.grad_enabled = is_grad_enabled()  # of this thread; those that look have their own
        self._changed()
        self._forget_long_outputs()

    def _changed(self) -> None:
        self._photographer.changed()
        self._reports.changed()

    def _forget_long_outputs(self) -> None:
        """IPython keeps all that cells print, for `%notebook`; a flood it must not keep."""
        outputs = self.shell.history_manager.outputs
        for number in list(islice(reversed(outputs), 2)):
            parts = [part for output in outputs[number] for part in output.bundle.values()]
            lengths = (sum(map(len, p)) if isinstance(p, list) else len(p) for p in parts)
            if sum(lengths) > LONGEST_KEPT:
                del outputs[number]

    # -- running ---------------------------------------------------------------------------------

    @property
    def namespace(self) -> dict[str, Any]:
        """The names that cells see and bind."""
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    @property
    def running(self) -> bool:
        """Whether a cell runs now."""
        return self._cells.running

    @property
    def receipt(self) -> Receipt | None:
        """What the last cell cost; None while one runs, and before the first."""
        return self._cells.receipt

    def execute(self, source: str, silent: bool = False) -> Execution:
        """Run a cell. Output and tracebacks go where the shell's go; what was raised is in the
        result and is not raised here. A `silent` cell is in no history, and shows no value."""
        number = self.shell.execution_count
        result = self.shell.run_cell(source, store_history=not silent, silent=silent)
        error = result.error_before_exec or result.error_in_exec
        receipt = None if silent else self.receipt
        return Execution(number, bool(result.success), result.result, error, receipt)

    def interrupt(self) -> bool:
        """Stop the running cell as Ctrl-C does, from any thread; False if none runs."""
        return self._cells.interrupt()

    def restart(self) -> None:
        """Begin again in this process: no names but the starting ones, no history of results,
        the random streams of the policy's seed. The policy stays.

        Raises: RuntimeError while a cell runs.
        """
        if self.running:
            raise RuntimeError("restart: expected a session at rest. A cell runs: interrupt first.")
        self.shell.reset(new_session=True)
        self._origins.clear()
        self.push_starting_names()
        self.policy.renew()
        self._changed()

    def save(self, path: str) -> list[str]:
        """Write the variables that can be kept to `path` (its name ends in .pt); returns what
        cannot, each with its type. See `saved_sessions`."""
        hidden = self.shell.user_ns_hidden
        names = {
            name: value
            for name, value in self.namespace.items()
            if not name.startswith("_") and hidden.get(name, hidden) is not value
        }
        return saved_sessions.save(names, path)

    def load(self, path: str) -> None:
        """Bind the variables that `save` wrote; the states of modules and optimizers are in
        `saved_states`. Nothing in the file is run. Raises: OSError or CheckpointError."""
        self.namespace.update(saved_sessions.load(path))
        self._changed()

    def close(self) -> None:
        """Follow the shell no more, and let the instruments undo what outlasts a cell. A shell of
        the session's own ends too."""
        self._cells.stop()
        if callsite.name_of == self.place:
            callsite.name_of = str
        self.shell.extension_manager.unload_extension("flambeau.magics")
        if self._owns_shell:
            close_shell(self.shell)

    # -- knowing ---------------------------------------------------------------------------------

    @property
    def snapshot(self) -> Snapshot:
        """Facts of all names, at most half a second old while a cell runs."""
        return self._photographer.snapshot(self.running)

    def facts(self, name: str) -> Facts | None:
        """Facts of one name as it stands now; None if there is none."""
        if name not in self.namespace:
            return None
        return facts_of(name, self.namespace[name], self._origins.get(name))

    def flow_through(self, value: Any) -> str | None:
        """`(B, 784) float32 -> (B, 10) float32` of a module, as far as its first layers tell."""
        return self._flows.of(value)

    def complete(self, source: str, cursor: int | None = None) -> list[Completion]:
        """What could stand at `cursor`, an offset into `source` in code points (default: its end).
        Each with its type, and what is known of its value."""
        return completion.complete(self, source, len(source) if cursor is None else cursor)

    def inspect(
        self, source: str, cursor: int | None = None, detail_level: int = 0
    ) -> Mapping[str, str] | None:
        """What is known of the name at `cursor`, as text by MIME type; None if nothing is.

        A tensor's facts and statistics and the line that made it; a module's layers and number of
        parameters; of everything else signature and docstring, at level 1 the source.
        """
        place = len(source) if cursor is None else cursor
        return inspection.inspect(self, source, place, detail_level)

    def signature(self, source: str, cursor: int | None = None) -> Signature | None:
        """The signature of the call that `cursor` is in; None outside calls."""
        place = len(source) if cursor is None else cursor
        return signature.signature_at(self.namespace, source, place)

    @property
    def status(self) -> Status:
        """Device, memory, gradient mode and rules, as a status row shows them."""
        return status.status_of(self)

    def is_complete(self, source: str) -> tuple[str, str]:
        """`complete`, `incomplete` or `invalid`, and the indentation to go on with."""
        status, indent = self.shell.input_transformer_manager.check_complete(source)
        return status, " " * (indent or 0)

    def history(self, count: int = 10, pattern: str | None = None) -> list[str]:
        """The last cells as typed, oldest first; with `pattern` those that match it (`*`, `?`)."""
        manager = self.shell.history_manager
        if pattern is None:
            rows = manager.get_tail(count, raw=True, include_latest=True)
        else:
            rows = manager.search(pattern, raw=True, n=count)
        return [row[2] for row in rows]

    def diagnostics(self, source: str) -> list[Finding]:
        """What the checker finds wrong in a cell that has not run; nothing of it runs."""
        from flambeau.magics.check import check_cell  # loaded when it is asked

        return check_cell(source, self.namespace)

    def hints(self, source: str) -> list[Hint]:
        """Shapes and dtypes at the ends of assignments of a cell that has not run."""
        from flambeau.magics.check import infer_shapes

        return infer_shapes(source, self.namespace)

    def report(self, source: str) -> Report:
        """Both, and what is known already as long as no cell has run since."""
        return self._reports.of(source, self.running)


def starting_names() -> dict[str, Any]:
    """The names that a session begins with."""
    import flambeau
    import flambeau.nn
    import flambeau.nn.functional
    import flambeau.optim

    return {
        "torch": flambeau,
        "nn": flambeau.nn,
        "F": flambeau.nn.functional,
        "optim": flambeau.optim,
    }
