"""The one-cycle schedule."""

from __future__ import annotations

import math
from typing import Any

from ..optimizer import Group, Optimizer
from .cyclic import begin_momenta, set_momentum
from .scheduler import LRScheduler, Rate, per_group, require_optimizer

ANNEALINGS = ("cos", "linear")


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to `max_lr` in the first `pct_start` of the steps, then down to
    that / final_div_factor.

    The number of steps is `total_steps`, or epochs * steps_per_epoch; step once a batch. With
    `three_phase` the second phase is as long as the first and ends where that began, and a third
    goes down from there. Between ends the rate follows `anneal_strategy`, "cos" or "linear". With
    `cycle_momentum` the momentum (or beta1) goes the other way, between `max_momentum` and
    `base_momentum`.
    Raises: ValueError for numbers of steps that are no positive integers, pct_start outside [0, 1],
    an unknown anneal_strategy, lists of another length, an optimizer without momentum, or more
    steps than there are. Source: arXiv:1708.07120.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        require_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = _steps(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(
                f"OneCycleLR: expected pct_start as a float from 0 to 1. Got {pct_start!r}."
            )
        if anneal_strategy not in ANNEALINGS:
            raise ValueError(
                f"OneCycleLR: expected anneal_strategy as one of {ANNEALINGS}. Got "
                f"{anneal_strategy!r}."
            )
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        self._anneal_func_type = anneal_strategy
        rates = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            _begin_rates(optimizer, rates, div_factor, final_div_factor)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1, _, _ = begin_momenta(
                optimizer, base_momentum, max_momentum, last_epoch == -1
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at `last_epoch`; sets the momenta, too."""
        self._warn_outside_step()
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: expected at most total_steps = {self.total_steps} steps. Got step "
                f"{self.last_epoch}."
            )
        begin, phase = self._present_phase()
        passed = (self.last_epoch - begin) / (phase["end_step"] - begin)
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                set_momentum(group, self._between(group, phase, "momentum", passed), self.use_beta1)
        return [self._between(group, phase, "lr", passed) for group in groups]

    def _present_phase(self) -> tuple[float, dict[str, Any]]:
        """The phase of `last_epoch`, and the step at which it begins."""
        begin = 0.0
        *others, last = self._schedule_phases
        for phase in others:
            if self.last_epoch <= phase["end_step"]:
                return begin, phase
            begin = phase["end_step"]
        return begin, last

    def _between(self, group: Group, phase: dict[str, Any], option: str, passed: float) -> Any:
        """The option between its values at the phase's ends, of which a part `passed` is over."""
        start, end = group[phase[f"start_{option}"]], group[phase[f"end_{option}"]]
        if self._anneal_func_type == "linear":
            return (end - start) * passed + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * passed) + 1)


def _begin_rates(optimizer: Optimizer, rates: list[Any], div: float, final_div: float) -> None:
    """Note the rates at the ends of the phases in the groups."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["initial_lr"], group["max_lr"] = rate / div, rate
        group["min_lr"] = group["initial_lr"] / final_div


def _steps(total: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch.")
    given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in ({"total_steps": total} if total is not None else given).items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"OneCycleLR: expected {name} as a positive integer. Got {value}.")
    return int(epochs * steps_per_epoch if total is None else total)


def _phases(total: int, pct_start: float, three_phase: bool) -> list[dict[str, Any]]:
    """The phases by the names that their ends have in the groups, as PyTorch saves them."""
    rise = _phase(pct_start * total - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    end = total - 1
    if not three_phase:
        return [rise, _phase(end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    middle = float(2 * pct_start * total - 2)
    return [
        rise,
        _phase(middle, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
        _phase(end, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
    ]


def _phase(end: float, lr: str, to_lr: str, momentum: str, to_momentum: str) -> dict[str, Any]:
    return {
        "end_step": end,
        "start_lr": lr,
        "end_lr": to_lr,
        "start_momentum": momentum,
        "end_momentum": to_momentum,
    }
