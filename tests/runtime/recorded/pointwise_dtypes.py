"""Writes pointwise_dtypes.json: the result types of pointwise functions, as PyTorch 2.13 has them.

Run by hand where PyTorch and the tests' own needs are installed:
python -m tests.runtime.recorded.pointwise_dtypes
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch

from ..properties.drawing import EVERY_DTYPE
from ..properties.pointwise_table import CASES, Case

NAMES = [d.name for d in EVERY_DTYPE]
NUMBERS: list[Any] = [True, 3, 1.5, 2j]


def function_of(name: str) -> Any:
    if "." in name:
        return functools.reduce(getattr, name.split("."), torch)
    for place in (torch, torch.special, torch.nn.functional, torch.Tensor):
        if hasattr(place, name):
            return getattr(place, name)
    return None


def name_of(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def results(case: Case) -> str:
    """The types of the result by the type of all operands; - where PyTorch refuses."""
    found = []
    for name in NAMES:
        tensors = [
            torch.ones(2, dtype=torch.bool if o.kind == "b" else getattr(torch, name))
            for o in case.operands
        ]
        try:
            out = function_of(case.name)(*case.filled(tensors), **case.kwargs)
            found.append(name_of(out.dtype))
        except (RuntimeError, TypeError):
            found.append("-")
    return " ".join(found)


def table(make: Any, columns: list[Any]) -> dict[str, str]:
    return {a: " ".join(name_of(torch.result_type(*make(a, b))) for b in columns) for a in NAMES}


def of(name: str, *shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=getattr(torch, name))


PROMOTION = {
    "tensors": table(lambda a, b: (of(a, 2), of(b, 2)), NAMES),
    "tensor and 0-d": table(lambda a, b: (of(a, 2), of(b)), NAMES),
    "tensor and number": table(lambda a, b: (of(a, 2), b), NUMBERS),
    "0-d and number": table(lambda a, b: (of(a), b), NUMBERS),
}

if __name__ == "__main__":
    dtypes = {c.identity: results(c) for c in CASES if function_of(c.name) is not None}
    target = Path(__file__).with_suffix(".json")
    target.write_text(json.dumps({"promotion": PROMOTION, "dtypes": dtypes}, indent=0) + "\n")
