"""Models for images: their classes, builders and published weights, by torchvision's names."""

from __future__ import annotations

from . import detection as detection
from . import feature_extraction as feature_extraction
from . import segmentation as segmentation
from .alexnet import *
from .convnext import *
from .densenet import *
from .efficientnet import *
from .mobilenetv2 import *
from .mobilenetv3 import *
from .registry import *
from .registry import weights_of_module
from .resnet import *
from .shufflenetv2 import *
from .squeezenet import *
from .vgg import *
from .vision_transformer import *
from .weights import *
from .weights import ENUMS

__getattr__ = weights_of_module(__name__)


def __dir__() -> list[str]:
    """With the enumerations of weights, ResNet18_Weights and its kin."""
    return sorted({*globals(), *(enum.__name__ for enum in ENUMS.values())})
