"""Operations on boxes, regions and images that detectors need, and blocks of models."""

from __future__ import annotations

from .blocks import *
from .boxes import *
from .dropping import *
from .feature_pyramid_network import FeaturePyramidNetwork as FeaturePyramidNetwork
from .losses import *
from .regions import *
from .suppression import *
