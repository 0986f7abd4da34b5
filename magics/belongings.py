"""What a session holds before its processes fork, and how a process says what became of it.

A forked process has the same objects at the same addresses, and names them by these: what comes
back is bound to the objects that are here, never to copies of them.
"""

from __future__ import annotations

import io
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from flambeau import Tensor, nn

from .transactions import SIMPLE, refill

Names = dict[str, Any]

FILLING: dict[type, Callable[[Any, Any], None]] = {
    dict: dict.update,
    defaultdict: dict.update,
    Counter: dict.update,  # its own would add
    OrderedDict: OrderedDict.update,
    list: list.extend,
    deque: deque.extend,
    set: set.update,
}
"""How containers take other contents, once they are empty."""

LARGEST = 1 << 26
"""Bytes of a NumPy array up to which it is compared with what it was."""


class Belongings:
    """The objects that `names` of a namespace lead to, through containers, modules and objects of
    the session's own classes, by address; `roots` has the name that led to each."""

    def __init__(self, namespace: Names, names: Sequence[str]) -> None:
        self.objects: dict[int, Any] = {}
        self.roots: dict[int, str] = {}
        self.before = {name: namespace[name] for name in names}
        self.foreign = namespace.keys() - self.before.keys()  # of the shell
        for name, value in self.before.items():
            self._keep(value, name)
        found = list(self.objects.items())
        self._versions = {k: v._version for k, v in found if isinstance(v, Tensor)}
        self._elements = {k: list(_elements(v)) for k, v in found if _is_container(v)}
        self._arrays = {
            k: v.copy() for k, v in found if type(v) is np.ndarray and v.nbytes <= LARGEST
        }

    def _keep(self, value: Any, name: str) -> None:
        stack = [value]
        while stack:
            value = stack.pop()
            if type(value) in SIMPLE or id(value) in self.objects:
                continue
            self.objects[id(value)], self.roots[id(value)] = value, name
            if isinstance(value, nn.Module):
                stack += [*value.children(), *value._parameters.values(), *value._buffers.values()]
            elif isinstance(value, tuple) or _is_container(value):
                stack += _elements(value)
            elif type(value).__module__ == "__main__" and hasattr(value, "__dict__"):
                stack.append(vars(value))

    def written(self) -> dict[int, Any]:
        """The values of the tensors and arrays that were written since, by their addresses."""
        tensors = {
            k: self.objects[k].detach().numpy_values()
            for k, version in self._versions.items()
            if self.objects[k]._version != version and not self.objects[k].is_meta
        }
        arrays = {
            k: self.objects[k]
            for k, before in self._arrays.items()
            if self.objects[k].tobytes() != before.tobytes()
        }
        return {**tensors, **arrays}

    def states(self) -> dict[int, Any]:
        """What optimizers, schedules and the like say of themselves, by their addresses."""
        return {
            k: v.state_dict()
            for k, v in self.objects.items()
            if hasattr(v, "load_state_dict") and not isinstance(v, nn.Module | type)
        }

    def changed(self) -> Iterator[tuple[int, Any]]:
        """The containers that hold other objects than before, by their addresses."""
        for k, before in self._elements.items():
            now = list(_elements(self.objects[k]))
            if len(now) != len(before) or any(a is not b for a, b in zip(now, before, strict=True)):
                yield k, self.objects[k]

    def pack(self, value: Any) -> bytes:
        """Pickle a value, but for what the session has already."""
        file = io.BytesIO()
        _Packer(file, self.objects).dump(value)
        return file.getvalue()

    def pack_contents(self, container: Any) -> bytes:
        """What a container of the session holds now."""
        return self.pack(dict(container) if isinstance(container, dict) else list(container))

    def unpack(self, data: bytes) -> Any:
        """The value that `pack` made `data` of."""
        return _Unpacker(data, self.objects).load()

    def take_contents(self, address: int, data: bytes) -> None:
        """Fill a container with what it holds in the process that packed it."""
        container = self.objects[address]
        refill(container, self.unpack(data), FILLING[type(container)])


def pack_whole(value: Any) -> bytes:
    """Pickle a value with all that it leads to, as the one of this process."""
    file = io.BytesIO()
    _Packer(file, {}).dump(value)
    return file.getvalue()


def _is_container(value: Any) -> bool:
    return type(value) in FILLING


def _elements(container: Any) -> Iterator[Any]:
    if isinstance(container, dict):
        return chain.from_iterable(list(container.items()))
    return iter(list(container))


class _Packer(pickle.Pickler):
    def __init__(self, file: Any, known: dict[int, Any]) -> None:
        super().__init__(file, protocol=5)
        self._known = known

    def persistent_id(self, obj: Any) -> Any:
        return id(obj) if id(obj) in self._known else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Tensor) and not obj.is_leaf:
            return obj.detach().__reduce_ex__(5)  # its past stays with the process
        if isinstance(obj, nn.parallel.DistributedDataParallel):
            return _itself, (obj.module,)  # the group ends with the processes
        return NotImplemented


def _itself(value: Any) -> Any:
    return value


class _Unpacker(pickle.Unpickler):
    def __init__(self, data: bytes, known: dict[int, Any]) -> None:
        super().__init__(io.BytesIO(data))
        self._known = known

    def persistent_load(self, pid: Any) -> Any:
        return self._known[pid]
