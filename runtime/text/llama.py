"""Llama and its relatives (Mistral, Qwen2, Qwen3): rotated places, RMS norms, gated perceptrons,
heads that share keys. Source: arXiv:2302.13971, section 2.2; arXiv:2307.09288, section 2.2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..core import dtypes
from ..core.ranges import arange
from ..core.tensor import Tensor
from ..ops.arithmetic import addcmul
from ..ops.joins import cat
from ..ops.searching import where
from .configuration import PretrainedConfig
from .decoders import CausalLM, DecoderModel
from .layers import activation, attend
from .pretrained import PreTrainedModel

__all__ = ["LlamaConfig", "LlamaForCausalLM", "LlamaModel"]


@dataclass(kw_only=True)
class LlamaConfig(PretrainedConfig):
    """Sizes of a Llama; the defaults are those of the first with 7 billion parameters."""

    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral", "qwen2", "qwen3")
    model_type: str = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    tie_word_embeddings: bool = False
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"LlamaConfig: expected num_attention_heads {self.num_attention_heads} as a "
                f"multiple of num_key_value_heads {self.num_key_value_heads}."
            )
        if self.model_type.startswith("qwen") and not self.other.get("use_sliding_window"):
            self.sliding_window = None

    @property
    def rope(self) -> dict[str, Any]:
        """How places rotate: `rope_type`, `rope_theta` and the numbers of that type, from wherever
        the file has them."""
        given = {**(self.rope_scaling or {}), **(self.rope_parameters or {})}
        kind = given.get("rope_type", given.get("type")) or "default"
        return {"rope_theta": self.rope_theta, **given, "rope_type": kind}

    @property
    def longest(self) -> int:
        """Tokens of a text at most."""
        return self.max_position_embeddings

    @property
    def depth(self) -> int:
        """Layers."""
        return self.num_hidden_layers

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head_width(self) -> int:
        """Numbers of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads


def frequencies(config: LlamaConfig, device: Any = None) -> Tensor:
    """Radians by which pair k of a head turns from one place to the next: theta^(-2k / width),
    (width / 2,), less for the slow ones where the configuration stretches them.

    Source: arXiv:2104.09864, section 3.2.2; "linear": arXiv:2306.15595, section 2.3.
    Raises: ValueError for a stretching that is not known here.
    """
    rope, width = config.rope, config.head_width
    exponents = arange(0, width, 2, dtype=dtypes.float32, device=device) / width
    found = rope["rope_theta"] ** -exponents
    kind = rope["rope_type"]
    if kind == "default":
        return found
    if kind == "linear":
        return found / rope["factor"]
    if kind == "llama3":
        return _stretched(found, rope)
    raise ValueError(f"LlamaConfig: expected rope_type default, linear or llama3. Got {kind!r}.")


def _stretched(found: Tensor, rope: dict[str, Any]) -> Tensor:
    """Waves longer than the text that the model first learned from become `factor` times as long,
    short ones stay, and those between pass smoothly. Source: Llama 3.1's model card."""
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] * found / (2 * math.pi)
    share = ((turns - low) / (high - low)).clamp(0, 1)
    return where(turns < low, found / factor, (1 - share) * found / factor + share * found)


def rotation_of(position_ids: Tensor, turn: Tensor, dtype: Any) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of places (batch, n): two of (batch, 1, n, width)."""
    angles = position_ids[:, None, :, None].to(dtypes.float32) * turn
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return cat((cos, cos), -1), cat((-sin, sin), -1)


def rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Each pair (x[k], x[k + width / 2]) turned by its angle: (batch, heads, n, width)."""
    cos, sin = rotation
    return addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class LlamaAttention(nn.Module):
    """Attention to oneself and back, with rotated queries and keys, which Qwen3 norms before, each
    head for itself. Source: arXiv:2505.09388, section 2."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, self.head_width = config.hidden_size, config.head_width
        own, shared = config.num_attention_heads * self.head_width, config.key_heads
        is_biased = config.attention_bias or config.model_type == "qwen2"
        self.q_proj = nn.Linear(width, own, bias=is_biased)
        self.k_proj, self.v_proj = (
            nn.Linear(width, shared * self.head_width, bias=is_biased) for _ in range(2)
        )
        self.o_proj = nn.Linear(own, width, bias=config.attention_bias)
        has_norms = config.model_type == "qwen3"
        self.q_norm, self.k_norm = (
            nn.RMSNorm(self.head_width, eps=config.rms_norm_eps) if has_norms else None
            for _ in range(2)
        )

    def forward(
        self, x: Tensor, mask: Any, is_causal: bool, rotation: Any, cache: Any, layer: int
    ) -> Tensor:
        """(batch, n, width) -> the same."""
        batch, n, _ = x.shape
        q, k, v = (
            projection(x).view(batch, n, -1, self.head_width).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotated(q, rotation), rotated(k, rotation)
        if cache is not None:
            k, v = cache.update(k, v, layer)
        return self.o_proj(attend(q, k, v, mask, is_causal))


class LlamaMLP(nn.Module):
    """down(activation(gate(x)) * up(x)). Source: arXiv:2002.05202, equation 6."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj, self.up_proj = (nn.Linear(width, inner, bias=bias) for _ in range(2))
        self.down_proj = nn.Linear(inner, width, bias=bias)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        return self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))


class LlamaDecoderLayer(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn, self.mlp = LlamaAttention(config), LlamaMLP(config)
        self.input_layernorm, self.post_attention_layernorm = (
            nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps) for _ in range(2)
        )

    def forward(
        self, x: Tensor, mask: Any, is_causal: bool, rotation: Any, cache: Any, layer: int
    ) -> Tensor:
        """(batch, n, width) -> the same."""
        normal = self.input_layernorm(x)
        x = x + self.self_attn(normal, mask, is_causal, rotation, cache, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class LlamaPreTrainedModel(PreTrainedModel):
    """What all Llamas have."""

    config_class = LlamaConfig
    base_model_prefix = "model"
    derived = (".rotary_emb.inv_freq",)


class LlamaModel(LlamaPreTrainedModel, DecoderModel):
    """The decoder: `last_hidden_state` (batch, n, hidden_size)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.embed_tokens = nn.Embedding(config.vocab_size, width, config.pad_token_id)
        self.layers = nn.ModuleList(
            LlamaDecoderLayer(config) for _ in range(config.num_hidden_layers)
        )
        self.norm = nn.RMSNorm(width, eps=config.rms_norm_eps)
        self._turn: Tensor | None = None
        self.post_init()

    @property
    def blocks(self) -> Any:
        """The layers."""
        return self.layers

    def get_input_embeddings(self) -> Any:
        """The tokens' `Embedding`."""
        return self.embed_tokens

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Any]:
        """The tokens' vectors, and how their places rotate queries and keys."""
        x = self.embed_tokens(input_ids)
        if self._turn is None or self._turn.device != x.device:
            self._turn = frequencies(self.config, x.device)
        return x, rotation_of(position_ids, self._turn, x.dtype)

    def last_norm(self, x: Tensor) -> Tensor:
        """`norm`."""
        return self.norm(x)


class LlamaForCausalLM(LlamaPreTrainedModel, CausalLM):
    """A Llama that writes: `logits` (batch, n, vocab_size)."""

    tied_weights: ClassVar[dict[str, str]] = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
