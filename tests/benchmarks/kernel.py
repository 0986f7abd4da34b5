"""The kernel against plain ipykernel: a round trip of `1+1`, and the memory of an idle process.

PyTorch has no part in it: the other side is the kernel that Jupyter brings along. Of a round trip
also the processor time is compared, which other programs disturb less.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager

from flambeau.kernel.launch import command

from .case import Row

BLOCK = 0.3  # s that one side is measured before the other's turn
ROUNDS = 20
PATIENCE = 60.0
SIDES = {"ours": command()[1:3], "theirs": ["-m", "ipykernel_launcher"]}


class Spec(KernelSpecManager):
    """Starts one program, whatever kernel is asked for."""

    program: Sequence[str] = ()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The program as a kernel."""
        start = [sys.executable, *self.program, "-f", "{connection_file}"]
        return KernelSpec(argv=start, language="python", display_name=kernel_name)


@contextmanager
def kernel(program: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """A client of a new kernel, and the kernel's process id."""
    specs = Spec()
    specs.program = program
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


def block(client: Any, process: int) -> tuple[float, float]:
    """The median of round trips for a while, and the kernel's processor time for each."""
    times, ends = [], time.perf_counter() + BLOCK
    before = processor_time(process)
    while time.perf_counter() < ends:
        times.append(round_trip(client))
    return statistics.median(times), (processor_time(process) - before) / len(times)


def processor_time(process: int) -> float:
    """Seconds that all threads of a process have run."""
    clocks = psutil.Process(process).cpu_times()
    return float(clocks.user + clocks.system)


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
            kernels = [stack.enter_context(kernel(program)) for program in SIDES.values()]
            memory = [resident(process) for _, process in kernels]
            for side in kernels:
                block(*side)
            rounds = [[block(*side) for side in kernels] for _ in range(ROUNDS)]
        yield Row("kernel: memory when idle", *memory, memory[0] / memory[1], self.memory_limit,
                  "MB")  # fmt: skip
        for k, name in enumerate(("kernel: round trip of 1+1", "kernel: its processor time")):
            sides = [1e3 * statistics.median(r[side][k] for r in rounds) for side in (0, 1)]
            ratio = statistics.median(r[0][k] / r[1][k] for r in rounds)
            yield Row(name, *sides, ratio, self.limit)


CASES = [Kernel()]
