"""Where a quantized part of a model begins and ends, and layers that look rows up."""

from __future__ import annotations

from typing import Any

from ....core import dtypes
from ....core.creation import tensor, zeros
from ....core.tensor import Tensor
from ....nn.functional import embedding_bag
from ....nn.modules.module import Module
from ....ops.quantized import (
    codes_of,
    dequantize,
    is_quantized,
    quantize_per_channel,
    quantize_per_tensor,
)
from ..weights import quantized_weight
from .linear import output_parameters

__all__ = ["DeQuantize", "Embedding", "EmbeddingBag", "Quantize"]


class Quantize(Module):
    """Numbers -> a quantized tensor with the module's `scale`, `zero_point` and `dtype`."""

    scale: Any
    zero_point: Any

    def __init__(self, scale: float, zero_point: int, dtype: dtypes.dtype = dtypes.quint8) -> None:
        super().__init__()
        self.register_buffer("scale", tensor([scale]))
        self.register_buffer("zero_point", tensor([zero_point]))
        self.dtype = dtype

    def forward(self, X: Tensor) -> Tensor:
        """(...) -> (...)."""
        return quantize_per_tensor(X, self.scale.item(), self.zero_point.item(), self.dtype)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Quantize:
        """What becomes of a calibrated `QuantStub`."""
        return cls(*output_parameters(mod), mod.activation_post_process.dtype)

    def extra_repr(self) -> str:
        """Scale, zero point and dtype."""
        return f"scale={self.scale}, zero_point={self.zero_point}, dtype={self.dtype}"


class DeQuantize(Module):
    """A quantized tensor -> its values in float32."""

    def forward(self, Xq: Tensor) -> Tensor:
        """(...) -> (...)."""
        return dequantize(Xq) if is_quantized(Xq) else Xq

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> DeQuantize:
        """What becomes of a `DeQuantStub`."""
        return cls()


class _Lookup(Module):
    """A table of rows in 8 bits, each row with a scale and a zero point of its own."""

    _weight: Tensor

    def __init__(self, num_embeddings: int, embedding_dim: int, **options: Any) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.options = options
        ones = zeros(num_embeddings) + 1
        self.set_weight(
            quantize_per_channel(
                zeros(num_embeddings, embedding_dim), ones, zeros(num_embeddings), 0, dtypes.quint8
            )
        )

    def set_weight(self, w: Tensor) -> None:
        """Take the table, a tensor of quint8 quantized per row."""
        self._weight = w
        self._scale = w.q_per_channel_scales().float()
        self._zero_point = w.q_per_channel_zero_points().float()

    def weight(self) -> Tensor:
        """The table, a quantized tensor."""
        return self._weight

    def _rows(self, indices: Tensor) -> Tensor:
        """The rows of the table at `indices` (n,), as numbers."""
        codes = codes_of(self._weight).detach()[indices].float()
        return (codes - self._zero_point[indices][:, None]) * self._scale[indices][:, None]

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The table of an embedding, whose qconfig must be `float_qparams_weight_only_qconfig`."""
        from ...quantization.observer import default_float_qparams_observer

        qconfig = getattr(mod, "qconfig", None)
        observer = (qconfig.weight if qconfig else default_float_qparams_observer)()
        if observer.dtype is not dtypes.quint8:
            raise TypeError(
                f"{cls.__name__}: expected a qconfig with weights of quint8. Got {observer.dtype}. "
                "Set float_qparams_weight_only_qconfig."
            )
        names = [n for n in cls.kept if hasattr(mod, n)]
        made = cls(mod.num_embeddings, mod.embedding_dim, **{n: getattr(mod, n) for n in names})
        made.set_weight(quantized_weight(mod.weight, observer))
        return made

    kept: tuple[str, ...] = ()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "_packed_params.dtype"] = self._weight.dtype
        destination[prefix + "_packed_params._packed_weight"] = self._weight

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any,
        unexpected: Any, errors: Any,
    ) -> None:  # fmt: skip
        name = prefix + "_packed_params._packed_weight"
        if name in state_dict:
            self.set_weight(state_dict[name])
        else:
            missing.append(name)

    def extra_repr(self) -> str:
        """Sizes and scheme."""
        return (
            f"num_embeddings={self.num_embeddings}, embedding_dim={self.embedding_dim}, "
            f"dtype={self._weight.dtype}, qscheme={self._weight.qscheme()}"
        )

    def _get_name(self) -> str:
        return f"Quantized{type(self).__name__}"


class Embedding(_Lookup):
    """Rows of a table of 8 bits, as numbers: indices (...) -> float32 (..., embedding_dim)."""

    def forward(self, indices: Tensor) -> Tensor:
        """(...) -> (..., embedding_dim)."""
        rows = self._rows(indices.reshape(-1))
        return rows.reshape(*indices.shape, self.embedding_dim)


class EmbeddingBag(_Lookup):
    """Sums or means of rows of a table of 8 bits, see `nn.EmbeddingBag`."""

    kept = ("mode", "include_last_offset", "padding_idx")

    def forward(
        self, indices: Tensor, offsets: Any = None, per_sample_weights: Any = None
    ) -> Tensor:
        """The bags of indices, as numbers: (bags, embedding_dim)."""
        used, places = indices.unique(return_inverse=True)
        return embedding_bag(
            places, self._rows(used), offsets, per_sample_weights=per_sample_weights,
            mode=self.options.get("mode", "mean"),
            include_last_offset=self.options.get("include_last_offset", False),
        )  # fmt: skip
