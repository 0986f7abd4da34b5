"""Passes over a loader's batches, made in this process or by workers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ... import accelerator
from .pinning import pinned
from .pool import WorkerPool
from .sampler import fresh_seed

if TYPE_CHECKING:
    from .dataloader import DataLoader


class LoaderIterator:
    """One pass over a loader. What it draws from the generator, and when, is as in PyTorch: a
    sampler that draws at once comes before the base seed, one that draws later after it."""

    def __init__(self, loader: DataLoader) -> None:
        # Not the loader itself, which holds its iterator if workers are persistent.
        self._sampler, self._dataset = loader._index_sampler, loader.dataset
        self._num_workers, self._promised = loader.num_workers, loader._promised_length
        self._indices: Iterator[Any] = iter(self._sampler)
        self._base_seed = fresh_seed(loader.generator)
        self._num_yielded = 0
        self._pins = loader.pin_memory and accelerator.is_available()

    def __iter__(self) -> LoaderIterator:
        return self

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __next__(self) -> Any:
        batch = self._next()
        self._num_yielded += 1
        if self._promised is not None and self._num_yielded > self._promised:
            self._warn_of_length(self._promised)
        return pinned(batch) if self._pins else batch

    def _next(self) -> Any:
        raise NotImplementedError

    def _warn_of_length(self, promised: int) -> None:
        hint = ""
        if self._num_workers:
            hint = " Each worker has a copy of the data set: share it out by get_worker_info()."
        warnings.warn(
            f"{type(self._dataset).__name__} has len() {promised}, but gave "
            f"{self._num_yielded} batches or samples.{hint}",
            stacklevel=3,
        )

    def __reduce__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled.")


class LocalIterator(LoaderIterator):
    """A pass in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self._fetch = loader._fetch()
        self._fetch.begin()

    def _next(self) -> Any:
        return self._fetch(next(self._indices))


class WorkersIterator(LoaderIterator):
    """A pass by worker processes, or with persistent workers one after the other."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self._pool = WorkerPool(
            loader._fetch(),
            loader.num_workers,
            self._base_seed,
            timeout=loader.timeout,
            initialize=loader.worker_init_fn,
            context=loader.multiprocessing_context,
        )
        self._prefetch, self._in_order = loader.prefetch_factor or 1, loader.in_order
        self._persistent = loader.persistent_workers
        self.reset(loader)

    def reset(self, loader: DataLoader) -> None:
        """Begin a pass; workers start on their first batches at once."""
        self._indices, self._num_yielded = iter(self._sampler), 0
        self._promised = loader._promised_length
        self._owed: list[int] = []  # workers, in the order of the batches they owe
        self._ended: set[int] = set()
        self._turn = 0  # the worker that is asked next
        self._pool.begin()
        for _ in range(self._prefetch * self._num_workers):
            self._ask()

    def is_usable(self) -> bool:
        """Whether the workers are there for another pass."""
        return self._pool.is_alive()

    def _ask(self) -> None:
        """Send the next request to the worker whose turn it is, or who owes least."""
        count = self._num_workers
        turns = [worker % count for worker in range(self._turn, self._turn + count)]
        active = [worker for worker in turns if worker not in self._ended]
        if not active:
            return
        try:
            request = next(self._indices)
        except StopIteration:
            return
        worker = active[0] if self._in_order else min(active, key=self._owed.count)
        self._turn = worker + 1
        self._pool.send(worker, "fetch", request)
        self._owed.append(worker)

    def _next(self) -> Any:
        if self._owed and not self._pool.processes:
            raise RuntimeError(
                "DataLoader: expected a pass that goes on. Got one whose workers were ended by an "
                "earlier error. Begin a new one."
            )
        while self._owed:
            worker, kind, value = self._answer()
            self._owed.remove(worker)
            if kind == "end":
                self._ended.add(worker)
            self._ask()
            if kind == "error":
                raise value
            if kind == "batch":
                return value
        if not self._persistent:
            self._pool.close()
        raise StopIteration

    def _answer(self) -> tuple[int, str, Any]:
        expected = self._owed[:1] if self._in_order else list(dict.fromkeys(self._owed))
        try:
            return self._pool.answer(expected)
        except BaseException:  # a death, a timeout or Ctrl-C: tracebacks may keep this alive long
            self._pool.close()
            raise
