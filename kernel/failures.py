"""The call that failed, read from a traceback: its operands, by the names that the user gave them,
and the lines where they were made."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType, TracebackType
from typing import Any

from flambeau import nn
from flambeau.autograd.record import TAPE
from flambeau.core.dispatch import operations
from flambeau.errors import ShapeError
from flambeau.ops.general import general
from flambeau.overrides import asked_last

from .naming import Earlier, Names, Operand, tensors_of
from .tracebacks import is_ours

IN_PLACE = os.path.join("ops", "inplace.py")
"""Where calls pass that write into their first operand."""

OVERRIDES = os.path.join("flambeau", "overrides.py"), os.path.join("runtime", "overrides.py")
"""Where functions ask classes that override them; the folder's name as installed, and as here."""

GENERATED = "<flambeau "
Run = Callable[[dict[str, Any]], Any]
"""A call as a function of its arguments by name."""


@dataclass(frozen=True)
class FailedCall:
    """`run(arguments)` raised, which is called `label`; or the layer `module`, known to the user
    as `module_name` (empty if no variable leads to it)."""

    run: Run
    arguments: dict[str, Any]
    operands: list[Operand]
    label: str = ""
    module: nn.Module | None = None
    module_name: str = ""

    @property
    def on_one_device(self) -> bool:
        """Whether all operands are on the same device."""
        return len({str(operand.tensor.device) for operand in self.operands}) == 1


class Frames:
    """A traceback cut where the user's code last called ours."""

    def __init__(self, traceback: TracebackType | None) -> None:
        frames = []
        while traceback is not None:
            frames.append(traceback)
            traceback = traceback.tb_next
        last = max((k for k, tb in enumerate(frames) if not is_ours(tb.tb_frame)), default=-1)
        self.users = [tb for tb in frames[: last + 1] if not is_ours(tb.tb_frame)]
        self.ours = _without_asking([tb.tb_frame for tb in frames[last + 1 :]])


def _without_asking(frames: list[FrameType]) -> list[FrameType]:
    """The frames but for those that ask `__torch_function__` first: a stand-in for the function
    called, and `ask` below it, which there are once a class overrides functions."""
    asking = {k for k, frame in enumerate(frames) if frame.f_code.co_filename.endswith(OVERRIDES)}
    return [f for k, f in enumerate(frames) if k not in asking and k + 1 not in asking]


def failed_call(
    traceback: TracebackType | None, place: Callable[[str], str], earlier: Earlier
) -> FailedCall | None:
    """The innermost layer or the outermost operation that raised below the user's last line; None
    if that was none of ours.

    `place` names files as the user knows them.
    """
    frames = Frames(traceback)
    if not frames.users or not frames.ours:
        return None
    names = Names(frames.users, place, earlier)
    layers = [f for f in frames.ours if _layer(f) is not None]
    if layers:
        module = _layer(layers[-1])
        assert module is not None
        arguments = _bound(module.forward, layers[-1].f_locals)
        if arguments is None:
            return None
        name = names.of_module(module)
        operands = list(names.operands(arguments, are_written=len(layers) == 1))
        for role, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.ndim:
                operands.append(names.parameter(role, tensor, name))
        return FailedCall(
            lambda values: module.forward(**values), arguments, operands, "", module, name
        )
    for frame in frames.ours:
        function, arguments = _function(frame)
        if function is not None and any(tensors_of(arguments)):
            operands = list(names.operands(arguments))
            call = FailedCall(function, arguments, operands, frame.f_code.co_name)
            in_place = any(f.f_code.co_filename.endswith(IN_PLACE) for f in frames.ours)
            return writing(call) if in_place else call
    return None


def writing(call: FailedCall) -> FailedCall:
    """The same call, which writes into its first operand: that must keep its shape."""
    first, *others = call.operands

    def run(arguments: dict[str, Any]) -> Any:
        result = call.run(arguments)
        if result is not None and result.shape != first.tensor.shape:
            raise ShapeError("The result has another shape than what it is written to.")
        return result

    return replace(call, run=run, operands=[replace(first, is_given=False), *others])


def _layer(frame: FrameType) -> nn.Module | None:
    owner = frame.f_locals.get("self")
    is_call = frame.f_code.co_name == "__call__" and isinstance(owner, nn.Module)
    return owner if is_call else None


def _bound(forward: Callable[..., Any], names: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a layer's call by the names that its `forward` gives them."""
    try:
        call = inspect.signature(forward).bind(*names.get("args", ()), **names.get("kwargs", {}))
    except (TypeError, ValueError):
        return None
    return dict(call.arguments)


def _function(frame: FrameType) -> tuple[Run | None, dict[str, Any]]:
    """What a frame of ours runs, and its arguments; None if it only hands them on."""
    code, names = frame.f_code, frame.f_locals
    if code.co_filename.startswith(GENERATED):
        operation = operations.get(code.co_filename[len(GENERATED) : -1])
        if operation is None or any(p.name not in names for p in operation.parameters):
            return None, {}
        return _operation(operation), {p.name: names[p.name] for p in operation.parameters}
    found = asked_last(inspect.unwrap(frame.f_globals.get(code.co_name, _function)))
    if getattr(found, "__code__", None) is not code or code.co_flags & inspect.CO_VARKEYWORDS:
        return None, {}
    count = code.co_argcount
    arguments = {name: names[name] for name in code.co_varnames[:count] if name in names}
    if not code.co_flags & inspect.CO_VARARGS:
        return (lambda values: found(*values.values())), arguments
    rest = code.co_varnames[count + code.co_kwonlyargcount]
    arguments[rest] = names.get(rest, ())
    return (lambda values: found(*list(values.values())[:-1], *values[rest])), arguments


def _operation(operation: Any) -> Run:
    """A declared operation as a function of its arguments by name."""
    if operation.body is None:
        return lambda values: general(operation, tuple(values.values()))
    return lambda values: operation.body(TAPE, **values)
