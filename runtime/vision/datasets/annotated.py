"""Images with boxes and masks: readers of COCO's and Pascal VOC's files."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from PIL import Image

from .dataset import Transform, VisionDataset, require_files
from .folders import pil_loader

__all__ = ["CocoDetection", "VOCDetection", "VOCSegmentation"]


class CocoDetection(VisionDataset):
    """Images in `root` and the file of annotations `annFile`; an item is a PIL image and the list
    of its annotations as they stand in the file, with `bbox` (x, y, width, height) and
    `category_id`."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        annFile: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        whole = json.loads(Path(annFile).read_text(encoding="utf-8"))
        missing = [key for key in ("images", "annotations") if key not in whole]
        if missing:
            raise ValueError(
                f"CocoDetection: expected images and annotations in {annFile}. Got no "
                f"{' and no '.join(missing)}."
            )
        self.categories: dict[int, str] = {c["id"]: c["name"] for c in whole.get("categories", [])}
        self.files = {image["id"]: image["file_name"] for image in whole["images"]}
        self.annotations: dict[int, list[Any]] = defaultdict(list)
        for annotation in whole["annotations"]:
            self.annotations[annotation["image_id"]].append(annotation)
        self.ids = sorted(self.files)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        number = self.ids[index]
        image = pil_loader(os.path.join(self.root, self.files[number]))
        return self.transforms(image, self.annotations.get(number, []))


class _VOC(VisionDataset):
    """The images that ImageSets/`kind`/`image_set`.txt names in `root`/VOCdevkit/VOC`year`."""

    kind: str
    folder: str
    ending: str

    def __init__(
        self,
        root: str | os.PathLike[str],
        year: str = "2012",
        image_set: str = "train",
        download: bool = False,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        transforms: Transform | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        home = Path(self.root)
        places = [home / "VOCdevkit" / f"VOC{year}", home / f"VOC{year}", home]
        listing = f"ImageSets/{self.kind}/{image_set}.txt"
        source = f"They are in the archive of Pascal VOC {year}, unpacked."
        base = require_files(type(self).__name__, places, [listing], source)
        names = (base / listing).read_text(encoding="utf-8").split()
        self.images = [str(base / "JPEGImages" / f"{name}.jpg") for name in names]
        self.targets = [str(base / self.folder / f"{name}{self.ending}") for name in names]

    def target(self, path: str) -> Any:
        """What the file at `path` tells."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.transforms(pil_loader(self.images[index]), self.target(self.targets[index]))


class VOCDetection(_VOC):
    """Images and their annotations, nested dicts as the XML is nested; `object` is always a
    list."""

    kind, folder, ending = "Main", "Annotations", ".xml"

    def target(self, path: str) -> Any:
        """{"annotation": {...}}."""
        root = ElementTree.parse(path).getroot()
        return {root.tag: _nested(root)}


def _nested(node: Any) -> Any:
    children = list(node)
    if not children:
        return (node.text or "").strip()
    found: dict[str, Any] = {}
    for child in children:
        value = _nested(child)
        if child.tag == "object":
            found.setdefault("object", []).append(value)
        elif child.tag in found:
            before = found[child.tag]
            found[child.tag] = [*(before if isinstance(before, list) else [before]), value]
        else:
            found[child.tag] = value
    return found


class VOCSegmentation(_VOC):
    """Images and their masks, PIL images whose pixels number the classes, 255 the borders."""

    kind, folder, ending = "Segmentation", "SegmentationClass", ".png"

    def target(self, path: str) -> Any:
        """The mask."""
        with Image.open(path) as image:
            image.load()
            return image
