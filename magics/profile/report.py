"""What `%profile` shows: a table by operation, line or module, and what changed between runs."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from ..base import counted, report_html, table, time_text
from ..memory.pins import bytes_text
from .ceilings import Ceilings, ceilings
from .flame import flame_svg
from .measure import Cost, Profiler

LIMIT = 25  # rows listed unless told otherwise
WORTH = 1e-4  # s; below it a rate says more about the call than about the machine

SORTS = ("total", "forward", "backward", "calls", "bytes", "flops")
BY = ("operation", "line", "module")


@dataclass
class ProfileReport:
    """The costs of a block, sorted, its whole time in seconds, its peak of made bytes, and how many
    of its steps were recorded."""

    seconds: float
    costs: list[Cost]
    limit: int = LIMIT
    by: str = "operation"
    peak: int = 0
    ceilings: Ceilings | None = None
    before: dict[str, Cost] | None = None
    seconds_before: float = 0.0
    flame: str = field(default="", repr=False)
    steps: int = 0
    recorded: int = 0
    on_gpus: float = 0.0  # s, of the operations' time

    def __str__(self) -> str:
        if not self.costs:
            return f"No tensor operation in {time_text(self.seconds)}."
        rows = [self._heading(), *(self._row(c) for c in self.costs[: self.limit])]
        lines = table(rows, "<" + ">" * (len(rows[0]) - 1))
        if len(self.costs) > self.limit:
            rest = len(self.costs) - self.limit
            lines.append(f"... and {counted(rest, self.by, self.by + 's')} more")
        return "\n".join([*lines, *self._gone(), *self._sums()])

    __repr__ = __str__

    def _heading(self) -> tuple[str, ...]:
        head = [self.by, "calls", "forward", "backward", "total", "share"]
        head += ["before"] if self.before is not None else []
        return (*head, "moved", "GB/s", "GFLOP/s", "of ceiling")

    def _row(self, c: Cost) -> tuple[str, ...]:
        row = [
            c.name if len(c.name) <= 70 else c.name[:69] + "…",
            str(max(c.calls, c.backward_calls)),
            time_text(c.forward) if c.calls else "",
            time_text(c.backward) if c.backward_calls else "",
            time_text(c.total),
            f"{c.total / self.seconds:.0%}",
        ]
        if self.before is not None:
            row.append(_change(c, self.before.get(c.name)))
        gb = f"{c.bandwidth / 1e9:.1f}" if c.moved else ""
        gflop = f"{c.rate / 1e9:.1f}" if c.flops else ""
        return (*row, bytes_text(round(c.moved)) if c.moved else "", gb, gflop, self._of_ceiling(c))

    def _of_ceiling(self, c: Cost) -> str:
        """The higher of both shares, by what bounds the work; empty for calls too short."""
        if self.ceilings is None or not c.calls or c.forward / c.calls < WORTH:
            return ""
        memory = c.bandwidth / self.ceilings.bandwidth
        arithmetic = c.rate / self.ceilings.rate
        name = "memory" if memory > arithmetic else "arithmetic"
        return f"{max(memory, arithmetic):.0%} {name}" if max(memory, arithmetic) else ""

    def _gone(self) -> list[str]:
        if self.before is None:
            return []
        names = {c.name for c in self.costs}
        gone = [c for name, c in self.before.items() if name not in names]
        gone.sort(key=lambda c: -c.total)
        words = ", ".join(f"{c.name} {time_text(c.total)}" for c in gone[:5])
        return [f"no longer there: {words}"] if gone else []

    def _sums(self) -> list[str]:
        counted_time = sum(c.total for c in self.costs)
        rest = max(0.0, self.seconds - counted_time)
        before = f" (before {time_text(self.seconds_before)})" if self.before is not None else ""
        spent = (
            f"{time_text(counted_time)} in operations, {time_text(rest)} in Python and in watching"
        )
        if self.on_gpus:  # which work while Python runs
            spent = f"{time_text(self.on_gpus)} on the GPU by CUDA's events"
            if counted_time - self.on_gpus > WORTH:
                spent += f", {time_text(counted_time - self.on_gpus)} in operations of the CPU"
        lines = [
            f"{time_text(self.seconds)} in all{before}: {spent}; results held at most "
            f"{bytes_text(self.peak)}"
        ]
        if self.recorded < self.steps:
            lines.append(
                f"{self.recorded} of {self.steps} alike steps were recorded and stand for all; "
                "recording every one would have slowed them"
            )
        if self.ceilings is not None:
            lines.append(
                f"Ceilings measured here: {self.ceilings.bandwidth / 1e9:.1f} GB/s, "
                f"{self.ceilings.rate / 1e9:.0f} GFLOP/s"
            )
        return lines

    def csv(self) -> str:
        """The rows as CSV, times in seconds."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [self.by, "calls", "forward_s", "backward_calls", "backward_s", "moved_bytes",
             "made_bytes", "flops"]
        )  # fmt: skip
        for c in self.costs:
            writer.writerow(
                [c.name, c.calls, c.forward, c.backward_calls, c.backward, c.moved, c.nbytes,
                 c.flops]
            )  # fmt: skip
        return out.getvalue()

    def _repr_html_(self) -> str:
        """The text, and the flame graph to unfold."""
        flame = f"<details><summary>Flame graph</summary>{self.flame}</details>" * bool(self.flame)
        return report_html(str(self)) + flame


def profile_report(
    profiler: Profiler,
    limit: int = LIMIT,
    sort: str = "total",
    by: str = "operation",
    before: Profiler | None = None,
) -> ProfileReport:
    """What `profiler` saw, dearest first; with `before`, compared with an earlier run."""
    key = "nbytes" if sort == "bytes" else sort
    rows = sorted(profiler.costs(by), key=lambda c: -getattr(c, key))
    worth = any(c.calls and c.forward / c.calls >= WORTH for c in rows)
    places = [e.device for e in profiler.events if e.device_seconds is not None]
    place = f"cuda:{places[0]}" if places else "cpu"
    return ProfileReport(
        profiler.seconds,
        rows,
        limit,
        by,
        profiler.peak,
        ceilings(place) if worth else None,
        None if before is None else {c.name: c for c in before.costs(by)},
        0.0 if before is None else before.seconds,
        flame_svg(profiler),
        profiler.windows.steps,
        profiler.windows.recorded,
        sum(weight * (event.device_seconds or 0.0) for event, weight in profiler.weighted()),
    )


def _change(now: Cost, before: Cost | None) -> str:
    """What the row took in the earlier run, and how that changed."""
    if before is None:
        return "new"
    ratio = now.total / before.total if before.total else 1.0
    return f"{time_text(before.total)} ({ratio - 1:+.0%})"
