"""Models, operations, transforms and data sets for images, with torchvision's names.

`import flambeau.vision as torchvision`; in a session `import torchvision` finds it too, where
torchvision itself is not installed.
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

__version__ = "0.28.0"
"""The release of torchvision whose names and results these are."""

_LAZY_MODULES = ("datasets", "io", "models", "ops", "transforms", "tv_tensors", "utils")


def __getattr__(name: str) -> _Any:
    if name in _LAZY_MODULES:
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES})
