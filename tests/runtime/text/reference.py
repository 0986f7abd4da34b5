"""BERT, GPT-2 and Llama once more, in NumPy's float64 and loops over heads, from their papers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Weights = dict[str, Any]


def weights_of(model: Any) -> Weights:
    """The state dict as float64 arrays."""
    return {k: t.numpy().astype(np.float64) for k, t in model.state_dict().items()}


def layer_norm(x: Any, w: Weights, name: str, eps: float) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return normal * w[f"{name}.weight"] + w[f"{name}.bias"]


def rms_norm(x: Any, weight: Any, eps: float) -> Any:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def dense(x: Any, w: Weights, name: str) -> Any:
    found = x @ w[f"{name}.weight"].T
    return found + w[f"{name}.bias"] if f"{name}.bias" in w else found


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def tanh_gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention(q: Any, k: Any, v: Any, heads: int, shared: int, sees: Callable[..., Any]) -> Any:
    """q (n, heads * width), k and v (n, shared * width) of one text; sees(i, j) tells whether query
    i looks at place j."""
    n, width = len(q), q.shape[1] // heads
    allowed = np.array([[sees(i, j) for j in range(n)] for i in range(n)])
    out = np.zeros_like(q)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        other = head // (heads // shared)
        theirs = slice(other * width, (other + 1) * width)
        scores = np.where(allowed, q[:, own] @ k[:, theirs].T / math.sqrt(width), -1e30)
        out[:, own] = softmax(scores) @ v[:, theirs]
    return out


def bert(w: Weights, config: Any, tokens: Any, segments: Any, real: int) -> Any:
    """The last hidden states of one text (n,) whose first `real` tokens are not padding."""
    eps, at = config.layer_norm_eps, "embeddings"
    x = w[f"{at}.word_embeddings.weight"][tokens]
    x = x + w[f"{at}.position_embeddings.weight"][: len(tokens)]
    x = layer_norm(x + w[f"{at}.token_type_embeddings.weight"][segments], w, f"{at}.LayerNorm", eps)
    for k in range(config.num_hidden_layers):
        at = f"encoder.layer.{k}"
        q, key, v = (dense(x, w, f"{at}.attention.self.{p}") for p in ("query", "key", "value"))
        heads = config.num_attention_heads
        mixed = attention(q, key, v, heads, heads, lambda i, j: j < real)
        mixed = dense(mixed, w, f"{at}.attention.output.dense")
        x = layer_norm(x + mixed, w, f"{at}.attention.output.LayerNorm", eps)
        inner = gelu(dense(x, w, f"{at}.intermediate.dense"))
        x = layer_norm(x + dense(inner, w, f"{at}.output.dense"), w, f"{at}.output.LayerNorm", eps)
    return x


def gpt2(w: Weights, config: Any, tokens: Any) -> Any:
    """The logits of one text (n,)."""
    eps = config.layer_norm_epsilon
    x = w["transformer.wte.weight"][tokens] + w["transformer.wpe.weight"][: len(tokens)]
    for k in range(config.n_layer):
        at = f"transformer.h.{k}"

        def product(x: Any, name: str, at: str = at) -> Any:
            return x @ w[f"{at}.{name}.weight"] + w[f"{at}.{name}.bias"]

        parts = product(layer_norm(x, w, f"{at}.ln_1", eps), "attn.c_attn")
        heads = config.n_head
        mixed = attention(*np.split(parts, 3, -1), heads, heads, lambda i, j: j <= i)
        x = x + product(mixed, "attn.c_proj")
        inner = tanh_gelu(product(layer_norm(x, w, f"{at}.ln_2", eps), "mlp.c_fc"))
        x = x + product(inner, "mlp.c_proj")
    return layer_norm(x, w, "transformer.ln_f", eps) @ w["lm_head.weight"].T


def turned(x: Any, heads: int, theta: float) -> Any:
    """Rotary places: pair (k, k + width / 2) of each head as a complex number, turned."""
    n, width = len(x), x.shape[1] // heads
    parts = x.reshape(n, heads, 2, width // 2)
    pairs = parts[:, :, 0] + 1j * parts[:, :, 1]
    angles = np.arange(n)[:, None, None] * theta ** (-2 * np.arange(width // 2) / width)
    pairs = pairs * np.exp(1j * angles)
    return np.stack([pairs.real, pairs.imag], 2).reshape(n, -1)


def llama(w: Weights, config: Any, tokens: Any) -> Any:
    """The logits of one text (n,)."""
    eps, heads, shared = config.rms_norm_eps, config.num_attention_heads, config.key_heads
    window = config.sliding_window or len(tokens)
    x = w["model.embed_tokens.weight"][tokens]
    for k in range(config.num_hidden_layers):
        at = f"model.layers.{k}"
        normal = rms_norm(x, w[f"{at}.input_layernorm.weight"], eps)
        q, key, v = (dense(normal, w, f"{at}.self_attn.{p}_proj") for p in "qkv")
        if config.model_type == "qwen3":
            norms = [w[f"{at}.self_attn.{p}_norm.weight"] for p in "qk"]
            q, key = (
                rms_norm(x.reshape(len(x), -1, len(norm)), norm, eps).reshape(x.shape)
                for x, norm in zip((q, key), norms, strict=True)
            )
        q, key = turned(q, heads, config.rope_theta), turned(key, shared, config.rope_theta)
        mixed = attention(q, key, v, heads, shared, lambda i, j: i - window < j <= i)
        x = x + dense(mixed, w, f"{at}.self_attn.o_proj")
        normal = rms_norm(x, w[f"{at}.post_attention_layernorm.weight"], eps)
        inner = silu(dense(normal, w, f"{at}.mlp.gate_proj")) * dense(
            normal, w, f"{at}.mlp.up_proj"
        )
        x = x + dense(inner, w, f"{at}.mlp.down_proj")
    return rms_norm(x, w["model.norm.weight"], eps) @ w["lm_head.weight"].T
