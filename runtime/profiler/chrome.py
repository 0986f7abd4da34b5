"""Profiles as files: Chrome's trace format (also read by Perfetto and TensorBoard), and stacks.

Source: "Trace Event Format", the document of the Catapult project, for the fields of events.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .averages import MICRO, PREFIX
from .flops import flops
from .recording import BACKWARD, FORWARD, RANGE, STEP, Event, Place

CATEGORIES = {FORWARD: "cpu_op", BACKWARD: "cpu_op", STEP: "user_annotation",
              RANGE: "user_annotation"}  # fmt: skip


def write_chrome_trace(
    path: str | os.PathLike[str], events: Sequence[Event], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write `events` to `path`, compressed if it ends in .gz; arrows lead from each forward
    operation to its gradient."""
    text = json.dumps(
        {
            "schemaVersion": 1,
            "displayTimeUnit": "ms",
            **(metadata or {}),
            "traceEvents": [*_names(events), *_entries(events)],
        }
    )
    target = Path(path)
    if target.suffix == ".gz":
        target.write_bytes(gzip.compress(text.encode()))
    else:
        target.write_text(text)


def _names(events: Sequence[Event]) -> list[dict[str, Any]]:
    process = os.getpid()
    found = [{"ph": "M", "pid": process, "name": "process_name", "args": {"name": "flambeau"}}]
    for k, thread in enumerate(dict.fromkeys(e.thread for e in events)):
        name = {"name": "main thread" if k == 0 else f"thread {k}"}
        found.append(
            {"ph": "M", "pid": process, "tid": thread, "name": "thread_name", "args": name}
        )
    for device in dict.fromkeys(e.device for e in events if e.device_seconds is not None):
        row = {"pid": process, "tid": _row_of(device)}
        found.append({"ph": "M", **row, "name": "thread_name", "args": {"name": f"GPU {device}"}})
    return found


def _row_of(device: int) -> str:
    """The row of a GPU, which no thread's number meets."""
    return f"GPU {device}"


def _entries(events: Sequence[Event]) -> list[dict[str, Any]]:
    process = os.getpid()
    entries: list[dict[str, Any]] = []
    for number, event in enumerate(events):
        where = {"pid": process, "tid": event.thread}
        entries.append(
            {
                "ph": "X",
                "cat": CATEGORIES[event.kind],
                "name": PREFIX + event.name if event.kind == FORWARD else event.name,
                **where,
                "ts": event.start * MICRO,
                "dur": event.seconds * MICRO,
                "args": _arguments(event),
            }
        )
        if event.device_seconds is not None:
            entries += _on_the_gpu(number, event, entries[-1])
        if event.origin >= 0:
            first = events[event.origin]
            flow = {"cat": "fwdbwd", "name": "fwdbwd", "id": number, "pid": process}
            entries.append({"ph": "s", **flow, "tid": first.thread, "ts": first.start * MICRO})
            entries.append(
                {"ph": "f", "bp": "e", **flow, "tid": event.thread, "ts": event.start * MICRO}
            )
    return entries


def _on_the_gpu(number: int, event: Event, launch: dict[str, Any]) -> list[dict[str, Any]]:
    """The event in the row of its GPU, and an arrow to it from where it was launched."""
    row = {"pid": launch["pid"], "tid": _row_of(event.device)}
    start, seconds = event.device_start * MICRO, event.device_seconds or 0.0
    arrow = {"cat": "ac2g", "name": "ac2g", "id": number, "pid": launch["pid"]}
    return [
        {"ph": "X", "cat": "kernel", "name": launch["name"], **row, "ts": start,
         "dur": seconds * MICRO, "args": {"device": event.device}},
        {"ph": "s", **arrow, "tid": launch["tid"], "ts": launch["ts"]},
        {"ph": "f", "bp": "e", **arrow, "tid": row["tid"], "ts": start},
    ]  # fmt: skip


def _arguments(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event.shapes:
        found["Input Dims"] = [list(shape) for shape in event.shapes[:-1]]
        found["bytes"] = event.moved
        if event.kind == FORWARD:
            found["flops"] = flops(event.name, event.shapes[:-1], event.shapes[-1])
    if event.module:
        found["Module"] = str(event.module)
    if event.stack:
        found["Call stack"] = "; ".join(place_text(place) for place in reversed(event.stack))
    return found


def place_text(place: Place) -> str:
    """`model.py(12): forward`."""
    code, instruction = place
    lines = (n for start, end, n in code.co_lines() if start <= instruction < end)
    line = next(lines, None) or code.co_firstlineno
    return f"{os.path.basename(code.co_filename)}({line}): {code.co_name}"


def write_stacks(path: str | os.PathLike[str], events: Sequence[Event]) -> None:
    """Write one line a stack, `outer;inner;operation microseconds`, as flame graph tools read."""
    sums: Counter[str] = Counter()
    for event in events:
        if event.kind in (FORWARD, BACKWARD, STEP):
            frames = [place_text(place) for place in reversed(event.stack)]
            sums[";".join([*frames, event.name])] += int(event.seconds * MICRO)
    Path(path).write_text("".join(f"{stack} {n}\n" for stack, n in sums.items() if n))
