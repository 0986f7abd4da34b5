"""Names of `torch.fx` that programs look up; functions and modules cannot be traced into graphs of
its kind yet."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Proxy", "symbolic_trace", "wrap"]


class Proxy:
    """What stands for a value while a module is traced; as nothing is traced, there is none."""

    def __new__(cls, *args: Any) -> NoReturn:
        raise NotImplementedError("torch.fx.Proxy: modules cannot be traced yet.")


def wrap(fn_or_name: Any) -> Any:
    """The function itself, or its name: nothing needs to be kept from being traced."""
    return fn_or_name


def symbolic_trace(root: Any, concrete_args: Any = None) -> NoReturn:
    """The graph of a module. Raises: NotImplementedError, as that is not possible yet."""
    raise NotImplementedError(
        "torch.fx.symbolic_trace: modules cannot be traced yet. `%graph` shows the graph of a "
        "result."
    )
