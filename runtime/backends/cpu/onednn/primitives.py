"""Primitives: operations that oneDNN has compiled for given shapes, strides and types.

They are kept by what describes them, the least recently used let go first. Each has sets of memory
objects, one per thread that runs it at the time, so that calls need no lock; scratch memory is one
buffer per thread, which grows to what the largest primitive asks for.
"""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .library import Library, OneDNNError

CAPACITY = 1024
"""Primitives kept at most; a ResNet-50 in training has about 150."""

SRC, DST, WEIGHTS, BIAS = 1, 17, 33, 41
MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE, SCRATCHPAD = 49, 50, 51, 52, 64, 80
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 169, 255, 256
EXEC_ARG_MD = 255  # dnnl_query_exec_arg_md
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128
DATA_TYPES = {"float32": 3, "bfloat16": 2, "int32": 4, "int8": 5, "uint8": 6}

ANY_LAYOUT = 1  # dnnl_format_tag_any

Handle, Float = ctypes.c_void_p, ctypes.c_float

_DATA_OFFSET = object.__basicsize__
"""The first field of NumPy's PyArrayObject, whose layout is part of its binary interface."""


class _Argument(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_int), ("memory", ctypes.c_void_p))


def dims(sizes: Sequence[int]) -> Any:
    """Sizes as the library's dnnl_dims_t."""
    return (ctypes.c_int64 * 12)(*sizes)


class Descriptor:
    """How an argument lies in memory: `strides` in elements, or None to let the primitive choose.

    Passed to a function of the library as it is.
    """

    def __init__(
        self,
        found: Library,
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        dtype: str = "float32",
    ) -> None:
        self._library = found
        self._as_parameter_ = Handle()
        place, kind = ctypes.byref(self._as_parameter_), DATA_TYPES[dtype]
        if strides is None:
            tag = ANY_LAYOUT
            found.call("memory_desc_create_with_tag", place, len(shape), dims(shape), kind, tag)
        else:
            steps = dims(strides)
            found.call(
                "memory_desc_create_with_strides", place, len(shape), dims(shape), kind, steps
            )

    def __del__(self) -> None:
        self._library.functions.dnnl_memory_desc_destroy(self._as_parameter_)


class Attributes:
    """The attributes of a primitive: scratch memory is the caller's."""

    def __init__(self, found: Library) -> None:
        self._library = found
        self._as_parameter_ = Handle()
        found.call("primitive_attr_create", ctypes.byref(self._as_parameter_))
        found.call("primitive_attr_set_scratchpad_mode", self._as_parameter_, 1)

    def __del__(self) -> None:
        self._library.functions.dnnl_primitive_attr_destroy(self._as_parameter_)


class Description:
    """What `dnnl_<name>_primitive_desc_create` makes of `arguments` and of `attributes`, plain ones
    unless given.

    Raises: OneDNNError if the library has no code for it.
    """

    def __init__(
        self, found: Library, name: str, *arguments: Any, attributes: Attributes | None = None
    ) -> None:
        self.library = found
        self._as_parameter_ = Handle()
        place = ctypes.byref(self._as_parameter_)
        attributes = attributes or Attributes(found)
        engine = () if name == "reorder" else (found.engine,)
        found.call(f"{name}_primitive_desc_create", place, *engine, *arguments, attributes)

    def layout(self, argument: int) -> Handle:
        """The memory descriptor of `argument`."""
        query = self.library.functions.dnnl_primitive_desc_query_md
        query.restype = Handle
        return Handle(query(self, EXEC_ARG_MD, argument))

    def bytes_of(self, argument: int) -> int:
        """Bytes of memory that `argument` takes."""
        size = self.library.functions.dnnl_memory_desc_get_size
        size.restype = ctypes.c_size_t
        return int(size(self.layout(argument)))

    def __del__(self) -> None:
        self.library.functions.dnnl_primitive_desc_destroy(self._as_parameter_)


