"""The sampler that shares a data set out among the processes of a training run."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from typing import Any

from ...ops.sampling import randperm
from ...random import Generator
from .sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index of the data set from `rank` on, in one order for all processes.

    The order is shuffled by `seed` plus the epoch of `set_epoch`. All processes get equally many
    indices: the first ones come again at the end, or with `drop_last` the last ones are left out.
    Without `num_replicas` and `rank` the current process group is asked.

    Raises: RuntimeError if there is no process group to ask, ValueError for a rank outside
    0 .. num_replicas - 1.

    Example:
        >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = _process_group().get_world_size()
        if rank is None:
            rank = _process_group().get_rank()
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"DistributedSampler: expected a rank from 0 to {num_replicas - 1}. Got {rank}."
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        whole, rest = divmod(len(dataset), num_replicas)
        self.num_samples = whole + bool(rest and not drop_last)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = randperm(len(self.dataset), generator=generator).tolist()
        shared = itertools.islice(itertools.cycle(indices), self.total_size)
        return iter(list(shared)[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Shuffle the next pass by `epoch`; call it before each, with the same in all processes."""
        self.epoch = epoch


def _process_group() -> Any:
    try:
        distributed: Any = importlib.import_module("flambeau.distributed")
    except ModuleNotFoundError:
        distributed = None
    if distributed is None or not distributed.is_initialized():
        raise RuntimeError(
            "DistributedSampler: expected a process group, or num_replicas and rank. Got neither. "
            "Give both, or call init_process_group first."
        )
    return distributed
