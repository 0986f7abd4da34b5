"""Moving and converting all parameters and buffers of a module at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from ...core import dtypes
from ...core.creation import empty_like
from ...core.dtypes import dtype as DType
from ...core.tensor import Tensor
from ...ops.transfer import resolve
from ...ops.transfer import to as converted
from ..parameter import Parameter, is_lazy


class Conversion:
    """The part of a module that gives its parameters and buffers other memory."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace the memory of all parameters, gradients and buffers by what `fn` makes of it,
        in the modules below too unless not to `recurse`.

        Parameters stay the objects that optimizers hold.
        """
        module: Any = self
        if recurse:
            for child in module.children():
                child._apply(fn)
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            made = fn(parameter.data if is_lazy(parameter) else parameter.detach())
            if made.dtype.category != parameter.dtype.category:  # complex, or no longer
                module._parameters[name] = Parameter(made, parameter.requires_grad)
                continue
            parameter.data = made
            if parameter.grad is not None:
                parameter.grad.data = fn(parameter.grad.detach())
        for name, buffer in module._buffers.items():
            if is_lazy(buffer):
                buffer.data = fn(buffer.data)
            elif buffer is not None:
                module._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move everything to a device, floating-point members to a dtype; arguments as
        `Tensor.to`.

        Raises: TypeError for an integer dtype, DeviceError for a device that is not there.
        """
        place, dtype, _, memory_format = _parse_to(*args, **kwargs)

        def convert(tensor: Tensor) -> Tensor:
            fits = tensor.is_floating_point() or tensor.is_complex()
            # Memory formats order four or five dimensions; other members have none to order.
            how = {"memory_format": memory_format} if tensor.ndim in (4, 5) else {}
            return converted(tensor, device=place, dtype=dtype if fits else None, **how)

        return self._apply(convert)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move everything to `device` without its values: the memory there is not set to anything.

        Use it to take a module off meta, before its parameters are drawn or loaded.
        """
        place = None if device is None else resolve(device)
        return self._apply(lambda tensor: empty_like(tensor, device=place), recurse)

    def share_memory(self) -> Self:
        """Put everything where other processes see it; see `Tensor.share_memory_`."""
        module: Any = self
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.share_memory_()
        return self

    def cpu(self) -> Self:
        """Move everything to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move everything to a GPU: the current one unless `device` names another."""
        return self.to(_numbered("cuda", device))

    def ipu(self, device: Any = None) -> Self:
        """Raises: DeviceError, as there is no such device here."""
        return self.to(_numbered("ipu", device))

    def xpu(self, device: Any = None) -> Self:
        """Raises: DeviceError, as there is no such device here."""
        return self.to(_numbered("xpu", device))

    def mtia(self, device: Any = None) -> Self:
        """Raises: DeviceError, as there is no such device here."""
        return self.to(_numbered("mtia", device))

    def type(self, dst_type: DType | str) -> Self:
        """Convert everything to `dst_type`."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def _floating_to(self, dtype: DType) -> Self:
        def convert(tensor: Tensor) -> Tensor:
            return converted(tensor, dtype=dtype) if tensor.is_floating_point() else tensor

        return self._apply(convert)

    def float(self) -> Self:
        """Convert floating-point members to float32."""
        return self._floating_to(dtypes.float32)

    def double(self) -> Self:
        """Convert floating-point members to float64."""
        return self._floating_to(dtypes.float64)

    def half(self) -> Self:
        """Convert floating-point members to float16."""
        return self._floating_to(dtypes.float16)

    def bfloat16(self) -> Self:
        """Convert floating-point members to bfloat16."""
        return self._floating_to(dtypes.bfloat16)


def _numbered(kind: str, device: Any) -> Any:
    return f"{kind}:{device}" if isinstance(device, int) else kind if device is None else device


def _parse_to(
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    tensor: Tensor | None = None,
    memory_format: Any = None,
    **unknown: Any,
) -> tuple[Any, Any, bool, Any]:
    """Device, dtype, non_blocking and memory format that the arguments of `Module.to` mean.

    Raises: TypeError for an integer dtype or another option, DeviceError for a device that is not
    there.
    """
    if unknown:
        raise TypeError(
            f"Module.to: expected device, dtype, non_blocking or memory_format. Got {set(unknown)}."
        )
    for value in [*args, tensor]:
        if isinstance(value, Tensor):
            device, dtype = value.device, value.dtype
        elif isinstance(value, DType | type):
            dtype = value
        elif isinstance(value, bool):
            non_blocking = value
        elif value is not None:
            device = value
    dtype = dtypes.as_dtype(dtype)
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(
            f"Module.to: expected a floating-point or complex dtype, as modules have such "
            f"parameters. Got {dtype}."
        )
    return None if device is None else resolve(device), dtype, non_blocking, memory_format
