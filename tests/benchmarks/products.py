"""Matrix products."""

from __future__ import annotations

from functools import partial
from typing import Any

from .case import Case, Rival, Step


def square(torch: Any, n: int) -> Step:
    """(n, n) @ (n, n)."""
    x, y = torch.randn(n, n), torch.randn(n, n)
    return lambda: torch.matmul(x, y)


def batched(torch: Any) -> Step:
    """64 products of 128x128 matrices."""
    x, y = torch.randn(64, 128, 128), torch.randn(64, 128, 128)
    return lambda: torch.bmm(x, y)


CASES = [
    *[Case(f"matmul {n}", partial(square, n=n), (Rival(0.5),)) for n in (256, 1024, 2048)],
    Case("bmm 64x128x128x128", batched, (Rival(0.6),)),
]
