"""Gradients gathered in buckets: one message for many of them, while the backward pass goes on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.callsite import count_write
from ..core.concealed import reveal
from ..core.creation import empty
from ..core.tensor import Tensor, wrap
from ..futures import Future

MIB = 1 << 20


class Bucket:
    """Parameters of one dtype and device, and their gradients in one flat buffer."""

    def __init__(self, places: Sequence[int], parameters: Sequence[Tensor]) -> None:
        self.places = list(places)
        self.parameters = [parameters[k] for k in places]
        ends = list(itertools.accumulate([p.numel() for p in self.parameters], initial=0))
        self.slices = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self.key = self.parameters[0]._key
        self.xp: Any = self.key.backend.xp
        self.size = ends[-1]
        self.buffer: Tensor | None = None
        self.views: list[Any] = []
        self.missing = len(self.parameters)
        self.future: Future[Any] | None = None

    def memory(self) -> Tensor:
        """The flat buffer, new memory if there is none."""
        if self.buffer is None:
            self.buffer = empty(self.size, dtype=self.key.dtype, device=self.key.device)
            shapes = [tuple(p.shape) for p in self.parameters]
            array = self.buffer._array
            self.views = [array[s].reshape(n) for s, n in zip(self.slices, shapes, strict=True)]
        return self.buffer

    def take(self, index: int, scale: float | None) -> None:
        """Put the gradient of parameter `index` into the buffer, times `scale`; zeros if it has
        none."""
        self.memory()
        gradient, place = self.parameters[index]._grad, self.views[index]
        if gradient is None:
            place[...] = 0
            return
        array = reveal(gradient.to_dense() if gradient.is_sparse else gradient)
        if scale is not None:
            self.xp.multiply(array, array.dtype.type(scale), out=place)
        elif array is not place:
            place[...] = array

    def give(self, index: int, into_old: bool) -> None:
        """Let parameter `index` have what the buffer holds as its gradient: as a view of it, or
        written into the tensor that is there if `into_old`."""
        parameter, place = self.parameters[index], self.views[index]
        gradient = parameter._grad
        if gradient is not None and reveal(gradient) is place:
            return
        if into_old and gradient is not None and not gradient.is_sparse:
            gradient._array[...] = place
            count_write(gradient._writes, "DistributedDataParallel")
        else:
            parameter._grad = wrap(place, parameter._key)

    def let_go(self) -> None:
        """Leave the buffer to the gradients that are views of it."""
        self.buffer, self.views = None, []


def assigned(
    parameters: Sequence[Tensor], order: Iterable[int], first: int, cap: int
) -> list[list[int]]:
    """Parameters, in the order given, cut into buckets of at most `cap` bytes, the very first of
    `first`; each of one dtype and device. A larger parameter has a bucket of its own."""
    finished: list[list[int]] = []
    growing: dict[tuple[Any, Any], tuple[list[int], int]] = {}
    for k in order:
        p = parameters[k]
        kind = p.dtype, p.device
        places, size = growing.get(kind, ([], 0))
        limit = first if not finished else cap
        places.append(k)
        size += p.nbytes
        growing[kind] = places, size
        if size >= limit:
            finished.append(places)
            del growing[kind]
    return finished + [places for places, _ in growing.values()]
