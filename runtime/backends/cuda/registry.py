"""Which of our own kernels compute which operations on the GPU.

Their modules are imported when the first operation on a GPU looks for its kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import launch

if TYPE_CHECKING:
    from ...core.dispatch import DispatchKey
    from ...ops.operation import Operation

FAMILIES = (
    "softmax",
    "logits",
    "reductions",
    "attention",
    "segments",
    "scans",
    "selection",
    "convolutions",
    "norms",
    "random",
    "casts",
    "normalization",
    "batch_norm",
    "group_norm",
    "pooling",
    "gathers",
    "movement",
    "upsampling",
    "recurrent",
)
"""The modules of this package that register kernels, or declare such as other parts call."""

FLOATS = ("float16", "bfloat16", "float32", "float64")

Launcher = Callable[..., Any]

_launchers: dict[tuple[str, str], Launcher] = {}
_since: dict[str, int] = {}


def kernel(
    operation: str, dtypes: tuple[str, ...] = FLOATS, since: int = launch.OLDEST
) -> Callable[[Launcher], Launcher]:
    """Register the decorated function as the kernel of an operation for arrays of `dtypes`, on
    devices of the compute capability `since`, times 10, and newer ones.

    It takes the operation's arrays and attributes as the array kernel does, halves as they are, and
    gives the result; or None for what it leaves to the array kernel.
    """

    def register(launcher: Launcher) -> Launcher:
        for dtype in dtypes:
            _launchers[operation, dtype] = launcher
        _since[operation] = since
        return launcher

    return register


@cache
def launchers() -> dict[tuple[str, str], Launcher]:
    """All kernels, by the name of their operation and dtype."""
    for family in FAMILIES:
        import_module(f".{family}", __package__)
    return _launchers


def own_kernel(operation: Operation, key: DispatchKey) -> Launcher | None:
    """The launcher of our own kernel for arrays of `key`; None if there is none."""
    found = launchers().get((operation.name, key.dtype.name))
    if found is not None and launch.driver.capability() < _since[operation.name]:
        found = None
    if found is None and operation.formula is not None:
        from . import pointwise

        return pointwise.kernel(operation, key.dtype.name)
    return found


def or_plain(own: Launcher, plain: Launcher) -> Launcher:
    """`own`, and where it gives None `plain`."""
    if hasattr(own, "front"):  # a formula
        return own.front(plain)  # type: ignore[no-any-return]

    def own_or_plain(*arrays: Any, **attributes: Any) -> Any:
        result = own(*arrays, **attributes)
        return plain(*arrays, **attributes) if result is None else result

    return own_or_plain
