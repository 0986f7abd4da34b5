"""Peak memory of a training step, each side in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .case import Case, Row, Step
from .turns import Side

STEPS = 3


def resident(field: str) -> float:
    """MB of this process in real memory: now (`VmRSS`) or at most (`VmHWM`); Linux."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def peak(ready: Callable[[], Step]) -> tuple[float, float]:
    """MB of this process before `ready()`, when the library is imported, and MB at most through
    that and three steps: parameters, data, activations, gradients, the optimizer's state, and
    libraries loaded late."""
    Path("/proc/self/clear_refs").write_text("5")  # the maximum starts anew
    before = resident("VmRSS")
    step = ready()
    for _ in range(STEPS):
        step()
    return before, resident("VmHWM")


@dataclass(frozen=True)
class PeakMemory:
    """The memory that training needs."""

    case: Case
    limit: float = 1.0

    @property
    def name(self) -> str:
        """The training's name."""
        return f"peak memory, {self.case.name}"

    def rows(self) -> Iterator[Row]:
        """One process after the other: what each takes at most, and how much of it came after the
        import of the library, of which PyTorch's takes more."""
        sides = (Side("flambeau", self.case.name), Side("torch", self.case.name))
        peaks = []
        for side in sides:
            with side:
                peaks.append([float(x) for x in side.ask("peak").split()])
        (before, ours), (their_before, theirs) = peaks
        yield Row(self.name, ours, theirs, ours / theirs, self.limit, "MB")
        ours, theirs = ours - before, theirs - their_before
        yield Row(f"{self.name}, after import", ours, theirs, ours / theirs, self.limit, "MB")
