"""Texts that a Llama of SmolLM2-135M's widths writes: flambeau's own model beside the same one
written by hand in PyTorch, with its cache in memory that is taken once."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Case, Rival, Step

WIDTH, INNER, HEADS, KEY_HEADS, HEAD, VOCABULARY = 576, 1536, 9, 3, 64, 49152
DEPTH = 10
"""Layers, of the 30 that SmolLM2-135M has."""
LONGEST = 512


def by_hand(torch: Any, dtype: Any) -> Any:
    """A function of tokens (1, n) and how many were read before: logits of the last one."""
    F = torch.nn.functional
    place = {"dtype": dtype}

    def matrix(rows: int, columns: int) -> Any:
        return torch.randn(rows, columns, **place) * 0.02

    words = matrix(VOCABULARY, WIDTH)
    ones = torch.ones(WIDTH, **place)
    sizes = [(WIDTH, WIDTH), (KEY_HEADS * HEAD, WIDTH), (KEY_HEADS * HEAD, WIDTH), (WIDTH, WIDTH),
             (INNER, WIDTH), (INNER, WIDTH), (WIDTH, INNER)]  # fmt: skip
    layers = [[matrix(*size) for size in sizes] for _ in range(DEPTH)]
    caches = [torch.zeros(2, 1, KEY_HEADS, LONGEST, HEAD, **place) for _ in range(DEPTH)]
    turn = 100000.0 ** -(torch.arange(0, HEAD, 2).float() / HEAD)

    def norm(x: Any) -> Any:
        return F.rms_norm(x, (WIDTH,), ones, 1e-5)

    def heads_of(x: Any) -> Any:
        return x.view(1, x.shape[1], -1, HEAD).transpose(1, 2)

    def read(tokens: Any, past: int) -> Any:
        end = past + tokens.shape[1]
        angles = torch.arange(past, end)[:, None] * turn
        cos = torch.cat([angles.cos()] * 2, -1).to(dtype)
        sin = torch.cat([-angles.sin(), angles.sin()], -1).to(dtype)

        def rotated(x: Any) -> Any:
            return x * cos + x.roll(HEAD // 2, -1) * sin

        x = F.embedding(tokens, words)
        for (q, k, v, o, gate, up, down), cache in zip(layers, caches, strict=True):
            y = norm(x)
            query = rotated(heads_of(F.linear(y, q)))
            cache[0, :, :, past:end] = rotated(heads_of(F.linear(y, k)))
            cache[1, :, :, past:end] = heads_of(F.linear(y, v))
            keys, values = cache[:, :, :, :end]
            mixed = F.scaled_dot_product_attention(
                query, keys, values, is_causal=past == 0, enable_gqa=True
            )
            x = x + F.linear(mixed.transpose(1, 2).reshape(x.shape), o)
            y = norm(x)
            x = x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)
        return F.linear(norm(x[:, -1:]), words)

    return read


def ours(torch: Any, dtype: Any, bits: int | None) -> Any:
    """The same of `flambeau.text`, its weights compressed if `bits` are given."""
    from flambeau import text

    config = text.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=INNER,
        num_hidden_layers=DEPTH, num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS,
        rope_theta=100000.0, rms_norm_eps=1e-5, tie_word_embeddings=True,
    )  # fmt: skip
    model = text.LlamaForCausalLM(config).eval().to(dtype)
    if bits is not None:
        text.compress(model, bits)
    cache = model.make_cache(1, LONGEST)

    def read(tokens: Any, past: int) -> Any:
        cache.crop(past)
        return model(tokens, past_key_values=cache, logits_to_keep=1).logits

    return read


def step(torch: Any, n: int, dtype: str = "float32", bits: int | None = None) -> Step:
    """A prompt of n tokens; or, for n = 1, one token after 64 others and the choice of the next."""
    kind = getattr(torch, dtype)
    is_ours = torch.__name__ == "flambeau"
    read = ours(torch, kind, bits) if is_ours else by_hand(torch, kind)
    prompt = torch.randint(0, VOCABULARY, (1, 64 if n == 1 else n))

    def go_on() -> None:
        with torch.no_grad():
            if n == 1:
                read(prompt[:, :1], 64).argmax(-1).item()
            else:
                read(prompt, 0)

    with torch.no_grad():
        read(prompt, 0)
    return go_on


CASES = [
    *[
        Case(
            f"Llama {DEPTH}x{WIDTH}, {work}, {dtype}",
            partial(step, n=n, dtype=dtype),
            (Rival(1.0),),
        )
        for work, n in (("a token", 1), ("prompt of 256", 256))
        for dtype in ("float32", "bfloat16")
    ],
    Case(
        f"Llama {DEPTH}x{WIDTH}, a token, 4 bits (PyTorch: bfloat16)",
        partial(step, n=1, bits=4),
        (Rival(0.5, options={"dtype": "bfloat16", "bits": None}),),
    ),
]
