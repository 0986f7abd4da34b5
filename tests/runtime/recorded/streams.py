"""Optimizers, schedules, random streams and one training, and what PyTorch makes of them.

`python -m tests.runtime.recorded.optimizers`, in an environment that has PyTorch, writes
optimizers.json anew. The tests read it and never import PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

Case = tuple[str, dict[str, Any]]

OPTIMIZERS: dict[str, Case] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd with momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd, nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd, damped, uphill": (
        "SGD",
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "maximize": True},
    ),
    "adam": ("Adam", {"lr": 0.05}),
    "adam with decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop, centred": ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.7, "alpha": 0.9}),
    "adagrad": ("Adagrad", {"lr": 0.2, "lr_decay": 0.1, "initial_accumulator_value": 0.3}),
    "adadelta": ("Adadelta", {"lr": 2.0, "weight_decay": 0.01}),
    "adamax": ("Adamax", {"lr": 0.05, "weight_decay": 0.01}),
    "nadam": ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "nadam, uphill": ("NAdam", {"lr": 0.05, "maximize": True, "weight_decay": 0.1}),
    "radam": ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9)}),
    "radam, not settled": ("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    "adamw, uphill": ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
}

SCHEDULES: dict[str, Case] = {
    "step": ("StepLR", {"step_size": 3, "gamma": 0.5}),
    "cosine": ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.001}),
    "multistep": ("MultiStepLR", {"milestones": [2, 5]}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "linear": ("LinearLR", {}),
    "constant": ("ConstantLR", {}),
}

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


def trajectory(torch: Any, name: str, options: dict[str, Any]) -> list[list[float]]:
    """Two parameters after steps 10 and 20 on a loss whose shape changes."""
    p = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
    q = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, name)([p, q], **options)
    points = []
    for step in range(20):
        optimizer.zero_grad()
        (p.sin().sum() * q.sum() + (p * p * (step % 3)).sum() + q.sum() ** 2).backward()
        optimizer.step()
        points.append([*p.tolist(), q.item()])
    return [points[9], points[19]]


def rates(torch: Any, name: str, options: dict[str, Any]) -> list[float]:
    """The learning rates of twelve steps."""
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    found = []
    for _ in range(12):
        found.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return found


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
        "optimizers": {k: trajectory(torch, *case) for k, case in OPTIMIZERS.items()},
        "schedules": {k: rates(torch, *case) for k, case in SCHEDULES.items()},
        "streams": {k: stream(torch, expression) for k, expression in STREAMS.items()},
        "training": training(torch),
        "repr": repr(torch.optim.Adam([torch.ones(1, requires_grad=True)])),
    }
    RECORD.write_text(json.dumps(found, indent=0) + "\n")
