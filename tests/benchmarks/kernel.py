"""The kernel against plain ipykernel: a round trip of `1+1`, and the memory of an idle process.

PyTorch has no part in it: the other side is the kernel that Jupyter brings along.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

from .case import Row

BLOCK = 0.3  # s that one side is measured before the other's turn
ROUNDS = 20
PATIENCE = 60.0
MODULES = {"ours": "flambeau.kernel", "theirs": "ipykernel_launcher"}


class Spec(KernelSpecManager):
    """Starts one module, whatever kernel is asked for."""

    module = ""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The module as a kernel."""
        start = [sys.executable, "-m", self.module, "-f", "{connection_file}"]
        return KernelSpec(argv=start, language="python", display_name=self.module)


@contextmanager
def kernel(module: str) -> Iterator[tuple[Any, int]]:
    """A client of a new kernel, and the kernel's process id."""
    specs = Spec()
    specs.module = module
    manager = KernelManager(kernel_spec_manager=specs)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield client, manager.provisioner.process.pid
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def round_trip(client: Any) -> float:
    """Seconds from a request to both its reply and the end of its output."""
    started = time.perf_counter()
    identity = client.execute("1+1")
    while client.get_shell_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != identity:
        pass
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        done = message["content"].get("execution_state") == "idle"
        if done and message["parent_header"].get("msg_id") == identity:
            return time.perf_counter() - started


def block(client: Any) -> float:
    """The median of round trips for a while."""
    times, ends = [], time.perf_counter() + BLOCK
    while time.perf_counter() < ends:
        times.append(round_trip(client))
    return statistics.median(times)


def resident(process: int) -> float:
    """MB of a process in real memory (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@dataclass(frozen=True)
class Kernel:
    """Both kernels run side by side, and take turns."""

    name: str = "kernel"
    limit: float = 1.1
    memory_limit: float = 1.3

    def rows(self) -> Iterator[Row]:
        """The round trip, and the memory before the first cell."""
        with ExitStack() as stack:
            sides = {k: stack.enter_context(kernel(module)) for k, module in MODULES.items()}
            memory = {side: resident(process) for side, (_, process) in sides.items()}
            for client, _ in sides.values():
                block(client)
            pairs = [tuple(block(client) for client, _ in sides.values()) for _ in range(ROUNDS)]
        ours, theirs = memory["ours"], memory["theirs"]
        yield Row("kernel: memory when idle", ours, theirs, ours / theirs, self.memory_limit, "MB")
        yield Row(
            "kernel: round trip of 1+1",
            1e3 * statistics.median(a for a, _ in pairs),
            1e3 * statistics.median(b for _, b in pairs),
            statistics.median(a / b for a, b in pairs),
            self.limit,
        )


CASES = [Kernel()]
