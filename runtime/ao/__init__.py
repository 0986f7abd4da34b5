"""Architecture optimization: quantization, under PyTorch's module names."""

from . import nn as nn
from . import quantization as quantization
