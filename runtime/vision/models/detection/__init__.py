"""Detectors, and the measure of how well they detect."""

from __future__ import annotations

from .average_precision import mean_average_precision as mean_average_precision
from .yolo import *
