"""Random streams and one training, and what PyTorch makes of them.

`python -m tests.runtime.recorded.streams`, in an environment that has PyTorch, writes
streams.json anew. The tests read it and never import PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

STREAMS = {
    "rand": "torch.rand(5)",
    "rand float64": "torch.rand(5, dtype=torch.float64)",
    "randn of few": "torch.randn(5)",
    "randn of many": "torch.randn(19)",
    "randn float64": "torch.randn(17, dtype=torch.float64)",
    "randint": "torch.randint(0, 10, (6,))",
    "randint of a wide range": "torch.randint(0, 2**40, (3,))",
    "randperm": "torch.randperm(9)",
    "uniform_": "torch.empty(5).uniform_(-0.3, 0.7)",
    "normal_": "torch.empty(20).normal_(1, 2)",
    "exponential_": "torch.empty(5).exponential_(2.0)",
    "random_": "torch.empty(3, dtype=torch.int64).random_()",
    "bernoulli_": "torch.empty(12).bernoulli_(0.3)",
    "bernoulli": "torch.bernoulli(torch.full((12,), 0.3))",
    "multinomial": "torch.multinomial(torch.arange(1.0, 9.0), 4)",
    "multinomial with replacement": "torch.multinomial(torch.arange(1.0, 9.0), 6, True)",
    "dropout": "torch.nn.functional.dropout(torch.ones(12), 0.3)",
    "linear": "torch.nn.Linear(3, 2).weight.detach()",
    "trunc_normal_": "torch.nn.init.trunc_normal_(torch.empty(9), std=0.7)",
    "kaiming_normal_": "torch.nn.init.kaiming_normal_(torch.empty(4, 4))",
    "xavier_uniform_": "torch.nn.init.xavier_uniform_(torch.empty(3, 3))",
    "shuffled batches": "next(iter(torch.utils.data.DataLoader(range(12), 6, shuffle=True)))",
}


def stream(torch: Any, expression: str) -> list[Any]:
    """What an expression draws after a seed, and the number drawn after it."""
    torch.manual_seed(7)
    drawn = eval(expression, {"torch": torch})
    return [drawn.reshape(-1).tolist(), torch.rand(()).item()]


def training(torch: Any) -> list[float]:
    """Losses of a small training with everything random in it: weights, order, dropout."""
    nn = torch.nn
    torch.manual_seed(3)
    x = torch.randn(50, 6)
    y = (x[:, 0] * x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    losses = []
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=16, shuffle=True
    )
    for _ in range(5):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    import torch

    found = {
        "streams": {k: stream(torch, expression) for k, expression in STREAMS.items()},
        "training": training(torch),
    }
    RECORD.write_text(json.dumps(found, indent=0) + "\n")
