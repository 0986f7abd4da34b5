"""`compile` and its companions: functions and modules whose operations wait and are fused."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..core import deferral
from ..nn import Module
from . import prefixes
from .habits import Habit
from .modules import OptimizedModule
from .region import run

BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs")
MODES = (
    "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs", "lite",
)  # fmt: skip


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """`model`, a function or module, with its operations on large tensors fused.

    The call stays a call of Python: what operations would compute waits until a value is read or
    the call returns, and is computed in as few passes over memory as can be; so are the gradients.
    Without `model`, a decorator. With `fullgraph`, an error names the line where Python reads a
    value on the way. `backend="eager"` and `disable` leave all as it is. Shapes may change from
    call to call, whatever `dynamic` says; `mode` and `options` change nothing. What NumPy writes
    into the memory of a tensor while the call runs may be seen too soon.

    Raises: ValueError for a backend or mode that does not exist.

    Example:
        >>> @torch.compile
        ... def f(x):
        ...     return torch.softmax(x * 2 + 1, -1)
    """
    if isinstance(backend, str) and backend not in BACKENDS:
        raise ValueError(f"compile: expected a backend of {', '.join(BACKENDS)}. Got {backend!r}.")
    if mode is not None and mode not in MODES:
        raise ValueError(f"compile: expected a mode of {', '.join(MODES)}. Got {mode!r}.")
    if mode is not None and options is not None:
        raise RuntimeError("compile: expected a mode or options. Got both.")
    is_eager = disable or not isinstance(backend, str) or "eager" in backend
    if model is None:
        return functools.partial(_compiled, fullgraph=fullgraph, is_eager=is_eager)
    return _compiled(model, fullgraph, is_eager)


def _compiled(model: Any, fullgraph: bool, is_eager: bool) -> Any:
    if inspect.isclass(model) or not callable(model):
        raise TypeError(
            f"compile: expected a function or a module. Got {model!r}. Compile an instance, or "
            "a method."
        )
    if isinstance(model, OptimizedModule):
        return model
    if isinstance(model, Module):
        return OptimizedModule(model, is_eager, fullgraph)
    return model if is_eager else compiled(model, fullgraph)


def compiled(function: Callable[..., Any], fullgraph: bool = False) -> Callable[..., Any]:
    """`function` whose operations wait while it runs."""
    habit = Habit()

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        return run(function, args, kwargs, fullgraph, habit=habit)

    call._torchdynamo_orig_callable = function  # type: ignore[attr-defined] # PyTorch's name
    return call


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """`fn` so that what it computes never waits, though a compiled function calls it; without one,
    a decorator."""
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)

    @functools.wraps(fn, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        region = deferral.state.region
        if region is None:
            return fn(*args, **kwargs)
        region.flush("a function was called that is not to be compiled", is_break=True)
        before = deferral.enter(None)
        try:
            return fn(*args, **kwargs)
        finally:
            deferral.enter(before)

    return call


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` as it is: functions need no leave."""
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` as it is: it is called every time."""
    return fn


def is_compiling() -> bool:
    """False: code runs as Python runs it, inside compiled functions too."""
    return False


def reset() -> None:
    """Forget all programs; graphs that come again are compiled again."""
    prefixes.forget()


def cudagraph_mark_step_begin() -> None:
    """Nothing: results have memory of their own, which no later call takes back."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """The names that `compile` takes as `backend`."""
    return sorted(BACKENDS)
