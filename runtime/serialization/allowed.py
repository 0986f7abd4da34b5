"""What a checkpoint may name, and how it is built again: PyTorch's tensors, NumPy's arrays, plain
containers. Nothing here runs what a file brings along.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..core import dtypes, layouts, quantized_arrays
from ..core.creation import empty, from_numpy
from ..core.devices import device
from ..core.quantized_arrays import per_tensor_affine
from ..core.tensor import Size, Tensor
from ..errors import CheckpointError
from ..nn.parameter import Buffer, Parameter
from ..ops.quantized import (
    _make_per_channel_quantized_tensor,
    _make_per_tensor_quantized_tensor,
)
from ..sparse.construction import sparse_coo_tensor
from .objects import known, without_call
from .pickles import Built, Global

STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
    "UntypedStorage": "uint8",
}  # fmt: skip
"""PyTorch's storage classes, and the dtype of their elements."""


def dtype_named(name: str) -> Any:
    """The dtype called `name`; None if there is none."""
    found = getattr(dtypes, "bool_" if name == "bool" else name, None)
    return found if isinstance(found, dtypes.dtype) else None


class Storage:
    """The elements that tensors of a file share, before they are placed on a device.

    `read` gives their array when the first tensor asks for it.
    """

    def __init__(self, dtype: Any, count: int, location: str, read: Callable[[Storage], Any]):
        self.dtype, self.count, self.location = dtype, count, location
        self._read = read
        self._tensor: Tensor | None = None

    def tensor(self, place: Callable[[Storage, str], Any]) -> Tensor:
        """All elements in one dimension, where `place` puts them."""
        if self._tensor is None:
            self._tensor = from_numpy(self._read(self)).to(place(self, self.location))
        return self._tensor

    def cpu(self) -> str:
        """The CPU, for `map_location=lambda storage, location: storage.cpu()`."""
        return "cpu"

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        """The GPU `device`, or the current one: `lambda storage, location: storage.cuda(1)`."""
        return "cuda" if device is None else device

    def part(self, name: Any, offset: Any, count: Any) -> Storage:
        """`count` elements from `offset` on, as a storage of its own."""
        offset, count = _whole_numbers((offset, count))
        if offset + count > self.count:
            raise CheckpointError("load: expected part of a storage within it.")
        read = self._read
        return Storage(
            self.dtype, count, self.location, lambda _: read(self)[offset : offset + count]
        )


class Builder:
    """Builds what one file holds; `place` says where its tensors go."""

    def __init__(
        self,
        place: Callable[[Storage, str], Any],
        user: Iterable[Any] = (),
        weights_only: bool = True,
    ) -> None:
        self.place, self.weights_only = place, weights_only
        self.is_survey = False  # a first reading, before the storages are there
        self.globals = {**_plain_globals(), **self._tensor_globals()}
        for item in user:
            name, found = item[::-1] if isinstance(item, tuple) else (_path(item), item)
            self.globals[name] = Global(
                name, without_call(found) if isinstance(found, type) else found
            )

    def lookup(self, module: str, name: str) -> Global:
        """What the file may have under `module.name`. Raises: CheckpointError for anything else."""
        path = f"{_MOVED.get(module, module)}.{name}"
        found = self.globals.get(path)
        if found is None and not self.weights_only:
            found = known(module, name)
        if found is None:
            advice = "" if self.weights_only else ", once it has been imported,"
            raise CheckpointError(
                f"load: expected tensors and plain values. The file asks for {path}, which loading "
                f"would have to run. If you trust where it comes from, allow that class{advice} "
                "with torch.serialization.add_safe_globals([...])"
                + (
                    ", or with weights_only=False all that this program has imported."
                    if self.weights_only
                    else "."
                )
            )
        return found

    # -- tensors ---------------------------------------------------------------------------------

    def _tensor_globals(self) -> dict[str, Global]:
        utils = "torch._utils."
        builders: dict[str, Callable[..., Any]] = {
            utils + "_rebuild_tensor": self.rebuild_tensor,
            utils + "_rebuild_tensor_v2": self.rebuild_tensor,
            utils + "_rebuild_sparse_tensor": self.rebuild_sparse,
            utils + "_rebuild_qtensor": self.rebuild_quantized,
            utils + "_rebuild_parameter": _rebuild_parameter,
            utils + "_rebuild_parameter_with_state": _rebuild_parameter,
            "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
        }
        found = {}
        for path, build in builders.items():
            found[path] = Global(path, build)
            found[path].value = found[path]  # may be handed to _rebuild_from_type_v2
        return found

    def rebuild_tensor(
        self,
        storage: Any,
        storage_offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any = False,
        backward_hooks: Any = None,
        metadata: Any = None,
    ) -> Tensor:
        """The tensor of `size` that shows part of a storage."""
        if not isinstance(storage, Storage):
            raise CheckpointError(f"load: expected a storage. Got {type(storage).__name__}.")
        if self.is_survey:
            return empty(0)
        size, stride = _whole_numbers(size), _whole_numbers(stride)
        (offset,) = _whole_numbers((storage_offset,))
        if len(size) != len(stride):
            raise CheckpointError(f"load: expected a stride per size. Got {size} and {stride}.")
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if 0 not in size and last >= storage.count:
            raise CheckpointError(
                f"load: expected a tensor within its storage of {storage.count} elements. Size "
                f"{size} with stride {stride} from {offset} reaches {last}."
            )
        if math.prod(size) > 2**48:
            raise CheckpointError(f"load: expected a tensor of sane size. Got {size}.")
        whole = storage.tensor(self.place)
        out = whole.as_strided(size, stride, offset).detach()
        return out.requires_grad_() if requires_grad is True else out

    def rebuild_sparse(self, layout: Any, parts: Any) -> Tensor:
        """The sparse tensor of indices, values, a size, and whether it is coalesced."""
        if layout is not layouts.sparse_coo:
            raise CheckpointError(f"load: expected layout torch.sparse_coo. Got {layout!r}.")
        if not isinstance(parts, tuple) or not 3 <= len(parts) <= 4:
            raise CheckpointError("load: expected indices, values and size of a sparse tensor.")
        indices, values, size, *rest = parts
        if not isinstance(indices, Tensor) or not isinstance(values, Tensor):
            raise CheckpointError("load: expected indices and values of a sparse tensor.")
        if self.is_survey:
            return empty(0)
        checks: dict[str, Any] = {"is_coalesced": rest == [True], "check_invariants": True}
        try:
            return sparse_coo_tensor(indices, values, _whole_numbers(size), **checks)
        except RuntimeError as error:
            raise CheckpointError(
                f"load: expected a sparse tensor that is whole. {error}"
            ) from None

    def rebuild_quantized(
        self,
        storage: Any,
        storage_offset: Any,
        size: Any,
        stride: Any,
        quantizer: Any,
        requires_grad: Any = False,
        backward_hooks: Any = None,
    ) -> Tensor:
        """The quantized tensor whose codes show part of a storage."""
        codes = self.rebuild_tensor(storage, storage_offset, size, stride)
        scale, zero_point, axis = _quantizer(quantizer, codes.ndim)
        if self.is_survey:
            return codes
        try:
            if axis is None:
                return _make_per_tensor_quantized_tensor(codes, scale, zero_point)
            return _make_per_channel_quantized_tensor(codes, scale, zero_point, axis)
        except RuntimeError as error:
            raise CheckpointError(f"load: expected a quantized tensor. {error}") from None


