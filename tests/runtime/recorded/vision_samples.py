"""Writes vision_samples.json: what torchvision 0.28 makes of samples with boxes and masks.

Run by hand where torchvision is installed:
`PYTHONPATH=. python -m tests.runtime.recorded.vision_samples`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..vision.sample_cases import results

PLACE = Path(__file__).with_name("vision_samples.json")

if __name__ == "__main__":
    PLACE.write_text(json.dumps(results(torch, v2, tv_tensors), indent=0) + "\n")
