"""`%clip`: gradients clipped before every optimizer step, by a rule of the session."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from IPython.core.magic import line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flambeau import Tensor
from flambeau.nn.utils import clip_grad_norm_, clip_grad_value_
from flambeau.optim import Optimizer
from flambeau.optim.optimizer import register_optimizer_step_pre_hook

from .base import Instrument, UsageError, named_tensors, table
from .charts import sparkline

SCOPES = ("all", "group", "layer")
"""Whose norm is limited: that of all parameters of the optimizer, of each group, of each layer
(parameters that share the module in their name; without names, each on its own)."""

WINDOW = 100  # steps that a percentile is taken of
WARM = 10  # steps before an adaptive rule clips


@dataclass
class Tally:
    """How often and how hard a rule bit one set of parameters."""

    steps: int = 0
    clipped: int = 0
    spoiled: int = 0
    largest: float = 0.0
    hardest: float = 1.0  # the smallest factor that gradients were multiplied by
    sizes: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def add(self, size: float, limit: float) -> None:
        """Count a step whose gradient had `size`."""
        self.steps += 1
        if not math.isfinite(size):
            self.spoiled += 1
            return
        self.largest = max(self.largest, size)
        self.sizes.append(size)
        if size > limit:
            self.clipped += 1
            self.hardest = min(self.hardest, limit / size)


class ClipRule:
    """While active, gradients of an optimizer are clipped before each of its steps.

    By their common norm to `limit`, or with `by_value` each element to [-limit, limit]. `scope`
    says whose norm (see SCOPES). With `percentile` the limit is that percentile of the norms of
    the last WINDOW steps, times `limit`. Scaled gradients of a GradScaler are clipped as if
    unscaled. `names` (id of a parameter -> its name) tells layers apart.
    Raises: ValueError unless the limit is positive, for an unknown scope, for a percentile outside
    of 0 to 100, or for a percentile of values.
    """

    def __init__(
        self,
        limit: float = 1.0,
        by_value: bool = False,
        scope: str = "all",
        percentile: float | None = None,
        names: Callable[[], Mapping[int, str]] | None = None,
    ) -> None:
        if not 0 < limit < math.inf:
            raise ValueError(f"ClipRule: expected a limit above 0. Got {limit}.")
        if scope not in SCOPES:
            raise ValueError(f"ClipRule: expected a scope of {', '.join(SCOPES)}. Got {scope!r}.")
        if percentile is not None and not 0 < percentile <= 100:
            raise ValueError(f"ClipRule: expected a percentile up to 100. Got {percentile}.")
        if by_value and (percentile is not None or scope != "all"):
            raise ValueError("ClipRule: percentiles and scopes are of norms, not of values.")
        self.limit, self.by_value, self.scope, self.percentile = limit, by_value, scope, percentile
        self.tallies: dict[str, Tally] = {}
        self._names = names or dict
        self._handle: Any = None

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return max((tally.steps for tally in self.tallies.values()), default=0)

    @property
    def clipped(self) -> int:
        """Steps in which it bit, of all sets of parameters together."""
        return sum(tally.clipped for tally in self.tallies.values())

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
        for name, held in self._sets(optimizer):
            held = [p for p in held if p.grad is not None and p.grad.numel()]
            if not held:
                continue
            tally = self.tallies.setdefault(name, Tally())
            if self.by_value:
                size = max(float(p.grad.detach().abs().max()) for p in held)  # type: ignore[union-attr]
                tally.add(size, self.limit)
                clip_grad_value_(held, self.limit)
            else:
                limit = self._limit(tally)
                size = float(clip_grad_norm_(held, limit))
                tally.add(size, limit)

    def _limit(self, tally: Tally) -> float:
        if self.percentile is None:
            return self.limit
        if len(tally.sizes) < WARM:
            return math.inf
        return self.limit * float(np.percentile(tally.sizes, self.percentile))

    def _sets(self, optimizer: Optimizer) -> Iterator[tuple[str, list[Tensor]]]:
        groups = [list(group["params"]) for group in optimizer.param_groups]
        if self.scope == "group":
            for k, group in enumerate(groups):
                yield optimizer.param_groups[k].get("name", f"group {k}"), group
            return
        parameters = [p for group in groups for p in group]
        if self.scope == "all":
            yield type(optimizer).__name__, parameters
            return
        names = self._names()
        layers: dict[str, list[Tensor]] = {}
        for k, p in enumerate(parameters):
            name = names.get(id(p), f"parameter {k}")
            layers.setdefault(name.rpartition(".")[0] or name, []).append(p)
        yield from layers.items()

    # -- words -----------------------------------------------------------------------------------

    def __str__(self) -> str:
        text = f"Clipping {self._what()}: "
        if not self.steps:
            return text + "no optimizer step yet."
        if len(self.tallies) == 1:
            return text + self._tally_words(next(iter(self.tallies.values()))) + "."
        rows = [("", "clipped", "largest", "hardest", "norms")]
        for name, t in self.tallies.items():
            share = f"{t.clipped} of {t.steps} ({t.clipped / t.steps:.0%})"
            rows.append(
                (name, share, f"{t.largest:.4g}", f"×{t.hardest:.2g}", sparkline(list(t.sizes)))
            )
        return "\n".join([text.rstrip(), *table(rows, "<>>><")])

    def _what(self) -> str:
        if self.by_value:
            return f"each gradient element at {self.limit:g}"
        of = {"all": "", "group": " of each group", "layer": " of each layer"}[self.scope]
        if self.percentile is None:
            return f"gradient norm{of} at {self.limit:g}"
        times = f"{self.limit:g} × " if self.limit != 1 else ""
        return f"gradient norm{of} at {times}the {self.percentile:g}th percentile of {WINDOW} steps"

    def _tally_words(self, t: Tally) -> str:
        text = (
            f"{t.clipped} of {t.steps} steps clipped ({t.clipped / t.steps:.0%}), "
            f"largest {'element' if self.by_value else 'norm'} {t.largest:.4g}"
        )
        if t.clipped:
            text += f", at the hardest ×{t.hardest:.2g}"
        return text + (f"; {t.spoiled} with NaN or infinite gradients" if t.spoiled else "")


@contextmanager
def clipping(rule: ClipRule) -> Iterator[ClipRule]:
    """Clip by `rule` for the length of a `with` block.

    Example:
        >>> with clipping(ClipRule(1.0)) as rule:
        ...     train()
        >>> print(rule)
    """
    rule.start()
    try:
        yield rule
    finally:
        rule.stop()


@magics_class
class ClipMagics(Instrument):
    """Holds the session's clip rule."""

    rule: ClipRule | None = None

    @magic_arguments()
    @argument("limit", nargs="?", metavar="LIMIT|off", help="the largest norm allowed, or off")
    @argument("--value", action="store_true", help="limit each element instead of the norm")
    @argument("--per", choices=SCOPES, default="all", help="whose norm: all, group or layer")
    @argument("--percentile", type=float, help="the limit is this percentile of recent norms")
    @line_cell_magic("clip")
    def clip(self, line: str, cell: str | None = None) -> None:
        """Clip gradients before every optimizer step of the session, and say how often and how
        hard it bit; on top of a cell, for that cell. Nothing shows the rule at work.

        Examples: %clip 1.0, %clip 0.5 --value, %clip 1.0 --per layer, %clip --percentile 90,
        %clip, %clip off, and %%clip 1.0 above a training loop
        """
        arguments = self.arguments(self.clip, line)
        if cell is not None:
            rule = self._rule(arguments)
            with clipping(rule):
                self.run_cell(cell)
            print(rule)
        elif arguments.limit == "off":
            self._replace(None)
        elif arguments.limit is None and arguments.percentile is None:
            print(self.rule or "No clipping. %clip 1.0 limits the gradient norm to 1.")
        else:
            self._replace(self._rule(arguments))

    def _rule(self, arguments: Any) -> ClipRule:
        limit = arguments.limit if arguments.limit is not None else "1"
        try:
            number = float(limit)
        except ValueError:
            raise UsageError(f"%clip: expected a number above 0, or off. Got {limit!r}.") from None
        try:
            return ClipRule(number, arguments.value, arguments.per, arguments.percentile,
                            lambda: named_tensors(self.namespace))  # fmt: skip
        except ValueError as error:
            raise UsageError(f"%clip: {str(error).removeprefix('ClipRule: ')}") from None

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
