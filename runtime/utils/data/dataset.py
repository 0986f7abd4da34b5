"""Data sets: what gives a sample for an index, or one sample after the other."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from ...core.creation import tensor as _tensor
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.sampling import randperm
from ...random import Generator, default_generator

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """Samples by index. Subclasses give `__getitem__(index)`, and `__len__` for most uses."""

    def __getitem__(self, index: Any) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} gives no __getitem__.")

    def __add__(self, other: Dataset[Any]) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Sample]):
    """Samples one after the other. Subclasses give `__iter__`.

    With several workers each iterates its own copy; `get_worker_info()` tells them apart.
    """

    def __iter__(self) -> Iterator[Sample]:
        raise NotImplementedError(f"{type(self).__name__} gives no __iter__.")

    def __add__(self, other: Dataset[Any]) -> ChainDataset:  # type: ignore[override]
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Slices of tensors along dimension 0: sample k is (tensors[0][k], tensors[1][k], ...).

    Raises: ShapeError if the first sizes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        sizes = {t.shape[0] if t.ndim else None for t in tensors}
        if len(sizes) != 1 or None in sizes:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors) or "no tensor"
            raise ShapeError(f"TensorDataset: expected tensors with one first size. Got {shapes}.")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class StackDataset(Dataset[Any]):
    """Samples of several data sets side by side: tuples, or dicts if given by keyword.

    Raises: ValueError if the lengths differ.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: expected data sets, all by position or all by keyword.")
        self.datasets: Any = args or kwargs
        found = list(args or kwargs.values())
        lengths = {len(d) for d in found}
        if len(lengths) != 1:
            raise ValueError(f"StackDataset: expected one length. Got {[len(d) for d in found]}.")
        (self._length,) = lengths

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset[Any]):
    """Data sets one behind the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set. Got none.")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise ValueError("ConcatDataset: expected data sets with a length. Use ChainDataset.")
        self.cumulative_sizes = list(itertools.accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"ConcatDataset: expected an index from {-len(self)} to {len(self) - 1}. Got "
                f"{index}."
            )
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - ([0, *self.cumulative_sizes][which])]


class ChainDataset(IterableDataset[Any]):
    """Iterable data sets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[k] for k in index]]
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = default_generator
) -> list[Subset[Any]]:
    """`dataset` at random in parts of `lengths`, or of shares that add up to 1.

    What rounding leaves over goes to the first parts. Raises: ValueError if lengths do not fit.
    """
    counts = [int(n) for n in lengths]
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        counts = [math.floor(len(dataset) * share) for share in lengths]
        for k in range(len(dataset) - sum(counts)):
            counts[k % len(counts)] += 1
    if sum(counts) != len(dataset):
        raise ValueError(
            f"random_split: expected lengths that add up to {len(dataset)}, or shares that add up "
            f"to 1. Got {list(lengths)}."
        )
    order = randperm(sum(counts), generator=generator).tolist()
    ends = list(itertools.accumulate(counts))
    return [Subset(dataset, order[e - n : e]) for e, n in zip(ends, counts, strict=True)]


def gathered(dataset: Any, indices: Sequence[int]) -> list[Tensor] | None:
    """What `default_collate` would make of the samples at `indices`, by one indexing operation per
    tensor; None for data sets that do not allow it."""
    kind = type(dataset)
    if kind.__getitem__ is TensorDataset.__getitem__:
        if any(t.requires_grad for t in dataset.tensors):
            return None
        index = _tensor(indices)
        return [t[index] for t in dataset.tensors]
    if kind.__getitem__ is Subset.__getitem__:
        return gathered(dataset.dataset, [dataset.indices[k] for k in indices])
    return None
