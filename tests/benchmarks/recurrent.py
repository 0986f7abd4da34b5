"""A character model with an LSTM of two layers."""

from __future__ import annotations

from typing import Any

from .case import Case, Rival, Step
from .training import training_step

VOCABULARY, WIDTH, LENGTH, BATCH = 65, 256, 50, 32


def train(torch: Any) -> Step:
    """Embedding, LSTM 2x256, linear; Adam."""
    nn = torch.nn

    class Characters(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, WIDTH)
            self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
            self.head = nn.Linear(WIDTH, VOCABULARY)

        def forward(self, tokens: Any) -> Any:
            return self.head(self.lstm(self.embedding(tokens))[0]).flatten(0, 1)

    model = Characters()
    tokens = torch.randint(0, VOCABULARY, (BATCH, LENGTH + 1))
    x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()
    return training_step(torch, model, torch.optim.Adam(model.parameters()), x, y)


CASES = [Case("LSTM 2x256, T 50, batch 32, train", train, (Rival(0.6),), trains=True)]
