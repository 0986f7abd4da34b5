"""Layers for training with fake quantization of their weights: PyTorch's `torch.ao.nn.qat`."""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...nn import modules as nn
from ...nn.functional import embedding, embedding_bag
from ...ops.linalg import linear

__all__ = ["Conv1d", "Conv2d", "Conv3d", "Embedding", "EmbeddingBag", "Linear"]


def take(made: Any, mod: Any, qconfig: Any) -> Any:
    """`made`, a new layer, with the attributes and parameters of `mod`, and what rounds its
    weights. Raises: RuntimeError for a layer without settings."""
    if qconfig is None:
        raise RuntimeError(
            f"prepare_qat: expected a {type(mod).__name__} with a qconfig. Got none. Set "
            "model.qconfig = get_default_qat_qconfig()."
        )
    made.__dict__.update({k: v for k, v in mod.__dict__.items() if k != "_modules"})
    made._modules = dict(mod._modules)
    made.qconfig = qconfig
    made.weight_fake_quant = qconfig.weight()
    return made


class _Trained:
    """What the layers share: `from_float`, and `to_float` with the rounding left out."""

    plain: Any
    qconfig: Any

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The layer that trains like `mod`, with its parameters."""
        made: Any = cls.__new__(cls)
        return take(made, mod, getattr(mod, "qconfig", None))

    def to_float(self) -> Any:
        """The plain layer with the same parameters."""
        own: Any = self
        made = self.plain.__new__(self.plain)
        made.__dict__.update({k: v for k, v in own.__dict__.items() if k != "_modules"})
        left_out = ("weight_fake_quant", "activation_post_process")
        made._modules = {k: m for k, m in own._modules.items() if k not in left_out}
        return made


class Linear(_Trained, nn.Linear):
    """`nn.Linear` whose weight is rounded by `weight_fake_quant`."""

    plain = nn.Linear
    weight_fake_quant: Any

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return linear(input, self.weight_fake_quant(self.weight), self.bias)


class _ConvForward(_Trained):
    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, ...) -> (N, out_channels, ...)."""
        own: Any = self
        return own._conv_forward(input, own.weight_fake_quant(own.weight), own.bias)


class Conv1d(_ConvForward, nn.Conv1d):
    """`nn.Conv1d` whose weight is rounded by `weight_fake_quant`."""

    plain = nn.Conv1d


class Conv2d(_ConvForward, nn.Conv2d):
    """`nn.Conv2d` whose weight is rounded by `weight_fake_quant`."""

    plain = nn.Conv2d


class Conv3d(_ConvForward, nn.Conv3d):
    """`nn.Conv3d` whose weight is rounded by `weight_fake_quant`."""

    plain = nn.Conv3d


class Embedding(_Trained, nn.Embedding):
    """`nn.Embedding` whose table is rounded by `weight_fake_quant`."""

    plain = nn.Embedding
    weight_fake_quant: Any

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (..., embedding_dim)."""
        return embedding(input, self.weight_fake_quant(self.weight), self.padding_idx)


class EmbeddingBag(_Trained, nn.EmbeddingBag):
    """`nn.EmbeddingBag` whose table is rounded by `weight_fake_quant`."""

    plain = nn.EmbeddingBag
    weight_fake_quant: Any

    def forward(self, input: Tensor, offsets: Any = None, per_sample_weights: Any = None) -> Tensor:
        """The bags of indices: (bags, embedding_dim)."""
        return embedding_bag(
            input, self.weight_fake_quant(self.weight), offsets,
            mode=self.mode, per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset, padding_idx=self.padding_idx,
        )  # fmt: skip
