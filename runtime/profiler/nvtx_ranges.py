"""Operations as named ranges for the tools that watch a GPU at work (Nsight)."""

from __future__ import annotations

import threading
from typing import Any, Self

from ..core import observers
from ..cuda import nvtx

OPERATION, NODE, STEP, RANGE = "operation", "node", "step", "range"

emitters: list[emit_nvtx] = []
"""Those that `record_function` tells of its ranges."""


class emit_nvtx(observers.Observer):
    """A `with` block whose operations, backward nodes, optimizer steps and `record_function`
    blocks are ranges of NVTX, under `nsys profile` in the row of their thread.

    `record_shapes` adds the shapes of inputs to the names of operations' nodes; without CuPy
    nothing happens.
    """

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled, self.record_shapes = enabled, record_shapes
        self._open = threading.local()

    def __enter__(self) -> Self:
        if self.enabled:
            observers.subscribe(self)
            emitters.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.enabled:
            observers.unsubscribe(self)
            emitters.remove(self)
            while self._ranges():
                self.end()

    def _ranges(self) -> list[tuple[str, int]]:
        if not hasattr(self._open, "ranges"):
            self._open.ranges = []
        return self._open.ranges  # type: ignore[no-any-return]

    def begin(self, kind: str, name: str) -> None:
        """Open a range; an operation that is still open has failed."""
        ranges = self._ranges()
        if ranges and ranges[-1][0] == OPERATION:
            self.end()
        ranges.append((kind, nvtx.range_start(name)))

    def end(self) -> None:
        """Close the range that was opened last."""
        ranges = self._ranges()
        if ranges:
            nvtx.range_end(ranges.pop()[1])

    def operation_started(self, name: str, device: Any) -> None:
        """Open the range of an operation."""
        self.begin(OPERATION, f"aten::{name}")

    def operation_done(
        self, name: str, inputs: Any, outputs: tuple[Any, ...], seconds: float
    ) -> None:
        """Close it."""
        self.end()

    def graph_replayed(self, device: Any, seconds: float) -> None:
        """Close that of a replay."""
        self.end()

    def backward_entered(self, node: Any, gradients: tuple[Any, ...]) -> None:
        """Open the range of a backward node."""
        shapes = [tuple(g.shape) for g in gradients if g is not None] if self.record_shapes else ""
        self.begin(NODE, f"{node.name()}{f', sizes = {shapes}' if shapes else ''}")

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Close it."""
        self.end()

    def step_started(self, optimizer: Any) -> None:
        """Open the range of an optimizer's step."""
        self.begin(STEP, f"Optimizer.step#{type(optimizer).__name__}.step")

    def step_done(self, optimizer: Any, seconds: float) -> None:
        """Close it."""
        self.end()
