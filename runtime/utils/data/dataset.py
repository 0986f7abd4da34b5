"""Data sets: what gives a sample for an index, or one sample after the other."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from ...core.creation import tensor as _tensor
from ...core.tensor import Tensor
from ...errors import DatasetError
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

    Raises: DatasetError if the first sizes differ.
    """

    def __init__(self, *tensors: Tensor) -> None:
        sizes = {t.shape[0] if t.ndim else None for t in tensors}
        if len(sizes) != 1 or None in sizes:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors) or "no tensor"
            raise DatasetError(
                f"TensorDataset: expected tensors with one first size. Got {shapes}."
            )
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

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples at `indices`, by the data sets' own `__getitems__` where they have one.

        Raises: ValueError if one of them gives more or fewer samples.
        """
        if isinstance(self.datasets, dict):
            columns = [_items(dataset, indices) for dataset in self.datasets.values()]
            return [dict(zip(self.datasets, r, strict=True)) for r in zip(*columns, strict=True)]
        columns = [_items(dataset, indices) for dataset in self.datasets]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return self._length


def _items(dataset: Any, indices: Sequence[int]) -> Sequence[Any]:
    """The samples of `dataset` at `indices`, at once if it has `__getitems__`."""
    if not callable(getattr(dataset, "__getitems__", None)):
        return [dataset[k] for k in indices]
    items: Sequence[Any] = dataset.__getitems__(indices)
    if len(items) != len(indices):
        raise ValueError(
            f"{type(dataset).__name__}.__getitems__: expected {len(indices)} samples. Got "
            f"{len(items)}."
        )
    return items


class ConcatDataset(Dataset[Any]):
    """Data sets one behind the other.

    Raises: DatasetError for no data set, or an iterable one.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DatasetError("ConcatDataset: expected at least one data set. Got none.")
        if any(isinstance(d, IterableDataset) for d in self.datasets):
            raise DatasetError("ConcatDataset: expected data sets with a length. Use ChainDataset.")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """The lengths of data sets, added up."""
        return list(itertools.accumulate(len(dataset) for dataset in sequence))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            # PyTorch's classes: loops over a data set end by the IndexError.
            raise (ValueError if index < 0 else IndexError)(
                f"ConcatDataset: expected an index from {-len(self)} to {len(self) - 1}. Got "
                f"{index}."
            )
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - ([0, *self.cumulative_sizes][which])]


class ChainDataset(IterableDataset[Any]):
    """Iterable data sets one after the other.

    Raises: DatasetError, once it is reached, for a data set that is not iterable.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise DatasetError(
                    "ChainDataset: expected IterableDatasets. Got a "
                    f"{type(dataset).__name__}. Use ConcatDataset."
                )
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._checked())

    def __len__(self) -> int:
        return sum(map(len, self._checked()))


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`.

    Raises: NotImplementedError for a subclass with `__getitem__` of its own that does not give
    `__getitems__` too, which a DataLoader calls.
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        own = type(self)
        if own.__getitem__ is not Subset.__getitem__ and own.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{own.__name__}: expected __getitems__ beside __getitem__. Got the latter alone. "
                "Add: def __getitems__(self, indices): return [self[k] for k in indices]"
            )
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[k] for k in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """The samples at several places, at once if the data set can."""
        chosen = [self.indices[k] for k in indices]
        if callable(getattr(self.dataset, "__getitems__", None)):
            return self.dataset.__getitems__(chosen)
        return [self.dataset[k] for k in chosen]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = default_generator
) -> list[Subset[Any]]:
    """`dataset` at random in parts of `lengths`, or of shares that add up to 1.

    What rounding leaves over goes to the first parts. Warns of parts that rounding leaves empty.
    Raises: ValueError if lengths do not fit.
    """
    counts: Sequence[Any] = lengths
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        counts = _counts_of_shares(len(dataset), lengths)
    if sum(counts) != len(dataset):
        raise ValueError(
            f"random_split: expected lengths that add up to {len(dataset)}, or shares that add up "
            f"to 1. Got {list(lengths)}."
        )
    order = randperm(sum(counts), generator=generator).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[e - n : e]) for e, n in zip(ends, counts, strict=True)]


def _counts_of_shares(total: int, shares: Sequence[float]) -> list[int]:
    if any(not 0 <= share <= 1 for share in shares):
        raise ValueError(f"random_split: expected shares from 0 to 1. Got {list(shares)}.")
    counts = [math.floor(total * share) for share in shares]
    for k in range(total - sum(counts)):
        counts[k % len(counts)] += 1
    empty = [k for k, count in enumerate(counts) if count == 0]
    if empty:
        warnings.warn(
            f"random_split: {list(shares)} of {total} samples leaves part {empty[0]} empty.",
            stacklevel=3,
        )
    return counts


def gathered(dataset: Any, indices: Sequence[int]) -> list[Tensor] | None:
    """What `default_collate` would make of the samples at `indices`, by one indexing operation per
    tensor; None for data sets that do not allow it."""
    kind = type(dataset)
    if kind.__getitem__ is TensorDataset.__getitem__:
        if any(t.requires_grad for t in dataset.tensors):
            return None
        index = _tensor(indices)
        return [t[index] for t in dataset.tensors]
    if kind.__getitem__ is Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
        return gathered(dataset.dataset, [dataset.indices[k] for k in indices])
    return None
