"""Fused layers: PyTorch's `torch.ao.nn.intrinsic`; `qat` trains them, `quantized` runs them."""

from . import qat as qat
from . import quantized as quantized
from .fused import *
from .fused import __all__ as __all__
