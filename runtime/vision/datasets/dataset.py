"""What data sets of images have in common: a root, transforms, and a word on where data comes
from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...utils.data import Dataset

Transform = Callable[..., Any]


class StandardTransform:
    """A transform of the image and one of the target."""

    def __init__(
        self, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.transform, self.target_transform = transform, target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target


class VisionDataset(Dataset[Any]):
    """Pairs of an image and a target in the folder `root`: `transform` of images and
    `target_transform` of targets, or `transforms` of both."""

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Transform | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if transforms is not None and (transform or target_transform):
            raise ValueError(
                f"{type(self).__name__}: expected transforms of both, or transform and "
                "target_transform. Got both."
            )
        self.root = os.path.expanduser(root) if root is not None else ""
        self.transform, self.target_transform = transform, target_transform
        self.transforms = transforms or StandardTransform(transform, target_transform)

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no length.")

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root:
            lines.append(f"    Root location: {self.root}")
        return "\n".join([*lines, *(f"    {line}" for line in self.extra_repr().splitlines())])

    def extra_repr(self) -> str:
        """More lines for the repr."""
        return ""


class Numbered(VisionDataset):
    """A data set whose `classes` are names in the order of their numbers, in two parts."""

    classes: Any
    train: bool

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: k for k, name in enumerate(self.classes)}

    def extra_repr(self) -> str:
        """The part."""
        return f"Split: {'Train' if self.train else 'Test'}"


def require_files(name: str, folders: list[Path], files: list[str], source: str) -> Path:
    """The first of `folders` that has all `files`, as they are or packed with gzip.

    Raises: FileNotFoundError that tells what to put where; nothing is downloaded.
    """
    for folder in folders:
        if all((folder / f).exists() or (folder / f"{f}.gz").exists() for f in files):
            return folder
    raise FileNotFoundError(
        f"{name}: expected {', '.join(files)} (or .gz) in {folders[0]}. They are not there, and "
        f"nothing is downloaded: put them there. {source}"
    )
