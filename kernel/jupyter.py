"""The Jupyter door: ipykernel's kernel with our shell and session. Hooks only."""

from __future__ import annotations

from typing import Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import Type

import flambeau

from .session import Session
from .shell import FlambeauShell


class FlambeauKernel(IPythonKernel):
    """A Python kernel whose namespace holds the runtime."""

    implementation = "flambeau"
    implementation_version = flambeau.__version__
    shell_class = Type(FlambeauShell)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.workbench = Session(self.shell)

    @property
    def banner(self) -> str:
        """One line at the start of a front end."""
        return (
            f"Flambeau {flambeau.__version__}: torch, nn, F and optim are there. "
            "%graph, %%trace, %%profile, %clip and %free look inside; ? explains."
        )
