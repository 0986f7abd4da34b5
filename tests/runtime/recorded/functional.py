# ruff: noqa: E501 - a table reads best with a call a line
"""Calls whose results are recorded from PyTorch: `python -m tests.runtime.recorded.functional`
writes them down, with PyTorch installed by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")


def numbers(*shape: int, seed: int = 0) -> Any:
    """float64 numbers, the same on every machine."""
    return np.random.RandomState(seed).uniform(-1, 1, shape)


X1, X2, X3 = numbers(2, 3, 5), numbers(1, 2, 4, 5), numbers(1, 2, 3, 4, 3)
GRID2, GRID3 = 1.3 * numbers(1, 3, 3, 2, seed=4), 1.3 * numbers(1, 2, 3, 2, 3, seed=5)
ROWS, OTHER, THIRD = numbers(4, 3), numbers(4, 3, seed=1), numbers(4, 3, seed=2)
SIGNS = np.sign(numbers(4, seed=3))
LABELS = np.array([0, 2, 1, 1])

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    **{f"pad {mode}": (lambda t, F, x, m=mode: F.pad(x, (1, 2, 2, 1), m), (X2,)) for mode in ("constant", "reflect", "replicate", "circular")},
    **{f"interpolate {mode} {corners}": (lambda t, F, x, m=mode, c=corners: F.interpolate(x, size=(7, 3), mode=m, align_corners=c), (X2,))
       for mode in ("bilinear", "bicubic") for corners in (False, True)},
    **{f"interpolate {mode}": (lambda t, F, x, m=mode: F.interpolate(x, scale_factor=(1.7, 0.6), mode=m), (X2,)) for mode in ("nearest", "nearest-exact", "bilinear", "area")},
    "interpolate linear": (lambda t, F, x: F.interpolate(x, size=8, mode="linear"), (X1,)),
    "interpolate trilinear": (lambda t, F, x: F.interpolate(x, size=(2, 5, 4), mode="trilinear"), (X3,)),
    **{f"grid_sample {m} {p} {c}": (lambda t, F, x, g, m=m, p=p, c=c: F.grid_sample(x, g, m, p, c), (X2, GRID2))
       for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border", "reflection") for c in (False, True)},
    "grid_sample 3d": (lambda t, F, x, g: F.grid_sample(x, g, align_corners=False), (X3, GRID3)),
    "affine_grid": (lambda t, F, x: F.affine_grid(x, (2, 1, 3, 4), align_corners=False), (numbers(2, 2, 3),)),
    "unfold": (lambda t, F, x: F.unfold(x, (2, 3), dilation=(2, 1), padding=1, stride=(1, 2)), (X2,)),
    "fold": (lambda t, F, x: F.fold(x, (4, 5), (2, 2), padding=1, stride=2), (numbers(1, 8, 9),)),
    "pixel_shuffle": (lambda t, F, x: F.pixel_shuffle(x, 2), (numbers(2, 8, 2, 3),)),
    "pixel_unshuffle": (lambda t, F, x: F.pixel_unshuffle(x, 2), (numbers(2, 1, 4, 6),)),
    "channel_shuffle": (lambda t, F, x: F.channel_shuffle(x, 2), (numbers(1, 4, 2, 2),)),
    **{f"conv_transpose{r}d": (lambda t, F, x, w, b, r=r: getattr(F, f"conv_transpose{r}d")(x, w, b, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
                               (numbers(2, 4, *[4] * r), numbers(4, 3, *[3] * r, seed=1), numbers(6, seed=2))) for r in (1, 2)},
    **{name: (lambda t, F, x, n=name: getattr(F, n)(x), (3 * ROWS,)) for name in ("celu", "selu", "hardshrink", "softshrink", "tanhshrink")},
    "glu": (lambda t, F, x: F.glu(x, 1), (numbers(3, 4),)), "prelu": (lambda t, F, x, w: F.prelu(x, w), (X1, numbers(3))),
    "threshold": (lambda t, F, x: F.threshold(x, 0.1, 20.0), (ROWS,)), "softmin": (lambda t, F, x: F.softmin(x, 1), (ROWS,)),
    "normalize": (lambda t, F, x: F.normalize(x, p=3.0), (ROWS,)), "cosine_similarity": (lambda t, F, x, y: F.cosine_similarity(x, y), (ROWS, OTHER)),
    "pairwise_distance": (lambda t, F, x, y: F.pairwise_distance(x, y), (ROWS, OTHER)), "pdist": (lambda t, F, x: F.pdist(x), (ROWS,)),
    "group_norm": (lambda t, F, x, w, b: F.group_norm(x, 2, w, b), (numbers(2, 4, 3), numbers(4), numbers(4, seed=1))),
    "instance_norm": (lambda t, F, x: F.instance_norm(x), (X2,)), "rms_norm": (lambda t, F, x, w: F.rms_norm(x, (5,), w), (X1, numbers(5))),
    "local_response_norm": (lambda t, F, x: F.local_response_norm(x, 2), (X1,)),
    "attention": (lambda t, F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), (numbers(2, 3, 4), numbers(2, 3, 4, seed=1), numbers(2, 3, 2, seed=2))),
    "margin_ranking_loss": (lambda t, F, x, y, s: F.margin_ranking_loss(x[:, 0], y[:, 0], s.detach(), 0.2), (ROWS, OTHER, SIGNS)),
    "hinge_embedding_loss": (lambda t, F, x, s: F.hinge_embedding_loss(x[:, 0], s.detach()), (ROWS, SIGNS)),
    "cosine_embedding_loss": (lambda t, F, x, y, s: F.cosine_embedding_loss(x, y, s.detach(), 0.1), (ROWS, OTHER, SIGNS)),
    "soft_margin_loss": (lambda t, F, x, s: F.soft_margin_loss(x[:, 1], s.detach()), (ROWS, SIGNS)),
    "multi_margin_loss": (lambda t, F, x, y: F.multi_margin_loss(x, y, p=2), (ROWS, LABELS)),
    "multilabel_margin_loss": (lambda t, F, x, y: F.multilabel_margin_loss(x, y), (ROWS, np.array([[0, -1, 1], [2, 1, -1], [1, -1, -1], [0, 1, 2]]))),
    "multilabel_soft_margin_loss": (lambda t, F, x, y: F.multilabel_soft_margin_loss(x, (y > 0).to(x.dtype)), (ROWS, OTHER)),
    "triplet_margin_loss": (lambda t, F, x, y, z: F.triplet_margin_loss(x, y, z, swap=True), (ROWS, OTHER, THIRD)),
    "poisson_nll_loss": (lambda t, F, x, y: F.poisson_nll_loss(x, y.abs() * 4, full=True), (ROWS, OTHER)),
    "gaussian_nll_loss": (lambda t, F, x, y, z: F.gaussian_nll_loss(x, y, z.square() + 0.1, full=True), (ROWS, OTHER, THIRD)),
}  # fmt: skip
"""By name: a function of the library, its `nn.functional` and tensors; and the tensors' values."""


def results(library: Any, from_numpy: Callable[[Any], Any], name: str) -> list[Any]:
    """The result of a call, and the gradients of its sum of squares by the floating tensors."""
    function, arrays = CALLS[name]
    tensors = [from_numpy(a.copy()) for a in arrays]
    leaves = [t.requires_grad_() for t in tensors if t.is_floating_point()]
    out = function(library, library.nn.functional, *tensors)
    found = library.autograd.grad((out * out).sum(), leaves, allow_unused=True)
    kept = [
        out.detach(),
        *[leaf.detach() * 0 if g is None else g for leaf, g in zip(leaves, found, strict=True)],
    ]
    return [t.numpy() for t in kept]


if __name__ == "__main__":
    import torch

    recorded = {n: [r.tolist() for r in results(torch, torch.from_numpy, n)] for n in CALLS}
    FILE.write_text(json.dumps(recorded))
