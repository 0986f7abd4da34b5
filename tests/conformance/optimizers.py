"""`python -m tests.conformance.optimizers [NAME ...]`: every optimizer against PyTorch's.

For each input of PyTorch's database of optimizers, in float32 and float64 and by each of the
options `foreach`, `fused`, `maximize` that it takes: twenty steps of the same network on the same
data with the same parameters at each step and at the end the same state; and a resume after ten
steps, in a new optimizer that loads PyTorch's state. Prints a line per trajectory that differs, and
the share of those that agree. Install PyTorch and expecttest by hand first.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.testing._internal.common_optimizers import OptimizerInfo, optim_db

import flambeau

from . import crossing
from .forms import TOLERANCE

STEPS, RESUMED = 20, 10
FLAGS: tuple[dict[str, Any], ...] = ({}, {"foreach": True}, {"fused": True}, {"maximize": True})


class Run:
    """One library's parameters under one optimizer."""

    def __init__(self, library: Any, name: str, start: list[Any], options: dict[str, Any]) -> None:
        self.library = library
        self.parameters = [library.nn.Parameter(library.as_tensor(x.copy())) for x in start]
        kind = getattr(library.optim, name)
        numbers = {
            k: library.tensor(v.item(), dtype=getattr(library, str(v.dtype)[6:]))
            if isinstance(v, torch.Tensor)
            else v
            for k, v in options.items()
        }
        self.optimizer = kind(self.parameters, **numbers)
        self.is_sparse = name == "SparseAdam"

    def step(self, data: Any) -> None:
        """A step on the squares of a small network's results."""
        x = self.library.as_tensor(data)

        def closure() -> Any:
            self.optimizer.zero_grad()
            first, second = self.parameters
            out = self.library.tanh(x @ first) @ second
            loss = (out - 0.5).square().mean() + 0.01 * (first.square().sum() + second.sum() ** 2)
            loss.backward()
            if self.is_sparse:
                for p in self.parameters:
                    p.grad = p.grad.to_sparse()
            return loss

        self.optimizer.step(closure)


def trajectories(info: OptimizerInfo) -> Iterator[tuple[dict[str, Any], Any]]:
    """Options and dtype of each trajectory."""
    for case in info.optim_inputs_func(device="cpu"):
        for flags in FLAGS:
            try:
                probe = [torch.nn.Parameter(torch.ones(2, 2))]
                info.optim_cls(probe, **{**case.kwargs, **flags})
            except (TypeError, ValueError, RuntimeError):
                continue  # PyTorch refuses the combination
            for dtype in (torch.float32, torch.float64):
                yield {**case.kwargs, **flags}, dtype


def difference(name: str, options: dict[str, Any], dtype: Any) -> str:
    """In words how the two libraries differ; "" if they don't."""
    # Muon orthogonalizes in bfloat16, whatever the dtype of its parameters.
    tolerance = TOLERANCE[torch.float32 if name == "Muon" else dtype]
    torch.manual_seed(0)
    start = [(0.5 * torch.randn(s, dtype=dtype)).numpy() for s in ((3, 4), (4, 2))]
    data = torch.randn(STEPS, 5, 3, dtype=dtype).numpy()
    theirs = Run(torch, name, start, options)
    mine = Run(flambeau, name, start, options)
    for k in range(STEPS):
        if k == RESUMED:
            state = crossing.ours(theirs.optimizer.state_dict())
            now = [p.detach().numpy() for p in theirs.parameters]
            mine = Run(flambeau, name, now, options)
            mine.optimizer.load_state_dict(state)
        theirs.step(data[k])
        mine.step(data[k])
        for a, b in zip(mine.parameters, theirs.parameters, strict=True):
            words = crossing.difference(a, b, tolerance)
            if words:
                return f"step {k}: {words}"
    return state_difference(mine.optimizer.state_dict(), theirs.optimizer.state_dict(), tolerance)


def state_difference(mine: Any, theirs: Any, tolerance: float) -> str:
    """In words how two state dicts differ in keys or values."""
    for k, state in theirs["state"].items():
        found = mine["state"].get(k, {})
        if set(found) != set(state):
            return f"state {k} has {sorted(found)}, PyTorch {sorted(state)}"
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                # Ours was loaded, and loading gives a state the dtype of its parameter.
                words = crossing.difference(found[key], value, 10 * tolerance, False)
                if words:
                    return f"state {key}: {words}"
    for ours, group in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        missing = set(group) - set(ours)
        if missing:
            return f"groups lack {sorted(missing)}"
    return ""


def main() -> None:
    """Compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    warnings.simplefilter("ignore")
    agreed = total = 0
    for info in optim_db:
        name = info.optim_cls.__name__
        if names and name not in names:
            continue
        for options, dtype in trajectories(info):
            total += 1
            try:
                words = difference(name, options, dtype)
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
            if words:
                print(f"{name} {options} {dtype}: {words[:200]}")
            agreed += not words
    print(f"{agreed} of {total} trajectories")
    sys.exit(agreed < total)


if __name__ == "__main__":
    main()
