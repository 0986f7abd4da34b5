"""Names of PyTorch's compiled part that subclasses of tensors in real code refer to."""

from __future__ import annotations

from .core.overriding import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from .core.overriding import disabled_implementation as _disabled_torch_function_impl

__all__ = ["DisableTorchFunctionSubclass", "_disabled_torch_function_impl"]
