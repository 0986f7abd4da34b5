"""GGUF files as models of ours: llama.cpp's names and sizes in Hugging Face's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..core.tensor import Tensor
from ..errors import CheckpointError
from ..serialization import gguf

SIZES = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
"""What follows the architecture's name in a key, and our name of it."""

NEEDED = ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
"""Those without which there is no model."""

ENDS = {"bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "pad_token_id":
        "padding_token_id"}  # fmt: skip

OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names of tensors outside and inside of the layers `blk.<number>.`."""

ARCHITECTURES = ("llama", "qwen2", "qwen3")


def read(path: Path, keeps_codes: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The values of a config.json, and the weights by name, those of few bits as codes if asked.
    Raises: CheckpointError."""
    metadata, tensors = gguf.contents(file_of(path), keeps_codes)
    values = _values(metadata)
    words = next((t for name, t in tensors.items() if name.startswith("token_embd.")), None)
    if words is None:
        raise CheckpointError(f"from_pretrained: expected token_embd.weight in {path}. Got none.")
    values["vocab_size"] = words.shape[0]
    values["tie_word_embeddings"] = not any(name.startswith("output.") for name in tensors)
    return values, _renamed(tensors, values)


def values_of(path: Path) -> dict[str, Any]:
    """What the metadata alone tell of a config.json. Raises: CheckpointError."""
    return _values(gguf.metadata(file_of(path)))


def _values(metadata: dict[str, Any]) -> dict[str, Any]:
    kind = metadata.get("general.architecture")
    if kind not in ARCHITECTURES:
        raise CheckpointError(
            f"from_pretrained: expected a GGUF model of {' or '.join(ARCHITECTURES)}. Got {kind!r}."
        )
    missing = [old for old in NEEDED if type(metadata.get(f"{kind}.{old}")) is not int]
    if missing:
        raise CheckpointError(
            f"from_pretrained: expected a whole number {kind}.{missing[0]} in the GGUF file. Got "
            f"{metadata.get(f'{kind}.{missing[0]}')!r}."
        )
    values = {
        new: metadata[f"{kind}.{old}"] for old, new in SIZES.items() if f"{kind}.{old}" in metadata
    }
    for new, old in ENDS.items():
        values[new] = metadata.get(f"tokenizer.ggml.{old}")
    values["model_type"] = kind
    return values


def file_of(path: Path) -> bytes:
    """The content of a GGUF file. Raises: CheckpointError for another one, or none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"from_pretrained: expected a file {path}. There is none.") from None
    if data[: len(gguf.MAGIC)] != gguf.MAGIC:
        raise CheckpointError(f"from_pretrained: expected GGUF in {path}.")
    return data


def _renamed(tensors: dict[str, Tensor], values: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors under our names, their rows in our order."""
    heads = values["num_attention_heads"]
    shared = values.get("num_key_value_heads", heads)
    renamed = {}
    for name, tensor in tensors.items():
        inside = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(\w+)", name)
        stem, _, end = name.rpartition(".")
        if inside and inside[2] in INSIDE:
            if values["model_type"] == "llama" and inside[2] in ("attn_q", "attn_k"):
                tensor = _halves(tensor, heads if inside[2] == "attn_q" else shared)
            renamed[f"model.layers.{inside[1]}.{INSIDE[inside[2]]}.{inside[3]}"] = tensor
        elif stem in OUTSIDE:
            renamed[f"{OUTSIDE[stem]}.{end}"] = tensor
        elif stem != "rope_freqs":
            raise CheckpointError(f"from_pretrained: expected no tensor {name} in this GGUF model.")
    return renamed


def _halves(rows: Tensor, heads: int) -> Tensor:
    """The rows of each head, of which llama.cpp rotates neighbours, so that a row's partner stands
    half a head behind it."""
    if rows.shape[0] % (2 * heads):
        raise CheckpointError(
            f"from_pretrained: expected pairs of rows for {heads} heads. Got {rows.shape[0]} rows."
        )
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)
