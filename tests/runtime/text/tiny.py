"""Models small enough to check by hand, drawn with a fixed seed and weights that matter."""

from __future__ import annotations

from typing import Any

import flambeau as torch
from flambeau import text


def bert_config(**changes: Any) -> text.BertConfig:
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 24, "max_position_embeddings": 12}  # fmt: skip
    return text.BertConfig(**{**sizes, "initializer_range": 0.4, **changes})


def gpt2_config(**changes: Any) -> text.GPT2Config:
    sizes = {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40}
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return text.GPT2Config(**{**sizes, **ends, "initializer_range": 0.4, **changes})


def llama_config(**changes: Any) -> text.LlamaConfig:
    sizes = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 40}
    return text.LlamaConfig(**{**sizes, **heads, "initializer_range": 0.4, **changes})


def drawn(kind: Any, config: Any) -> Any:
    """A model in eval mode whose biases and norms are no zeros and ones."""
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                p.copy_(torch.randn(p.shape) * 0.3 + (1.0 if name.endswith("weight") else 0.0))
    return model


MODELS = {
    "bert": lambda: drawn(text.BertForMaskedLM, bert_config()),
    "gpt2": lambda: drawn(text.GPT2LMHeadModel, gpt2_config()),
    "llama": lambda: drawn(text.LlamaForCausalLM, llama_config()),
}
