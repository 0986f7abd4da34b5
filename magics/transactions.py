"""Transactions: what a session holds, put back to where it was.

    kept                       names of the session; tensors with values, gradients, graph and
                               versions; parameters, buffers and flags of modules; state of
                               optimizers and schedules; arrays; lists, dicts and sets; objects of
                               the user's classes; variables of closures; all random streams; grad
                               mode, default dtype and device
    left as they are           files, output, iterators, objects of other libraries

Nothing is watched meanwhile: everything that could be written to is copied at the start, which
costs one pass over the memory that the session holds, and as much memory again.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from types import FunctionType
from typing import Any

import numpy as np

import flambeau as torch
from flambeau import Tensor
from flambeau.autograd.node import AccumulateGrad, Node, OutputEdge
from flambeau.core.quantized_arrays import QuantizedArray
from flambeau.core.sparse_arrays import SparseArray
from flambeau.nn.parameter import is_lazy

Undo = Callable[[], object]
SIMPLE = (bool, int, float, complex, str, bytes, type(None), range, slice, type, type(sys))
"""Types of values that cannot change, or that are not the session's to put back."""

BUILT_IN: tuple[Any, ...] = (OrderedDict, dict, deque, set, list)
"""Containers that are emptied and filled again; an OrderedDict minds being treated as a dict."""


@dataclass
class Undone:
    """What a rollback did: names bound again or removed, and tensors that had been written to;
    `failures` tells of what could not be put back."""

    names: list[str]
    tensors: int
    seconds: float
    failures: list[str]


