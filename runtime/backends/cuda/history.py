"""What happened to the GPU's memory, one entry for each event, as PyTorch's viewer reads it."""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from functools import partial
from pathlib import Path
from typing import Any

DEPTH = 64
"""Frames of a call stack that are kept."""
OWN = str(Path(__file__).parents[2])
"""The folder of the runtime, whose frames tell users nothing."""

Frames = list[dict[str, Any]]


class History:
    """The latest `most` events of each GPU: blocks handed out and taken back, segments asked of the
    driver and returned to it, and memory that ran out; with the stack of calls for `stacks`."""

    def __init__(self, most: int, stacks: bool) -> None:
        self.events: dict[int, deque[dict[str, Any]]] = defaultdict(partial(deque, maxlen=most))
        self.frames: dict[int, Frames] = {}  # by address, of the blocks in use
        self.stacks = stacks

    def note(self, action: str, device: int, stream: int, address: int, size: int) -> None:
        """Something happened: "alloc", "free_requested", "free_completed", "segment_alloc",
        "segment_free" or "oom", where `address` is how much the driver has left."""
        frames = _frames() if self.stacks else []
        if action == "alloc":
            self.frames[address] = frames
        elif action == "free_completed":
            self.frames.pop(address, None)
        place = "device_free" if action == "oom" else "addr"
        self.events[device].append({
            "action": action, place: address, "size": size, "stream": stream,
            "time_us": time.time_ns() // 1_000, "frames": frames,
        })  # fmt: skip


def _frames() -> Frames:
    """The calls that led here, the innermost first, without the runtime's own."""
    found: Frames = []
    frame = sys._getframe(2)
    while frame is not None and len(found) < DEPTH:
        code = frame.f_code
        if not code.co_filename.startswith((OWN, "<flambeau")):
            found.append(
                {"filename": code.co_filename, "line": frame.f_lineno, "name": code.co_name}
            )
        frame = frame.f_back  # type: ignore[assignment]
    return found
