"""Values in safetensors files.

A file holds the tensors under names made of their place ("model.0.weight"), so any reader of
safetensors finds them; dicts, lists and plain values around them stand as JSON in the file's
metadata.
Source: the safetensors format, https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.creation import from_numpy
from ..core.devices import device as Device
from ..core.tensor import Size, Tensor
from ..errors import CheckpointError, ShapeError
from ..nn.parameter import Parameter
from ..ops.quantized import (
    _make_per_channel_quantized_tensor,
    _make_per_tensor_quantized_tensor,
    quantizer_of,
)
from ..ops.transfer import to
from ..sparse.construction import sparse_coo_tensor

METADATA = "flambeau"
"""The key of the file's metadata that holds the structure around the tensors."""

PLAIN = (str, int, float, bool, type(None))


def packed(obj: Any) -> bytes:
    """`obj` as the content of a file. Raises: TypeError naming the place of what cannot be in
    one."""
    from safetensors.numpy import save as to_bytes

    packer = _Packer()
    structure = json.dumps(packer.pack(obj, ""), separators=(",", ":"))
    return bytes(to_bytes(packer.arrays, {METADATA: structure}))


def is_likely(data: bytes) -> bool:
    """Whether `data` begins as safetensors do: the length of a JSON object, which follows."""
    return data[8:9] == b"{" and 8 + int.from_bytes(data[:8], "little") <= len(data)


