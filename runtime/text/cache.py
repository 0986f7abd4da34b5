"""The keys and values of tokens already read, in memory that is taken once."""

from __future__ import annotations

from typing import Any

from ..core.creation import zeros
from ..core.tensor import Tensor
from ..errors import ShapeError


class StaticCache:
    """Keys and values (batch, heads, room, width) of each layer; the first `length` places hold
    something. A step writes its own places and reads views: nothing is copied or joined, which
    would cost as much as the step itself for long texts.

    There is room for `room` tokens at first (`longest` if not given), and twice as many whenever it
    is used up, for `longest` at most.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        longest: int,
        width: int,
        dtype: Any = None,
        device: Any = None,
        room: int | None = None,
    ) -> None:
        self.length, self.longest = 0, longest
        shape = batch, heads, longest if room is None else min(room, longest), width
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
        end, batch = self.length + key.shape[2], self.keys[layer].shape[0]
        if end > self.longest or key.shape[0] != batch:
            raise ShapeError(
                f"StaticCache: expected at most {self.longest} tokens of {batch} texts. "
                f"Got {end} of {key.shape[0]}. Make a larger one: model.make_cache(batch, longest)."
            )
        if end > self.keys[layer].shape[2]:
            self._grow(layer, end)
        keys, values = self.keys[layer], self.values[layer]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def _grow(self, layer: int, needed: int) -> None:
        for stores in (self.keys, self.values):
            old = stores[layer]
            batch, heads, room, width = old.shape
            room = min(self.longest, max(needed, 2 * room))
            stores[layer] = old.new_zeros((batch, heads, room, width))
            stores[layer][:, :, : self.length] = old[:, :, : self.length]

    def advance(self, n: int) -> None:
        """Count n tokens that all layers have written."""
        self.length += n

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens, so that other ones can follow those."""
        self.length = min(self.length, length)

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
