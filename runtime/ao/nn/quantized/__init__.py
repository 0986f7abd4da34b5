"""Layers of quantized tensors: PyTorch's `torch.ao.nn.quantized`."""

from __future__ import annotations

from ....nn.modules import Dropout, MaxPool2d, ReLU6
from . import dynamic as dynamic
from .conv import Conv1d, Conv2d, Conv3d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .ends import DeQuantize, Embedding, EmbeddingBag, Quantize
from .functional_modules import FloatFunctional, FXFloatFunctional, QFunctional
from .linear import Linear
from .requantizing import *
from .requantizing import __all__ as _requantizing

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "DeQuantize", "Dropout", "Embedding", "EmbeddingBag", "FXFloatFunctional", "FloatFunctional",
    "Linear", "MaxPool2d", "QFunctional", "Quantize", "ReLU6", *_requantizing,
]  # fmt: skip
