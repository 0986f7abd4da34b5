"""The base of schedules, and what they share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...core.tensor import Tensor
from ..optimizer import Group, Optimizer

Rate = float | Tensor
"""A learning rate: a number, or a tensor of one element that the schedule writes to."""

EPOCH_WARNING = (
    "step(epoch): the epoch is deprecated. Leave it out to go on by one. With it the closed form "
    "of the schedule is used, where it has one."
)


class LRScheduler:
    """Base of schedules: `get_lr()` gives the groups' learning rates at `last_epoch`, from their
    present ones.

    Each `step()` is one epoch, or whatever the caller counts; call it after `optimizer.step()`.
    `last_epoch` -1 starts anew; another value resumes, and needs `initial_lr` in the groups. A
    subclass may give `_get_closed_form_lr()`, the rates at `last_epoch` from the initial ones.
    Raises: TypeError for what is no optimizer; KeyError if 'initial_lr' is missing to resume.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"Expected 'initial_lr' in parameter group {k}, as last_epoch is {last_epoch}. "
                    "Load the optimizer's state first, or leave last_epoch out."
                )
        self.base_lrs: list[Rate] = rates(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._last_lr: list[Rate]
        optimizer._expect_steps()
        self._initial_step()

    def _initial_step(self) -> None:
        """Set the rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Rate]:
        """The learning rates of the groups at `last_epoch`, from their present ones."""
        raise NotImplementedError(f"{type(self).__name__} gives no schedule.")

    def get_last_lr(self) -> list[Rate]:
        """The learning rates that were set last."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on by one (or to `epoch`, deprecated) and set the learning rates.

        Warns if the optimizer made no step before: the first rate would never be used.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Expected `optimizer.step()` before `lr_scheduler.step()`. Got none since the "
                "schedule began, so that its first learning rate is never used.",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
        with self._within_step():
            self._set_lr((closed_form or self.get_lr)())

    def _set_lr(self, values: list[Rate]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_option(group, "lr", value)
        self._last_lr = rates(self.optimizer)

    @contextmanager
    def _within_step(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _warn_outside_step(self) -> None:
        """For `get_lr`: most give the rates of the *next* step."""
        if not self._get_lr_called_within_step:
            warnings.warn("For the learning rates set last, use `get_last_lr()`.", stacklevel=3)

    def _present(self) -> list[Rate]:
        return rates(self.optimizer)

    def _scaled(self, factor: float) -> list[Rate]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {k: v for k, v in vars(self).items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave."""
        vars(self).update(state_dict)


class _LRScheduler(LRScheduler):
    """The older name of the base, from which programs derive."""


def require_optimizer(optimizer: Any) -> None:
    """Raises: TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"Expected an optimizer. Got {type(optimizer).__name__}.")


def copied(value: Any) -> Any:
    """A tensor of its own, or the number."""
    return value.clone() if isinstance(value, Tensor) else value


def rates(optimizer: Optimizer, option: str = "lr") -> list[Any]:
    """Copies of an option of all groups."""
    return [copied(group[option]) for group in optimizer.param_groups]


def set_option(group: Group, option: str, value: Any) -> None:
    """Set an option of a group; a tensor keeps its identity and gets the value."""
    if isinstance(group[option], Tensor):
        group[option].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[option] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """`value` once for each group. Raises: ValueError for a list of another length."""
    groups = len(optimizer.param_groups)
    values = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"Expected {groups} values of {name}, one a group. Got {len(values)}.")
    return [copied(v) for v in values]
