"""Regularization of whole branches and blocks: stochastic depth and DropBlock."""

from __future__ import annotations

from ... import empty
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...fx import wrap
from ...nn import Module
from ...nn.functional import max_pool2d, max_pool3d, pad

__all__ = [
    "DropBlock2d",
    "DropBlock3d",
    "StochasticDepth",
    "drop_block2d",
    "drop_block3d",
    "stochastic_depth",
]


def _probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{name}: expected a probability p in [0, 1]. Got {p}.")


@wrap
def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zeros with probability p, else input / (1 - p): for each sample on its own (mode `row`) or
    for all together (`batch`); `input` itself outside of training. Source: arXiv:1603.09382."""
    _probability("stochastic_depth", p)
    if mode not in ("batch", "row"):
        raise ValueError(f"stochastic_depth: expected mode batch or row. Got {mode!r}.")
    if not training or p == 0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    noise = empty((rows, *[1] * (input.ndim - 1)), dtype=input.dtype, device=input.device)
    noise = noise.bernoulli_(1 - p)
    return input * (noise / (1 - p) if p < 1 else noise)


class StochasticDepth(Module):
    """`stochastic_depth` while the module trains."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) -> (N, ...)."""
        return stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        """The probability and the mode."""
        return f"p={self.p}, mode={self.mode}"


def _drop_block(
    name: str, input: Tensor, p: float, size: int, inplace: bool, eps: float, training: bool
) -> Tensor:
    rank = 2 if name.endswith("2d") else 3
    _probability(name, p)
    if input.ndim != rank + 2:
        raise ShapeError(f"{name}: expected {rank + 2} dimensions. Got {tuple(input.shape)}.")
    if not training or p == 0:
        return input
    sides = tuple(input.shape[2:])
    size = min(size, *sides)
    if size % 2 == 0:
        raise ValueError(f"{name}: expected an odd block size. Got {size}.")
    gamma = p
    for side in sides:
        gamma *= side / (size * (side - size + 1))
    seeds = empty(
        (*input.shape[:2], *[side - size + 1 for side in sides]),
        dtype=input.dtype,
        device=input.device,
    ).bernoulli_(gamma)
    seeds = pad(seeds, [size // 2] * (2 * rank), value=0.0)
    pool = max_pool2d if rank == 2 else max_pool3d
    kept = 1 - pool(seeds, stride=1, kernel_size=size, padding=size // 2)
    scale = kept.numel() / (eps + kept.sum())
    return input.mul_(kept).mul_(scale) if inplace else input * kept * scale


def drop_block2d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-6,
    training: bool = True,
) -> Tensor:
    """(N, C, H, W) with about a share p set to zero, in blocks of `block_size` squared, and the
    rest scaled so that the mean stays. Source: arXiv:1810.12890, algorithm 1."""
    return _drop_block("drop_block2d", input, p, block_size, inplace, eps, training)


def drop_block3d(
    input: Tensor,
    p: float,
    block_size: int,
    inplace: bool = False,
    eps: float = 1e-6,
    training: bool = True,
) -> Tensor:
    """The same for (N, C, D, H, W)."""
    return _drop_block("drop_block3d", input, p, block_size, inplace, eps, training)


class DropBlock2d(Module):
    """`drop_block2d` while the module trains."""

    def __init__(self, p: float, block_size: int, inplace: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        self.p, self.block_size, self.inplace, self.eps = p, block_size, inplace, eps

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return drop_block2d(input, self.p, self.block_size, self.inplace, self.eps, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, block_size={self.block_size}, inplace={self.inplace}"


class DropBlock3d(DropBlock2d):
    """`drop_block3d` while the module trains."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, D, H, W)."""
        return drop_block3d(input, self.p, self.block_size, self.inplace, self.eps, self.training)
