"""The GPU's random streams under PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..random import get_rng_state as _get_rng_state
from ..random import initial_seed, seed
from ..random import manual_seed as _manual_seed
from ..random import set_rng_state as _set_rng_state
from .devices import device_count

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed",
    "seed_all", "set_rng_state", "set_rng_state_all",
]  # fmt: skip


def manual_seed(seed: int) -> None:
    """Seed the generators; one seed serves all devices."""
    _manual_seed(seed)


manual_seed_all = manual_seed
seed_all = seed


def get_rng_state(device: Any = None) -> Any:
    """The state of the generator, one for all devices."""
    return _get_rng_state()


def set_rng_state(new_state: Any, device: Any = None) -> None:
    """Let the generator go on from `new_state`."""
    _set_rng_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The states of the generators of all GPUs; empty without one."""
    return [_get_rng_state() for _ in range(device_count())]


def set_rng_state_all(new_states: Any) -> None:
    """Let the generators of all GPUs go on from `new_states`."""
    for state in new_states:
        _set_rng_state(state)
