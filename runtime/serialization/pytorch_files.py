"""PyTorch's files: the zip archive of 1.6 and later, the row of pickles before it.

Source: the layouts as `torch.serialization` writes them; facts only.
"""

from __future__ import annotations

import codecs
import io
import pickle
import struct
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict
from types import FunctionType
from typing import Any, ClassVar

import numpy as np
from numpy._core.multiarray import _reconstruct

from ..core import dtypes
from ..core.creation import from_numpy
from ..core.devices import device as Device
from ..core.layouts import is_laid_out, order_in_memory, preserve_format
from ..core.quantized_arrays import qscheme
from ..core.spec import contiguous_strides
from ..core.tensor import Size, Tensor
from ..errors import CheckpointError
from ..nn.parameter import Parameter
from ..ops.quantized import quantizer_of
from .allowed import FACTORIES, STORAGES, Builder, Storage, storage_dtype
from .objects import is_named, is_rebuilt
from .pickles import read_pickle

ZIP = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

# -- reading ---------------------------------------------------------------------------------------


def read_zip(data: bytes, builder: Builder) -> Any:
    """The value in a zip archive. Raises: CheckpointError."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = {info.filename: info for info in archive.infolist()}
    except Exception as error:
        raise CheckpointError(f"load: expected a zip archive that is whole. {error}") from None
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz(data)
    root = next((n.removesuffix("data.pkl") for n in names if n.endswith("/data.pkl")), None)
    if root is None:
        raise CheckpointError(
            "load: expected a checkpoint of PyTorch. The archive has no data.pkl."
        )
    if f"{root}constants.pkl" in names:
        raise CheckpointError(
            "load: expected weights. This is a TorchScript program: save its state_dict() instead."
        )

    def record(name: str) -> bytes:
        info = names.get(root + name)
        if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
            raise CheckpointError(f"load: expected {name} in the archive, stored as it is.")
        try:
            return archive.read(info)
        except Exception as error:
            raise CheckpointError(f"load: {name} in the archive is broken. {error}") from None

    order = (
        record("byteorder").decode("ascii", "replace") if f"{root}byteorder" in names else "little"
    )
    storages: dict[str, Storage] = {}

    def persistent(identity: Any) -> Storage:
        kind, key, location, count = _storage_id(identity, 5)
        if key not in storages:

            def read(storage: Storage) -> Any:
                return _elements(record(f"data/{key}"), storage.dtype, storage.count, order)

            storages[key] = Storage(storage_dtype(kind), count, location, read)
        return storages[key]

    value, _ = read_pickle(memoryview(record("data.pkl")), 0, builder.lookup, persistent)
    return value


def _read_npz(data: bytes) -> dict[str, Tensor]:
    """The arrays of an archive that NumPy wrote, as tensors by name."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: from_numpy(arrays[name]) for name in arrays.files}
    except Exception as error:
        raise CheckpointError(f"load: expected arrays of numbers of NumPy's. {error}") from None


def read_legacy(data: bytes, builder: Builder) -> Any:
    """The value in a file of pickles one after the other, with all storages at its end.

    Its pickle is read twice: to learn which storages there are, and once they are there.
    Raises: CheckpointError.
    """
    view = memoryview(data)
    storages: dict[str, Storage] = {}
    arrays: dict[str, Any] = {}

    def persistent(identity: Any) -> Storage:
        kind, key, location, count = _storage_id(identity, 6)
        if key not in storages:
            storages[key] = Storage(storage_dtype(kind), count, location, lambda s: arrays[key])
        part = identity[5]
        return storages[key] if part is None else storages[key].part(*part)

    def value_at(place: int) -> tuple[Any, int]:
        return read_pickle(view, place, builder.lookup, persistent)

    magic, place = value_at(0)
    if magic != LEGACY_MAGIC:
        raise CheckpointError("load: expected a checkpoint. This is another pickle.")
    protocol, place = value_at(place)
    if protocol != LEGACY_PROTOCOL:
        raise CheckpointError(f"load: expected format {LEGACY_PROTOCOL}. Got {protocol!r}.")
    system, value_place = value_at(place)
    order = "little" if not isinstance(system, dict) or system.get("little_endian", True) else "big"
    builder.is_survey = True
    _, place = value_at(value_place)
    builder.is_survey = False
    keys, place = value_at(place)
    if not isinstance(keys, list) or {*map(str, keys)} != storages.keys():
        raise CheckpointError("load: expected the names of all storages.")
    for key in map(str, keys):
        storage = storages[key]
        length = 8 + storage.count * storage.dtype.itemsize
        if place + length > len(data) or view[place : place + 8] != struct.pack(
            "<q", storage.count
        ):
            raise CheckpointError(f"load: expected {storage.count} elements in storage {key}.")
        part = data[place + 8 : place + length]
        arrays[key] = _elements(part, storage.dtype, storage.count, order)
        place += length
    return value_at(value_place)[0]