def _quantizer(parameters: Any, axis_limit: int) -> tuple[Any, Any, int | None]:
    """Scale, zero point and axis of a quantized tensor, as a file tells them after the scheme."""
    if isinstance(parameters, tuple) and len(parameters) == 3:
        scheme, scale, zero_point = parameters
        if scheme is per_tensor_affine and type(scale) is float and type(zero_point) is int:
            return scale, zero_point, None
    if isinstance(parameters, tuple) and len(parameters) == 4:
        scheme, scale, zero_point, axis = parameters
        tensors = isinstance(scale, Tensor) and isinstance(zero_point, Tensor)
        if tensors and type(axis) is int and 0 <= axis < axis_limit:
            return scale, zero_point, axis
    raise CheckpointError(
        f"load: expected the scales and zero points of a quantized tensor. Got {parameters!r:.80}."
    )


def _layout(name: Any) -> Any:
    """The layout that `name`, such as "torch.sparse_coo", names."""
    if name not in ("torch.sparse_coo", "torch.strided"):
        raise CheckpointError(f"load: expected layout torch.sparse_coo. Got {name!r}.")
    return layouts.sparse_coo if name == "torch.sparse_coo" else layouts.strided


def _whole_numbers(values: Any) -> tuple[int, ...]:
    """`values` as non-negative ints."""
    found = tuple(values) if isinstance(values, tuple | list) else ()
    if not isinstance(values, tuple | list) or any(type(n) is not int or n < 0 for n in found):
        raise CheckpointError(f"load: expected sizes, none negative. Got {values!r}.")
    return found


def _rebuild_parameter(data: Any, requires_grad: Any, *rest: Any) -> Parameter:
    if not isinstance(data, Tensor):
        raise CheckpointError(f"load: expected a parameter's tensor. Got {type(data).__name__}.")
    return Parameter(data, requires_grad is True)


def _rebuild_from_type(function: Any, kind: Any, args: Any, state: Any) -> Any:
    if not isinstance(function, Global) or function.build is None or not isinstance(args, tuple):
        raise CheckpointError("load: expected a tensor's class and arguments.")
    tensor = function.build(*args)
    return Parameter(tensor, tensor.requires_grad) if kind is Parameter else tensor


# -- NumPy -----------------------------------------------------------------------------------------