class _Packer:
    """Takes a structure apart into JSON and named arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self._names: dict[Any, str] = {}  # memory already named

    def pack(self, value: Any, place: str) -> Any:
        """`value`, found at `place`, as JSON."""
        if isinstance(value, Tensor):
            if value.is_quantized:
                return self._pack_quantized(value, place)
            return (self._pack_sparse if value.is_sparse else self._pack_tensor)(value, place)
        if isinstance(value, Size):
            return {"size": list(value)}
        if isinstance(value, float) and not np.isfinite(value):
            return {"float": str(value)}
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            return value
        if isinstance(value, np.generic):
            return self.pack(value.item(), place)
        if isinstance(value, Mapping):
            kind = "ordered" if isinstance(value, OrderedDict) else "dict"
            return {kind: [self._pair(k, v, place) for k, v in value.items()]}
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            items = [self.pack(v, _below(place, k)) for k, v in enumerate(value)]
            return {"tuple": items} if isinstance(value, tuple) else items
        if isinstance(value, dtypes.dtype):
            return {"dtype": value.name}
        if isinstance(value, Device):
            return {"device": str(value)}
        raise TypeError(_unsupported(value, place))

    def _pair(self, key: Any, value: Any, place: str) -> list[Any]:
        if type(key) not in PLAIN:
            raise TypeError(
                f"save: expected strings or numbers as keys. Got {type(key).__name__} {key!r} in "
                f"{place or 'the dict'}."
            )
        return [key, self.pack(value, _below(place, key))]

    def _pack_tensor(self, tensor: Tensor, place: str) -> Any:
        if tensor.is_meta:
            raise TypeError(f"save: expected tensors with values. Got one on meta at {place!r}.")
        node: dict[str, Any] = {"tensor": ""}
        identity = (
            tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype
        )  # fmt: skip
        name = self._names.get(identity) if tensor.numel() else None
        if name is None:
            name = self._names[identity] = self._free_name(place or "tensor")
            array = np.asarray(tensor.numpy_values(), order="C")
            if tensor.is_complex():  # the format has none of 128 bits
                array = array.reshape(*array.shape, 1).view(array.real.dtype)
            self.arrays[name] = array
        node["tensor"] = name
        if tensor.is_complex():
            node["complex"] = True
        if isinstance(tensor, Parameter):
            node["parameter"] = tensor.requires_grad
        elif tensor.is_leaf and tensor.requires_grad:
            node["requires_grad"] = True
        if tensor.device.type != "cpu":
            node["device"] = str(tensor.device)
        return node

    def _pack_sparse(self, tensor: Tensor, place: str) -> Any:
        node: dict[str, Any] = {
            "sparse": [
                self.pack(tensor._indices(), _below(place, "indices")),
                self.pack(tensor._values(), _below(place, "values")),
            ],
            "size": list(tensor.shape),
            "is_coalesced": tensor.is_coalesced(),
        }
        if isinstance(tensor, Parameter):
            node["parameter"] = tensor.requires_grad
        elif tensor.is_leaf and tensor.requires_grad:
            node["requires_grad"] = True
        return node

    def _pack_quantized(self, tensor: Tensor, place: str) -> Any:
        quantizer = [self.pack(x, _below(place, "quantizer")) for x in quantizer_of(tensor)]
        return {"quantized": self.pack(tensor.int_repr(), place), "quantizer": quantizer}

    def _free_name(self, place: str) -> str:
        name, number = place, 1
        while name in self.arrays:
            number += 1
            name = f"{place}#{number}"
        return name


def _below(place: str, key: Any) -> str:
    return f"{place}.{key}" if place else str(key)


def _unsupported(value: Any, place: str) -> str:
    where = f" at {place!r}" if place else ""
    advice = "Save plain values, dicts, lists and tensors."
    if hasattr(value, "state_dict"):
        advice = "Save its state_dict(), and load that into a new one with load_state_dict()."
    return f"save: expected tensors and plain values. Got {type(value).__name__}{where}. {advice}"


# -- loading ---------------------------------------------------------------------------------------


def read(data: bytes, name: str, place: Callable[[str], Any]) -> Any:
    """What a file's content holds: the value that was packed, or a dict of tensors from another
    writer. Raises: CheckpointError."""
    from safetensors import SafetensorError, deserialize

    try:
        arrays = {key: _array(stored) for key, stored in deserialize(data)}  # type: ignore[no-untyped-call]
        (length,) = struct.unpack("<Q", data[:8])
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError, struct.error, KeyError, TypeError) as error:
        raise CheckpointError(
            f"load: expected {name} to be a checkpoint: safetensors, a file of PyTorch's or GGUF. "
            f"It is none of them, or broken ({error})."
        ) from None
    if METADATA not in metadata:
        return {name: to(from_numpy(array), place("cpu")) for name, array in arrays.items()}
    try:
        return _Unpacker(arrays, place).unpack(json.loads(metadata[METADATA]))
    except (
        KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError, ShapeError
    ) as error:  # fmt: skip
        raise CheckpointError(
            f"load: expected the structure in {name} to be whole. {type(error).__name__} {error}"
        ) from None


ELEMENTS = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16",
    "U32": "uint32", "U64": "uint64", "BOOL": "bool_",
}  # fmt: skip
"""What the format calls the types of elements."""


def _array(stored: dict[str, Any]) -> Any:
    element = ELEMENTS.get(stored["dtype"])
    if element is None:
        raise ValueError(f"elements of {stored['dtype']}")
    dtype = getattr(dtypes, element).numpy
    return np.frombuffer(bytearray(stored["data"]), dtype).reshape(stored["shape"])


class _Unpacker:
    """Builds a structure again from JSON and named arrays."""

    def __init__(self, arrays: dict[str, Any], place: Callable[[str], Any]) -> None:
        self.arrays, self.place = arrays, place
        self._tensors: dict[Any, Tensor] = {}

    def unpack(self, node: Any) -> Any:
        """The value that `node` stands for."""
        if isinstance(node, list):
            return [self.unpack(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "tensor" in node:
            return _as_saved(self._tensor(node), node)
        if "sparse" in node:
            indices, values = [self.unpack(part) for part in node["sparse"]]
            checks = {"is_coalesced": node["is_coalesced"], "check_invariants": True}
            return _as_saved(sparse_coo_tensor(indices, values, node["size"], **checks), node)
        if "quantized" in node:
            codes, quantizer = self.unpack(node["quantized"]), self.unpack(node["quantizer"])
            per_tensor = len(quantizer) == 2
            make: Any = (
                _make_per_tensor_quantized_tensor
                if per_tensor
                else _make_per_channel_quantized_tensor
            )
            return make(codes, *quantizer)
        ((kind, content),) = node.items()
        if kind in ("dict", "ordered"):
            pairs = [(key, self.unpack(value)) for key, value in content]
            return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
        makers: dict[str, Callable[[Any], Any]] = {
            "tuple": lambda items: tuple(self.unpack(item) for item in items),
            "size": Size,
            "float": float,
            "dtype": lambda name: getattr(dtypes, name if name != "bool" else "bool_"),
            "device": Device,
        }
        return makers[kind](content)

    def _tensor(self, node: dict[str, Any]) -> Tensor:
        name = node["tensor"]
        if name not in self._tensors:
            array = self.arrays[name]
            if node.get("complex"):
                array = array.view(np.result_type(array.dtype, np.complex64))[..., 0]
            self._tensors[name] = to(from_numpy(array), self.place(node.get("device", "cpu")))
        return self._tensors[name]


def _as_saved(tensor: Tensor, node: dict[str, Any]) -> Tensor:
    """The tensor as the parameter, or with the `requires_grad`, that it had."""
    if "parameter" in node:
        return Parameter(tensor, node["parameter"])
    if node.get("requires_grad"):
        return tensor.detach().requires_grad_()
    return tensor
