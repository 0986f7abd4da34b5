"""DataLoader: batches of a data set, made here or by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import Any

from ... import accelerator
from ...random import Generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import Fetch, IndexedFetch, IterableFetch
from .iterators import LoaderIterator, LocalIterator, WorkersIterator
from .sampler import BatchSampler, InfiniteSampler, RandomSampler, SequentialSampler

FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
"""Attributes that say nothing anymore once the samplers are made."""

# Under these names libraries ask which kind is at work.
_BaseDataLoaderIter = LoaderIterator
_SingleProcessDataLoaderIter = LocalIterator
_MultiProcessingDataLoaderIter = WorkersIterator


class DataLoader:
    """Batches of `dataset`, in order or shuffled.

    `batch_size` None hands out single samples. `num_workers` processes prepare `prefetch_factor`
    batches (default 2) each ahead of time and hand arrays over in shared memory; they are started
    for each pass, or once if `persistent_workers`. With `in_order` (the default) the order depends
    on the seed alone, never on workers; without it, batches come as they are ready. Worker k seeds
    Python's, NumPy's and our generators by a base seed plus k, then calls `worker_init_fn(k)`.
    `timeout` (s) limits the wait for a batch; 0 is no limit. With `pin_memory` and a GPU, batches
    lie in page-locked memory, from which `to("cuda", non_blocking=True)` copies beside other work.

    Raises: ValueError for options that exclude each other; in a pass what the data set raises, a
    worker's with its traceback as message; RuntimeError if a worker dies or takes too long.

    Example:
        >>> data = TensorDataset(torch.arange(5))
        >>> [x.tolist() for x, in DataLoader(data, batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    _is_made = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
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
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers > 0 else prefetch_factor
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self._is_iterable = isinstance(dataset, IterableDataset)
        self._require_valid(shuffle, sampler, batch_sampler, batch_size, drop_last)
        self.multiprocessing_context = multiprocessing_context
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None:
            sampler = self._default_sampler(bool(shuffle))
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self.batch_size, self.drop_last = batch_size, drop_last
        default = default_collate if self._auto_collation else default_convert
        self.collate_fn = default if collate_fn is None else collate_fn
        self._iterator: LoaderIterator | None = None  # of persistent workers
        self._promised_length: int | None = None  # what len() told of an iterable data set
        self._is_made = True
        _warn_of_many_workers(num_workers)

    def _default_sampler(self, shuffle: bool) -> Iterable[Any]:
        if self._is_iterable:
            return InfiniteSampler()
        if shuffle:
            return RandomSampler(self.dataset, generator=self.generator)
        return SequentialSampler(self.dataset)

    def _require_valid(
        self, shuffle: Any, sampler: Any, batch_sampler: Any, batch_size: Any, drop_last: bool
    ) -> None:
        without = self.num_workers == 0
        exclusive = [
            (self.num_workers < 0, f"num_workers of at least 0. Got {self.num_workers}"),
            (self.timeout < 0, f"a timeout of at least 0 s. Got {self.timeout}"),
            (
                self.prefetch_factor is not None and without,
                "prefetch_factor only with num_workers above 0. Got 0 workers",
            ),
            (
                self.prefetch_factor is not None and self.prefetch_factor < 1,
                f"a prefetch_factor of at least 1. Got {self.prefetch_factor}",
            ),
            (
                self.persistent_workers and without,
                "persistent_workers only with num_workers above 0. Got 0 workers",
            ),
            (
                self._is_iterable and (shuffle or sampler is not None or batch_sampler is not None),
                "no shuffle and no sampler with an IterableDataset, which orders itself. Got one",
            ),
            (sampler is not None and bool(shuffle), "either a sampler or shuffle. Got both"),
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

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How workers are started; None is the program's default, on Linux forking."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        methods = multiprocessing.get_all_start_methods()
        if context is not None and self.num_workers == 0:
            raise ValueError(
                "DataLoader: expected multiprocessing_context only with num_workers above 0. Got 0 "
                "workers."
            )
        if isinstance(context, str):
            if context not in methods:
                raise ValueError(f"DataLoader: expected a context of {methods}. Got {context!r}.")
            context = multiprocessing.get_context(context)
        if context is not None and not isinstance(context, BaseContext):
            raise TypeError(
                f"DataLoader: expected a multiprocessing context or one of {methods}. Got "
                f"{context!r}."
            )
        self._context = context

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_made and name in FIXED:
            raise ValueError(
                f"{type(self).__name__}: expected {name} when it is made. Got it later, when it "
                "has no effect. Make a new one."
            )
        super().__setattr__(name, value)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.batch_sampler if self.batch_sampler is not None else self.sampler

    def __len__(self) -> int:
        """The number of batches, or of samples without a batch size; for an iterable data set by
        its len(). Raises: TypeError if the data set or sampler has no len()."""
        if not self._is_iterable:
            return len(self._index_sampler)  # type: ignore[arg-type]
        count = self._promised_length = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def _fetch(self) -> Fetch:
        """How a batch is made; worker processes get it whole."""
        batched, collate = self._auto_collation, self.collate_fn
        if self._is_iterable:
            return IterableFetch(self.dataset, batched, self.drop_last, collate)
        return IndexedFetch(self.dataset, batched, collate)

    def __iter__(self) -> LoaderIterator:
        """A pass. With persistent workers it is the same object each time, begun anew."""
        self._warn_of_pinning()
        if self.num_workers == 0:
            if self.timeout:
                raise ValueError("DataLoader: expected a timeout only with workers. Got 0 workers.")
            return LocalIterator(self)
        if not self.persistent_workers:
            return WorkersIterator(self)
        if isinstance(self._iterator, WorkersIterator) and self._iterator.is_usable():
            self._iterator.reset(self)
        else:
            self._iterator = WorkersIterator(self)
        return self._iterator

    def _warn_of_pinning(self) -> None:
        if self.pin_memory and not accelerator.is_available():
            warnings.warn(
                "DataLoader: pin_memory has no effect without a GPU.",
                stacklevel=3,
            )


def _warn_of_many_workers(count: int) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores is not None and count > cores:
        warnings.warn(
            f"DataLoader: {count} workers are more than the {cores} processors that this process "
            "may use. Fewer are often faster.",
            stacklevel=3,
        )
