"""Names of PyTorch's compiled part that subclasses of tensors and other real code refer to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .core.batched import is_inside
from .core.overriding import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from .core.overriding import disabled_implementation as _disabled_torch_function_impl
from .nn.modules.conversion import _parse_to

__all__ = ["DisableTorchFunctionSubclass", "_disabled_torch_function_impl", "_log_api_usage_once"]

_TensorMeta = type
"""The class of the class of tensors."""

_nn = SimpleNamespace(_parse_to=_parse_to)


def _log_api_usage_once(event: str) -> None:
    """PyTorch may count what is used; here nothing is."""


def _get_tracing_state() -> None:
    """What TorchScript's tracer is at: there is none."""


def _get_accelerator() -> Any:
    """The device that computes fastest: the GPU, or the CPU without one."""
    from .accelerator import current_accelerator
    from .core.devices import device

    return current_accelerator() or device("cpu")


def _get_default_device() -> str:
    """Where tensors are made unless somebody says where."""
    from .core.devices import get_default_device

    return str(get_default_device())


def _are_functorch_transforms_active() -> bool:
    """Whether Python runs inside a `vmap`, where tensors stand for batches."""
    return is_inside()
