"""The GPU's random streams under PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..core.devices import device as _Device
from ..random import generator_for as _generator_for
from ..random import initial_seed, seed
from ..random import manual_seed as _manual_seed
from .devices import _index, device_count

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
    """The state of the GPU's generator, a uint8 tensor on the CPU. Raises: DeviceError without a
    GPU."""
    return _generator_for(_Device("cuda", _index(device))).get_state()


def set_rng_state(new_state: Any, device: Any = None) -> None:
    """Let the GPU's generator go on from `new_state`. Raises: DeviceError without a GPU."""
    _generator_for(_Device("cuda", _index(device))).set_state(new_state)


def get_rng_state_all() -> list[Any]:
    """The states of the generators of all GPUs; empty without one."""
    return [get_rng_state(f"cuda:{index}") for index in range(device_count())]


def set_rng_state_all(new_states: Any) -> None:
    """Let the generators of all GPUs go on from `new_states`."""
    for index, state in enumerate(new_states):
        set_rng_state(state, f"cuda:{index}")
