"""Events added up by name, and the table that PyTorch's users know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .flops import flops
from .recording import FORWARD, RANGE, Event

MICRO = 1e6
PREFIX = "aten::"  # PyTorch's names of operations begin so


@dataclass
class FunctionEventAvg:
    """All events of one name: PyTorch's attributes, times in microseconds, memory in bytes."""

    key: str
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0
    cpu_memory_usage: int = 0
    self_cpu_memory_usage: int = 0
    flops: int = 0
    input_shapes: list[list[int]] = field(default_factory=list)
    is_user_annotation: bool = False
    device_time_total: float = 0.0
    self_device_time_total: float = 0.0

    @property
    def cpu_time(self) -> float:
        """Microseconds a call."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def device_time(self) -> float:
        """Microseconds a call on a GPU, by CUDA's events."""
        return self.device_time_total / self.count if self.count else 0.0

    cuda_time_total = property(lambda self: self.device_time_total)
    self_cuda_time_total = property(lambda self: self.self_device_time_total)
    cuda_time = device_time


SORTS = {
    "cpu_time": "cpu_time",
    "cpu_time_total": "cpu_time_total",
    "self_cpu_time_total": "self_cpu_time_total",
    "cpu_memory_usage": "cpu_memory_usage",
    "self_cpu_memory_usage": "self_cpu_memory_usage",
    "count": "count",
    "flops": "flops",
    **{
        f"{part}{device}_time{whole}": f"{part}device_time{whole}"
        for part, whole in (("", ""), ("", "_total"), ("self_", "_total"))
        for device in ("cuda", "device")
    },
}
"""What a table can be sorted by -> attribute."""


