"""What a status row shows: device, memory, gradient mode, rules in force, the loss under way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

import flambeau as torch

if TYPE_CHECKING:
    from .session import Session

LOSS_NAMES = ("loss", "train_loss", "running_loss", "total_loss")


@dataclass(frozen=True, slots=True)
class Status:
    """Facts of the session; None where there is nothing to tell. `memory` is in bytes: the tensors
    on the GPU where that is the device, else what the process holds."""

    device: str
    memory: int
    grad: bool
    clip: str | None
    seed: int | None
    loss: float | None


def status_of(session: Session) -> Status:
    """The status now. Nothing waits for a device."""
    policy = session.policy
    device = torch.device(policy.device or "cpu")
    if device.type == "cuda":
        memory = int(torch.cuda.memory_allocated(device))
    else:
        memory = int(psutil.Process().memory_info().rss)
    clip = policy.clip
    seed = torch.initial_seed()
    return Status(
        device=str(device),
        memory=memory,
        grad=session.grad_enabled,
        clip=None if clip is None else str(clip),
        seed=policy.seed if seed == session.first_seed else seed,
        loss=_loss(session.namespace) if session.running else None,
    )


def _loss(namespace: dict[str, Any]) -> float | None:
    """The number that the running cell calls its loss, if it lies in the CPU's memory."""
    for name in LOSS_NAMES:
        value = namespace.get(name)
        if isinstance(value, torch.Tensor):
            if value.device.type != "cpu" or value.numel() != 1 or value.is_sparse:
                continue
            value = float(value.numpy_values().reshape(()))
        if isinstance(value, float) and math.isfinite(value):
            return value
    return None
