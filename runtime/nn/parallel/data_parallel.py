"""Batches over several devices, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.tensor import Tensor
from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


def _moved(value: Any, device: Any) -> Any:
    """`value` with its tensors on `device`."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)([_moved(v, device) for v in value])
    if isinstance(value, dict):
        return {k: _moved(v, device) for k, v in value.items()}
    return value


class DataParallel(Module):
    """`module` under the name `module`: its state dict has that prefix, as programs expect.

    The whole batch runs on the first of `device_ids`, or where it is if there are none: results
    are those of several devices, but for batch statistics, which each device would have of its
    part.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids, self.output_device = list(device_ids or ()), output_device

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output."""
        return data_parallel(
            self.module, inputs, self.device_ids, self.output_device, self.dim, kwargs
        )


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """module(*inputs, **module_kwargs) on the first of `device_ids`; see `DataParallel`."""
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    kwargs = module_kwargs or {}
    if device_ids:
        first = device_ids[0]
        args, kwargs = _moved(args, first), _moved(kwargs, first)
    output = module(*args, **kwargs)
    return output if output_device is None else _moved(output, output_device)
