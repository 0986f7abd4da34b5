"""Schedules of the learning rate, and the rates and momenta that PyTorch's give.

`python -m tests.runtime.recorded.schedules`, in an environment that has PyTorch, writes
schedules.json anew. The tests read it and never import PyTorch.
"""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

from .optimizers import described, signature

RECORD = Path(__file__).with_suffix(".json")

SCHEDULES: dict[str, str] = {
    "lambda": "S.LambdaLR(o, lambda epoch: 0.95**epoch)",
    "lambda, one a group": "S.LambdaLR(o, [lambda epoch: 1 / (1 + epoch), lambda epoch: 1 - epoch / 30])",
    "multiplicative": "S.MultiplicativeLR(o, lambda epoch: 0.9 + 0.01 * epoch)",
    "step": "S.StepLR(o, 3, gamma=0.5)",
    "multistep": "S.MultiStepLR(o, [2, 5, 5, 11])",
    "constant": "S.ConstantLR(o)",
    "constant, longer": "S.ConstantLR(o, factor=0.25, total_iters=11)",
    "linear": "S.LinearLR(o)",
    "linear, down": "S.LinearLR(o, 1.0, 0.1, 12)",
    "exponential": "S.ExponentialLR(o, 0.9)",
    "polynomial": "S.PolynomialLR(o)",
    "polynomial, square": "S.PolynomialLR(o, total_iters=20, power=2.0)",
    "cosine": "S.CosineAnnealingLR(o, T_max=7, eta_min=0.001)",
    "cosine of one": "S.CosineAnnealingLR(o, 1)",
    "restarts": "S.CosineAnnealingWarmRestarts(o, 5)",
    "restarts, longer each time": "S.CosineAnnealingWarmRestarts(o, 3, 2, 0.01)",
    "cyclic": "S.CyclicLR(o, 0.01, 0.1, 4)",
    "cyclic, halved": "S.CyclicLR(o, [0.01, 0.02], [0.1, 0.2], 3, 5, mode='triangular2', base_momentum=0.7)",
    "cyclic, exponential": "S.CyclicLR(o, 0.01, 0.1, 4, mode='exp_range', gamma=0.97, max_momentum=[0.95, 0.9])",
    "cyclic, by a function": "S.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 0.9**x, scale_mode='iterations', cycle_momentum=False)",
    "one cycle": "S.OneCycleLR(o, 0.5, total_steps=30)",
    "one cycle, linear": "S.OneCycleLR(o, [0.5, 0.3], epochs=6, steps_per_epoch=5, anneal_strategy='linear', pct_start=0.2)",
    "one cycle, three phases": "S.OneCycleLR(o, 0.5, 32, three_phase=True, div_factor=10, final_div_factor=100.0, cycle_momentum=False)",
    "plateau": "S.ReduceLROnPlateau(o, patience=2)",
    "plateau, up": "S.ReduceLROnPlateau(o, 'max', 0.5, 1, 0.05, 'abs', cooldown=2, min_lr=[0.03, 0.01])",
    "sequential": "S.SequentialLR(o, [S.ConstantLR(o, 0.1, 4), S.ExponentialLR(o, 0.9)], [5])",
    "sequential of three": "S.SequentialLR(o, [S.LinearLR(o, 0.01, total_iters=6), S.CosineAnnealingLR(o, 10), S.StepLR(o, 2)], milestones=[6, 16])",
    "sequential of a sequence": "S.SequentialLR(o, [S.SequentialLR(o, [S.ConstantLR(o), S.StepLR(o, 2)], [3]), S.ExponentialLR(o, 0.8)], [9])",
    "chained": "S.ChainedScheduler([S.ConstantLR(o, 0.1, 6), S.ExponentialLR(o, 0.9)])",
    "chained of three": "S.ChainedScheduler([S.MultiStepLR(o, [4, 9], 0.5), S.CosineAnnealingLR(o, 12), S.LinearLR(o)], optimizer=o)",
    "to swa": "A.SWALR(o, 0.05, anneal_epochs=6)",
    "to swa, linear": "A.SWALR(o, [0.05, 0.2], 4, 'linear')",
}

EPOCHS = ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine",
          "restarts, longer each time", "lambda"]  # fmt: skip
"""Schedules that are also sent to certain epochs: `step(epoch)`."""

LENGTH = 28


def made(torch: Any, expression: str, adam: bool = False) -> tuple[Any, Any]:
    """An optimizer with two groups, and a schedule for it."""
    tensors = [torch.ones(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.02}]
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = kind(groups, lr=0.1, **({} if adam else {"momentum": 0.9}))
    names = {"S": torch.optim.lr_scheduler, "A": torch.optim.swa_utils, "o": optimizer}
    return optimizer, eval(expression, names)


def rates(optimizer: Any, schedule: Any, steps: range) -> list[list[float]]:
    """For each step the rates of both groups, then the momentum (or beta1) of the first."""
    found = []
    for step in steps:
        first, second = optimizer.param_groups
        momentum = first.get("momentum", first.get("betas", [0])[0])
        found.append([float(f"{float(v):.13g}") for v in (first["lr"], second["lr"], momentum)])
        optimizer.step()
        if "Plateau" in type(schedule).__name__:
            schedule.step(math.sin(step) + 1.5)
        else:
            schedule.step()
    return found


def sent(torch: Any, expression: str) -> list[float]:
    """The rates at epochs out of the row."""
    optimizer, schedule = made(torch, expression)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in (3, 4, 9, 2, 15):
            optimizer.step()
            schedule.step(epoch)
            found.append(float(f"{optimizer.param_groups[0]['lr']:.13g}"))
    return found


def state(torch: Any, expression: str) -> Any:
    """What the state dict is made of after two steps."""
    optimizer, schedule = made(torch, expression)
    rates(optimizer, schedule, range(2))
    return described(torch, schedule.state_dict())


if __name__ == "__main__":
    import torch

    swa = ["SWALR", "AveragedModel", "update_bn", "get_ema_multi_avg_fn"]
    kinds = {k: getattr(torch.optim.swa_utils, k) for k in swa}
    scheduler = torch.optim.lr_scheduler
    kinds |= {k: getattr(scheduler, k) for k in scheduler.__all__}
    everything = range(LENGTH)
    found = {
        "rates": {k: rates(*made(torch, e), everything) for k, e in SCHEDULES.items()},
        "beta1": {
            k: [row[2] for row in rates(*made(torch, e, True), everything)]
            for k, e in SCHEDULES.items()
            if "cycl" in k
        },
        "sent": {k: sent(torch, SCHEDULES[k]) for k in EPOCHS},
        "states": {k: state(torch, e) for k, e in SCHEDULES.items()},
        "signatures": {k: signature(kind) for k, kind in sorted(kinds.items())},
    }
    text = json.dumps(found, indent=0)
    RECORD.write_text(text.replace(",\n0.", ", 0.").replace("[\n0.", "[0.") + "\n")
