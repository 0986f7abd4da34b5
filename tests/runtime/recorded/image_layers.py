"""Records PyTorch's layers for images: `PYTHONPATH=. python -m
tests.runtime.recorded.image_layers`, with PyTorch installed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("image_layers.json")

Case = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]
PADS: list[Case] = [
    (f"{kind}Pad{rank}d", (1, 3.5) if kind == "Constant" else (1,), {}, (1, 2, *[4] * rank))
    for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
    for rank in (1, 2, 3)
]
CASES: list[Case] = [
    ("GroupNorm", (2, 6), {}, (2, 6, 4)),
    ("GroupNorm", (3, 6), {"affine": False}, (2, 6, 4, 4)),
    ("InstanceNorm1d", (3,), {}, (2, 3, 5)),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}, (2, 3, 5, 5)),
    ("InstanceNorm3d", (3,), {}, (2, 3, 4, 5, 5)),
    ("RMSNorm", (4,), {}, (2, 4)),
    ("RMSNorm", ((3, 4),), {"eps": 1e-3}, (2, 3, 4)),
    ("LocalResponseNorm", (3,), {}, (2, 5, 4, 4)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "padding": 1, "output_padding": 1}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": 2, "bias": False, "groups": 2}, (2, 4, 5, 5)),
    ("ConvTranspose3d", (2, 3, 3), {"dilation": 2}, (1, 2, 4, 4, 4)),
    ("Conv2d", (3, 4, 3), {"padding": "same", "padding_mode": "reflect"}, (2, 3, 6, 6)),
    ("Conv2d", (3, 4, 3), {"padding": (1, 2), "padding_mode": "circular"}, (2, 3, 6, 6)),
    ("Conv1d", (3, 4, 3), {"padding": 1, "padding_mode": "replicate", "dilation": 2}, (2, 3, 9)),
    ("Upsample", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("Upsample", ((5, 6),), {"mode": "bilinear", "align_corners": True}, (1, 2, 3, 4)),
    ("UpsamplingNearest2d", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("UpsamplingBilinear2d", ((4, 4),), {}, (1, 2, 3, 4)),
    ("PixelShuffle", (2,), {}, (1, 8, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (1, 2, 4, 4)),
    ("ChannelShuffle", (2,), {}, (1, 4, 3, 3)),
    ("Unfold", ((2, 3),), {"padding": 1, "stride": 2}, (1, 2, 6, 6)),
    ("Fold", ((4, 5), (2, 2)), {}, (1, 8, 12)),
    ("AdaptiveMaxPool1d", (2,), {}, (1, 2, 5)),
    ("AdaptiveMaxPool2d", ((2, 3),), {}, (1, 2, 5, 6)),
    ("AdaptiveMaxPool3d", (2,), {}, (1, 2, 5, 4, 4)),
    ("FractionalMaxPool2d", (2,), {"output_size": (3, 3)}, (1, 2, 6, 6)),
    ("FractionalMaxPool3d", (2,), {"output_ratio": 0.5}, (1, 2, 6, 6, 6)),
    ("LPPool1d", (2, 3), {}, (1, 2, 9)),
    ("LPPool2d", (2, (2, 3)), {"stride": 2, "ceil_mode": True}, (1, 2, 7, 7)),
    ("LPPool3d", (2, 2), {}, (1, 2, 4, 4, 4)),
    ("SyncBatchNorm", (3,), {}, ()),
    ("BatchNorm1d", (3,), {}, (4, 3)),
    *PADS,
]


def outcome(torch: Any, case: Case) -> dict[str, Any]:
    """Repr and parameters of the layer made with seed 0; outputs in training and evaluation, and
    the gradient of the sum of squares by the input."""
    name, args, options, shape = case
    torch.manual_seed(0)
    layer = getattr(torch.nn, name)(*args, **options)
    found: dict[str, Any] = {
        "repr": repr(layer),
        "state": {k: v.flatten().tolist() for k, v in layer.state_dict().items()},
    }
    if not shape:
        return found
    count = 1
    for n in shape:
        count *= n
    x = torch.sin(torch.arange(float(count)) * 1.7).reshape(shape)
    for mode in ("train", "eval"):
        getattr(layer, mode)()
        torch.manual_seed(1)
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        out.square().sum().backward()
        found[mode] = [list(out.shape), *_digest(torch, out), *_digest(torch, leaf.grad)]
    return found


def _digest(torch: Any, values: Any) -> list[float]:
    """The sum of all elements with weights of their own, and the sum of their sizes."""
    flat = values.detach().double().reshape(-1)
    weights = torch.cos(torch.arange(float(flat.numel()), dtype=torch.float64))
    return [float((flat * weights).sum()), float(flat.abs().sum())]


def main() -> None:
    """Write the record."""
    import torch

    RECORD.write_text(json.dumps([outcome(torch, c) for c in CASES], indent=0) + "\n")


if __name__ == "__main__":
    main()
