"""`python -m flambeau.kernel -f FILE`: the kernel, as Jupyter and our own front ends start it."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

import psutil
from ipykernel.kernelapp import IPKernelApp
from traitlets import DottedObjectName

from .jupyter import FlambeauKernel
from .launch import TEXT_DOOR
from .parent import ParentWatch


class KernelProgram(IPKernelApp):
    """ipykernel's program, but for what happens when the front end is gone, and for floods of
    output."""

    outstream_class = DottedObjectName("flambeau.kernel.streams.Stream").tag(config=True)

    def init_poller(self) -> None:
        """Watch the process that started us, also if it has gone meanwhile; not one that another
        program stands between."""
        if os.name != "posix":
            super().init_poller()
        elif self.parent_handle not in (0, 1) and (
            self.parent_handle == os.getppid() or _has_ended(self.parent_handle)
        ):
            self.poller = ParentWatch(self.parent_handle, lambda: self.kernel, self._end)

    def _end(self) -> None:
        self.cleanup_connection_file()
        os._exit(1)


def _has_ended(process: int) -> bool:
    """Whether a process is no more, or waits for its parent to ask how it ended."""
    try:
        return bool(psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


class TerminalBars(ModuleType):
    """Stands for `tqdm.autonotebook`, which takes every kernel for a notebook with widgets: gives
    the bars of text."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("tqdm.std"), name)


def main() -> None:
    """Serve until a shutdown request."""
    if os.environ.get(TEXT_DOOR) == "1":
        name = "tqdm.autonotebook"
        sys.modules[name] = TerminalBars(name)
    KernelProgram.launch_instance(kernel_class=FlambeauKernel)


if __name__ == "__main__":
    main()
