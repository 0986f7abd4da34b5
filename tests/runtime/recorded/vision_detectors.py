"""Writes vision_detectors.json: torchvision 0.28's detectors and models of pixels.

Run by hand where torchvision is installed, with its compiled operations:
`PYTHONPATH=. python -m tests.runtime.recorded.vision_detectors`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torchvision import models, ops

from ..vision.detector_cases import COMPOUND, PIXELS, facts, of_pixels, results

PLACE = Path(__file__).with_name("vision_detectors.json")

if __name__ == "__main__":
    found = {
        "models": {name: facts(torch, models, name) for name in COMPOUND},
        "results": {
            name: results(torch, models, ops, name)
            for name in ("FasterRCNN", "MaskRCNN", "RetinaNet")
        },
        "pixels": {name: of_pixels(torch, models, name, options) for name, options in PIXELS},
    }
    PLACE.write_text(json.dumps(found) + "\n")
