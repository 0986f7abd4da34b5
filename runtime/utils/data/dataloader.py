"""DataLoader: batches of a data set, made here or by worker processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...random import Generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset, gathered
from .sampler import BatchSampler, RandomSampler, SequentialSampler, fresh_seed
from .workers import Fetch, WorkerPool


class DataLoader:
    """Batches of `dataset`, in order or shuffled.

    `batch_size` None hands out single samples. `num_workers` processes prepare `prefetch_factor`
    batches each ahead of time and hand arrays over in shared memory; they are started for each
    pass, or once if `persistent_workers`. The order depends on the seed alone, never on workers.
    `timeout` (s) limits the wait for a batch; 0 is no limit. `pin_memory` is accepted; it has
    nothing to do without a GPU.
    Raises: ValueError for options that exclude each other.

    Example:
        >>> data = TensorDataset(torch.arange(5))
        >>> [x.tolist() for x, in DataLoader(data, batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        self.dataset = dataset
        self.num_workers, self.timeout, self.generator = num_workers, timeout, generator
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.is_iterable = isinstance(dataset, IterableDataset)
        self._require_valid(shuffle, sampler, batch_sampler, batch_size, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None and not self.is_iterable:
            shuffled = RandomSampler(dataset, generator=generator) if shuffle else None
            sampler = shuffled or SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.batch_size, self.drop_last = batch_size, drop_last
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self._batched = batched
        self._pool: WorkerPool | None = None

    def _require_valid(
        self, shuffle: Any, sampler: Any, batch_sampler: Any, batch_size: Any, drop_last: bool
    ) -> None:
        exclusive = [
            (self.num_workers < 0, f"num_workers of at least 0. Got {self.num_workers}"),
            (self.timeout < 0, f"a timeout of at least 0 s. Got {self.timeout}"),
            (
                self.prefetch_factor is not None and self.num_workers == 0,
                "prefetch_factor only with num_workers above 0. Got 0 workers",
            ),
            (
                self.persistent_workers and self.num_workers == 0,
                "persistent_workers only with num_workers above 0. Got 0 workers",
            ),
            (sampler is not None and bool(shuffle), "either a sampler or shuffle. Got both"),
            (
                self.is_iterable and (bool(shuffle) or sampler is not None),
                "no shuffle and no sampler with an IterableDataset, which orders itself. Got one",
            ),
            (
                batch_sampler is not None
                and (batch_size != 1 or bool(shuffle) or sampler is not None or drop_last),
                "a batch_sampler alone, or batch_size, shuffle, sampler and drop_last. Got both",
            ),
            (
                batch_size is not None and (isinstance(batch_size, bool) or batch_size <= 0),
                f"a batch_size above 0, or None. Got {batch_size}",
            ),
            (batch_size is None and drop_last, "drop_last only with a batch_size. Got None"),
        ]
        for wrong, words in exclusive:
            if wrong:
                raise ValueError(f"DataLoader: expected {words}.")

    def __len__(self) -> int:
        """The number of batches, or of samples without a batch size."""
        if self.is_iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
        return len(self._indices())  # type: ignore[arg-type]

    def _indices(self) -> Iterable[Any]:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler  # type: ignore[return-value]

    def _fetch(self) -> Fetch:
        """How a batch is made; worker processes get it whole."""
        if self.is_iterable:
            return IterableFetch(self.dataset, self.batch_size, self.drop_last, self.collate_fn)
        return IndexedFetch(self.dataset, self._batched, self.collate_fn)

    def __iter__(self) -> Iterator[Any]:
        if self.num_workers == 0:
            fresh_seed(self.generator)  # workers would be seeded by it; so streams agree
            return _batches_here(self._fetch(), self._requests())
        if self._pool is None or not self._pool.is_alive():
            self._pool = self._start_workers()
        pool = self._pool
        if not self.persistent_workers:
            self._pool = None
        return pool.batches(self._requests(), keep=self.persistent_workers)

    def _start_workers(self) -> WorkerPool:
        if self._pool is not None:
            self._pool.close()
        return WorkerPool(
            self._fetch(),
            self.num_workers,
            fresh_seed(self.generator),
            prefetch=self.prefetch_factor or 1,
            timeout=self.timeout,
            initialize=self.worker_init_fn,
            context=self.multiprocessing_context,
        )

    def _requests(self) -> Iterator[Any]:
        """What to ask for: lists of indices, indices, or for iterable data sets just a next."""
        if not self.is_iterable:
            return iter(self._indices())
        return iter(lambda: (), None)


def _batches_here(fetch: Fetch, requests: Iterator[Any]) -> Iterator[Any]:
    fetch.begin()
    for request in requests:
        try:
            batch = fetch(request)
        except StopIteration:
            return
        yield batch


class IndexedFetch:
    """Batches of a data set by lists of indices."""

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
    """Batches of what an iterable data set gives, one after the other."""

    def __init__(
        self, dataset: Any, batch_size: int | None, drop_last: bool, collate: Callable[..., Any]
    ) -> None:
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate = collate
        self._samples: Iterator[Any] = iter(())

    def begin(self) -> None:
        """Start a pass over the data set."""
        self._samples = iter(self.dataset)

    def __call__(self, request: Any) -> Any:
        """The next batch. Raises: StopIteration after the last."""
        if self.batch_size is None:
            return self.collate(next(self._samples))
        batch = list(itertools.islice(self._samples, self.batch_size))
        if not batch or (self.drop_last and len(batch) < self.batch_size):
            raise StopIteration
        return self.collate(batch)