class _DType(Built):
    """A NumPy dtype of numbers; its byte order comes later."""

    def __init__(self, text: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(text, str) or np.dtype(text).kind not in "biufcSU":
            raise CheckpointError(f"load: expected a NumPy dtype of numbers. Got {text!r}.")
        self.value = np.dtype(text)

    def set_state(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order in ("<", ">"):
            self.value = self.value.newbyteorder(order)


class _Array(Built):
    """A NumPy array, which has its elements once its state is there."""

    def __init__(self, *_: Any) -> None:
        self.value = np.empty(0)

    def set_state(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        shape = _whole_numbers(shape)
        if not isinstance(dtype, np.dtype) or not isinstance(data, bytes):
            raise CheckpointError("load: expected a NumPy array of numbers.")
        flat = np.frombuffer(data, dtype)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C").copy()


def _scalar(dtype: Any, data: Any = None) -> Any:
    if not isinstance(dtype, np.dtype) or not isinstance(data, bytes):
        raise CheckpointError("load: expected a NumPy number.")
    return np.frombuffer(data, dtype, 1)[0]


# -- plain values ----------------------------------------------------------------------------------

_MOVED = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    """Bytes as older protocols write them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise CheckpointError("load: expected text to encode.")
    return text.encode(encoding)


def _counter(items: Any = ()) -> Counter[Any]:
    return Counter(items if isinstance(items, dict) else {})


FACTORIES = (int, float, str, bool, list, dict, tuple)
"""What a defaultdict may fill itself with."""


def _defaultdict(factory: Any = None) -> defaultdict[Any, Any]:
    if factory is not None and factory not in FACTORIES:
        raise CheckpointError(f"load: expected a defaultdict of plain values. Got {factory!r:.80}.")
    return defaultdict(factory)


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    if not isinstance(items, dict | list | tuple):
        raise CheckpointError("load: expected pairs for an OrderedDict.")
    return OrderedDict(items)


def _listed(make: Callable[..., Any]) -> Callable[..., Any]:
    def build(items: Any = ()) -> Any:
        if not isinstance(items, list | tuple) or not all(
            isinstance(i, int | float | str | bytes) for i in items
        ):
            raise CheckpointError("load: expected a list of simple values.")
        return make(items)

    return build


def _bytearray(source: Any = b"", encoding: Any = "latin-1") -> bytearray:
    if isinstance(source, str):
        return bytearray(_encoded(source, encoding))
    if not isinstance(source, bytes | list):
        raise CheckpointError("load: expected bytes.")
    return bytearray(source)


def _numbers(make: Callable[..., Any]) -> Callable[..., Any]:
    def build(*args: Any) -> Any:
        if not all(isinstance(a, int | float | str | type(None)) for a in args):
            raise CheckpointError("load: expected plain arguments.")
        return make(*args)

    return build


def _size(items: Any = ()) -> Size:
    return Size(_whole_numbers(items))


def _plain_globals() -> dict[str, Global]:
    found: dict[str, Callable[..., Any]] = {
        "collections.OrderedDict": _ordered,
        "collections.Counter": _counter,
        "collections.defaultdict": _defaultdict,
        "builtins.set": _listed(set),
        "builtins.frozenset": _listed(frozenset),
        "builtins.bytearray": _bytearray,
        "builtins.complex": _numbers(complex),
        "builtins.slice": _numbers(slice),
        "_codecs.encode": _encoded,
        "torch.Size": _size,
        "torch.serialization._get_layout": _layout,
        "torch.device": _numbers(device),
        "numpy.dtype": _DType,
        "numpy._core.multiarray._reconstruct": _Array,
        "numpy._core.multiarray.scalar": _scalar,
    }
    table = {path: Global(path, build) for path, build in found.items()}
    for path in ("numpy.ndarray", "torch.Tensor", "torch._tensor.Tensor"):
        table[path] = Global(path, value=path)
    table["torch.nn.parameter.Parameter"] = Global("torch.nn.parameter.Parameter", value=Parameter)
    table["torch.nn.parameter.Buffer"] = Global("torch.nn.parameter.Buffer", value=Buffer)
    for kind in FACTORIES:
        table[f"builtins.{kind.__name__}"] = Global(kind.__name__, value=kind)
    for older, kind in (("long", int), ("unicode", str)):  # their names in protocol 2
        table[f"builtins.{older}"] = Global(older, value=kind)
    for name, element in STORAGES.items():
        for module in ("torch", "torch.cuda", "torch.storage"):
            table[f"{module}.{name}"] = Global(name, value=_StorageType(dtype_named(element)))
    for scheme in quantized_arrays.SCHEMES.values():
        table[repr(scheme)] = Global(repr(scheme), value=scheme)
    for name, value in vars(dtypes).items():
        if isinstance(value, dtypes.dtype):
            path = f"torch.{name.rstrip('_')}"
            table[path] = Global(path, value=value)
    return table


class _StorageType:
    """A class of storages, as far as a file needs it."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def storage_dtype(kind: Any) -> Any:
    """The dtype of a storage class that a file named."""
    if not isinstance(kind, _StorageType):
        raise CheckpointError(f"load: expected a storage class. Got {type(kind).__name__}.")
    return kind.dtype


# -- what the user allows --------------------------------------------------------------------------


def _path(found: Any) -> str:
    return f"{found.__module__}.{found.__qualname__}"
