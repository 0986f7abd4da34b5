"""Schedules made of others: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler, rates, set_option


class _Composed(LRScheduler):
    """What both share: the parts, and a state made of theirs."""

    _schedulers: Sequence[LRScheduler]

    def _require_parts(self, schedulers: Sequence[Any], optimizer: Optimizer | None) -> None:
        """Raises: TypeError or ValueError for what cannot be a part."""
        name = type(self).__name__
        for k, part in enumerate(schedulers):
            if not hasattr(part, "optimizer"):
                raise TypeError(
                    f"{name}: expected schedules. Got {type(part).__name__} at index {k}."
                )
            if isinstance(part, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: expected schedules whose step takes no metric. Got ReduceLROnPlateau "
                    f"at index {k}. Step it by itself."
                )
            if part.optimizer is not optimizer:
                raise ValueError(
                    f"{name}: expected schedules of one optimizer. Got {type(part).__name__} of "
                    f"another at index {k}."
                )

    def _initial_step(self) -> None:
        optimizer = self.optimizer
        was_called, optimizer._opt_called = optimizer._opt_called, True  # parts need not warn
        super()._initial_step()
        optimizer._opt_called = was_called

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the parts."""
        state = super().state_dict()
        del state["_schedulers"]
        state["_schedulers"] = [part.state_dict() for part in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for part, saved in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            part.load_state_dict(saved)


class SequentialLR(_Composed):
    """One schedule after another: the next begins at each epoch of `milestones`.

    Raises: ValueError for no schedule, ReduceLROnPlateau, schedules of another optimizer, or unless
    there is one milestone less than schedules; TypeError for what is no schedule.

    Example:
        >>> warm = ConstantLR(optimizer, factor=0.1, total_iters=2)
        >>> cool = ExponentialLR(optimizer, gamma=0.9)
        >>> schedule = SequentialLR(optimizer, schedulers=[warm, cool], milestones=[2])
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers:
            raise ValueError("SequentialLR: expected at least one schedule. Got none.")
        self._require_parts(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected {len(schedulers) - 1} milestones for {len(schedulers)} "
                f"schedules. Got {len(milestones)}."
            )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        for group in optimizer.param_groups:  # what the parts did when they were made
            set_option(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: LRScheduler | None = None) -> None:
        """Take back the first step of all parts (of `sched`), and of theirs."""
        whole = self if sched is None else sched
        if isinstance(whole, _Composed):
            for part in whole._schedulers:
                self.recursive_undo(part)
        else:
            whole.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Go on by one and let the schedule whose turn it is set the rates."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            part._update_lr(0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()


class ChainedScheduler(_Composed):
    """All schedules step together, each on the rates that the one before has left.

    Raises: ValueError for no schedule, ReduceLROnPlateau or schedules of another optimizer;
    TypeError for what is no schedule.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: expected at least one schedule. Got none.")
        optimizer = optimizer or getattr(schedulers[0], "optimizer", None)
        self._require_parts(schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = schedulers[0].optimizer
        self._last_lr = rates(self.optimizer)

    def step(self) -> None:  # type: ignore[override]
        """Step all schedules, in their order."""
        for part in self._schedulers:
            part.step()
        self._last_lr = rates(self.optimizer)
