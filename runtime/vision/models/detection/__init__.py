"""Detectors, and the measure of how well they detect."""

from __future__ import annotations

from ..registry import weights_of_module
from .average_precision import mean_average_precision as mean_average_precision
from .faster_rcnn import *
from .mask_rcnn import *
from .retinanet import *
from .yolo import *

__getattr__ = weights_of_module(__name__)
