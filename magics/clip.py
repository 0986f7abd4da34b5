"""`%clip`: gradients clipped before every optimizer step, by a rule of the session."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flambeau.nn.utils import clip_grad_norm_, clip_grad_value_
from flambeau.optim import Optimizer
from flambeau.optim.optimizer import register_optimizer_step_pre_hook

from .base import Instrument, UsageError


class ClipRule:
    """While active, gradients of an optimizer are clipped before each of its steps.

    By their common norm to `limit`, or with `by_value` each element to [-limit, limit].
    Raises: ValueError unless the limit is positive.
    """

    def __init__(self, limit: float, by_value: bool = False) -> None:
        if not limit > 0:
            raise ValueError(f"ClipRule: expected a limit above 0. Got {limit}.")
        self.limit, self.by_value = limit, by_value
        self.steps = self.clipped = self.spoiled = 0
        self.largest = 0.0
        self._handle: Any = None

    def start(self) -> None:
        """Clip from now on."""
        self._handle = register_optimizer_step_pre_hook(self._before_step)

    def stop(self) -> None:
        """Clip no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """Clip now; a step with a closure gets one that clips what it computed."""
        closure = kwargs.get("closure") if len(args) < 2 else args[1]
        if closure is None:
            self._clip(optimizer)
            return None

        def clipped() -> Any:
            loss = closure()
            self._clip(optimizer)
            return loss

        return (optimizer, clipped, *args[2:]), {k: v for k, v in kwargs.items() if k != "closure"}

    def _clip(self, optimizer: Optimizer) -> None:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        held = [p for p in held if p.grad is not None]
        if not held:
            return
        if self.by_value:
            size = max(float(p.grad.detach().abs().max()) for p in held if p.grad.numel())
            clip_grad_value_(held, self.limit)
        else:
            size = float(clip_grad_norm_(held, self.limit))
        self.steps += 1
        if size - size != 0:  # NaN or infinite
            self.spoiled += 1
        else:
            self.clipped += size > self.limit
            self.largest = max(self.largest, size)

    def __str__(self) -> str:
        what = "each gradient element" if self.by_value else "gradient norm"
        text = f"Clipping {what} at {self.limit:g}: "
        if not self.steps:
            return text + "no optimizer step yet."
        text += (
            f"{self.clipped} of {self.steps} steps clipped ({self.clipped / self.steps:.0%}), "
            f"largest {'element' if self.by_value else 'norm'} {self.largest:.4g}"
        )
        spoiled = f"; {self.spoiled} with NaN or infinite gradients" if self.spoiled else ""
        return text + spoiled + "."


@magics_class
class ClipMagics(Instrument):
    """Holds the session's clip rule."""

    rule: ClipRule | None = None

    @magic_arguments()
    @argument("limit", nargs="?", help="the largest norm allowed, or off; nothing to see the rule")
    @argument("--value", action="store_true", help="limit each element instead of the norm")
    @line_magic("clip")
    def clip(self, line: str) -> None:
        """Clip gradients before every optimizer step of the session, and say how often it bit.

        Examples: %clip 1.0, %clip 0.5 --value, %clip, %clip off
        """
        arguments = self.arguments(self.clip, line)
        if arguments.limit is None:
            print(self.rule or "No clipping. %clip 1.0 limits the gradient norm to 1.")
        elif arguments.limit == "off":
            self._replace(None)
        else:
            self._replace(_rule(arguments.limit, arguments.value))

    def _replace(self, rule: ClipRule | None) -> None:
        if self.rule is not None:
            self.rule.stop()
            if self.rule.steps:
                print(self.rule)
        self.rule = rule
        if rule is None:
            print("Clipping is off.")
        else:
            rule.start()
            print(rule)

    def unload(self) -> None:
        """Clip no more."""
        if self.rule is not None:
            self.rule.stop()
            self.rule = None


def _rule(text: str, by_value: bool) -> ClipRule:
    try:
        return ClipRule(float(text), by_value)
    except ValueError:
        raise UsageError(f"%clip: expected a number above 0, or off. Got {text!r}.") from None
