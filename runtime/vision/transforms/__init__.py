"""Transforms of images, PIL's or tensors, by torchvision's names."""

from __future__ import annotations

from . import functional as functional
from . import v2 as v2
from .augmentation import *
from .chance import *
from .composition import *
from .conversion import InterpolationMode as InterpolationMode
from .crops import *
from .fixed import *
from .moves import *
from .policies import *
