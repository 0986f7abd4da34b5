"""Counts bank conflicts: the turns that warps' accesses to shared memory take, and had to take.

    python -m tests.runtime.cuda.banks                    # all kernels that use shared memory
    python -m tests.runtime.cuda.banks attention scans    # some, by the names in test_mutants.STEPS

A line for each place in a source whose accesses take more turns than their bytes need.
"""

from __future__ import annotations

import ctypes
import sys
from collections import defaultdict
from typing import Any

from flambeau.backends.cuda import launch
from flambeau.core.dispatch import forget_kernels

from .. import cupy_stand_in
from . import shim
from .test_mutants import STEPS

MOST_LINES = 4096


class Counted(ctypes.Structure):
    """Accesses at one place of the code; see banks.cpp."""

    _fields_ = tuple((name, ctypes.c_uint) for name in ("code", "times", "turns", "least"))


class CountingDriver(shim.HostDriver):
    """Adds up what each launch counts, by the lines of the source."""

    def __init__(self) -> None:
        super().__init__(backwards=False)
        self.machine = ctypes.CDLL(str(shim.machine()))
        self.machine.counted.restype = ctypes.c_longlong
        self.lines: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

    def launch(self, function: int, *how: Any) -> None:
        """Run the kernel and read the counts."""
        super().launch(function, *how)
        found = (Counted * MOST_LINES)()
        count = self.machine.counted(found, ctypes.c_longlong(MOST_LINES))
        kernel, library = how[3], shim.functions[function].library
        for line in found[:count]:
            place = shim.explained(f"{{{line.code:x}}}", library, kernel.source.label)
            name = f"{kernel.expression} {place}"
            self.lines[name] = [
                a + b
                for a, b in zip(self.lines[name], (line.times, line.turns, line.least), strict=True)
            ]


def main() -> None:
    """Run the steps that are named, and print."""
    with cupy_stand_in.installed():
        launch.driver = driver = CountingDriver()
        forget_kernels()
        ctypes.c_int.in_dll(driver.machine, "is_counting").value = 1
        for name in sys.argv[1:] or STEPS:
            for step in STEPS[name]:
                step()
    for name, (times, turns, least) in sorted(
        driver.lines.items(), key=lambda i: i[1][2] - i[1][1]
    ):
        if turns > least:
            print(
                f"{turns / times:5.2f} turns, {least / times:5.2f} needed, {times:7} times: {name}"
            )
    print(
        f"{sum(t for _, t, _ in driver.lines.values())} turns in all, "
        f"{sum(n for *_, n in driver.lines.values())} needed"
    )


if __name__ == "__main__":
    main()
