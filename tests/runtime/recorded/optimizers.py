"""Optimizers on a small regression, and where PyTorch's take it.

`python -m tests.runtime.recorded.optimizers`, in an environment that has PyTorch, writes
optimizers.json anew. The tests read it and never import PyTorch.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
import zlib
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

Case = tuple[str, dict[str, Any]]

CASES: dict[str, Case] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd with momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd, nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd, damped, uphill": (
        "SGD",
        {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "maximize": True},
    ),
    "adam": ("Adam", {"lr": 0.05}),
    "adam with decay": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.99)}),
    "amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True, "foreach": True}),
    "adamw": ("AdamW", {"lr": 0.05, "weight_decay": 0.1}),
    "adamw, uphill": ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.02}),
    "rmsprop, centred": ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.7, "alpha": 0.9}),
    "rmsprop, uphill": ("RMSprop", {"maximize": True, "weight_decay": 0.1, "momentum": 0.1}),
    "adagrad": ("Adagrad", {"lr": 0.2, "lr_decay": 0.1, "initial_accumulator_value": 0.3}),
    "adagrad, uphill": ("Adagrad", {"lr": 0.2, "weight_decay": 0.1, "maximize": True}),
    "adadelta": ("Adadelta", {"lr": 2.0, "weight_decay": 0.01}),
    "adadelta, uphill": ("Adadelta", {"rho": 0.5, "eps": 1e-4, "maximize": True}),
    "adamax": ("Adamax", {"lr": 0.05, "weight_decay": 0.01}),
    "adamax, uphill": ("Adamax", {"lr": 0.05, "betas": (0.7, 0.9), "maximize": True}),
    "nadam": ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "nadam, uphill": ("NAdam", {"lr": 0.05, "maximize": True, "weight_decay": 0.1}),
    "radam": ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9)}),
    "radam, not settled": ("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    "radam, decoupled": (
        "RAdam",
        {"betas": (0.8, 0.9), "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "rprop": ("Rprop", {}),
    "rprop, uphill": (
        "Rprop",
        {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.02, 0.2), "maximize": True},
    ),
    "asgd": ("ASGD", {"lr": 0.1, "lambd": 0.01}),
    "asgd, averaging": ("ASGD", {"lr": 0.1, "t0": 5, "alpha": 0.5, "weight_decay": 0.1}),
    "adafactor": ("Adafactor", {}),
    "adafactor with decay": (
        "Adafactor",
        {"lr": 0.1, "d": 1.5, "beta2_decay": -0.5, "weight_decay": 0.1, "eps": (1e-8, 1e-2)},
    ),
    "lbfgs": ("LBFGS", {"lr": 0.3, "max_iter": 2, "history_size": 3}),
    "lbfgs with line search": ("LBFGS", {"max_iter": 2, "line_search_fn": "strong_wolfe"}),
    "lbfgs, few evaluations": (
        "LBFGS",
        {"lr": 3.0, "max_iter": 3, "max_eval": 4, "line_search_fn": "strong_wolfe"},
    ),
}

MUON: dict[str, Case] = {
    "muon": ("Muon", {}),
    "muon as large as adamw": (
        "Muon",
        {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "momentum": 0.8, "weight_decay": 0.3},
    ),
    "muon, not nesterov": ("Muon", {"lr": 0.02, "nesterov": False, "ns_steps": 3}),
}
"""For matrices alone, and no more exact than bfloat16."""

COMPLEX = ["sgd, nesterov", "amsgrad", "rmsprop, centred", "adagrad", "adadelta", "adamax",
           "nadam", "radam", "rprop", "asgd, averaging", "lbfgs with line search"]  # fmt: skip

FILES = ["sgd with momentum", "amsgrad", "asgd, averaging", "lbfgs"]
"""Cases of which PyTorch's own file after ten steps is kept."""

POINTS = [1, 10, 20]


def parameters(torch: Any, is_complex: bool = False) -> list[Any]:
    """A matrix, a vector and a number."""
    matrix = torch.tensor([[0.5, -1.2, 0.3], [1.1, 0.2, -0.7]], dtype=torch.float64)
    if is_complex:
        matrix = torch.complex(matrix, matrix.flip(1) * 0.5)
    vector, number = (torch.tensor(v, dtype=torch.float64) for v in ([0.1, -0.4], 0.8))
    return [p.requires_grad_() for p in (matrix, vector, number)]


