"""NVIDIA's library of collective operations, which is not used: several GPUs of one process copy
from peer to peer (`torch.cuda.comm`), several processes talk through `torch.distributed`."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["is_available", "version"]


def is_available(tensors: Any = ()) -> bool:
    """False."""
    return False


def version() -> NoReturn:
    """Raises: RuntimeError, as NCCL is not used."""
    raise RuntimeError(
        "nccl: expected NVIDIA's NCCL. It is not used here: torch.cuda.comm copies between the "
        "GPUs of a process. Ask torch.cuda.nccl.is_available() first."
    )
