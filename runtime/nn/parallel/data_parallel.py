"""Batches over several GPUs, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.devices import device as Device
from ...cuda.devices import device_count
from ...errors import DeviceError
from ..modules.module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def _numbers(device_ids: Sequence[Any] | None) -> list[int]:
    """GPUs by their numbers; all if none are named; none where there are none."""
    if not device_count():
        return []
    if device_ids is None:
        return list(range(device_count()))
    return [Device("cuda", 0).index if d == "cuda" else Device(d).index for d in device_ids]  # type: ignore[misc]


class DataParallel(Module):
    """`module`, which lies on the first of `device_ids` (default: all GPUs), run on all of them:
    each gets a part of the batch along `dim` and a copy of the parameters, results are joined on
    `output_device` (default: the first), and gradients add up in the module's own parameters.

    Batch statistics are those of each part; running ones follow the first. Without GPUs it is the
    module. The module stands under the name `module`, as a prefix in the state dict.
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
        self.device_ids = _numbers(device_ids)
        if self.device_ids:
            self.output_device = self.device_ids[0] if output_device is None else output_device
            self.src_device_obj = Device("cuda", self.device_ids[0])
            if len(self.device_ids) == 1:
                module.to(self.src_device_obj)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's output for the whole batch. Raises: DeviceError for a module that lies
        elsewhere."""
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        _require_on(self.module, self.src_device_obj)
        parts, named = self.scatter(inputs, kwargs, self.device_ids)
        if not parts:
            parts, named = ((),), ({},)
        if len(self.device_ids) == 1:
            return self.module(*parts[0], **named[0])
        replicas = self.replicate(self.module, self.device_ids[: len(parts)])
        return self.gather(self.parallel_apply(replicas, parts, named), self.output_device)

    def scatter(self, inputs: tuple[Any, ...], kwargs: dict[str, Any], device_ids: Any) -> Any:
        """The arguments for each GPU; a subclass may cut them in another way."""
        return scatter_kwargs(inputs, kwargs, device_ids, self.dim)

    def replicate(self, module: Module, device_ids: Sequence[Any]) -> list[Module]:
        """The module on each GPU."""
        return replicate(module, device_ids)

    def parallel_apply(self, replicas: Sequence[Any], inputs: Any, kwargs: Any) -> list[Any]:
        """The results of all GPUs."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """The results as one."""
        return gather(outputs, output_device, self.dim)


def _require_on(module: Module, place: Device) -> None:
    for t in (*module.parameters(), *module.buffers()):
        if t.device != place:
            raise DeviceError(
                f"DataParallel: expected a module whose parameters and buffers are on {place}, the "
                f"first of device_ids. Got one on {t.device}. Use module.to({str(place)!r})."
            )


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """module(*inputs, **module_kwargs) on several GPUs; see `DataParallel`."""
    args = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    numbers = _numbers(device_ids)
    if not numbers:
        return module(*args, **(module_kwargs or {}))
    parts, named = scatter_kwargs(args, module_kwargs, numbers, dim)
    if not parts:
        parts, named = ((),), ({},)
    _require_on(module, Device("cuda", numbers[0]))
    replicas = replicate(module, numbers[: len(parts)]) if len(numbers) > 1 else [module]
    outputs = parallel_apply(replicas, parts, named, numbers[: len(parts)])
    return gather(outputs, numbers[0] if output_device is None else output_device, dim)
