"""Schedules given by functions of the epoch."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, Rate, require_optimizer

Function = Callable[[int], float]


class _WithFunctions(LRScheduler):
    """A schedule with one function for each group, or one for all.

    Functions are not saved, but the attributes of callable objects are.
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Function | list[Function], last_epoch: int = -1
    ) -> None:
        require_optimizer(optimizer)
        groups = len(optimizer.param_groups)
        self.optimizer = optimizer
        self.lr_lambdas: list[Function] = (
            list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        )
        name = type(self).__name__
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"{name}: expected {groups} functions, one a group. Got {len(self.lr_lambdas)}."
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{name}: expected functions. Got {type(function).__name__}.")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the functions, of which objects give their
        attributes."""
        state = super().state_dict()
        del state["lr_lambdas"]
        state["lr_lambdas"] = [saved_function(function) for function in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave, with the functions of this schedule."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for function, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                vars(function).update(saved)


def saved_function(function: Any) -> dict[str, Any] | None:
    """The attributes of a callable object; None for a function, which cannot be saved."""
    return None if isinstance(function, FunctionType) else dict(vars(function))


class LambdaLR(_WithFunctions):
    """The initial rate times lr_lambda(epoch): one function, or one per group.

    Raises: ValueError for another number of functions; TypeError for what is none.

    Example:
        >>> schedule = LambdaLR(optimizer, lambda epoch: 0.95**epoch)
    """

    def get_lr(self) -> list[Rate]:
        """Initial rates times the functions at `last_epoch`."""
        self._warn_outside_step()
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [base * function(self.last_epoch) for base, function in pairs]


class MultiplicativeLR(_WithFunctions):
    """Each epoch the rate times lr_lambda(epoch): one function, or one per group.

    Raises: ValueError for another number of functions; TypeError for what is none.
    """

    def get_lr(self) -> list[Rate]:
        """Present rates times the functions at `last_epoch`, but for the first epoch."""
        self._warn_outside_step()
        if self._is_initial:
            return self._present()
        pairs = zip(self.optimizer.param_groups, self.lr_lambdas, strict=True)
        return [group["lr"] * function(self.last_epoch) for group, function in pairs]
