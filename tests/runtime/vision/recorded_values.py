"""What torchvision made of the same seeds and boxes, see tests/runtime/recorded/vision.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "recorded" / "vision.json").read_text()
)
