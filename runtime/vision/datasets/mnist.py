"""MNIST and what has its format: IDX files of images and labels."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from ... import from_numpy
from .dataset import Numbered, Transform, require_files

__all__ = ["KMNIST", "MNIST", "FashionMNIST"]

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""The third byte of an IDX file: what its elements are."""
PARTS = {True: "train", False: "t10k"}


def read_idx(path: Path) -> Any:
    """The array of an IDX file, packed or not. Raises: ValueError for another format."""
    packed = path.with_name(path.name + ".gz")
    whole = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    if len(whole) < 4 or whole[:2] != b"\0\0" or whole[2] not in TYPES:
        raise ValueError(f"{path.name}: expected an IDX file. Got one that begins {whole[:4]!r}.")
    rank = whole[3]
    shape = np.frombuffer(whole, ">i4", rank, 4)
    flat = np.frombuffer(whole, TYPES[whole[2]], offset=4 + 4 * rank)
    if flat.size != int(np.prod(shape)):
        raise ValueError(
            f"{path.name}: expected {tuple(shape)} elements. Got {flat.size}; the file is cut off."
        )
    return flat.reshape(shape).astype(flat.dtype.newbyteorder("="))


class MNIST(Numbered):
    """Images 28 x 28 of ten classes: 60,000 to train on, 10,000 to test. An item is a PIL image and
    a number.

    Files are sought in `root`/MNIST/raw and in `root` itself, packed with gzip or not:
    train-images-idx3-ubyte, train-labels-idx1-ubyte, and t10k-... for tests.
    """

    classes: ClassVar = [
        "0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six",
        "7 - seven", "8 - eight", "9 - nine",
    ]  # fmt: skip
    source = "They are handwritten digits, published by LeCun, Cortes and Burges."

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
        name = type(self).__name__
        files = [f"{PARTS[train]}-images-idx3-ubyte", f"{PARTS[train]}-labels-idx1-ubyte"]
        home = Path(self.root)
        self.folder = require_files(name, [home / name / "raw", home], files, self.source)
        images, labels = (read_idx(self.folder / file) for file in files)
        if len(images) != len(labels) or images.ndim != 3:
            raise ValueError(
                f"{name}: expected a label for each image. Got {images.shape} and {labels.shape}."
            )
        self.data, self.targets = from_numpy(images), from_numpy(labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transforms(Image.fromarray(self.data[index].numpy()), int(self.targets[index]))


class FashionMNIST(MNIST):
    """Articles of clothing in the format of MNIST. Source: arXiv:1708.07747."""

    classes: ClassVar = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
        "Ankle boot",
    ]  # fmt: skip
    source = "Debian has them as the package dataset-fashion-mnist; pass its folder as root."


class KMNIST(MNIST):
    """Old Japanese characters in the format of MNIST. Source: arXiv:1812.01718."""

    classes: ClassVar = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
    source = "They are published by the ROIS-DS Center for Open Data in the Humanities."
