"""`%lr_find`: a learning rate range test, after which everything is as before."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

import flambeau
from flambeau import Tensor
from flambeau.nn import Module
from flambeau.optim import Optimizer

from .base import Instrument, UsageError, report_html
from .charts import line_chart, sparkline

LOW, HIGH, STEPS = 1e-6, 10.0, 80
SMOOTHING = 0.8  # of the running mean of the loss
STOP = 4.0  # times the best loss, at which the test ends
MARGIN = 3  # the suggestion is the steepest rate divided by this, if the loss there still falls


@dataclass
class LearningRates:
    """Learning rates, the smoothed loss at each, and the rate that is suggested; None where the
    loss never fell.

    Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", section 3.3.
    """

    rates: list[float]
    losses: list[float]

    @property
    def best(self) -> float | None:
        """The rate at which the loss fell fastest (by the logarithm of the rate)."""
        slopes = self._slopes()
        if not slopes or min(slopes) >= 0:
            return None
        return self.rates[slopes.index(min(slopes)) + 1]

    def _slopes(self) -> list[float]:
        lowest = self.losses.index(min(self.losses)) if self.losses else 0
        return [(self.losses[k + 1] - self.losses[k - 1]) / 2 for k in range(1, max(lowest, 1))]

    def __str__(self) -> str:
        if not self.losses:
            return "The loss was not finite from the beginning."
        course = sparkline(self.losses, 60, log=False)
        ends = f"{self.rates[0]:.0e} {course} {self.rates[-1]:.1e}"
        if self.best is None:
            return f"{ends}\nThe loss fell at no learning rate; is the gradient right?"
        lowest = self.rates[self.losses.index(min(self.losses))]
        beyond = "beyond which it rises" if lowest < self.rates[-1] else "the last that was tried"
        return (
            f"{ends}\nlr={self.best:.1e}: there the loss falls fastest; it is lowest at "
            f"{lowest:.1e}, {beyond}. Everything is as before."
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        chart = line_chart(
            {"loss": self.losses}, self.rates, log_x=True, mark=self.best, title="Loss by rate"
        )
        return chart + report_html(str(self))


def lr_find(
    loss: Callable[[], Tensor],
    optimizer: Optimizer,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    modules: list[Module] | None = None,
) -> LearningRates:
    """Train for up to `steps` steps, from learning rate `low` to `high`, each a constant factor
    larger, and note the loss. `loss()` computes it; it ends when the loss is STOP times the best.

    Parameters, state of the optimizer, buffers of `modules` and random numbers are put back.
    Raises: ValueError unless 0 < low < high and steps > 1, TypeError for what is no loss.
    """
    if not 0 < low < high or steps < 2:
        raise ValueError(
            f"lr_find: expected 0 < low < high and steps > 1. Got {low}, {high}, {steps}."
        )
    rates: list[float] = []
    losses: list[float] = []
    mean, best = 0.0, math.inf
    with restoring(optimizer, modules or []):
        for k in range(steps):
            rate = low * (high / low) ** (k / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            value = _checked(loss())
            number = float(value.detach())
            mean = SMOOTHING * mean + (1 - SMOOTHING) * number
            smooth = mean / (1 - SMOOTHING ** (k + 1))
            if not math.isfinite(smooth) or (smooth > STOP * abs(best) and k > 5):
                break
            best = min(best, smooth)
            rates.append(rate)
            losses.append(smooth)
            value.backward()
            optimizer.step()
    return LearningRates(rates, losses)


def _checked(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        kind = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f"lr_find: expected a loss, a tensor of one element with a past. Got {kind}."
        )
    return value


@contextmanager
def restoring(optimizer: Optimizer, modules: list[Module]) -> Iterator[None]:
    """A `with` block after which parameters, their gradients, the optimizer, buffers of `modules`
    and the random state are as before."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    buffers = [b for module in modules for b in module.buffers()]
    kept = [(t, t.detach().clone(), t.grad) for t in (*parameters, *buffers)]
    state = copy.deepcopy(optimizer.state_dict())
    words = flambeau.get_rng_state()
    for t in parameters:
        t.grad = None
    try:
        yield
    finally:
        with flambeau.no_grad():
            for t, values, grad in kept:
                t.copy_(values)
                t.grad = grad
        optimizer.load_state_dict(state)
        flambeau.set_rng_state(words)


@magics_class
class LearningRateMagics(Instrument):
    """Finds learning rates."""

    @magic_arguments()
    @argument("--low", type=float, default=LOW, help=f"the first rate ({LOW:g})")
    @argument("--high", type=float, default=HIGH, help=f"the last rate ({HIGH:g})")
    @argument("--steps", type=int, default=STEPS, help=f"how many ({STEPS})")
    @argument("optimizer", help="the optimizer that will train")
    @argument("loss", nargs="+", help="an expression that computes the loss anew")
    @line_magic("lr_find")
    def lr_find(self, line: str) -> None:
        """Raise the learning rate from step to step, plot the loss, and name the rate at which it
        falls fastest; then put parameters, optimizer, buffers and random numbers back.

        Examples: %lr_find opt F.cross_entropy(net(x), y), %lr_find --high 1 opt step()
        """
        arguments = self.arguments(self.lr_find, line)
        optimizer = self.evaluate("%lr_find", arguments.optimizer)
        if not isinstance(optimizer, Optimizer):
            kind = type(optimizer).__name__
            raise UsageError(f"%lr_find: expected an optimizer first. Got {kind}.")
        expression = " ".join(arguments.loss)
        modules = [m for m in self.namespace.values() if isinstance(m, Module)]
        try:
            code = compile(expression, "<lr_find>", "eval")
            display(
                lr_find(
                    lambda: eval(code, self.namespace),
                    optimizer,
                    arguments.low,
                    arguments.high,
                    arguments.steps,
                    modules,
                )
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"%{error}") from None
        except SyntaxError as error:
            raise UsageError(f"%lr_find: {expression!r} is no expression: {error.msg}.") from None
