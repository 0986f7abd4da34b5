"""The keys and values of tokens already read, in memory that is taken once."""

from __future__ import annotations

from typing import Any

from ..core.creation import zeros
from ..core.tensor import Tensor
from ..errors import ShapeError


class StaticCache:
    """Keys and values (batch, heads, longest, width) of each layer; the first `length` places hold
    something. A step writes its own places and reads views: nothing is copied or joined, which
    would cost as much as the step itself for long texts."""

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        longest: int,
        width: int,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        self.length, self.longest = 0, longest
        shape = batch, heads, longest, width
        self.keys, self.values = (
            [zeros(*shape, dtype=dtype, device=device) for _ in range(layers)] for _ in range(2)
        )

    def get_seq_length(self) -> int:
        """How many tokens were read."""
        return self.length

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Write (batch, heads, n, width) after what is there; all keys and values of the layer.

        `advance` then counts the n tokens, once for all layers. Raises: ShapeError if it is full.
        """
        end = self.length + key.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        if end > self.longest or key.shape[0] != keys.shape[0]:
            raise ShapeError(
                f"StaticCache: expected at most {self.longest} tokens of {keys.shape[0]} texts. "
                f"Got {end} of {key.shape[0]}. Make a larger one: model.make_cache(batch, longest)."
            )
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]

    def advance(self, n: int) -> None:
        """Count n tokens that all layers have written."""
        self.length += n

    def reorder(self, rows: Tensor) -> None:
        """Let text k go on from text rows[k], for beams; rows (batch,)."""
        for store in (*self.keys, *self.values):
            store[:, :, : self.length] = store[rows, :, : self.length]

    def repeat(self, times: int) -> StaticCache:
        """A cache of `times` copies of each text, side by side."""
        if times == 1:
            return self
        new: StaticCache = object.__new__(StaticCache)
        new.length, new.longest = self.length, self.longest
        new.keys = [t.repeat_interleave(times, 0) for t in self.keys]
        new.values = [t.repeat_interleave(times, 0) for t in self.values]
        return new
