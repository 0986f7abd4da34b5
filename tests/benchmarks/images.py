"""Residual networks (arXiv:1512.03385): ResNet-18 trained on 32x32 images, ResNet-50 at 224."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Case, Rival, Step
from .training import training_step


def residual_block(torch: Any, fan_in: int, layers: list[Any], stride: int) -> Any:
    """relu(layers(x) + shortcut(x)); the shortcut is a 1x1 convolution where shapes differ."""
    nn = torch.nn
    fan_out = layers[-1].num_features

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.branch = nn.Sequential(*layers)
            self.shortcut = nn.Identity()
            if stride != 1 or fan_in != fan_out:
                projection = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(fan_out))
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.branch(x) + self.shortcut(x))

    return Residual()


def basic_block(torch: Any, fan_in: int, width: int, stride: int) -> Any:
    """Two 3x3 convolutions."""
    nn = torch.nn
    layers = [
        nn.Conv2d(fan_in, width, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
    ]
    return residual_block(torch, fan_in, layers, stride)


def bottleneck(torch: Any, fan_in: int, width: int, stride: int) -> Any:
    """1x1, 3x3 and 1x1 convolutions; four times as wide outside."""
    nn = torch.nn
    layers = [
        nn.Conv2d(fan_in, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 4 * width, 1, bias=False),
        nn.BatchNorm2d(4 * width),
    ]
    return residual_block(torch, fan_in, layers, stride)


def stages(torch: Any, block: Any, counts: tuple[int, ...], expansion: int) -> list[Any]:
    """Four stages of blocks, 64 to 512 wide, each from the second on at half the size."""
    blocks, fan_in = [], 64
    for k, count in enumerate(counts):
        for index in range(count):
            blocks.append(block(torch, fan_in, 64 << k, 2 if k and not index else 1))
            fan_in = expansion * (64 << k)
    return blocks


def resnet18(torch: Any) -> Any:
    """For 32x32 images: a 3x3 convolution first, no pooling after it."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        *stages(torch, basic_block, (2, 2, 2, 2), 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def resnet50(torch: Any) -> Any:
    """For 224x224 images, as in the paper."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        *stages(torch, bottleneck, (3, 4, 6, 3), 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2048, 1000),
    )


def in_layout(torch: Any, model: Any, x: Any, channels_last: bool) -> tuple[Any, Any]:
    """Model and images, moved to channels-last if asked."""
    if not channels_last:
        return model, x
    layout = torch.channels_last
    return model.to(memory_format=layout), x.contiguous(memory_format=layout)


def train(torch: Any, channels_last: bool = False) -> Step:
    """ResNet-18, batch 32, SGD with momentum."""
    model, x = in_layout(torch, resnet18(torch), torch.randn(32, 3, 32, 32), channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(torch, model, optimizer, x, torch.randint(0, 10, (32,)))


def infer(torch: Any, batch: int, channels_last: bool = False) -> Step:
    """ResNet-50 in evaluation mode, without recording."""
    x = torch.randn(batch, 3, 224, 224)
    model, x = in_layout(torch, resnet50(torch).eval(), x, channels_last)

    def step() -> None:
        with torch.no_grad():
            model(x)

    return step


def layouts(default: float, channels_last: float) -> tuple[Rival, Rival]:
    """Limits against PyTorch's two layouts."""
    last = Rival(channels_last, "channels-last", {"channels_last": True})
    return Rival(default, "default"), last


CASES = [
    Case("ResNet-18 32x32, batch 32, train", train, layouts(0.8, 0.9), trains=True),
    *[
        Case(f"ResNet-50 224, batch {n}, inference", partial(infer, batch=n), layouts(0.8, 0.95))
        for n in (1, 8)
    ],
]
