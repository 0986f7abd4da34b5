"""Writes vision_transforms.json: images that torchvision 0.28 makes of one small image.

Run by hand where torchvision is installed:
`PYTHONPATH=. python -m tests.runtime.recorded.vision_transforms`.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from ..vision.transform_cases import CASES, forms, seeded

PLACE = Path(__file__).with_name("vision_transforms.json")


def kept(result: Any) -> dict[str, Any]:
    """Type, shape and packed bytes; floats in thousandths of the range."""
    array = np.asarray(result) if isinstance(result, Image.Image) else result.numpy()
    if array.dtype.kind == "f":
        array = (array * 10_000).round().astype(np.int32)
    packed = base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "bytes": packed}


if __name__ == "__main__":
    rows = {}
    for name, (kinds, make) in CASES.items():
        for kind, image in forms(torch, transforms).items():
            if kind in kinds:
                rows[f"{name} {kind}"] = kept(seeded(torch, make(transforms), image))
    PLACE.write_text(json.dumps(rows, indent=0) + "\n")
