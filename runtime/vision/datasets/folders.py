"""Images sorted into folders, one a class; and images of noise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from ... import Generator, randint, randn
from ..transforms.conversion import to_pil_image
from .dataset import Transform, VisionDataset

__all__ = ["DatasetFolder", "FakeData", "ImageFolder", "default_loader", "pil_loader"]

IMG_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp",
)  # fmt: skip


def has_file_allowed_extension(filename: str, extensions: str | Sequence[str]) -> bool:
    """Whether the name ends in one of `extensions`, in any case."""
    ends = (extensions,) if isinstance(extensions, str) else tuple(extensions)
    return filename.lower().endswith(ends)


def is_image_file(filename: str) -> bool:
    """Whether the name ends as those of images do."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def pil_loader(path: str) -> Any:
    """The file as a PIL image in RGB."""
    with open(path, "rb") as file, Image.open(file) as image:
        return image.convert("RGB")


default_loader = pil_loader


class DatasetFolder(VisionDataset):
    """Files `root`/class/.../name whose names end in one of `extensions`, or that `is_valid_file`;
    an item is what `loader` reads and the number of the class, in order of the names of folders.

    Raises: FileNotFoundError if there are no folders, or one of them has no file unless
    `allow_empty`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: Sequence[str] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if (extensions is None) == (is_valid_file is None):
            raise ValueError(f"{type(self).__name__}: expected either extensions or is_valid_file.")
        self.loader, self.extensions = loader, extensions
        self.classes, self.class_to_idx = self.find_classes(self.root)
        ends = tuple(extensions or ())
        is_valid = is_valid_file or (lambda path: has_file_allowed_extension(path, ends))
        self.samples = [
            (path, number)
            for name, number in self.class_to_idx.items()
            for path in _files(os.path.join(self.root, name), is_valid)
        ]
        self.targets = [number for _, number in self.samples]
        empty = [name for name, k in self.class_to_idx.items() if k not in set(self.targets)]
        if empty and not allow_empty:
            wanted = f" ending in {', '.join(ends)}" if ends else ""
            raise FileNotFoundError(
                f"{type(self).__name__}: expected files{wanted} in each folder of {self.root}. "
                f"Got none in {', '.join(empty)}."
            )

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        """The names of the folders, and the number of each."""
        if not os.path.isdir(directory):
            raise FileNotFoundError(f"{type(self).__name__}: there is no folder {directory}.")
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        if not names:
            raise FileNotFoundError(
                f"{type(self).__name__}: expected a folder for each class in {directory}. Got none."
            )
        return names, {name: k for k, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self.transforms(self.loader(path), target)


def _files(folder: str, is_valid: Callable[[str], bool]) -> list[str]:
    found = []
    for where, _, names in sorted(os.walk(folder, followlinks=True)):
        paths = (os.path.join(where, name) for name in sorted(names))
        found += [path for path in paths if is_valid(path)]
    return found


class ImageFolder(DatasetFolder):
    """Images `root`/class/name.png and other formats, as PIL images in RGB."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        ends = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(
            root, loader, ends, transform, target_transform, is_valid_file, allow_empty
        )
        self.imgs = self.samples


class FakeData(VisionDataset):
    """`size` images of noise with classes drawn at random, the same at each reading."""

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.image_size = size, image_size
        self.num_classes, self.random_offset = num_classes, random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= self.size:
            raise IndexError(f"FakeData: expected an index below {self.size}. Got {index}.")
        generator = Generator().manual_seed(index + self.random_offset)
        image = randn(*self.image_size, generator=generator)
        target = int(randint(0, self.num_classes, (1,), generator=generator))
        return self.transforms(to_pil_image(image), target)
