"""Convolutions, forward and backward, against PyTorch's better layout."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import LAYOUTS, Case, Step

BATCH = 16

SHAPES = {
    "7x7 stride 2, 3-64, 224": (3, 64, 224, 7, 2, 1),
    "3x3, 64, 56": (64, 64, 56, 3, 1, 1),
    "3x3 stride 2, 64-128, 56": (64, 128, 56, 3, 2, 1),
    "1x1 stride 2, 64-128, 56": (64, 128, 56, 1, 2, 1),
    "3x3, 128, 28": (128, 128, 28, 3, 1, 1),
    "3x3, 256, 14": (256, 256, 14, 3, 1, 1),
    "3x3, 512, 7": (512, 512, 7, 3, 1, 1),
    "1x1, 256-64, 56": (256, 64, 56, 1, 1, 1),
    "1x1, 64-256, 56": (64, 256, 56, 1, 1, 1),
    "3x3 depthwise, 128, 56": (128, 128, 56, 3, 1, 128),
}
"""Name -> channels in, channels out, height and width, kernel, stride, groups; those of ResNet-18
and the usual others."""


def convolution(torch: Any, shape: tuple[int, ...], channels_last: bool = False) -> Step:
    """Batch 16; gradients of input, weight and bias, from a given gradient of the output."""
    channels, out, size, kernel, stride, groups = shape
    layer = torch.nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups)
    x = torch.randn(BATCH, channels, size, size)
    if channels_last:
        layer = layer.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    g = torch.ones_like(layer(x).detach())

    def step() -> None:
        x.grad = layer.weight.grad = layer.bias.grad = None
        layer(x).backward(g)

    return step


CASES = [
    Case(f"conv {name}, batch {BATCH}", partial(convolution, shape=shape), LAYOUTS, best=True)
    for name, shape in SHAPES.items()
]
