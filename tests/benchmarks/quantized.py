"""Models of 8 bits: a residual network by tracing and calibration, linear and recurrent layers
whose inputs are quantized as they come."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from .case import Case, Rival, Step
from .images import resnet18

WIDTH = 256


def _without_gradients(torch: Any, model: Any, x: Any) -> Step:
    def step() -> None:
        with torch.no_grad():
            model(x)

    return step


def images(torch: Any) -> Step:
    """ResNet-18 for 32x32 images in codes of 8 bits, batch 8."""
    quantization = import_module(f"{torch.__name__}.ao.quantization")
    quantize_fx = import_module(f"{torch.__name__}.ao.quantization.quantize_fx")
    x = torch.randn(8, 3, 32, 32)
    mapping = quantization.get_default_qconfig_mapping("x86")
    prepared = quantize_fx.prepare_fx(resnet18(torch).eval(), mapping, (x,))
    prepared(x)
    return _without_gradients(torch, quantize_fx.convert_fx(prepared), x)


def perceptron(torch: Any, batch: int) -> Step:
    """The two linear layers of a transformer's block, 768 to 3072 and back."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(768, 3072), nn.ReLU(), nn.Linear(3072, 768))
    model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    return _without_gradients(torch, model, torch.randn(batch, 768))


def sequences(torch: Any) -> Step:
    """An LSTM over 50 steps, batch 16."""
    nn = torch.nn
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(WIDTH, WIDTH)), {nn.LSTM})
    return _without_gradients(torch, model, torch.randn(50, 16, WIDTH))


CASES = [
    Case("ResNet-18 32x32 of 8 bits, batch 8, inference", images, (Rival(1.2),)),
    *[
        Case(f"dynamic 768-3072-768, batch {n}", partial(perceptron, batch=n), (Rival(1.6),))
        for n in (1, 16, 128)
    ],
    Case("dynamic LSTM 256, T 50, batch 16", sequences, (Rival(1.6),)),
]
