"""Where a GPU's generator stands in its stream: a seed and an offset."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

STATE = np.dtype([("seed", "<u8"), ("offset", "<i8")])
"""The bytes of a state, laid out as PyTorch does on the GPU."""


class PhiloxState:
    """A place in the stream of `seed`. Each launch takes its part by counting the offset up.

    While a CUDA graph is recorded, launches read seed and offset from device memory instead, so
    that each replay draws new numbers; see `start_recording`.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.offset = seed, 0
        self._lock = threading.Lock()
        self._recorded: RecordedDraws | None = None

    def take(self, words: int) -> tuple[int, int, int]:
        """The place of a launch whose threads draw so many words each: seed, offset, and the
        address of both in device memory, or 0."""
        with self._lock:
            if self._recorded is not None:
                return self._recorded.take(words)
            offset = self.offset
            self.offset += words
            return self.seed, offset, 0

    def start_recording(self, held: Any) -> None:
        """From now on launches read from `held`, two uint64 numbers in device memory."""
        self._recorded = RecordedDraws(self, held)

    def end_recording(self) -> RecordedDraws:
        """What was drawn meanwhile, to be prepared before each replay."""
        recorded, self._recorded = self._recorded, None
        if recorded is None:
            raise RuntimeError("Expected start_recording before end_recording.")
        return recorded

    def packed(self) -> np.ndarray[Any, Any]:
        """The state as bytes."""
        return np.array([(self.seed, self.offset)], STATE).view(np.uint8)

    def unpack(self, state: np.ndarray[Any, Any]) -> None:
        """Go on from what `packed` gave."""
        self.seed, self.offset = map(int, state.reshape(-1).copy().view(STATE)[0])


class RecordedDraws:
    """The random numbers of a CUDA graph."""

    def __init__(self, state: PhiloxState, held: Any) -> None:
        self.state, self.held, self.words = state, held, 0

    def take(self, words: int) -> tuple[int, int, int]:
        """As `PhiloxState.take`; the offset counts from the one in device memory."""
        offset = self.words
        self.words += words
        return 0, offset, self.held.data.ptr

    def prepare(self) -> None:
        """Let the next replay draw on from where the generator stands."""
        import cupy

        seed, offset, _ = self.state.take(self.words)
        self.held[...] = cupy.asarray(np.array([seed, offset], np.uint64))
