"""The transforms as functions, by torchvision's names, for all kinds of a sample."""

from __future__ import annotations

from .color import *
from .conversion import *
from .geometry import *
from .places import *
