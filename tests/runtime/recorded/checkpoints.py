"""Writes the small files of PyTorch's that tests load: `PYTHONPATH=. python -m
tests.runtime.recorded.checkpoints`, with PyTorch installed by hand."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import torch

PLACE = Path(__file__).with_name("checkpoints.json")


def example() -> dict[str, Any]:
    """One of everything that a checkpoint may hold."""
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    base = torch.arange(12.0).reshape(3, 4)
    images = torch.arange(24.0).reshape(1, 2, 3, 4)
    return {
        "net": net.state_dict(), "optimizer": optimizer.state_dict(),
        "base": base, "view": base[1:, ::2], "bfloat16": torch.ones(3, dtype=torch.bfloat16),
        "complex": torch.ones(2, dtype=torch.complex64), "empty": torch.empty(0, 3),
        "images": images.contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.ones(2)), "size": torch.Size([1, 2]),
        "dtype": torch.float16, "device": torch.device("cpu"), "set": {1, 2}, "large": 1 << 70,
        "plain": (1, "a", None, 2.5, True, b"xy", 1 + 2j),
    }  # fmt: skip


def main() -> None:
    """Write both formats, in base64."""
    found = {}
    for name, options in {
        "zip": {},
        "legacy": {"_use_new_zipfile_serialization": False},
        "protocol4": {"pickle_protocol": 4},
    }.items():
        file = io.BytesIO()
        torch.save(example(), file, **options)
        found[name] = base64.b64encode(file.getvalue()).decode()
    PLACE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
