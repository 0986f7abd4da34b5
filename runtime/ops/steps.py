"""Functions that read arrays themselves, which observers that trace are told of as whole steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core import observers
from ..core.tensor import Tensor

__all__ = ["Step", "step", "steps"]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Step:
    """What `Observer.operation_applied` is told of such a function, in the words of an
    `Operation`: its tensors are `array_names`; `outputs` is 1 for a tensor, 2 for a tuple."""

    name: str
    label: str
    function: Callable[..., Any]
    array_names: tuple[str, ...]
    outputs: int

    formula = None
    is_view = takes_list = False


steps: dict[str, Step] = {}
"""By name; what returns tuples has `.parts` behind it."""


def step(*array_names: str) -> Callable[[Function], Function]:
    """A decorator: the function, whose tensors are called so, is one step of a trace."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not (observers.active and observers.is_traced()):
                return function(*args, **kwargs)
            with observers.unobserved():
                out = function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            is_single = isinstance(out, Tensor)
            found = steps[name if is_single else f"{name}.parts"]
            for observer in observers.active:
                out = observer.step_taken(found, out)
            for observer in observers.active:
                observer.operation_applied(
                    found, dict(bound.arguments), (out,) if is_single else tuple(out)
                )
            return out

        name = function.__name__
        steps[name] = Step(name, name, call, array_names, 1)
        steps[f"{name}.parts"] = Step(f"{name}.parts", name, call, array_names, 2)
        return call  # type: ignore[return-value]

    return decorate
