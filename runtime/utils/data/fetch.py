"""How a batch is made of a data set, in this process or in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from .collate import default_collate
from .dataset import gathered


class Fetch(Protocol):
    """Makes a batch for a request."""

    dataset: Any
    ends: bool

    def begin(self) -> None:
        """Prepare for a pass."""
        ...

    def __call__(self, request: Any) -> Any:
        """The batch for `request`. Raises: StopIteration, if it `ends`, when there are no more."""
        ...


class IndexedFetch:
    """Batches of a data set by lists of indices, or samples by single ones."""

    ends = False

    def __init__(self, dataset: Any, batched: bool, collate: Callable[..., Any]) -> None:
        self.dataset, self.batched, self.collate = dataset, batched, collate

    def begin(self) -> None:
        """Nothing to prepare for a pass."""

    def __call__(self, request: Any) -> Any:
        """The batch at a list of indices, or the sample at one index."""
        dataset, indices = self.dataset, request
        if not self.batched:
            return self.collate(dataset[indices])
        if self.collate is default_collate:
            batch = gathered(dataset, indices)
            if batch is not None:
                return batch
        if hasattr(dataset, "__getitems__") and dataset.__getitems__:
            return self.collate(dataset.__getitems__(indices))
        return self.collate([dataset[k] for k in indices])


class IterableFetch:
    """Batches of what an iterable data set gives, one after the other.

    A request says by its length how many samples are wanted; what is in it does not matter.
    """

    ends = True

    def __init__(
        self, dataset: Any, batched: bool, drop_last: bool, collate: Callable[..., Any]
    ) -> None:
        self.dataset, self.batched, self.drop_last = dataset, batched, drop_last
        self.collate = collate
        self._samples: Iterator[Any] = iter(())
        self._ended = False

    def begin(self) -> None:
        """Start a pass over the data set."""
        self._samples, self._ended = iter(self.dataset), False

    def __call__(self, request: Any) -> Any:
        """The next batch. Raises: StopIteration after the last."""
        if not self.batched:
            return self.collate(next(self._samples))
        wanted = len(request)
        batch = [] if self._ended else list(itertools.islice(self._samples, wanted))
        self._ended = len(batch) < wanted  # an exhausted iterator must not be asked again
        if not batch or (self.drop_last and self._ended):
            raise StopIteration
        return self.collate(batch)
