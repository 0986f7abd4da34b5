"""Names that code written for TorchScript uses. There is no TorchScript here: functions and modules
run as the Python they are, and so mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from typing import Dict as Dict  # noqa: UP035  (programs import these from torch.jit.annotations)
from typing import List as List  # noqa: UP035
from typing import Optional as Optional
from typing import Tuple as Tuple  # noqa: UP035

from .nn import Module

__all__ = [
    "Final", "ScriptFunction", "ScriptModule", "annotate", "export", "ignore", "is_scripting",
    "is_tracing", "load", "save", "script", "script_if_tracing", "trace", "trace_module", "unused",
]  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])


class ScriptModule(Module):
    """A module of TorchScript. None is made here; classes may derive from it, and are modules."""


class ScriptFunction:
    """A function of TorchScript. None is made here."""


class TracerWarning(Warning):
    """What PyTorch warns with while tracing; never raised here."""


def is_scripting() -> bool:
    """Whether TorchScript compiles the code: never."""
    return False


_traces = 0


def is_tracing() -> bool:
    """Whether a model is being traced, by `torch.export` or `torch.onnx`."""
    return _traces > 0


@contextmanager
def tracing() -> Iterator[None]:
    """In this block a model is being traced."""
    global _traces
    _traces += 1
    try:
        yield
    finally:
        _traces -= 1


def unused(fn: Function) -> Function:
    """`fn` as it is."""
    return fn


def export(fn: Function) -> Function:
    """`fn` as it is."""
    return fn


def ignore(drop: Any = False, **options: Any) -> Any:
    """A decorator that leaves its function as it is, with options or without."""
    return drop if callable(drop) else unused


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value` as it is; the type only told TorchScript's compiler."""
    return the_value


def script_if_tracing(fn: Function) -> Function:
    """`fn` as it is."""
    return fn


def _overload_method(func: Function) -> Function:
    return func


def _overload(func: Function) -> Function:
    return func


def script(obj: Any, *args: Any, **options: Any) -> Any:
    """`obj`, a function or module, as it is: it runs as Python."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """`func` as it is, after running it once on the example inputs, which so are checked."""
    if example_inputs is not None:
        inputs = example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)
        func(*inputs)
    return func


def trace_module(mod: Any, inputs: Any, *args: Any, **options: Any) -> Any:
    """`mod` as it is, after calling each method named in `inputs` with its arguments."""
    for name, arguments in inputs.items():
        getattr(mod, name)(*(arguments if isinstance(arguments, tuple | list) else (arguments,)))
    return mod


def load(f: Any, *args: Any, **options: Any) -> Any:
    """Raises: RuntimeError: programs of TorchScript cannot be run."""
    raise RuntimeError(
        "jit.load: expected weights. Programs of TorchScript cannot be run here: where the module "
        "was made, save its state_dict(), to be read by torch.load, or call torch.onnx.export("
        "module, (x,), file), to be read by torch.onnx.load."
    )


def save(m: Any, f: Any, *args: Any, **options: Any) -> None:
    """Raises: RuntimeError: there are no programs of TorchScript here."""
    raise RuntimeError(
        "jit.save: expected weights. Save the module's state_dict(), or the program itself: "
        "torch.export.save(torch.export.export(module, (x,)), file)."
    )
