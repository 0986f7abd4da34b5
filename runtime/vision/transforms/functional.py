"""The transforms as functions, by torchvision's name of their module."""

from __future__ import annotations

from .color import *
from .conversion import *
from .geometry import *
