"""Layers whose weights have 8 bits and whose inputs are quantized as they come: PyTorch's
`torch.ao.nn.quantized.dynamic`.
"""

from __future__ import annotations

from .linear import DynamicLinear as Linear
from .recurrent import GRU, LSTM, GRUCell, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
