"""Saving and loading: tensors and what holds them, in safetensors files.

A file holds the tensors under names made of their place ("model.0.weight"), so any reader of
safetensors finds them; dicts, lists and plain values around them stand as JSON in the file's
metadata. Nothing in a file is ever executed. A file is written beside its name and then renamed:
whoever reads, or is interrupted, finds the old one or the new one whole.
Source: the safetensors format, https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .core import dtypes
from .core.creation import from_numpy
from .core.devices import device as Device
from .core.tensor import Size, Tensor
from .nn.parameter import Parameter
from .ops.transfer import resolve, to

METADATA = "flambeau"
"""The key of the file's metadata that holds the structure around the tensors."""

PLAIN = (str, int, float, bool, type(None))


def save(obj: Any, f: Any) -> None:
    """Write `obj` to the path or binary file `f`.

    `obj` is a tensor, a plain value, or dicts, lists and tuples of them: state dicts of modules and
    optimizers, checkpoints made of those. Raises: TypeError naming the place of anything else.
    """
    packer = _Packer()
    structure = json.dumps(packer.pack(obj, ""), separators=(",", ":"))
    if isinstance(f, str | os.PathLike):
        _save_to_path(packer.arrays, structure, Path(f))
    else:
        from safetensors.numpy import save as to_bytes

        f.write(to_bytes(packer.arrays, {METADATA: structure}))


def _save_to_path(arrays: dict[str, Any], structure: str, path: Path) -> None:
    from safetensors.numpy import save_file

    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    try:
        save_file(arrays, name, {METADATA: structure})
        with open(name, "rb+") as written:
            os.fsync(written.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


class _Packer:
    """Takes a structure apart into JSON and named arrays."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self._names: dict[Any, str] = {}  # memory already named

    def pack(self, value: Any, place: str) -> Any:
        """`value`, found at `place`, as JSON."""
        if isinstance(value, Tensor):
            return self._pack_tensor(value, place)
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


def load(f: Any, map_location: Any = None, *, weights_only: bool = True, **unused: Any) -> Any:
    """What `save` wrote to the path or binary file `f`; from another writer's safetensors file, a
    dict of tensors.

    `map_location` says where tensors go: a device, or a dict of device names; else where they came
    from, or to the CPU if that device is not here. `weights_only` is accepted; no file can hold
    code. Raises: FileNotFoundError, or ValueError for a file that is no safetensors file.
    """
    arrays, structure = _read(f)
    if structure is None:
        return {name: from_numpy(array) for name, array in arrays.items()}
    return _Unpacker(arrays, _placement(map_location)).unpack(json.loads(structure))


def _read(f: Any) -> tuple[dict[str, Any], str | None]:
    """All arrays of the file, and the structure around them if we wrote it."""
    if isinstance(f, str | os.PathLike):
        return _read_path(os.fspath(f), str(f))
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(f.read())
        copy.flush()
        return _read_path(copy.name, "the file")


def _read_path(path: str, name: str) -> tuple[dict[str, Any], str | None]:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as file:  # so that a missing file raises what Python raises for it
        beginning = file.read(4)
    try:
        with safe_open(path, framework="np") as stored:
            metadata = stored.metadata() or {}
            names = stored.keys()
            return {name: stored.get_tensor(name) for name in names}, metadata.get(METADATA)
    except SafetensorError as error:
        raise ValueError(_not_ours(name, beginning, error)) from None


def _not_ours(name: str, beginning: bytes, error: Exception) -> str:
    what = f"something else ({error})"
    advice = "Look where it comes from."
    if beginning == b"PK\x03\x04" or beginning[:1] == b"\x80":
        what = "a pickle, as PyTorch's save writes it"
        advice = (
            "With PyTorch, write it again: safetensors.torch.save_file(state_dict, "
            "'weights.safetensors')."
        )
    return f"load: expected {name} to be a safetensors file. Got {what}. {advice}"


def _placement(map_location: Any) -> Callable[[str], Any]:
    """From the device that a tensor was saved on, the one it goes to."""
    if map_location is None:
        return _original_or_cpu
    if isinstance(map_location, Mapping):
        table = {str(k): v for k, v in map_location.items()}
        return lambda name: table.get(name, _original_or_cpu(name))
    if callable(map_location):
        raise TypeError("load: expected map_location as a device or a dict. Got a function.")
    return lambda name: map_location


def _original_or_cpu(name: str) -> Any:
    try:
        return resolve(name)
    except RuntimeError:
        return "cpu"


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
            return self._tensor(node)
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
        tensor = self._tensors[name]
        if "parameter" in node:
            return Parameter(tensor, node["parameter"])
        if node.get("requires_grad"):
            return tensor.detach().requires_grad_()
        return tensor
