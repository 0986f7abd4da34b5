"""`python -m flambeau.kernel -f FILE`: the kernel, as Jupyter and our own front ends start it."""

from __future__ import annotations

import os

from ipykernel.kernelapp import IPKernelApp

from .jupyter import FlambeauKernel
from .parent import ParentWatch


class KernelProgram(IPKernelApp):
    """ipykernel's program, but for what happens when the front end is gone."""

    def init_poller(self) -> None:
        """Watch the process that started us, if there is one that can be watched."""
        if os.name != "posix":
            super().init_poller()
        elif self.parent_handle not in (0, 1) and self.parent_handle == os.getppid():
            self.poller = ParentWatch(self.parent_handle, lambda: self.kernel, self._end)

    def _end(self) -> None:
        self.cleanup_connection_file()
        os._exit(1)


def main() -> None:
    """Serve until a shutdown request."""
    KernelProgram.launch_instance(kernel_class=FlambeauKernel)


if __name__ == "__main__":
    main()
