"""Models for images: their classes, builders and published weights, by torchvision's names."""

from __future__ import annotations

from typing import Any as _Any

from . import detection as detection
from .alexnet import *
from .convnext import *
from .densenet import *
from .efficientnet import *
from .mobilenetv2 import *
from .mobilenetv3 import *
from .registry import *
from .resnet import *
from .shufflenetv2 import *
from .squeezenet import *
from .vgg import *
from .vision_transformer import *
from .weights import *
from .weights import ENUMS as _ENUMS

_WEIGHTS = {enum.__name__: enum for enum in _ENUMS.values()}


def __getattr__(name: str) -> _Any:
    """The enumerations of weights, ResNet18_Weights and its kin."""
    if name in _WEIGHTS:
        return _WEIGHTS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_WEIGHTS})
