"""Every row of the GPU's table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..images import bottleneck, resnet50
from ..transformers import gpt
from .case import Place, Row, Step

ELEMENTS = 64 << 20


def large(place: Place, operation: Callable[[Any, Any, Any], object]) -> Step:
    """`operation(torch, x, y)` of float32 arrays of 64M elements, without recording."""
    torch, n = place.torch, place.size(ELEMENTS, 4096)
    x, y = (torch.randn(n // 512, 512, device=place.device) for _ in range(2))
    return lambda: operation(torch, x, y)


def arrays(count: float) -> Callable[[Place], float]:
    """The bytes of so many of these arrays."""
    return lambda place: count * 4 * place.size(ELEMENTS, 4096)


POINTWISE: dict[str, tuple[Callable[[Any, Any, Any], object], float]] = {
    "add": (lambda torch, x, y: torch.add(x, y), 3),
    "mul": (lambda torch, x, y: torch.mul(x, y), 3),
    "relu": (lambda torch, x, y: torch.relu(x), 2),
    "exp": (lambda torch, x, y: torch.exp(x), 2),
    "tanh": (lambda torch, x, y: torch.tanh(x), 2),
    "gelu": (lambda torch, x, y: torch.nn.functional.gelu(x), 2),
    "sigmoid": (lambda torch, x, y: torch.sigmoid(x), 2),
    "sum": (lambda torch, x, y: torch.sum(x), 1),
    "sum of columns": (lambda torch, x, y: torch.sum(x, 0), 1),
    "mean of rows": (lambda torch, x, y: torch.mean(x, 1), 1),
    "var": (lambda torch, x, y: torch.var(x), 1),
    "max of rows": (lambda torch, x, y: torch.amax(x, 1), 1),
}
"""Operations, and how many arrays they must read and write."""


def layer(place: Place, shape: tuple[int, ...], dtype: str, function: Any) -> Step:
    """`function(torch, x)` of normal numbers, and its gradient."""
    torch = place.torch
    x = torch.randn(*shape, device=place.device).to(getattr(torch, dtype)).requires_grad_()
    g = torch.randn_like(function(torch, x).detach())

    def step() -> object:
        x.grad = None
        function(torch, x).backward(g)
        return x.grad

    return step


def softmax(place: Place) -> Step:
    """The scores of GPT-2 small, batch 8: (8 * 12 * 1024, 1024)."""
    rows, width = place.size(8 * 12 * 1024, 32), place.size(1024, 64)
    return layer(place, (rows, width), "bfloat16", lambda torch, x: torch.softmax(x, -1))


def layer_norm(place: Place) -> Step:
    """The states of GPT-2 small, batch 8: (8 * 1024, 768)."""
    rows, width = place.size(8 * 1024, 32), place.size(768, 64)
    norm = place.torch.nn.LayerNorm(width).to(place.device).to(place.torch.bfloat16)
    return layer(place, (rows, width), "bfloat16", lambda torch, x: norm(x))


def cross_entropy(place: Place) -> Step:
    """The logits of GPT-2, batch 8: (8 * 1024, 50257)."""
    rows, classes = place.size(8 * 1024, 32), place.size(50257, 101)
    target = place.torch.randint(0, classes, (rows,)).to(place.device)
    loss = place.torch.nn.functional.cross_entropy
    return layer(place, (rows, classes), "bfloat16", lambda torch, x: loss(x, target))


def matmul(place: Place, dtype: str, full: int) -> Step:
    """(n, n) @ (n, n)."""
    torch, n = place.torch, place.size(full, 64)
    x, y = (torch.randn(n, n, device=place.device).to(getattr(torch, dtype)) for _ in range(2))
    return lambda: x @ y


def optimizer_step(place: Place) -> Step:
    """AdamW and clipping to norm 1, 100M float32 parameters in 148 tensors as in GPT-2."""
    torch, width = place.torch, place.size(768, 8)
    shapes = [(width, width), (4 * width, width), (width,), (width, 8 * width)] * 12
    shapes += [(place.size(50257, 101), width)] * 1
    parameters = [torch.nn.Parameter(torch.randn(s, device=place.device)) for s in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def small(place: Place) -> Step:
    """A product, its sum and their gradients, 32x64."""
    torch = place.torch
    x, y = (torch.ones(32, 64, device=place.device, requires_grad=True) for _ in range(2))

    def step() -> None:
        x.grad = y.grad = None
        (x * y).sum().backward()

    return step


def training(
    place: Place, model: Any, optimizer: Any, x: Any, classes: Any, half: bool = False
) -> Step:
    """A training step with cross-entropy; with `half` under autocast to bfloat16."""
    torch = place.torch

    def step() -> object:
        optimizer.zero_grad()
        with torch.autocast(place.device, torch.bfloat16, enabled=half):
            loss = torch.nn.functional.cross_entropy(model(x), classes)
        loss.backward()
        optimizer.step()
        return loss

    return step


def perceptron(place: Place) -> Step:
    """784-512-512-10, batch 128, SGD."""
    torch, nn = place.torch, place.torch.nn
    model = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ).to(place.device)
    x, y = torch.randn(128, 784, device=place.device), torch.randint(0, 10, (128,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return training(place, model, optimizer, x, y.to(place.device))


def one_block(torch: Any) -> Any:
    """The beginning and the end of the network, for a trial."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1), bottleneck(torch, 64, 16, 2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(64, 1000),
    )  # fmt: skip


