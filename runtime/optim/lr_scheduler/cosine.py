"""Schedules along half a cosine, once or with restarts."""

from __future__ import annotations

import math

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate


class CosineAnnealingLR(LRScheduler):
    """eta_min + (initial rate - eta_min) (1 + cos(pi epoch / T_max)) / 2.

    From the initial rate to `eta_min` in `T_max` epochs, and on along the cosine.
    Source: arXiv:1608.03983, equation 5, without restarts.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """Present rates scaled to the next value of the cosine; where that rises from 0 again, by
        what it rises."""
        self._warn_outside_step()
        if self._is_initial:
            return self._present()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(self.base_lrs, groups, strict=True)
            return [group["lr"] + (base - self.eta_min) * rise for base, group in pairs]
        quotient = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [quotient * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def _height(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def _get_closed_form_lr(self) -> list[Rate]:
        height = self._height(self.last_epoch)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """eta_min + (initial rate - eta_min) (1 + cos(pi T_cur / T_i)) / 2, anew every T_i epochs.

    The first T_i is `T_0`; each restart makes it `T_mult` times as long. `step` takes a fraction of
    an epoch too: `step(epoch + batch / batches)`.
    Raises: ValueError unless T_0 and T_mult are positive integers; for a negative epoch.
    Source: arXiv:1608.03983, equation 5.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: expected {name} as a positive integer. Got "
                    f"{value}."
                )
        if not isinstance(eta_min, float | int):
            raise ValueError(
                "CosineAnnealingWarmRestarts: expected eta_min as a number. Got "
                f"{type(eta_min).__name__}."
            )
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The rates at `T_cur` epochs after the last restart."""
        self._warn_outside_step()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go on by one, or to `epoch`, which may be a fraction, and set the learning rates."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"step: expected an epoch not below 0. Got {epoch}.")
        else:
            self._find_cycle(epoch)
        self.last_epoch = math.floor(epoch)
        with self._within_step():
            self._set_lr(self.get_lr())

    def _find_cycle(self, epoch: float) -> None:
        """Set `T_i`, the length of the cycle that holds `epoch`, and `T_cur`, the place in it."""
        first, growth = self.T_0, self.T_mult
        if epoch < first:
            self.T_cur, self.T_i = epoch, first
        elif growth == 1:
            self.T_cur = epoch % first
        else:  # n cycles last T_0 (T_mult**n - 1) / (T_mult - 1) epochs
            n = int(math.log(epoch / first * (growth - 1) + 1, growth))
            self.T_cur = epoch - first * (growth**n - 1) / (growth - 1)
            self.T_i = first * growth**n
