"""What is computed with either library: calibration, and small quantized models.

`results(torch)` runs it with the library given; see `recorded/quantization.py`.
"""

# ruff: noqa: E501 - a table reads best with a case a line
from __future__ import annotations

from typing import Any

import numpy as np

OBSERVERS = (
    ("MinMaxObserver", {}),
    ("MinMaxObserver", {"reduce_range": True}),
    ("MinMaxObserver", {"qscheme": "per_tensor_symmetric"}),
    ("MinMaxObserver", {"dtype": "qint8", "qscheme": "per_tensor_symmetric"}),
    ("MinMaxObserver", {"quant_min": 0, "quant_max": 127}),
    ("MovingAverageMinMaxObserver", {}),
    ("PerChannelMinMaxObserver", {}),
    ("PerChannelMinMaxObserver", {"dtype": "qint8", "qscheme": "per_channel_symmetric", "ch_axis": 1}),
    ("PerChannelMinMaxObserver", {"qscheme": "per_channel_affine_float_qparams"}),
    ("MovingAveragePerChannelMinMaxObserver", {"dtype": "qint8"}),
    ("HistogramObserver", {}),
    ("HistogramObserver", {"reduce_range": True}),
    ("HistogramObserver", {"dtype": "qint8", "qscheme": "per_tensor_symmetric"}),
)  # fmt: skip


def normal(torch: Any, *shape: int, seed: int = 0, scale: float = 1.0) -> Any:
    values = np.random.RandomState(seed).standard_normal(shape) * scale
    return torch.tensor(values.astype(np.float32))


def network(torch: Any) -> Any:
    """A small convolutional network with stubs, and parameters that are always the same."""
    nn, ao = torch.nn, torch.ao

    class Network(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.quant, self.dequant = ao.quantization.QuantStub(), ao.quantization.DeQuantStub()
            self.conv1, self.bn, self.relu = (
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
            )
            self.pool = nn.MaxPool2d(2)
            self.conv2 = nn.Conv2d(8, 8, 3, stride=2, groups=2)
            self.sum = ao.nn.quantized.FloatFunctional()
            self.linear = nn.Linear(72, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(self.relu(self.bn(self.conv1(self.quant(x)))))
            x = self.conv2(x)
            return self.dequant(self.linear(self.sum.add(x, x).flatten(1)))

    return with_values(torch, Network())


def with_values(torch: Any, model: Any) -> Any:
    for k, (name, value) in enumerate(sorted(model.state_dict().items())):
        if value.dtype == torch.float32:
            values = normal(torch, *value.shape, seed=k, scale=0.2)
            value.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return model


def filled(torch: Any, module: Any) -> Any:
    for k, weight in enumerate(module.parameters()):
        weight.data.copy_(normal(torch, *weight.shape, seed=k, scale=0.4))
    return torch.nn.Sequential(module)


def static(torch: Any) -> Any:
    """The network, fused, calibrated and converted."""
    quantization = torch.ao.quantization
    model = network(torch).eval()
    model.qconfig = quantization.get_default_qconfig("x86")
    fused = quantization.fuse_modules(model, [["conv1", "bn", "relu"]])
    prepared = quantization.prepare(fused)
    for seed in range(3):
        prepared(normal(torch, 4, 3, 16, 16, seed=seed))
    return quantization.convert(prepared)


def results(torch: Any) -> dict[str, list[Any]]:
    """Scales, zero points and outputs by name."""
    nn, quantization = torch.nn, torch.ao.quantization
    found: dict[str, Any] = {}
    for name, options in OBSERVERS:
        made = {k: getattr(torch, v) if isinstance(v, str) else v for k, v in options.items()}
        observer = getattr(quantization, name)(**made)
        for seed in range(3):
            observer(normal(torch, 6, 50, seed=seed, scale=1 + seed))
        key = f"{name} {options}"
        found[f"{key} scale"], found[f"{key} zero"] = observer.calculate_qparams()
    x = normal(torch, 4, 3, 16, 16, seed=7)
    with torch.no_grad():
        found["static"] = static(torch)(x)
        dynamic = quantization.quantize_dynamic(network(torch).eval(), {nn.Linear})
        found["dynamic"] = dynamic(x)
        rows, steps = normal(torch, 3, 6, seed=4), normal(torch, 7, 3, 6, seed=4)
        for kind in ("LSTM", "GRU"):
            model = filled(torch, getattr(nn, kind)(6, 5, 2, bidirectional=True))
            found[kind] = quantization.quantize_dynamic(model, {getattr(nn, kind)})(steps)[0]
        for kind in ("LSTMCell", "GRUCell", "RNNCell"):
            out = quantization.quantize_dynamic(filled(torch, getattr(nn, kind)(6, 5)))(rows)
            found[kind] = out[0] if isinstance(out, tuple) else out
        table = filled(torch, nn.Embedding(10, 4))
        quint8 = {"dtype": torch.quint8}
        small = quantization.quantize_dynamic(table, {nn.Embedding}, **quint8)
        found["embedding"] = small(torch.tensor([[1, 2], [9, 0]]))
        bag = filled(torch, nn.EmbeddingBag(10, 4, mode="sum"))
        small = quantization.quantize_dynamic(bag, {nn.EmbeddingBag}, **quint8)
        found["bag"] = small[0](torch.tensor([1, 2, 9, 0]), torch.tensor([0, 3]))
    return {name: value.detach().tolist() for name, value in found.items()}


def residual(torch: Any) -> Any:
    """A residual network as image models are written: one ReLU for all, sums in place."""
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else None

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            y += x if self.downsample is None else self.downsample(x)
            return self.relu(y)

    class Network(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
            self.pool, self.avgpool = nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1)
            self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
            self.fc = nn.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(nn.functional.relu(self.bn1(self.conv1(x))))
            return self.fc(torch.flatten(self.avgpool(self.layer1(x)), 1))

    return with_values(torch, Network())


def traced(torch: Any, quantize_fx: Any) -> Any:
    """The residual network, traced, calibrated and converted."""
    xs = [normal(torch, 2, 3, 32, 32, seed=seed) for seed in range(3)]
    mapping = torch.ao.quantization.get_default_qconfig_mapping("x86")
    prepared = quantize_fx.prepare_fx(residual(torch).eval(), mapping, (xs[0],))
    for x in xs:
        prepared(x)
    return quantize_fx.convert_fx(prepared)
