"""Transformers: stacks of attention and feed-forward layers, encoding and decoding.

Source: Vaswani et al., "Attention is all you need", arXiv:1706.03762; norms in front:
arXiv:2002.04745.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from ...core.creation import full
from ...core.tensor import Tensor
from ...errors import ShapeError
from .. import functional as F
from .. import init
from .attention import MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


def _activation(activation: str | Callable[[Tensor], Tensor]) -> Any:
    if not isinstance(activation, str):
        return activation
    if activation not in ACTIVATIONS:
        raise RuntimeError(f"Expected activation 'relu' or 'gelu'. Got {activation!r}.")
    return ACTIVATIONS[activation]


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _causal_mask(size: int, device: Any = None, dtype: Any = None) -> Tensor:
    return full((size, size), -math.inf, device=device, dtype=dtype).triu(1)


def _is_causal(mask: Tensor | None, given: bool | None, length: int) -> bool:
    """What is given, else whether the mask is the causal one."""
    if given is not None or mask is None:
        return bool(given)
    if tuple(mask.shape) != (length, length):
        return False
    if mask.is_meta:
        return False  # its values are not there to be looked at
    return bool((mask == _causal_mask(length, mask.device, mask.dtype)).all())


def _length(x: Tensor, batch_first: bool) -> int:
    return x.shape[1 if batch_first and x.ndim == 3 else 0]


class _FeedForward(Module):
    """What encoder and decoder layers share: two linear maps, and a norm and a dropout for each of
    their blocks."""

    linear1: Linear
    linear2: Linear
    activation: Any

    def _finish(
        self, blocks: int, d_model: int, dim_feedforward: int, dropout: float,
        layer_norm_eps: float, bias: bool, **place: Any,
    ) -> None:  # fmt: skip
        self.linear1 = Linear(d_model, dim_feedforward, bias, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **place)
        for k in range(1, blocks + 1):
            setattr(self, f"norm{k}", LayerNorm(d_model, layer_norm_eps, bias=bias, **place))
        for k in range(1, blocks + 1):
            setattr(self, f"dropout{k}", Dropout(dropout))

    def _fed(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _through(self, x: Tensor, blocks: list[Callable[[Tensor], Tensor]]) -> Tensor:
        """x + block(x) for one block after the other, normed before the block or after the sum."""
        for k, block in enumerate(blocks, 1):
            norm, dropout = getattr(self, f"norm{k}"), getattr(self, f"dropout{k}")
            if self.norm_first:
                x = x + dropout(block(norm(x)))
            else:
                x = norm(x + dropout(block(x)))
        return x


class TransformerEncoderLayer(_FeedForward):
    """Self-attention, then linear1, activation and linear2, each added to its input and normed.

    `norm_first` puts the norms in front of the blocks. Parameters start as those of
    `MultiheadAttention`, `Linear` and `LayerNorm` do.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self.norm_first = norm_first
        self._finish(2, d_model, dim_feedforward, dropout, layer_norm_eps, bias, **place)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(S, N, E), (N, S, E) with batch_first, or (S, E) -> the same shape."""

        def attend(x: Tensor) -> Tensor:
            options = {"need_weights": False, "attn_mask": src_mask, "is_causal": is_causal}
            return self.self_attn(x, x, x, src_key_padding_mask, **options)[0]

        return self._through(src, [attend, self._fed])


class TransformerDecoderLayer(_FeedForward):
    """Self-attention, attention to the memory, then linear1, activation and linear2, each added to
    its input and normed. See `TransformerEncoderLayer`."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        place = {"device": device, "dtype": dtype}
        how: dict[str, Any] = {"batch_first": batch_first, **place}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, **how)
        self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, **how)
        self.norm_first = norm_first
        self._finish(3, d_model, dim_feedforward, dropout, layer_norm_eps, bias, **place)
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt (T, N, E) and memory (S, N, E), N first with batch_first, or both without N -> tgt's
        shape."""

        def attend(x: Tensor) -> Tensor:
            options = {"need_weights": False, "attn_mask": tgt_mask, "is_causal": tgt_is_causal}
            return self.self_attn(x, x, x, tgt_key_padding_mask, **options)[0]

        def remember(x: Tensor) -> Tensor:
            options = {"need_weights": False, "attn_mask": memory_mask}
            options["is_causal"] = memory_is_causal
            return self.multihead_attn(x, memory, memory, memory_key_padding_mask, **options)[0]

        return self._through(tgt, [attend, remember, self._fed])


class TransformerEncoder(Module):
    """`num_layers` copies of an encoder layer one after the other, and a norm at the end.

    `enable_nested_tensor` and `mask_check` choose between ways to compute in PyTorch; here they are
    only kept.
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """(S, N, E), (N, S, E) with batch_first, or (S, E) -> the same shape. Without `is_causal`
        it is seen from the mask."""
        batch_first = getattr(getattr(self.layers[0], "self_attn", None), "batch_first", False)
        causal = _is_causal(mask, is_causal, _length(src, batch_first))
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` copies of a decoder layer one after the other, and a norm at the end."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """tgt (T, N, E) and memory (S, N, E), N first with batch_first, or both without N -> tgt's
        shape. Without `tgt_is_causal` it is seen from the mask."""
        batch_first = getattr(getattr(self.layers[0], "self_attn", None), "batch_first", False)
        causal = _is_causal(tgt_mask, tgt_is_causal, _length(tgt, batch_first))
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, causal, memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder, and a decoder that attends to what it gives.

    Every parameter with more than one dimension starts Xavier-uniform.
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        place = {"device": device, "dtype": dtype}
        how = {"batch_first": batch_first, "norm_first": norm_first, "bias": bias, **place}
        self.encoder = custom_encoder
        if custom_encoder is None:
            layer: Module = TransformerEncoderLayer(*sizes, **how)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        self.decoder = custom_decoder
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*sizes, **how)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
            self.decoder = TransformerDecoder(layer, num_decoder_layers, norm)
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """(sz, sz): 0 where to look, minus infinity above the diagonal."""
        return _causal_mask(sz, device, dtype)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """src (S, N, E) and tgt (T, N, E), N first with batch_first, or both without N -> tgt's
        shape. Raises: RuntimeError for another number of sequences, or size than d_model."""
        axis = 0 if self.batch_first else 1
        apart = src.ndim == 3 and src.shape[axis] != tgt.shape[axis]
        if apart or not src.shape[-1] == tgt.shape[-1] == self.d_model:
            raise ShapeError(
                f"Transformer: expected src and tgt of as many sequences, with {self.d_model} "
                f"features. Got {tuple(src.shape)} and {tuple(tgt.shape)}."
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)
