"""Quantization under the name that PyTorch had for it first; see `ao.quantization`."""

from .ao.quantization import *
