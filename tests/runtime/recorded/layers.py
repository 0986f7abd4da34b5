"""Layers and what PyTorch computes with them, recorded once.

`python -m tests.runtime.recorded.layers`, in an environment that has PyTorch, writes layers.json
anew. The tests read it and never import PyTorch.
"""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

CASES: dict[str, tuple[str, tuple[int, ...]]] = {
    "linear": ("nn.Linear(5, 3)", (4, 5)),
    "linear without bias, of three dimensions": ("nn.Linear(5, 3, bias=False)", (2, 4, 5)),
    "identity": ("nn.Identity()", (4, 5)),
    "conv2d": ("nn.Conv2d(3, 6, 3)", (2, 3, 9, 8)),
    "conv2d strided and padded": ("nn.Conv2d(3, 6, 3, stride=2, padding=1)", (2, 3, 9, 8)),
    "conv2d grouped and dilated": (
        "nn.Conv2d(4, 6, (3, 2), groups=2, dilation=2, bias=False)",
        (2, 4, 9, 8),
    ),
    "conv2d depthwise": ("nn.Conv2d(8, 8, 3, groups=8)", (2, 8, 9, 8)),
    "conv2d of one pixel": ("nn.Conv2d(8, 6, 1)", (2, 8, 9, 8)),
    "conv2d same": ("nn.Conv2d(4, 6, 3, padding='same')", (2, 4, 9, 8)),
    "conv2d unbatched": ("nn.Conv2d(2, 3, 3)", (2, 5, 6)),
    "conv1d": ("nn.Conv1d(8, 8, 3, stride=2)", (2, 8, 9)),
    "conv3d": ("nn.Conv3d(2, 3, 3)", (2, 2, 5, 6, 7)),
    "max pool": ("nn.MaxPool2d(3, 2, 1)", (2, 3, 9, 8)),
    "max pool to the ceiling": ("nn.MaxPool2d(3, 2, ceil_mode=True)", (2, 3, 8, 8)),
    "max pool dilated": ("nn.MaxPool2d(2, 1, dilation=2)", (2, 3, 8, 8)),
    "max pool 1d": ("nn.MaxPool1d(3)", (2, 3, 9)),
    "average pool": ("nn.AvgPool2d(3, 2, 1)", (2, 3, 9, 8)),
    "average pool without padding counted": (
        "nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)",
        (2, 3, 9, 8),
    ),
    "adaptive average pool": ("nn.AdaptiveAvgPool2d((2, 3))", (2, 3, 9, 8)),
    "adaptive average pool to one": ("nn.AdaptiveAvgPool2d(1)", (2, 3, 9, 8)),
    "batch norm": ("nn.BatchNorm2d(3)", (4, 3, 5, 5)),
    "batch norm of rows, plain means": ("nn.BatchNorm1d(3, momentum=None)", (4, 3)),
    "batch norm bare": ("nn.BatchNorm2d(3, affine=False, track_running_stats=False)", (4, 3, 5, 5)),
    "batch norm in evaluation": ("nn.BatchNorm2d(3).eval()", (4, 3, 5, 5)),
    "layer norm": ("nn.LayerNorm((4, 5))", (3, 4, 5)),
    "layer norm bare": ("nn.LayerNorm(5, elementwise_affine=False)", (3, 4, 5)),
    "dropout": ("nn.Dropout(0.3)", (40, 5)),
    "dropout in evaluation": ("nn.Dropout(0.3).eval()", (40, 5)),
    "dropout of channels": ("nn.Dropout2d(0.3)", (4, 5, 3, 3)),
    "flatten": ("nn.Flatten()", (4, 5, 3)),
    "unflatten": ("nn.Unflatten(1, (2, 3))", (4, 6)),
    "relu": ("nn.ReLU()", (4, 5)),
    "relu6": ("nn.ReLU6()", (4, 5)),
    "leaky relu": ("nn.LeakyReLU(0.2)", (4, 5)),
    "elu": ("nn.ELU(0.7)", (4, 5)),
    "gelu": ("nn.GELU()", (4, 5)),
    "gelu by tanh": ("nn.GELU(approximate='tanh')", (4, 5)),
    "silu": ("nn.SiLU()", (4, 5)),
    "mish": ("nn.Mish()", (4, 5)),
    "hardtanh": ("nn.Hardtanh(-0.5, 0.8)", (4, 5)),
    "hardsigmoid": ("nn.Hardsigmoid()", (4, 5)),
    "hardswish": ("nn.Hardswish()", (4, 5)),
    "softplus": ("nn.Softplus(2.0)", (4, 5)),
    "sigmoid": ("nn.Sigmoid()", (4, 5)),
    "tanh": ("nn.Tanh()", (4, 5)),
    "log sigmoid": ("nn.LogSigmoid()", (4, 5)),
    "softsign": ("nn.Softsign()", (4, 5)),
    "softmax": ("nn.Softmax(dim=1)", (4, 5)),
    "log softmax": ("nn.LogSoftmax(dim=-1)", (4, 5)),
    "a small network": (
        "nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10), nn.LayerNorm(10))",
        (5, 1, 8, 8),
    ),
}


def outcome(torch: Any, expression: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Seeded, the layer's repr, and sums and sums of absolute values of: the output, the gradients
    of input and parameters, the buffers afterwards."""
    torch.manual_seed(1)
    layer = eval(expression, {"nn": torch.nn})
    x = torch.randn(*shape).requires_grad_()
    out = layer(x)
    (out.double() ** 2).sum().backward()
    tensors = [out, x.grad, *(p.grad for p in layer.parameters()), *layer.buffers()]
    sums = [[float(t.double().sum()), float(t.double().abs().sum())] for t in tensors]
    return {"repr": repr(layer), "keys": list(layer.state_dict()), "sums": sums}


if __name__ == "__main__":
    import torch

    found = {name: outcome(torch, *case) for name, case in CASES.items()}
    rows = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    RECORD.write_text("{\n" + ",\n".join(rows) + "\n}\n")
