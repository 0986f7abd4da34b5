"""CIFAR-10 and CIFAR-100: small photographs, in batches of pickled arrays."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from .dataset import Numbered, Transform, require_files

__all__ = ["CIFAR10", "CIFAR100"]

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    """Arrays, texts and numbers; nothing else that a file may name is called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"CIFAR: expected arrays alone in the file. Got {module}.{name}, which is not loaded."
        )


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        return _Arrays(file, encoding="latin1").load()


class CIFAR10(Numbered):
    """Photographs 32 x 32 of ten classes: 50,000 to train on, 10,000 to test. An item is a PIL
    image and a number. Files are sought in `root`/cifar-10-batches-py."""

    folder = "cifar-10-batches-py"
    parts: ClassVar = {True: [f"data_batch_{k}" for k in range(1, 6)], False: ["test_batch"]}
    meta, key, names = "batches.meta", "labels", "label_names"

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        home = Path(self.root)
        files = [*self.parts[train], self.meta]
        source = "It is the python version of what the University of Toronto publishes, unpacked."
        found = require_files(type(self).__name__, [home / self.folder, home], files, source)
        batches = [_read(found / file) for file in self.parts[train]]
        images = np.concatenate([batch["data"] for batch in batches])
        self.data = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.targets: list[int] = [label for batch in batches for label in batch[self.key]]
        self.classes: list[str] = _read(found / self.meta)[self.names]

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transforms(Image.fromarray(self.data[index]), self.targets[index])


class CIFAR100(CIFAR10):
    """The same of a hundred classes, in `root`/cifar-100-python."""

    folder = "cifar-100-python"
    parts: ClassVar = {True: ["train"], False: ["test"]}
    meta, key, names = "meta", "fine_labels", "fine_label_names"
