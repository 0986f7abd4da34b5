"""Schedules that go up and down, and take the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..optimizer import Group, Optimizer
from .functions import saved_function
from .scheduler import LRScheduler, Rate, per_group, require_optimizer, set_option

MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(LRScheduler):
    """From `base_lr` up to `max_lr` in `step_size_up` steps and down in `step_size_down`, again and
    again.

    The height of a cycle is scaled by `mode`: "triangular" by 1, "triangular2" by 1/2**(cycle - 1),
    "exp_range" by gamma**step; or by `scale_fn` of the cycle or the step ("iterations"), as
    `scale_mode` says. With `cycle_momentum` the momentum (or beta1) goes from `max_momentum` down
    to `base_momentum` meanwhile.
    Raises: ValueError for an unknown mode, lists of another length, or an optimizer without
    momentum. Source: arXiv:1506.01186.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = per_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, base_lrs, strict=True):
                set_option(group, "lr", rate)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up, down = (
            float(step_size_up),
            float(step_size_up if step_size_down is None else step_size_down),
        )
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in MODES and scale_fn is None:
            raise ValueError(f"CyclicLR: expected mode as one of {MODES}. Got {mode!r}.")
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        own_mode = "iterations" if mode == "exp_range" else "cycle"
        self.scale_mode = own_mode if scale_fn is None else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1, self.base_momentums, self.max_momentums = begin_momenta(
                optimizer, base_momentum, max_momentum, last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """What the height of cycle or step `x` is scaled by."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular2":
            return 1 / 2.0 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[Rate]:
        """The rates at `last_epoch`; sets the momenta, too."""
        self._warn_outside_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            momenta = [high - (high - low) * height * scale for low, high in pairs]
            for group, momentum in zip(self.optimizer.param_groups, momenta, strict=True):
                set_momentum(group, momentum, self.use_beta1)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height * scale for low, high in pairs]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and functions, of which objects give their attributes."""
        state = super().state_dict()
        function = state.pop("_scale_fn_custom")
        state["_scale_fn_custom"] = None if function is None else saved_function(function)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave, with the function of this schedule."""
        own = {k: v for k, v in state_dict.items() if k != "_scale_fn_custom"}
        super().load_state_dict(own)
        if state_dict["_scale_fn_custom"] is not None:
            vars(self._scale_fn_custom).update(state_dict["_scale_fn_custom"])


def uses_beta1(optimizer: Optimizer) -> bool:
    """Whether beta1 is the optimizer's momentum. Raises: ValueError if it has neither."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"Expected an optimizer with momentum or betas, as cycle_momentum is True. Got "
            f"{type(optimizer).__name__}. Pass cycle_momentum=False."
        )
    return "betas" in optimizer.defaults


def set_momentum(group: Group, value: float, use_beta1: bool) -> None:
    """Set the momentum of a group, or its beta1."""
    if use_beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def begin_momenta(
    optimizer: Optimizer, least: Any, largest: Any, is_new: bool
) -> tuple[bool, list[float], list[float]]:
    """Whether beta1 is the momentum, and the ends of its way for each group.

    A new schedule begins with the largest momenta and notes both ends in the groups.
    """
    use_beta1 = uses_beta1(optimizer)
    highs = per_group("max_momentum", optimizer, largest)
    lows = per_group("base_momentum", optimizer, least)
    if is_new:
        for group, low, high in zip(optimizer.param_groups, lows, highs, strict=True):
            set_momentum(group, high, use_beta1)
            group["max_momentum"], group["base_momentum"] = high, low
    return use_beta1, lows, highs
