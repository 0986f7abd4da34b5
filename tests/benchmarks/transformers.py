"""Transformers: a GPT in training, a BERT of MiniLM's shape in inference."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Case, Rival, Step
from .training import training_step


def gpt(torch: Any, vocabulary: int, width: int, depth: int, heads: int, length: int) -> Any:
    """Pre-norm decoder with learned positions."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def attention(self, x: Any) -> Any:
            n, t, _ = x.shape
            q, k, v = self.qkv(x).split(width, dim=2)
            q, k, v = (z.view(n, t, heads, width // heads).transpose(1, 2) for z in (q, k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.projection(mixed.transpose(1, 2).contiguous().view(n, t, width))

        def forward(self, x: Any) -> Any:
            x = x + self.attention(self.norm1(x))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(length, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(depth)])
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens: Any) -> Any:
            places = torch.arange(tokens.size(1), device=tokens.device)
            x = self.tokens(tokens) + self.positions(places)
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    return GPT()


def train_gpt(torch: Any) -> Step:
    """Batch 8, AdamW."""
    model = gpt(torch, vocabulary=65, width=384, depth=6, heads=6, length=256)
    tokens = torch.randint(0, 65, (8, 257))
    x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    return training_step(torch, model, optimizer, x, y)


def bert(torch: Any, vocabulary: int, width: int, depth: int, heads: int) -> Any:
    """Post-norm encoder with learned positions and segments; the mean over the text at the end."""
    nn, F = torch.nn, torch.nn.functional

    class Layer(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
            self.output = nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            parts = (layer(x) for layer in (self.query, self.key, self.value))
            q, k, v = (z.view(n, t, heads, width // heads).transpose(1, 2) for z in parts)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, width)
            x = self.norm1(x + self.output(mixed))
            return self.norm2(x + self.down(F.gelu(self.up(x))))

    class BERT(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(vocabulary, width)
            self.positions, self.segments = nn.Embedding(512, width), nn.Embedding(2, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
            self.layers = nn.Sequential(*[Layer() for _ in range(depth)])

        def forward(self, tokens: Any) -> Any:
            positions = self.positions(torch.arange(tokens.size(1)))
            x = self.words(tokens) + positions + self.segments(torch.zeros_like(tokens))
            return self.layers(self.norm(x)).mean(1)

    return BERT()


def infer_bert(torch: Any, batch: int) -> Step:
    """Length 128, without recording."""
    model = bert(torch, vocabulary=30522, width=384, depth=6, heads=12).eval()
    tokens = torch.randint(0, 30522, (batch, 128))

    def step() -> None:
        with torch.no_grad():
            model(tokens)

    return step


CASES = [
    Case("GPT 6x384, T 256, batch 8, train, AdamW", train_gpt, (Rival(0.6),), trains=True),
    *[
        Case(
            f"MiniLM 6x384, T 128, batch {n}, inference",
            partial(infer_bert, batch=n),
            (Rival(0.6),),
        )
        for n in (1, 32)
    ],
]
