"""How a checkpoint is taken that has not all that is asked for."""

from __future__ import annotations

from typing import Any

__all__ = ["DefaultLoadPlanner", "DefaultSavePlanner"]


class DefaultLoadPlanner:
    """With `allow_partial_load`, `load` leaves tensors as they are that the checkpoint has not."""

    def __init__(self, allow_partial_load: bool = False, **options: Any) -> None:
        self.allow_partial_load = allow_partial_load


class DefaultSavePlanner:
    """Everything is saved."""

    def __init__(self, **options: Any) -> None:
        """Options of PyTorch's are taken and change nothing."""
