"""A row of the GPU's table: work written once for either library, eager or captured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Step = Callable[[], object]


@dataclass(frozen=True)
class Place:
    """Where work is set up: the library, the device, and whether sizes are those of a trial."""

    torch: Any
    device: str = "cuda"
    tiny: bool = False

    def size(self, full: int, trial: int) -> int:
        """A size of the row, or of a trial run of it."""
        return trial if self.tiny else full


@dataclass(frozen=True)
class Row:
    """Work to be timed: `work(place)` sets it up and returns the step that is timed.

    `limit` is for our time over the rival's: PyTorch's of the same machine, or ours on the CPU.
    `moved(place)` are the bytes that a step must move, whose rate is then at least `least_share` of
    a copy's. `captured` has the step replayed as a CUDA graph, by both sides.
    """

    name: str
    work: Callable[[Place], Step]
    limit: float
    moved: Callable[[Place], float] | None = None
    captured: bool = False
    rival: str = "torch"

    least_share = 0.85


def captured(torch: Any, step: Step) -> Step:
    """`step` as the replay of a CUDA graph, after three runs of it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = step()

    def replay() -> object:
        graph.replay()
        return kept

    return replay
