"""Layers of quantized models, under PyTorch's module names."""

from . import intrinsic as intrinsic
from . import qat as qat
from . import quantized as quantized
