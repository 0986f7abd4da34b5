"""Names of PyTorch's compiled part that subclasses of tensors and other real code refer to."""

from __future__ import annotations

from .core.overriding import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from .core.overriding import disabled_implementation as _disabled_torch_function_impl

__all__ = ["DisableTorchFunctionSubclass", "_disabled_torch_function_impl", "_log_api_usage_once"]


def _log_api_usage_once(event: str) -> None:
    """PyTorch may count what is used; here nothing is."""