def _storage_id(identity: Any, length: int) -> tuple[Any, str, str, int]:
    """Class, key, location and number of elements of the storage that a pickle means."""
    if not isinstance(identity, tuple) or len(identity) != length or identity[0] != "storage":
        raise CheckpointError(f"load: expected a storage's id. Got {identity!r:.80}.")
    _, kind, key, location, count, *_ = identity
    if not isinstance(location, str) or type(count) is not int or count < 0:
        raise CheckpointError(f"load: expected a storage's id. Got {identity!r:.80}.")
    return kind, str(key), location, count


def _elements(data: bytes, dtype: Any, count: int, order: str) -> Any:
    """`count` numbers as an array that can be written to."""
    if len(data) < count * dtype.itemsize:
        raise CheckpointError(f"load: expected {count} elements of {dtype}. Got {len(data)} bytes.")
    array = np.frombuffer(bytearray(data), dtype.numpy, count)
    return array.byteswap() if order != sys.byteorder else array


# -- writing ---------------------------------------------------------------------------------------

STORAGE_OF = {element: name for name, element in STORAGES.items() if name != "UntypedStorage"}


def write_zip(value: Any, file: Any) -> None:
    """Write `value` into the binary file as PyTorch's `load` reads it, with `weights_only` too.

    Raises: TypeError for what is no tensor and no plain value.
    """
    program = io.BytesIO()
    pickler = _Pickler(program)
    try:
        pickler.dump(value)
    except (pickle.PicklingError, AttributeError) as error:
        raise TypeError(
            f"save: expected tensors, values and objects that can be told apart from the program. "
            f"{error}"
        ) from None
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", program.getvalue())
        archive.writestr("archive/byteorder", sys.byteorder)
        for key, array in enumerate(pickler.arrays):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")


