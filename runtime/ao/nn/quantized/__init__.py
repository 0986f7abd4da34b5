"""Layers of quantized tensors: PyTorch's `torch.ao.nn.quantized`."""

from __future__ import annotations

from . import dynamic as dynamic
from .conv import Conv1d, Conv2d, Conv3d
from .ends import DeQuantize, Embedding, EmbeddingBag, Quantize
from .functional_modules import FloatFunctional, FXFloatFunctional, QFunctional
from .linear import Linear
from .requantizing import *
from .requantizing import __all__ as _requantizing

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "DeQuantize", "Embedding", "EmbeddingBag", "FXFloatFunctional",
    "FloatFunctional", "Linear", "QFunctional", "Quantize", *_requantizing,
]  # fmt: skip
