"""Which kernel `scaled_dot_product_attention` may use on the GPU, as PyTorch lets one choose.

On the CPU there is one way of computing it, which every choice takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum

from ...backends.cuda.sdp import allowed

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """The kernels that PyTorch has."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


KERNELS = {
    SDPBackend.MATH: "math",
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "mem_efficient",
    SDPBackend.CUDNN_ATTENTION: "cudnn",
}
"""How the switches of kernels are called."""


@contextmanager
def sdpa_kernel(
    backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False
) -> Iterator[None]:
    """A `with` block for a choice of kernels; cuDNN comes first of them, then attention in tiles.

    FLASH_ATTENTION and EFFICIENT_ATTENTION are one kernel here, in tiles.
    Raises: AssertionError for anything else than one or several SDPBackend.
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else backends
    if not isinstance(chosen, Iterable) or not all(isinstance(b, SDPBackend) for b in chosen):
        raise AssertionError(f"sdpa_kernel: expected one or several SDPBackend. Got {backends!r}.")
    names = [KERNELS[b] for b in chosen if b in KERNELS]
    with allowed.only(**dict.fromkeys(names, True)):
        yield
