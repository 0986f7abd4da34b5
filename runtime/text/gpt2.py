"""GPT-2: pre-norm layers, learned places. Source: Radford et al. 2019, section 2.3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..core.tensor import Tensor
from ..nn import init
from .configuration import PretrainedConfig
from .decoders import CausalLM, DecoderModel
from .layers import Conv1D, activation, attend
from .pretrained import PreTrainedModel

__all__ = ["GPT2Config", "GPT2LMHeadModel", "GPT2Model"]


@dataclass(kw_only=True)
class GPT2Config(PretrainedConfig):
    """Sizes of a GPT-2; the defaults are those of the smallest that was published."""

    model_types: ClassVar[tuple[str, ...]] = ("gpt2",)
    sliding_window: ClassVar[None] = None
    model_type: str = "gpt2"
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    bos_token_id: int | None = 50256
    eos_token_id: int | list[int] | None = 50256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_embd % self.n_head:
            raise ValueError(
                f"GPT2Config: expected n_embd {self.n_embd} as a multiple of n_head {self.n_head}."
            )
        for name in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
            if self.other.get(name):
                raise ValueError(f"GPT2Config: expected {name} False; no model needs it here.")

    @property
    def longest(self) -> int:
        """Tokens of a text at most."""
        return self.n_positions

    @property
    def depth(self) -> int:
        """Layers."""
        return self.n_layer

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_head

    @property
    def head_width(self) -> int:
        """Numbers of a head."""
        return self.n_embd // self.n_head


class GPT2Attention(nn.Module):
    """Attention to oneself and back; query, key and value are one product."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.heads, width = config.n_head, config.n_embd
        self.c_attn, self.c_proj = Conv1D(3 * width, width), Conv1D(width, width)
        self.rate = config.attn_pdrop
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, mask: Any, is_causal: bool, cache: Any, layer: int) -> Tensor:
        """(batch, n, width) -> the same."""
        batch, n, width = x.shape
        q, k, v = (
            part.view(batch, n, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, 2)
        )
        if cache is not None:
            k, v = cache.update(k, v, layer)
        mixed = attend(q, k, v, mask, is_causal, self.rate if self.training else 0.0)
        return self.resid_dropout(self.c_proj(mixed))


class GPT2MLP(nn.Module):
    """The perceptron of a layer."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        inner = config.n_inner or 4 * config.n_embd
        self.c_fc, self.c_proj = Conv1D(inner, config.n_embd), Conv1D(config.n_embd, inner)
        self.activation = activation(config.activation_function)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same."""
        return self.dropout(self.c_proj(self.activation(self.c_fc(x))))


class GPT2Block(nn.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        width, eps = config.n_embd, config.layer_norm_epsilon
        self.ln_1, self.ln_2 = (nn.LayerNorm(width, eps=eps) for _ in range(2))
        self.attn, self.mlp = GPT2Attention(config), GPT2MLP(config)

    def forward(
        self, x: Tensor, mask: Any, is_causal: bool, rotation: None, cache: Any, layer: int
    ) -> Tensor:
        """(batch, n, width) -> the same."""
        x = x + self.attn(self.ln_1(x), mask, is_causal, cache, layer)
        return x + self.mlp(self.ln_2(x))


class GPT2PreTrainedModel(PreTrainedModel):
    """What all GPT-2s have."""

    config_class = GPT2Config
    base_model_prefix = "transformer"
    derived = (".attn.bias", ".attn.masked_bias")

    def _init_weights(self, module: nn.Module) -> None:
        """As of every model; what ends a branch is smaller by the square root of their number, so
        that the sum of all has the size of one. Source: Radford et al. 2019, section 2.3."""
        super()._init_weights(module)
        if isinstance(module, GPT2Attention | GPT2MLP):
            scale = (2 * self.config.n_layer) ** -0.5
            init.normal_(module.c_proj.weight, 0.0, self.config.initializer_range * scale)


class GPT2Model(GPT2PreTrainedModel, DecoderModel):
    """The decoder: `last_hidden_state` (batch, n, n_embd)."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(GPT2Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.post_init()

    @property
    def blocks(self) -> Any:
        """The layers."""
        return self.h

    def get_input_embeddings(self) -> Any:
        """The tokens' `Embedding`."""
        return self.wte

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Any]:
        """The sum of the tokens' and the places' vectors; no rotation."""
        return self.drop(self.wte(input_ids) + self.wpe(position_ids)), None

    def last_norm(self, x: Tensor) -> Tensor:
        """`ln_f`."""
        return self.ln_f(x)


class GPT2LMHeadModel(GPT2PreTrainedModel, CausalLM):
    """GPT-2 that writes: `logits` (batch, n, vocab_size), of the tokens' own vectors."""

    tied_weights: ClassVar[dict[str, str]] = {"lm_head.weight": "transformer.wte.weight"}

    def __init__(self, config: GPT2Config) -> None:
        super().__init__(config)
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()
