"""What models that write have in common: a stack of layers that look back, and a head of logits."""

from __future__ import annotations

from typing import Any

from .. import nn
from ..core.tensor import Tensor
from .cache import StaticCache
from .generation import GenerationMixin
from .layers import causal_mask, next_token_loss, places_of
from .outputs import ModelOutput
from .pretrained import PreTrainedModel, check_tokens


class DecoderModel(PreTrainedModel):
    """A stack without a head. A subclass gives `blocks`, `embed` and `last_norm`."""

    @property
    def blocks(self) -> Any:
        """The layers: each maps x, a mask, whether it is causal, a rotation, a cache and the number
        of the layer to x."""
        raise NotImplementedError(type(self).__name__)

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> tuple[Tensor, Any]:
        """The vectors of tokens (batch, n, width), and the rotation of their places or None."""
        raise NotImplementedError(type(self).__name__)

    def last_norm(self, x: Tensor) -> Tensor:
        """The norm after the last layer."""
        raise NotImplementedError(type(self).__name__)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: StaticCache | None = None,
        use_cache: bool = False,
        output_hidden_states: bool = False,
    ) -> ModelOutput:
        """input_ids (batch, n) -> `last_hidden_state` (batch, n, width).

        With `past_key_values` they go on after what it holds, and `attention_mask` then has a 1 or
        0 for those tokens too: (batch, before + n). `use_cache` makes one that the text can go on
        in up to the model's longest. Each text's first token has place 0, wherever it stands.
        """
        config = self.config
        cache, n = past_key_values, input_ids.shape[-1]
        if use_cache and cache is None:
            cache = self.make_cache(input_ids.shape[0], config.longest, room=2 * n)
        past = 0 if cache is None else cache.length
        check_tokens(self, input_ids, attention_mask, config.longest, past)
        if position_ids is None:
            position_ids = places_of(attention_mask, n, past, input_ids.device)
        x, rotation = self.embed(input_ids, position_ids)
        mask, is_causal = causal_mask(attention_mask, n, past, x, config.sliding_window)
        states = [x] if output_hidden_states else []  # else each is free after the next
        for k, block in enumerate(self.blocks):
            x = self.run_layer(block, x, mask, is_causal, rotation, cache, k)
            if output_hidden_states:
                states.append(x)
        if cache is not None:
            cache.advance(n)
        return ModelOutput(
            last_hidden_state=self.last_norm(x),
            past_key_values=cache,
            hidden_states=tuple(states) if output_hidden_states else None,
        )

    def make_cache(self, batch: int, longest: int, room: int | None = None) -> StaticCache:
        """Memory for the keys and values of `batch` texts of at most `longest` tokens; with `room`
        for so many at first."""
        config = self.config
        sizes = config.depth, batch, config.key_heads, longest, config.head_width
        return StaticCache(*sizes, dtype=self.dtype, device=self.device, room=room)


class CausalLM(GenerationMixin, PreTrainedModel):
    """A decoder with `lm_head`, which scores every word as the next one."""

    lm_head: nn.Linear

    def get_input_embeddings(self) -> Any:
        """The tokens' `Embedding`."""
        return self.base_model.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The map to words."""
        return self.lm_head

    def make_cache(self, batch: int, longest: int, room: int | None = None) -> StaticCache:
        """Memory for the keys and values of `batch` texts of at most `longest` tokens; with `room`
        for so many at first."""
        return self.base_model.make_cache(batch, longest, room)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor | None = None,
        logits_to_keep: int = 0,
        **inputs: Any,
    ) -> ModelOutput:
        """input_ids (batch, n) -> `logits` (batch, n, vocab_size), or of the last `logits_to_keep`.

        `labels` (batch, n), usually the input_ids, with -100 where nothing is asked, give the
        `loss` of each token by those before it. Other arguments are those of the decoder.
        """
        found = self.base_model(input_ids, attention_mask, **inputs)
        x = found.last_hidden_state
        logits = self.lm_head(x[:, -logits_to_keep:] if logits_to_keep else x)
        return ModelOutput(
            loss=None if labels is None else next_token_loss(logits, labels),
            logits=logits,
            past_key_values=found.past_key_values,
            hidden_states=found.hidden_states,
        )