class Transaction:
    """Remembers what the names of a namespace reach; `rollback` puts it back.

    `nbytes` were copied in `seconds`, of `tensors` tensors. Raises: MemoryError if there is no room
    for the copies.
    """

    def __init__(self, namespace: dict[str, Any], names: Iterable[str]) -> None:
        started = perf_counter()
        self._namespace = namespace
        self._names = {name: namespace[name] for name in names if name in namespace}
        self._undo: list[Undo] = []
        self._seen: dict[int, Any] = {}  # keeps what it has seen alive, so that ids stay theirs
        self._written: list[Callable[[], bool]] = []
        self._copied: set[tuple[Any, ...]] = set()
        self.nbytes = self.tensors = 0
        self._remember_modes()
        stack = list(self._names.values())
        while stack:
            value = stack.pop()
            if type(value) in SIMPLE or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            stack.extend(self._remember(value))
        self.seconds = perf_counter() - started

    def rollback(self, names: Iterable[str]) -> Undone:
        """Put everything back; `names` are those that the namespace has now."""
        started = perf_counter()
        written = sum(was() for was in self._written)
        now = {name: self._namespace[name] for name in names}
        changed = [n for n in now.keys() | self._names if now.get(n, self) is not
                   self._names.get(n, self)]  # fmt: skip
        for name in now.keys() - self._names:
            del self._namespace[name]
        self._namespace.update(self._names)
        failures = []
        for undo in reversed(self._undo):
            try:
                undo()
            except Exception as error:  # an array made smaller, say: the rest must be put back
                failures.append(str(error))
        return Undone(sorted(changed), written, perf_counter() - started, failures)

    # -- what is remembered of each kind of value ------------------------------------------------

    def _remember(self, value: Any) -> Iterator[Any]:
        """Note how to put `value` back; what else it reaches."""
        if isinstance(value, Tensor):
            yield from self._tensor(value)
        elif isinstance(value, Node | OutputEdge | AccumulateGrad):
            # What is saved for the backward pass is only written to through tensors.
            yield from self._attributes(value, without=("saved", "key", "operation"))
        elif isinstance(value, np.ndarray):
            self._memory(value)
        elif isinstance(value, torch.Generator):
            state = value.get_state()
            self._undo.append(lambda: value.set_state(state))
        elif isinstance(value, np.random.Generator):
            bits, words = value.bit_generator, value.bit_generator.state
            self._undo.append(lambda: setattr(bits, "state", words))
        elif isinstance(value, FunctionType) and value.__module__ == "__main__":
            yield from self._closure(value)
        elif isinstance(value, list | deque | set | dict | tuple | frozenset):
            yield from self._container(value)
            if is_users(type(value)):
                yield from self._attributes(value)
        elif is_users(type(value)) and not hasattr(value, "__next__"):
            yield from self._attributes(value)

    def _tensor(self, tensor: Any) -> Iterator[Any]:
        self.tensors += 1
        if is_lazy(tensor):  # it has no memory yet
            yield from self._attributes(tensor, without=tuple(vars(tensor)))
            return
        array, writes = tensor._array, tensor._writes
        version = list(writes)
        self._written.append(lambda: writes[0] != version[0] or tensor._array is not array)
        self._memory(array)
        self._undo.append(lambda: writes.__setitem__(slice(None), version))
        yield from self._attributes(tensor, without=("_array", "_key", "_views"))

    def _memory(self, array: Any) -> None:
        """Copy the elements, once for all that show the same ones."""
        if isinstance(array, SparseArray | QuantizedArray):
            for name in array.__slots__:
                part = getattr(array, name)
                self._memory(part)
                self._undo.append(partial(setattr, array, name, part))
            return
        if not hasattr(array, "copy") or not getattr(array.flags, "writeable", True):
            return
        pointer = array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr
        place = (pointer, array.shape, array.strides, str(array.dtype))
        if place in self._copied:
            return
        self._copied.add(place)
        copy = array.copy()
        self.nbytes += copy.nbytes
        self._undo.append(lambda: array.__setitem__(Ellipsis, copy))

    def _container(self, value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            items = dict(value)
            update = OrderedDict.update if isinstance(value, OrderedDict) else dict.update
            self._undo.append(lambda: refill(value, items, update))
            yield from items.keys()
            yield from items.values()
            return
        kept = list(value)
        if isinstance(value, list):
            self._undo.append(lambda: list.__setitem__(value, slice(None), kept))
        elif isinstance(value, deque):
            self._undo.append(lambda: refill(value, kept, deque.extend))
        elif isinstance(value, set):
            self._undo.append(lambda: refill(value, kept, set.update))
        yield from kept

    def _attributes(self, value: Any, without: tuple[str, ...] = ()) -> Iterator[Any]:
        """Note all attributes, those in slots too; all but some lead on."""
        table = getattr(value, "__dict__", None)
        if table is not None:
            kept = dict(table)
            self._undo.append(partial(_restore_class, value, type(value)))
            self._undo.append(lambda: refill(table, kept, dict.update))
            yield from (found for name, found in kept.items() if name not in without)
        for name in _slots(type(value)):
            if not hasattr(value, name):
                self._undo.append(partial(_unset, value, name))
                continue
            found = getattr(value, name)
            self._undo.append(partial(object.__setattr__, value, name, found))
            if name not in without:
                yield found

    def _closure(self, function: FunctionType) -> Iterator[Any]:
        """The variables that a function shares with its maker."""
        for cell in function.__closure__ or ():
            try:
                kept = cell.cell_contents
            except ValueError:
                continue  # not bound yet
            self._undo.append(partial(setattr, cell, "cell_contents", kept))
            yield kept
        yield from function.__defaults__ or ()

    def _remember_modes(self) -> None:
        python, numpy = random.getstate(), np.random.get_state()
        streams = [(g, g.get_state()) for g in torch.random.generators()]
        grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
        device = torch.get_default_device()

        def undo() -> None:
            random.setstate(python)
            np.random.set_state(numpy)
            for generator, state in streams:
                generator.set_state(state)
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            torch.set_default_device(device)

        self._undo.append(undo)


OURS = ("flambeau.nn.", "flambeau.optim.", "flambeau.utils.", "flambeau.amp.",
        "flambeau.distributions.", "flambeau.transforms.")  # fmt: skip
"""Packages of the runtime whose objects hold what a user trains with."""


def is_users(kind: type) -> bool:
    """Whether objects of a class are put back: of those typed in the session, of layers, optimizers
    and the like, and of what is derived from them."""
    return any(
        k.__module__ == "__main__" or f"{k.__module__}.".startswith(OURS) for k in kind.__mro__
    )


def refill(container: Any, kept: Any, fill: Callable[[Any, Any], None]) -> None:
    """Empty a container and fill it, by the methods of its built-in class, whatever a derived one
    makes of them."""
    base: Any = next(k for k in type(container).__mro__ if k in BUILT_IN)
    base.clear(container)
    fill(container, kept)


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                yield name


def _unset(value: Any, name: str) -> None:
    if hasattr(value, name):
        object.__delattr__(value, name)


def _restore_class(value: Any, kind: type) -> None:
    """A lazy layer, or its parameter, has another class once it is initialized."""
    if type(value) is not kind:
        value.__class__ = kind
