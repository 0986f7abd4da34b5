"""A data set that tells each sample's number."""

from __future__ import annotations

from typing import Any

from ..utils.data.dataset import Dataset


class NumberedDataset(Dataset[Any]):
    """The samples of `dataset`, each a tuple that ends with its number, for a `TeacherCache`.

    Example:
        >>> loader = DataLoader(distillation.NumberedDataset(train), batch_size=64, shuffle=True)
        >>> for x, y, ids in loader:
        ...     loss = distiller(x, y, ids=ids)
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        sample = self.dataset[index]
        return (*(sample if isinstance(sample, tuple | list) else (sample,)), index)
