"""The session: one namespace with the runtime in it, its services, free of any transport."""

from __future__ import annotations

import os
from typing import Any

from . import display, torch_alias
from .launch import AS_TORCH


class Session:
    """What every door leads to. It lives in one IPython shell, which executes and completes.

    The namespace holds `torch` (the runtime), `nn`, `F` and `optim`; the magics are loaded; `import
    torch` finds the runtime where PyTorch is not installed.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        torch_alias.install(first=os.environ.get(AS_TORCH) == "1")
        names = starting_names()
        shell.push(names, interactive=False)  # as names that were there before the user came
        display.register(shell.display_formatter)
        # jedi calls repr on big arrays, and takes seconds to start.
        shell.Completer.use_jedi = False
        shell.extension_manager.load_extension("flambeau.magics")

    @property
    def namespace(self) -> dict[str, Any]:
        """The names that cells see and bind."""
        namespace: dict[str, Any] = self.shell.user_ns
        return namespace

    def execute(self, source: str, silent: bool = False) -> Any:
        """Run a cell; IPython's ExecutionResult, whose `raise_error()` raises what was raised."""
        return self.shell.run_cell(source, store_history=not silent, silent=silent)

    def complete(self, source: str, cursor: int) -> list[str]:
        """What could stand at `cursor`, an offset into `source` in code points."""
        _, matches = self.shell.complete(None, source, cursor)
        return list(matches)


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