def residual(place: Place) -> Step:
    """ResNet-50, 224x224, batch 128, channels last, bfloat16 by autocast, SGD with momentum."""
    torch, side = place.torch, place.size(224, 32)
    model = one_block(torch) if place.tiny else resnet50(torch)
    model = model.to(place.device).to(memory_format=torch.channels_last)
    batch = place.size(128, 2)
    x = torch.randn(batch, 3, side, side, device=place.device)
    y = torch.randint(0, 1000, (batch,)).to(place.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = x.contiguous(memory_format=torch.channels_last)
    return training(place, model, optimizer, x, y, half=True)


def language(place: Place, batch: int = 8) -> Step:
    """GPT-2 small, T 1024, batch 8, bfloat16 by autocast, AdamW."""
    torch = place.torch
    vocabulary, length = place.size(50257, 101), place.size(1024, 16)
    width, depth, heads = place.size(768, 32), place.size(12, 2), place.size(12, 2)
    model = gpt(torch, vocabulary, width, depth, heads, length).to(place.device)
    tokens = torch.randint(0, vocabulary, (place.size(batch, 2), length + 1)).to(place.device)
    x, y = tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True, capturable=True)
    return training(place, model, optimizer, x, y, half=True)


def convolutional(place: Place) -> Step:
    """Three convolutions on 64x64 images, batch 64, SGD: a net for tutorials."""
    torch, nn = place.torch, place.torch.nn
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, 10),
    ).to(place.device)  # fmt: skip
    batch, side = place.size(64, 2), place.size(64, 16)
    x = torch.randn(batch, 3, side, side, device=place.device)
    y = torch.randint(0, 10, (batch,)).to(place.device)
    return training(place, model, torch.optim.SGD(model.parameters(), lr=0.01), x, y)


MODELS: dict[str, Callable[[Place], Step]] = {
    "MLP 784-512-512-10, batch 128": perceptron,
    "ResNet-50, bfloat16, batch 128": residual,
    "GPT-2 small, bfloat16, T 1024, batch 8": language,
}

# Should a run be cut off, what tells most was first.
ROWS = [
    Row("mul, sum, backward, 32x64", small, 1.0),
    *[Row(f"{name}, training step", work, 1.0) for name, work in MODELS.items()],
    Row("softmax, forward and backward, GPT-2", softmax, 0.9),
    Row("layer norm, forward and backward, GPT-2", layer_norm, 0.9),
    Row("cross-entropy, forward and backward, GPT-2", cross_entropy, 0.9),
    Row("matmul 8192, bfloat16", partial(matmul, dtype="bfloat16", full=8192), 1.02),
    Row("AdamW and clipping, 100M parameters, against fused", optimizer_step, 1.0),
    *[
        Row(f"{name}, training step, captured", work, 1.0, captured=True)
        for name, work in MODELS.items()
    ],
    *[
        Row(f"{name}, 64M float32", partial(large, operation=operation), 1.0, arrays(count))
        for name, (operation, count) in POINTWISE.items()
    ],
    Row("matmul 8192, float32", partial(matmul, dtype="float32", full=8192), 1.02),
    Row("matmul 4096, float32, against NumPy",
        partial(matmul, dtype="float32", full=4096), 0.1, rival="numpy"),
    Row("small convolutional net, training step, against the CPU", convolutional, 0.1,
        rival="cpu"),
]  # fmt: skip


def copy(place: Place) -> Step:
    """A copy within the GPU's memory, whose rate others are measured by."""
    torch, n = place.torch, place.size(ELEMENTS, 4096)
    x, y = (torch.ones(n, device=place.device) for _ in range(2))
    return lambda: y.copy_(x)


COPY = Row("copy, 64M float32", copy, float("inf"), arrays(2))


def find(name: str) -> Row:
    """The row of that name."""
    return next(row for row in (COPY, *ROWS) if row.name == name)
