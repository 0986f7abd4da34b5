"""SVHN: digits of house numbers, in MATLAB's files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .dataset import Transform, VisionDataset, require_files

__all__ = ["SVHN"]

SPLITS = ("train", "test", "extra")
TEN = 10  # which stands for the digit 0 in the files


class SVHN(VisionDataset):
    """Photographs 32 x 32 of digits, 73,257 in `split` train, 26,032 in test and 531,131 in extra;
    an item is a PIL image and the digit. The file `split`_32x32.mat is sought in `root`."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if split not in SPLITS:
            raise ValueError(f"SVHN: expected a split of {', '.join(SPLITS)}. Got {split!r}.")
        from scipy.io import loadmat

        self.split = split
        file = f"{split}_32x32.mat"
        source = "It is published by Stanford University, format 2, cropped digits."
        found = require_files("SVHN", [Path(self.root)], [file], source)
        whole = loadmat(str(found / file))
        self.data = np.transpose(whole["X"], (3, 2, 0, 1))
        digits = whole["y"].astype(np.int64).reshape(-1)
        self.labels = np.where(digits == TEN, 0, digits)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = Image.fromarray(np.ascontiguousarray(self.data[index].transpose(1, 2, 0)))
        return self.transforms(image, int(self.labels[index]))

    def extra_repr(self) -> str:
        """The split."""
        return f"Split: {self.split}"
