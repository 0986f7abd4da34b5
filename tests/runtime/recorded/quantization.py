"""Writes quantization.json: scales, zero points and outputs of small quantized models, and the
bytes of files with quantized tensors, as in PyTorch 2.13.

Run by hand where PyTorch is installed: python -m tests.runtime.recorded.quantization
"""

from __future__ import annotations

import base64
import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.ao.quantization import quantize_fx

from ..quantization_cases import normal, results, static, traced

warnings.simplefilter("ignore")


def saved(value: Any) -> str:
    file = io.BytesIO()
    torch.save(value, file)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    x = normal(torch, 3, 4)
    scales, zeros = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, -2])
    tensors = {
        "per_tensor": torch.quantize_per_tensor(x, 0.1, 10, torch.quint8),
        "per_channel": torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8),
    }
    found = {
        "results": results(torch),
        "codes": {name: q.int_repr().tolist() for name, q in tensors.items()},
        "printed": {name: repr(q) for name, q in tensors.items()},
        "tensors": saved(tensors),
        "state": saved(static(torch).state_dict()),
        "traced state": saved(traced(torch, quantize_fx).state_dict()),
        "traced": traced(torch, quantize_fx)(normal(torch, 2, 3, 32, 32, seed=7)).tolist(),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
