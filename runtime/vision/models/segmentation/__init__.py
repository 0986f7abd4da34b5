"""Models that tell the class of every pixel."""

from __future__ import annotations

from ..registry import weights_of_module
from .deeplabv3 import *
from .fcn import *
from .lraspp import *

__getattr__ = weights_of_module(__name__)
