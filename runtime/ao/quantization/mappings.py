"""Which layers become which."""

from __future__ import annotations

from typing import Any

from ...nn import modules as nn
from ...nn.modules.linear import NonDynamicallyQuantizableLinear
from ..nn import intrinsic, qat, quantized
from ..nn.intrinsic import qat as fused_qat
from ..nn.intrinsic import quantized as fused
from ..nn.quantized import dynamic
from ..nn.quantized.requantizing import MADE
from .stubs import DeQuantStub, QuantStub

STATIC: dict[type[nn.Module], Any] = {
    QuantStub: quantized.Quantize, DeQuantStub: quantized.DeQuantize,
    nn.Conv1d: quantized.Conv1d, nn.Conv2d: quantized.Conv2d, nn.Conv3d: quantized.Conv3d,
    nn.ConvTranspose1d: quantized.ConvTranspose1d, nn.ConvTranspose2d: quantized.ConvTranspose2d,
    nn.ConvTranspose3d: quantized.ConvTranspose3d,
    nn.Linear: quantized.Linear, NonDynamicallyQuantizableLinear: quantized.Linear,
    nn.Embedding: quantized.Embedding, nn.EmbeddingBag: quantized.EmbeddingBag,
    quantized.FloatFunctional: quantized.QFunctional,
    intrinsic.ConvReLU1d: fused.ConvReLU1d, intrinsic.ConvReLU2d: fused.ConvReLU2d,
    intrinsic.ConvReLU3d: fused.ConvReLU3d, intrinsic.LinearReLU: fused.LinearReLU,
    intrinsic.BNReLU2d: fused.BNReLU2d, intrinsic.BNReLU3d: fused.BNReLU3d,
    qat.Linear: quantized.Linear, qat.Conv1d: quantized.Conv1d, qat.Conv2d: quantized.Conv2d,
    qat.Conv3d: quantized.Conv3d, qat.Embedding: quantized.Embedding,
    qat.EmbeddingBag: quantized.EmbeddingBag, fused_qat.LinearBn1d: quantized.Linear,
    fused_qat.LinearReLU: fused.LinearReLU, fused_qat.ConvReLU1d: fused.ConvReLU1d,
    fused_qat.ConvReLU2d: fused.ConvReLU2d, fused_qat.ConvReLU3d: fused.ConvReLU3d,
    fused_qat.ConvBn1d: quantized.Conv1d, fused_qat.ConvBn2d: quantized.Conv2d,
    fused_qat.ConvBn3d: quantized.Conv3d, fused_qat.ConvBnReLU1d: fused.ConvReLU1d,
    fused_qat.ConvBnReLU2d: fused.ConvReLU2d, fused_qat.ConvBnReLU3d: fused.ConvReLU3d,
    **MADE,
}  # fmt: skip
"""What `convert` makes of a prepared layer."""

TRAINED: dict[type[nn.Module], Any] = {
    nn.Linear: qat.Linear, nn.Conv1d: qat.Conv1d, nn.Conv2d: qat.Conv2d, nn.Conv3d: qat.Conv3d,
    nn.Embedding: qat.Embedding, nn.EmbeddingBag: qat.EmbeddingBag,
    NonDynamicallyQuantizableLinear: qat.Linear,
    **{
        getattr(intrinsic, name): getattr(fused_qat, name)
        for name in fused_qat.__all__ if hasattr(intrinsic, name)
    },
}  # fmt: skip
"""What `prepare_qat` makes of a layer."""

DYNAMIC: dict[type[nn.Module], Any] = {
    nn.Linear: dynamic.Linear, NonDynamicallyQuantizableLinear: dynamic.Linear,
    intrinsic.LinearReLU: fused.DynamicLinearReLU, nn.LSTM: dynamic.LSTM, nn.GRU: dynamic.GRU,
    nn.LSTMCell: dynamic.LSTMCell, nn.GRUCell: dynamic.GRUCell, nn.RNNCell: dynamic.RNNCell,
    nn.Embedding: quantized.Embedding, nn.EmbeddingBag: quantized.EmbeddingBag,
}  # fmt: skip
"""What `quantize_dynamic` makes of a layer."""


def get_default_static_quant_module_mappings() -> dict[Any, Any]:
    """A copy of what `convert` makes of which layer."""
    return dict(STATIC)


def get_default_qat_module_mappings() -> dict[Any, Any]:
    """A copy of what `prepare_qat` makes of which layer."""
    return dict(TRAINED)


def get_default_dynamic_quant_module_mappings() -> dict[Any, Any]:
    """A copy of what `quantize_dynamic` makes of which layer."""
    return dict(DYNAMIC)
