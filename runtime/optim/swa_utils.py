"""Averages of weights: stochastic weight averaging (SWA) and exponential moving averages (EMA).

Source: SWA arXiv:1803.05407.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.creation import tensor
from ..core.tensor import Tensor
from ..nn.modules.batchnorm import _BatchNorm
from ..nn.modules.module import Module
from .lr_scheduler.scheduler import LRScheduler, Rate, per_group
from .optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip

Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]
"""The new average from the old one, the present value and how many were averaged before."""

AverageAll = Callable[[list[Tensor], list[Tensor], Tensor | int], None]
"""The same for lists of tensors of one dtype and device, in place."""


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """a <- decay a + (1 - decay) p, in place, for lists. Raises: ValueError unless 0 <= decay <=
    1."""
    _require_decay(decay)

    @no_grad()
    def ema_update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        for a, p in zip(averaged, current, strict=True):
            if _is_exact(a):
                a.copy_(a * decay + p * (1 - decay))
            else:
                a.lerp_(p, 1 - decay)

    return ema_update


def get_swa_multi_avg_fn() -> AverageAll:
    """a <- a + (p - a) / (count + 1), in place, for lists: the mean of all p."""

    @no_grad()
    def swa_update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        for a, p in zip(averaged, current, strict=True):
            if _is_exact(a):
                a.copy_(a + (p - a) / (count + 1))
            else:
                a.lerp_(p, float(1 / (count + 1)))

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """decay a + (1 - decay) p, for one tensor. Raises: ValueError unless 0 <= decay <= 1."""
    _require_decay(decay)

    @no_grad()
    def ema_update(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return decay * averaged + (1 - decay) * current

    return ema_update


def get_swa_avg_fn() -> Average:
    """a + (p - a) / (count + 1), for one tensor: the mean of all p."""

    @no_grad()
    def swa_update(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return averaged + (current - averaged) / (count + 1)

    return swa_update


def _require_decay(decay: float) -> None:
    if not 0 <= decay <= 1:
        raise ValueError(f"Expected a decay from 0 to 1. Got {decay}.")


def _is_exact(x: Tensor) -> bool:
    """Whether the elements are integers or bools, between which nothing can be interpolated."""
    return not (x.is_floating_point() or x.is_complex())


class AveragedModel(Module):
    """A copy of `model`, in `module`, whose parameters are averages of those of the model.

    Call `update_parameters(model)` after each step (or epoch) that is to count; the first one
    copies. The average is the mean of all (SWA), or what `avg_fn` (one tensor) or `multi_avg_fn`
    (lists, in place) make of it. Buffers are averaged with `use_buffers`, else copied; then call
    `update_bn` at the end. `n_averaged` counts.
    Raises: AssertionError for both functions at once.

    Example:
        >>> averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        >>> optimizer.step()
        >>> averaged.update_parameters(model)
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("AveragedModel: expected avg_fn or multi_avg_fn. Got both.")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=dtypes.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of `model` into the averages."""
        averaged, current = _values(self.module, self.use_buffers), _values(model, self.use_buffers)
        current = [p.to(a.device) for a, p in zip(averaged, current, strict=True)]
        if self.n_averaged == 0:
            _copy(averaged, current)
        elif self.avg_fn is not None:
            for a, p in zip(averaged, current, strict=True):
                a.copy_(self.avg_fn(a, p, self.n_averaged.to(a.device)))
        else:
            average = self.multi_avg_fn or get_swa_multi_avg_fn()
            for ours, theirs in _by_kind(averaged, current):
                average(ours, theirs, self.n_averaged.to(ours[0].device))
        if not self.use_buffers:
            _copy(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged.add_(1)


def _values(model: Module, with_buffers: bool) -> list[Tensor]:
    tensors = chain(model.parameters(), model.buffers()) if with_buffers else model.parameters()
    return [t.detach() for t in tensors]


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.detach().copy_(source)


def _by_kind(ours: list[Tensor], theirs: list[Tensor]) -> Iterable[tuple[list[Any], list[Any]]]:
    """The pairs in lists of one device and dtype each."""
    kinds: dict[Any, tuple[list[Any], list[Any]]] = {}
    for a, p in zip(ours, theirs, strict=True):
        pair = kinds.setdefault((str(a.device), a.dtype), ([], []))
        pair[0].append(a)
        pair[1].append(p)
    return kinds.values()


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Make the running statistics of all batch normalizations in `model` plain means over
    `loader`.

    A batch that is a list or tuple counts by its first element. The model is left in the mode it
    came in; without batch normalization nothing happens.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    was_training = model.training
    model.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    for batch in loader:
        inputs = batch[0] if isinstance(batch, list | tuple) else batch
        model(inputs if device is None else inputs.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present rates to `swa_lr` in `anneal_epochs` steps, then constant.

    Along a "cos" or a "linear" `anneal_strategy`. Begin it when averaging begins.
    Raises: ValueError for another strategy, anneal_epochs that are no integer from 0 on, a list of
    rates that has another length than the groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        for group, rate in zip(
            optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr), strict=True
        ):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"SWALR: expected anneal_strategy 'cos' or 'linear'. Got {anneal_strategy!r}."
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(
                f"SWALR: expected anneal_epochs as an integer from 0 on. Got {anneal_epochs}."
            )
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Rate]:
        """The mixture of swa_lr and the rates before, which the present rates tell."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for group in self.optimizer.param_groups:
            final = group["swa_lr"]
            first = final if before == 1 else (group["lr"] - before * final) / (1 - before)
            found.append(final * now + first * (1 - now))
        return found

    def _share(self, step: int) -> float:
        """How much of the way to swa_lr is gone after `step` steps."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
