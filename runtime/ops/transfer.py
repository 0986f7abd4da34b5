"""Between devices, dtypes and NumPy: `to`, `cpu`, `cuda`, conversions of dtype."""

from __future__ import annotations

from typing import Any

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.node import Node, tick
from ..backends.cuda import copies
from ..core import dtypes, quantized_arrays, sparse_arrays
from ..core.concealed import reveal
from ..core.devices import device
from ..core.dispatch import backends, key_of
from ..core.layouts import preserve_format
from ..core.quantized_arrays import QuantizedArray
from ..core.sparse_arrays import SparseArray
from ..core.tensor import Tensor, wrap
from .copies import cast, clone, contiguous
from .declare import Spec


def resolve(place: Any) -> device:
    """`place` (a device, its name, or a GPU's number) as a device that is there.

    Raises: DeviceError if it is not.
    """
    found = place if isinstance(place, device) else device(place)
    return backends[found.type].check(found)


def _moved_array(array: Any, source: Any, target: Any, non_blocking: bool = False) -> Any:
    if target.device.type == "meta":
        return target.backend.as_array(array, None, None)
    if target.device.type == "cpu":
        options = {"non_blocking": True} if non_blocking and source.device.type == "cuda" else {}
        return source.backend.to_numpy(array, **options)
    values = source.backend.to_numpy(array) if source.device.type == "meta" else array
    return target.backend.as_array(values, None, target.device.index, non_blocking)


class MoveNode(Node):
    """Sends the gradient back to the device that the tensor came from."""

    source: Any

    def name(self) -> str:
        """As PyTorch names the copy."""
        return "ToCopyBackward0"

    def apply(self, g: Any) -> Any:
        """The bare gradient, moved."""
        return (_moved_array(g, self.key, self.source),), (False,)

    def apply_recorded(self, g: Any) -> Any:
        """The gradient, moved by a recorded copy."""
        return (to_device(g, place=self.source.device),)


def to_device(input: Tensor, *, place: device, non_blocking: bool = False) -> Tensor:
    """input's values on `place`, a device that is there; recorded. With `non_blocking` the CPU goes
    on before a copy between a GPU and page-locked memory is done."""
    for kind, module in ((SparseArray, sparse_arrays), (QuantizedArray, quantized_arrays)):
        if input._array.__class__ is kind:
            return module.rules["to_device"](input, place)
    source = input._key
    target = key_of(place, source.dtype)
    out = wrap(_moved_array(input._array, source, target, non_blocking), target)
    if input._edge is not None and is_grad_enabled():
        node = MoveNode()
        node.edges, node.key, node.source = (input._edge,), target, source
        node.saved, node.sequence = (None,), tick()
        out._edge = node
    return out


def to(input: Spec, *args: Any, **options: Any) -> Spec:
    """input on another device, with another dtype, or both: `to(device)`, `to(dtype)`,
    `to(device, dtype)`, `to(other_tensor)`; keywords `device`, `dtype`, `copy`, `non_blocking`,
    `memory_format`. Between a GPU and page-locked memory (`pin_memory`) a copy with `non_blocking`
    goes on while the CPU does other work; one to the CPU is there after `torch.cuda.synchronize()`
    or what else waits for the stream. The tensor itself if nothing changes and `copy` is not set.

    Raises: TypeError for another argument, DeviceError for a device that is not there.
    """
    non_blocking, format = bool(options.get("non_blocking")), options.get("memory_format")
    place, copy = options.get("device"), options.get("copy", False)
    dtype = dtypes.as_dtype(options.get("dtype"))
    unknown = options.keys() - {"device", "dtype", "copy", "non_blocking", "memory_format"}
    if unknown:
        raise TypeError(f"to: expected device, dtype or copy. Got {', '.join(sorted(unknown))}.")
    for value in args:
        if isinstance(value, Tensor):
            place, dtype = value.device, value.dtype
        elif isinstance(value, dtypes.dtype | type):
            dtype = dtypes.as_dtype(value)
        elif isinstance(value, device | str) or type(value) is int:
            place = value
        elif isinstance(value, bool):
            non_blocking = value
        elif value is not None:
            raise TypeError(
                f"to: expected a device, a dtype or a tensor. Got {type(value).__name__} {value!r}."
            )
    out = input
    if place is not None:
        target = resolve(place)
        if target != out.device:
            # What follows on the CPU would read values that are not there yet.
            is_last = dtype in (None, out.dtype) and format in (None, preserve_format)
            is_free = non_blocking and (is_last or target.type == "cuda")
            out = to_device(out, place=target, non_blocking=is_free)
    if dtype is not None and dtype is not out.dtype:
        out = cast(out, dtype=dtype)
    if format not in (None, preserve_format):
        out = contiguous(out, format)
    return clone(out) if copy and out is input else out


def type_as(input: Spec, other: Spec) -> Spec:
    """input with the dtype and on the device of `other`."""
    return to(input, other)


def cpu(input: Spec, memory_format: Any = None) -> Spec:
    """input in the CPU's memory."""
    return to(input, "cpu")


def cuda(
    input: Spec, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Spec:
    """input in a GPU's memory: the current one unless `device` names another."""
    return to(input, "cuda" if device is None else device, non_blocking=non_blocking)


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """input in page-locked memory of the CPU, from which `to("cuda", non_blocking=True)` copies
    beside other work; itself if it is there already, or if there is no GPU.

    Raises: RuntimeError for a tensor that is not the CPU's.
    """
    if input._key.device.type != "cpu":
        raise RuntimeError(
            f"pin_memory: expected a tensor in the CPU's memory. Got one on {input.device}. Use "
            ".cpu() first."
        )
    gpu = backends["cuda"]
    if not gpu.device_count() or is_pinned(input):
        return input
    values = reveal(input)
    pinned = copies.empty_pinned(gpu.xp, values)
    pinned[...] = values
    return wrap(pinned, input._key.of_array(pinned))


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """Whether input lies in page-locked memory."""
    return input._key.device.type == "cpu" and copies.is_pinned(input._array)


def record_stream(input: Tensor, stream: Any) -> None:
    """Let input's memory wait for `stream` before it is used for something else: for a tensor that
    is read or written on another stream than the one it was made on."""
    if input.is_cuda:
        backends["cuda"].allocator.record_stream(input._array, stream.handle)


def conversion(dtype: dtypes.dtype) -> Any:
    """The method that converts to `dtype`, such as `x.float()`."""

    def convert(input: Spec, memory_format: Any = None) -> Spec:
        if memory_format is None:
            return input if input.dtype is dtype else cast(input, dtype=dtype)
        return to(input, dtype, memory_format=memory_format)

    convert.__doc__ = f"input as {dtype}; itself if it is so already."
    return convert
