"""What a session does for a script that runs in it, before, between and after its cells."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session

STDIN, COMMAND = "-", "-c"
NAMES = {STDIN: "<stdin>", COMMAND: "<string>"}
"""What tracebacks call a script without a file, as Python does."""


class ScriptServices:
    """The door `flambeau run` calls these by silent cells: `get_ipython().session.script...`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = ""
        self._watching = ExitStack()
        self._reports: list[Callable[[], Any]] = []

    def begin(
        self,
        names: tuple[str, list[str], str] | None,
        profile: bool,
        trace: bool,
        clip: str | None,
        observe: bool,
        saved: str | None,
    ) -> None:
        """Make this the process of a script, and switch on what holds for all of it.

        `names` are its path, its arguments and its text; None for a notebook. Raises: ValueError
        for a clip rule that is none, OSError or CheckpointError for a session that cannot be
        loaded.
        """
        # A script may end by sys.exit(); how to leave a prompt is no news to it.
        warnings.filterwarnings("ignore", message="To exit: use")
        if saved is not None:
            self._session.load(saved)
        if names is not None:
            self._enter(*names)
        if clip is not None:
            self._session.policy.clip = clip
        self._session.policy.observe = observe
        if profile:
            self._profile()
        if trace:
            self._trace()

    def place(self, first_line: int) -> None:
        """The next cell begins at this line of the script."""
        self._session.shell.compile.place(self._name, first_line)

    def end(self, save_to: str | None) -> None:
        """Show the reports, and save the session if asked, naming what cannot be saved.

        Raises: OSError or ValueError if the file cannot be written.
        """
        self._watching.close()
        for report in self._reports:
            print(report())
        if save_to is not None:
            left = self._session.save(save_to)
            if left:
                print(f"Not in {save_to}: {', '.join(left)}", file=sys.stderr)

    def _enter(self, path: str, arguments: list[str], source: str) -> None:
        """`__file__`, `sys.argv`, `sys.path[0]`, the name and text in tracebacks."""
        sys.argv = [path, *arguments]
        self._name = NAMES.get(path, path)
        if path in NAMES:
            sys.path[0:0] = [""]
            lines = source.splitlines(keepends=True)
            linecache.cache[self._name] = (len(source), None, lines, self._name)
        else:
            self._session.namespace["__file__"] = path
            sys.path[0:0] = [str(Path(path).resolve().parent)]

    def _profile(self) -> None:
        from flambeau.magics.profile import profile_report, profiling

        profiler = self._watching.enter_context(profiling())
        self._reports.append(lambda: profile_report(profiler))

    def _trace(self) -> None:
        from flambeau.magics.modules import named_modules
        from flambeau.magics.trace import trace_report, tracing
        from flambeau.magics.trace.magic import parameters_of

        names = self._session.namespace
        trace = self._watching.enter_context(tracing(named_modules(names)))
        self._reports.append(lambda: trace_report(trace, parameters_of(names)))