def made(torch: Any, case: Case, params: list[Any]) -> Any:
    """The optimizer, with a group for the matrix and one for the others if it knows groups."""
    name, options = case
    kind = getattr(torch.optim, name)
    if name == "LBFGS":
        return kind(params, **options)
    if name == "Muon":
        return kind(params[:1], **options)
    lr = options.get("lr", 0.01)
    return kind([{"params": params[:1]}, {"params": params[1:], "lr": lr / 2}], **options)


def loss(torch: Any, params: list[Any], step: int) -> Any:
    """A regression of two outputs on four points, weighted anew at each step."""
    matrix, vector, number = params
    if matrix.is_complex():
        pair = torch.view_as_real(matrix)
        matrix = pair[..., 0] + 0.5 * pair[..., 1] ** 2
    points = torch.arange(12, dtype=torch.float64).reshape(3, 4).sin()
    outputs = matrix @ points + vector[:, None] + number
    wanted = torch.arange(8, dtype=torch.float64).reshape(2, 4).cos()
    return ((outputs - wanted) ** 2).mean() * (1 + step % 3 * 0.3) + 0.01 * (matrix**4).sum()


def train(torch: Any, optimizer: Any, params: list[Any], steps: range) -> None:
    """Make these steps."""
    for step in steps:

        def closure(step: int = step) -> Any:
            optimizer.zero_grad()
            value = loss(torch, params, step)
            value.backward()
            return value

        optimizer.step(closure)


def values(torch: Any, params: list[Any]) -> list[float]:
    """All parameters as one list of numbers."""
    real = [torch.view_as_real(p) if p.is_complex() else p for p in params]
    return [v for p in real for v in p.detach().reshape(-1).tolist()]


def trajectory(torch: Any, case: Case, is_complex: bool = False) -> list[list[float]]:
    """The parameters after 1, 10 and 20 steps."""
    params = parameters(torch, is_complex)
    optimizer = made(torch, case, params)
    found = []
    for start, stop in zip([0, *POINTS], POINTS, strict=False):
        train(torch, optimizer, params, range(start, stop))
        found.append(values(torch, params))
    return found


def described(torch: Any, value: Any) -> Any:
    """The types of a state, and of tensors dtype and shape."""
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return {str(k): described(torch, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *[described(torch, v) for v in value]]
    return type(value).__name__


def state(torch: Any, case: Case) -> Any:
    """What the state dict is made of after three steps."""
    params = parameters(torch)
    optimizer = made(torch, case, params)
    train(torch, optimizer, params, range(3))
    return described(torch, optimizer.state_dict())


def signature(kind: Any) -> list[list[str]]:
    """Names, kinds and defaults of the arguments."""
    given = list(inspect.signature(kind).parameters.values())
    return [[p.name, p.kind.name, repr(p.default)] for p in given]


def file(torch: Any, case: Case) -> str:
    """A file of parameters and state after ten steps, packed and in letters."""
    params = parameters(torch)
    optimizer = made(torch, case, params)
    train(torch, optimizer, params, range(10))
    content = io.BytesIO()
    torch.save({"params": [p.detach() for p in params], "state": optimizer.state_dict()}, content)
    return base64.b64encode(zlib.compress(content.getvalue(), 9)).decode()


if __name__ == "__main__":
    import torch

    everything = {**CASES, **MUON}
    kinds = sorted({name for name, _ in everything.values()})
    first = {name: case for case in reversed(everything.values()) for name in [case[0]]}
    found = {
        "trajectories": {k: trajectory(torch, case) for k, case in everything.items()},
        "complex": {k: trajectory(torch, CASES[k], True) for k in COMPLEX},
        "states": {k: state(torch, case) for k, case in everything.items()},
        "signatures": {k: signature(getattr(torch.optim, k)) for k in kinds},
        "reprs": {k: repr(made(torch, first[k], parameters(torch))) for k in kinds},
        "files": {k: file(torch, CASES[k]) for k in FILES},
    }
    RECORD.write_text(json.dumps(found, indent=0) + "\n")
