"""`%%profile`: where the time of a cell went, by operation, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau import Tensor, cuda
from flambeau.core import observers

from .base import Instrument, table
from .memory.pins import bytes_text

LIMIT = 25  # operations listed unless told otherwise


@dataclass
class Cost:
    """What one operation cost: times in seconds, bytes of the results it made."""

    name: str
    calls: int = 0
    forward: float = 0.0
    backward_calls: int = 0
    backward: float = 0.0
    nbytes: int = 0

    @property
    def total(self) -> float:
        """Seconds forward and backward."""
        return self.forward + self.backward


class Profiler(observers.Observer):
    """Adds up calls, times and bytes by operation."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self.seconds = 0.0

    def _cost(self, name: str) -> Cost:
        return self.costs.setdefault(name, Cost(name))

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Count a forward call."""
        cost = self._cost(name)
        cost.calls += 1
        cost.forward += seconds
        for out in outputs:
            if out._base is None and not out.is_meta:  # a view makes no bytes
                cost.nbytes += out.nbytes

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Count a backward call under the operation's name."""
        operation = getattr(node, "operation", None)
        cost = self._cost(operation.label if operation is not None else node.name())
        cost.backward_calls += 1
        cost.backward += seconds
        cost.nbytes += sum(int(getattr(g, "nbytes", 0)) for g in gradients if g is not None)

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """Count an optimizer's step."""
        cost = self._cost(f"{type(optimizer).__name__}.step")
        cost.calls += 1
        cost.forward += seconds

    def report(self, limit: int = LIMIT, sort: str = "total") -> ProfileReport:
        """What was seen, dearest first; `sort` is total, forward, backward, calls or bytes."""
        key = "nbytes" if sort == "bytes" else sort
        rows = sorted(self.costs.values(), key=lambda c: -getattr(c, key))
        return ProfileReport(self.seconds, rows, limit)


SORTS = ("total", "forward", "backward", "calls", "bytes")


@dataclass
class ProfileReport:
    """The costs of a block, sorted, and its whole time in seconds."""

    seconds: float
    costs: list[Cost]
    limit: int = LIMIT

    def __str__(self) -> str:
        counted = sum(c.total for c in self.costs)
        if not self.costs:
            return f"No tensor operation in {_time(self.seconds)}."
        rows = [("operation", "calls", "forward", "backward", "total", "share", "bytes")]
        for c in self.costs[: self.limit]:
            share = f"{c.total / self.seconds:.0%}"
            backward = _time(c.backward) if c.backward_calls else ""
            rows.append(
                (
                    c.name,
                    str(max(c.calls, c.backward_calls)),
                    _time(c.forward) if c.calls else "",
                    backward,
                    _time(c.total),
                    share,
                    bytes_text(c.nbytes),
                )
            )
        lines = table(rows, "<>>>>>>")
        if len(self.costs) > self.limit:
            lines.append(f"... and {len(self.costs) - self.limit} operations more")
        rest = max(0.0, self.seconds - counted)
        lines.append(
            f"{_time(self.seconds)} in all: {_time(counted)} in operations, {_time(rest)} in "
            "Python and in watching"
        )
        return "\n".join(lines)

    __repr__ = __str__


def _time(seconds: float) -> str:
    """`12.3 ms`, in the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} µs"


@contextmanager
def profiling() -> Iterator[Profiler]:
    """Measure the operations of a `with` block."""
    profiler = Profiler()
    started = perf_counter()
    try:
        with observers.observing(profiler):
            yield profiler
    finally:
        if cuda.is_available():
            cuda.synchronize()
        profiler.seconds = perf_counter() - started


@magics_class
class ProfileMagics(Instrument):
    """Measures cells."""

    @magic_arguments()
    @argument("--top", type=int, default=LIMIT, help=f"operations to list ({LIMIT})")
    @argument("--sort", choices=SORTS, default="total", help="what to sort by (total)")
    @cell_magic("profile")
    def profile(self, line: str, cell: str) -> None:
        """Run the cell, then show for each operation: calls, time forward and backward, bytes of
        what it made; the dearest first.

        Example: %%profile --sort backward on the first line, a training step below it
        """
        arguments = self.arguments(self.profile, line)
        with profiling() as profiler:
            self.run_cell(cell)
        display(profiler.report(arguments.top, arguments.sort))