class _Name:
    """Something that the file names and its reader knows."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        """Stands where pickle expects a function."""


class _Call:
    """What the reader is to build by calling `function`."""

    def __init__(self, function: _Name, *args: Any) -> None:
        self.reduced = function, args


class _StorageId(tuple[Any, ...]):
    """A reference to a storage outside the pickle."""


REBUILD_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
REBUILD_SPARSE = _Name("torch._utils", "_rebuild_sparse_tensor")
REBUILD_QUANTIZED = _Name("torch._utils", "_rebuild_qtensor")
LAYOUT = _Name("torch.serialization", "_get_layout")
REBUILD_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
NAMED = (
    set, frozenset, complex, defaultdict, *FACTORIES, codecs.encode,
    np.ndarray, np.dtype, _reconstruct,
)  # fmt: skip
"""What protocol 2 names in sets, complex numbers, bytes, arrays and defaultdicts."""

PLAIN = (str, int, float, bool, complex, bytes, type(None), dict, list, tuple, set, frozenset)


_PythonPickler: Any = pickle._Pickler  # unlike the C one, it lets names be written


class _Pickler(_PythonPickler):  # type: ignore[misc]
    """Writes tensors by reference to storages, and names without importing what they name."""

    dispatch: ClassVar[dict[type, Any]] = dict(_PythonPickler.dispatch)

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)
        self.arrays: list[Any] = []
        self._keys: dict[Any, str] = {}

    def persistent_id(self, obj: Any) -> Any:
        """What stands outside the pickle."""
        return tuple(obj) if isinstance(obj, _StorageId) else None

    def reducer_override(self, obj: Any) -> Any:
        """How tensors, sizes and devices are built again; NotImplemented for plain values."""
        if isinstance(obj, Tensor):
            return self._reduced(obj)
        if isinstance(obj, _Call):
            return obj.reduced
        if isinstance(obj, Size):
            return _Name("torch", "Size"), (tuple(obj),)
        if isinstance(obj, Device):
            parts = (obj.type,) if obj.index is None else (obj.type, obj.index)
            return _Name("torch", "device"), parts
        if isinstance(obj, OrderedDict):  # a state dict too is one to its reader
            state = {"_metadata": obj._metadata} if hasattr(obj, "_metadata") else None
            return _Name("collections", "OrderedDict"), (), state, None, iter(obj.items())
        if type(obj) is Counter:  # the milestones of a MultiStepLR
            return _Name("collections", "Counter"), (dict(obj),)
        if any(obj is name for name in NAMED) or type(obj) in PLAIN:
            return NotImplemented
        if isinstance(obj, _Name | dtypes.dtype | np.generic | qscheme):
            return NotImplemented  # see the dispatch table
        if isinstance(obj, np.ndarray):
            return self._reduced_array(obj)
        if type(obj) is defaultdict and obj.default_factory in (None, *FACTORIES):
            return NotImplemented
        if isinstance(obj, np.dtype) and obj.kind in "biufcSU":
            return NotImplemented
        if is_rebuilt(type(obj)) or is_named(obj):
            return NotImplemented
        found = type(obj).__name__
        advice = "Save plain values, dicts, lists, tensors and objects made of them."
        if isinstance(obj, FunctionType | type):
            found = getattr(obj, "__qualname__", found)
            advice = "Only functions and classes of your own or of torch can be saved, by name."
        raise TypeError(f"save: expected tensors and plain values. Got {found}. {advice}")

    def _reduced_array(self, array: Any) -> Any:
        if array.dtype.kind not in "biufcSU":
            raise TypeError(f"save: expected arrays of numbers. Got dtype {array.dtype}.")
        return NotImplemented

    def _reduced(self, tensor: Tensor) -> Any:
        if tensor.is_meta:
            raise TypeError("save: expected tensors with values. Got one on meta.")
        if tensor.is_sparse:
            return self._reduced_sparse(tensor)
        if tensor.is_quantized:
            return self._reduced_quantized(tensor)
        storage, offset, strides = self._shown(tensor)
        size, requires_grad = tuple(tensor.shape), tensor.requires_grad
        if isinstance(tensor, Parameter):
            data = _Call(REBUILD_TENSOR, storage, offset, size, strides, False, OrderedDict())
            return REBUILD_PARAMETER, (data, requires_grad, OrderedDict())
        is_leaf = requires_grad and tensor.is_leaf
        return REBUILD_TENSOR, (storage, offset, size, strides, is_leaf, OrderedDict())

    def _reduced_sparse(self, tensor: Tensor) -> Any:
        size = Size(tensor.shape)
        parts = tensor._indices(), tensor._values(), size, tensor.is_coalesced()
        if not isinstance(tensor, Parameter):
            return REBUILD_SPARSE, (_Call(LAYOUT, "torch.sparse_coo"), parts)
        data = _Call(REBUILD_SPARSE, _Call(LAYOUT, "torch.sparse_coo"), parts)
        return REBUILD_PARAMETER, (data, tensor.requires_grad, OrderedDict())

    def _reduced_quantized(self, tensor: Tensor) -> Any:
        (_, _, *rest), offset, strides = self._shown(tensor.int_repr())
        kind = _Name("torch", STORAGE_OF[tensor.dtype.name])
        storage = _StorageId(("storage", kind, *rest))
        quantizer: tuple[Any, ...] = _Name("torch", tensor.qscheme().name), *quantizer_of(tensor)
        size = tuple(tensor.shape)
        return REBUILD_QUANTIZED, (storage, offset, size, strides, quantizer, False, OrderedDict())

    def _shown(self, tensor: Tensor) -> tuple[_StorageId, int, tuple[int, ...]]:
        """The storage of a tensor, where in it the tensor begins, and its strides.

        Views share the storage of what they show, unless that has gaps or another dtype."""
        owner = tensor if tensor._base is None else tensor._base
        flat = _flat(owner)
        if flat is None or owner.dtype is not tensor.dtype:
            owner, flat = tensor, tensor.detach().contiguous().cpu().numpy_values().reshape(-1)
            offset, strides = 0, contiguous_strides(tuple(tensor.shape))
        else:
            offset = (tensor.data_ptr() - owner.data_ptr()) // tensor.itemsize if flat.size else 0
            strides = tuple(tensor.stride())
        identity = (owner.data_ptr(), flat.size)
        key = self._keys.get(identity) if flat.size else None
        if key is None:
            key = self._keys[identity] = str(len(self.arrays))
            self.arrays.append(flat)
        kind = _Name("torch", STORAGE_OF[tensor.dtype.name])
        return _StorageId(("storage", kind, key, str(tensor.device), flat.size)), offset, strides

    def _save_name(self, obj: _Name) -> None:
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    def _save_dtype(self, obj: Any) -> None:
        self.write(pickle.GLOBAL + f"torch\n{obj.name}\n".encode())

    def _save_scheme(self, obj: Any) -> None:
        self.write(pickle.GLOBAL + f"{obj!r}".replace(".", "\n").encode() + b"\n")

    def _save_number(self, obj: Any) -> None:
        self.save(obj.item())

    dispatch[_Name] = _save_name
    dispatch[dtypes.dtype] = _save_dtype
    dispatch[qscheme] = _save_scheme
    for _kind in np.sctypeDict.values():
        dispatch[_kind] = _save_number


def _flat(tensor: Tensor) -> Any:
    """The tensor's elements in the order of memory; None if there are gaps between them."""
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    if not is_laid_out(preserve_format, shape, strides):
        return None
    order = order_in_memory(shape, strides)
    return tensor.detach().cpu().numpy_values().transpose(order).reshape(-1)
