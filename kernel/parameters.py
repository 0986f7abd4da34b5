"""What a callable takes, as short text: no annotations, which fill a row, and no `self`."""

from __future__ import annotations

import inspect
from typing import Any

from flambeau import Tensor, nn

_Kind = inspect.Parameter


def parameters_of(function: Any, is_bound: bool = False) -> list[inspect.Parameter]:
    """The parameters that a caller gives; a module's are those of its `forward`.

    `is_bound` says that the function was found behind an instance, which is then its first
    argument. Raises: TypeError, ValueError where nothing is known.
    """
    is_bound = is_bound or isinstance(function, classmethod)
    called = called_by(function)
    other = _out_of_place(called)
    parameters = list(inspect.signature(called if other is None else other).parameters.values())
    if is_bound and parameters and parameters[0].kind is not _Kind.VAR_POSITIONAL:
        del parameters[0]
    return [p for p in parameters if other is None or p.name != "out"]


def called_by(value: Any) -> Any:
    """What a call of `value` runs, as far as it has a docstring and parameters of its own."""
    if isinstance(value, nn.Module) and not isinstance(value, type):
        return value.forward
    return value.__func__ if isinstance(value, staticmethod | classmethod) else value


def _out_of_place(function: Any) -> Any:
    """`add` of `add_`, which hands on whatever it is given; None of anything else."""
    name = getattr(function, "__name__", "")
    is_in_place = name.endswith("_") and vars(Tensor).get(name) is function
    return vars(Tensor).get(name.removesuffix("_")) if is_in_place else None


def text_of(parameter: inspect.Parameter) -> str:
    """The parameter without its annotation."""
    return str(parameter.replace(annotation=_Kind.empty))


def signature_text(function: Any, is_bound: bool = False) -> str:
    """`(input, *, out=None)`, or nothing where nothing is known."""
    try:
        parameters = parameters_of(function, is_bound)
    except (TypeError, ValueError):
        return ""
    bare = [p.replace(annotation=_Kind.empty) for p in parameters]
    return str(inspect.Signature(bare))