class EventList(list[FunctionEventAvg]):
    """The averages of a profile; `table()` shows them."""

    has_device = False
    has_memory = False
    has_shapes = False
    has_flops = False

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
    ) -> str:
        """A text table, in the order of `sort_by` (largest first), at most `row_limit` rows.

        Raises: ValueError for an unknown `sort_by`.
        """
        if sort_by is not None and sort_by not in SORTS:
            raise ValueError(
                f"table: expected sort_by as one of {', '.join(SORTS)}. Got {sort_by!r}."
            )
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda row: -getattr(row, SORTS[sort_by]))
        shown = rows if row_limit < 0 else rows[:row_limit]
        columns = self._columns(max_name_column_width, max_shapes_column_width)
        cells = [[text(row) for _, _, text in columns] for row in shown]
        heads = [name for name, _, _ in columns]
        widths = [max(len(r[k]) for r in [heads, *cells]) for k in range(len(columns))]
        marks = [align for _, align, _ in columns]
        rule = "  ".join("-" * width for width in widths)
        lines = [header] if header else []
        lines += [rule, _joined(heads, widths, ["^"] * len(heads)), rule]
        lines += [_joined(row, widths, marks) for row in cells]
        whole = sum(row.self_cpu_time_total for row in self)
        lines += [rule, f"Self CPU time total: {time_text(whole)}"]
        if self.has_device:
            lines.append(f"Self CUDA time total: {time_text(self.self_device_time_total)}")
        return "\n".join([*lines, ""])

    def _columns(self, name_width: int, shapes_width: int) -> list[tuple[str, str, Any]]:
        whole = sum(row.self_cpu_time_total for row in self) or 1.0
        columns: list[tuple[str, str, Any]] = [
            ("Name", ">", lambda r: _cut(r.key, name_width)),
            ("Self CPU %", ">", lambda r: f"{100 * r.self_cpu_time_total / whole:.2f}%"),
            ("Self CPU", ">", lambda r: time_text(r.self_cpu_time_total)),
            ("CPU total %", ">", lambda r: f"{100 * r.cpu_time_total / whole:.2f}%"),
            ("CPU total", ">", lambda r: time_text(r.cpu_time_total)),
            ("CPU time avg", ">", lambda r: time_text(r.cpu_time)),
        ]
        if self.has_device:
            gpu = self.self_device_time_total or 1.0
            columns += [
                ("Self CUDA", ">", lambda r: time_text(r.self_device_time_total)),
                ("Self CUDA %", ">", lambda r: f"{100 * r.self_device_time_total / gpu:.2f}%"),
                ("CUDA total", ">", lambda r: time_text(r.device_time_total)),
                ("CUDA time avg", ">", lambda r: time_text(r.device_time)),
            ]
        if self.has_memory:
            columns.append(("CPU Mem", ">", lambda r: memory_text(r.cpu_memory_usage)))
            columns.append(("Self CPU Mem", ">", lambda r: memory_text(r.self_cpu_memory_usage)))
        columns.append(("# of Calls", ">", lambda r: str(r.count)))
        if self.has_shapes:
            columns.append(("Input Shapes", ">", lambda r: _cut(str(r.input_shapes), shapes_width)))
        if self.has_flops:
            columns.append(("Total MFLOPs", ">", lambda r: f"{r.flops / 1e6:.3f}"))
        return columns

    def total_average(self) -> FunctionEventAvg:
        """All rows as one."""
        found = FunctionEventAvg("Total")
        for row in self:
            found.count += row.count
            found.cpu_time_total += row.self_cpu_time_total
            found.self_cpu_time_total += row.self_cpu_time_total
            found.device_time_total += row.self_device_time_total
            found.self_device_time_total += row.self_device_time_total
            found.flops += row.flops
        return found

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all rows."""
        return sum(row.self_cpu_time_total for row in self)

    @property
    def self_device_time_total(self) -> float:
        """Microseconds of all rows on GPUs."""
        return sum(row.self_device_time_total for row in self)

    def __str__(self) -> str:
        return self.table()


def averages(events: Sequence[Event], by_shape: bool = False) -> EventList:
    """The events by name (and by input shapes), in the order in which they came first."""
    rows: dict[Any, FunctionEventAvg] = {}
    inner = _time_inside(events)
    for k, event in enumerate(events):
        name = PREFIX + event.name if event.kind == FORWARD else event.name
        shapes = [list(shape) for shape in event.shapes[:-1]]
        key = (name, str(shapes)) if by_shape else name
        row = rows.setdefault(key, FunctionEventAvg(name))
        row.count += 1
        row.cpu_time_total += event.seconds * MICRO
        row.self_cpu_time_total += max(0.0, event.seconds - inner[k]) * MICRO
        if event.device_seconds is not None:
            row.self_device_time_total += event.device_seconds * MICRO
            row.device_time_total += event.device_seconds * MICRO
        elif event.kind == RANGE:
            row.device_time_total += _device_time_within(events[:k], event) * MICRO
        row.cpu_memory_usage += event.made
        row.self_cpu_memory_usage += event.made
        row.is_user_annotation = event.kind == RANGE
        if event.kind == FORWARD:
            row.flops += flops(event.name, event.shapes[:-1], event.shapes[-1])
        if by_shape:
            row.input_shapes = shapes
    found = EventList(rows.values())
    found.has_device = any(event.device_seconds is not None for event in events)
    return found


def _device_time_within(events: Sequence[Event], outer: Event) -> float:
    """Seconds that the events within a range took on GPUs."""
    total = 0.0
    for event in reversed(events):
        if event.start + event.seconds < outer.start:
            break
        if event.start >= outer.start and event.device_seconds is not None:
            total += event.device_seconds
    return total


def _time_inside(events: Sequence[Event]) -> list[float]:
    """For each event the seconds of those directly inside it, which are not its own.

    Events are recorded when they end, so what is inside stands before.
    """
    found = [0.0] * len(events)
    open_events: defaultdict[int, list[int]] = defaultdict(list)  # by thread, not yet inside one
    for k, event in enumerate(events):
        outer = open_events[event.thread]
        while outer and events[outer[-1]].start >= event.start:
            found[k] += events[outer.pop()].seconds
        outer.append(k)
    return found


def time_text(micro: float) -> str:
    """`12.345us`, `1.234ms`, `1.234s`."""
    if micro >= 1e6:
        return f"{micro / 1e6:.3f}s"
    return f"{micro / 1e3:.3f}ms" if micro >= 1e3 else f"{micro:.3f}us"


def memory_text(count: float) -> str:
    """`1.50 Mb`, as PyTorch writes it: powers of 1024."""
    for unit, size in (("Gb", 1 << 30), ("Mb", 1 << 20), ("Kb", 1 << 10)):
        if abs(count) >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f} b"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _joined(cells: Iterable[str], widths: Sequence[int], marks: Sequence[str]) -> str:
    return "  ".join(f"{c:{m}{w}}" for c, w, m in zip(cells, widths, marks, strict=True))