def address(array: Any) -> Handle:
    """Where the data of a NumPy array begin. `array.ctypes.data` takes ten times as long."""
    return Handle(Handle.from_address(id(array) + _DATA_OFFSET).value)


class Primitive:
    """A compiled operation whose arguments are those numbered `arguments`, in that order.

    `own` has the layouts of arguments that its attributes brought, which it cannot tell.
    """

    def __init__(
        self,
        description: Description,
        arguments: Sequence[int],
        own: dict[int, Descriptor] | None = None,
    ) -> None:
        self._own = own or {}
        self._library = found = description.library
        self._free: list[Any] = []
        self._arguments = arguments
        self._primitive = Handle()
        self.description = description
        found.call("primitive_create", ctypes.byref(self._primitive), description)
        self._scratch_bytes = description.bytes_of(SCRATCHPAD)

    def run(self, *arrays: Any) -> None:
        """Execute on arrays that lie as described."""
        try:
            slots, memories = self._free.pop()
        except IndexError:
            slots, memories = self._new_set()
        set_handle = self._library.functions.dnnl_memory_set_data_handle
        for memory, array in zip(memories, arrays, strict=False):
            set_handle(memory, address(array))
        if self._scratch_bytes:
            set_handle(memories[-1], address(scratch(self._scratch_bytes)))
        count = len(slots)
        stream = self._library.stream
        self._library.call("primitive_execute", self._primitive, stream, count, slots)
        self._free.append((slots, memories))

    def _new_set(self) -> tuple[Any, list[Handle]]:
        numbers = [*self._arguments, *([SCRATCHPAD] if self._scratch_bytes else [])]
        memories = [self._new_memory(n) for n in numbers]
        slots = (_Argument * len(numbers))()
        for slot, number, memory in zip(slots, numbers, memories, strict=True):
            slot.arg, slot.memory = number, memory
        return slots, memories

    def _new_memory(self, argument: int) -> Handle:
        made = Handle()
        engine = self._library.engine
        self._library.call(
            "memory_create",
            ctypes.byref(made),
            self._own.get(argument) or self.description.layout(argument),
            engine,
            Handle(0),
        )
        return made

    def __del__(self) -> None:
        functions = self._library.functions
        for _, memories in self._free:
            for memory in memories:
                functions.dnnl_memory_destroy(memory)
        functions.dnnl_primitive_destroy(self._primitive)


_kept: OrderedDict[Any, Primitive | None] = OrderedDict()
_met: OrderedDict[Any, bool] = OrderedDict()
_scratch = threading.local()


def kept(identity: Any, make: Callable[[], Primitive]) -> Primitive | None:
    """The primitive of `identity`, made when first asked for; None if oneDNN has none."""
    try:
        found = _kept[identity]
        _kept.move_to_end(identity)
    except KeyError:
        try:
            found = make()
        except OneDNNError:
            found = None
        _kept[identity] = found
        while len(_kept) > CAPACITY:
            _kept.popitem(last=False)
    return found


def kept_if_repeated(identity: Any, make: Callable[[], Primitive]) -> Primitive | None:
    """`kept`, but None when `identity` is met for the first time: making a primitive takes as long
    as many small products, which shapes that never come again would not pay back."""
    if identity in _kept or _met.pop(identity, False):
        return kept(identity, make)
    _met[identity] = True
    if len(_met) > CAPACITY:
        _met.popitem(last=False)
    return None


def scratch(count: int) -> Any:
    """A buffer of at least `count` bytes, this thread's until it asks again."""
    buffer = getattr(_scratch, "buffer", None)
    if buffer is None or buffer.nbytes < count:
        buffer = _scratch.buffer = np.empty(count, np.uint8)
    return buffer


def free() -> int:
    """Let all primitives and this thread's scratch memory go; how many primitives there were."""
    count = len(_kept)
    _kept.clear()
    _scratch.buffer = None
    return count
