"""cuDNN's graph interface over NumPy, for machines without a GPU: it computes on the memory of the
stand-in for CuPy and refuses what cuDNN refuses.

Its functions are called through C's types, as the library's are. Descriptors know the attributes
that `interface` lists, by the numbers in `recorded/cudnn_interface.json`; `graphs` checks what they
say, `engines` computes.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..cupy_stand_in import memory, streams
from ..cupy_stand_in.memory import current
from . import engines, graphs
from .interface import KINDS, NUMBERS, STATUS_NAMES, Descriptor, Refused, read, write

VOID = ctypes.c_void_p


@dataclass
class Handle:
    """What `cudnnCreate` made, for its device and one thread at a time."""

    thread: threading.Thread
    device: int
    stream: int = 0


class StandIn:
    """The library: `functions` has what is called, `executed` tells what was computed."""

    def __init__(self, version: int = 91900) -> None:
        self.descriptors: dict[int, Descriptor] = {}
        self.handles: dict[int, Handle] = {}
        self.executed: list[str] = []
        self.failing: dict[str, str] = {}  # names of statuses, by function
        self.crashes: list[BaseException] = []
        self._text = ""
        self._next = 1000
        self.functions = types.SimpleNamespace(
            cudnnGetVersion=lambda: version,
            cudnnGetErrorString=lambda status: STATUS_NAMES[status].encode(),
            cudnnGetLastErrorString=self._last_error,
        )
        for name, parameters in {
            "Create": (VOID,),
            "SetStream": (VOID, VOID),
            "BackendCreateDescriptor": (ctypes.c_int, VOID),
            "BackendSetAttribute": (VOID, ctypes.c_int, ctypes.c_int, ctypes.c_int64, VOID),
            "BackendGetAttribute": (VOID, ctypes.c_int, ctypes.c_int, ctypes.c_int64, VOID, VOID),
            "BackendFinalize": (VOID,),
            "BackendDestroyDescriptor": (VOID,),
            "BackendExecute": (VOID, VOID, VOID),
        }.items():
            entry = ctypes.CFUNCTYPE(ctypes.c_int, *parameters)(self._entry(name))
            setattr(self.functions, f"cudnn{name}", entry)

    def _entry(self, name: str) -> Callable[..., int]:
        function = getattr(self, f"_{name}")

        def call(*arguments: Any) -> int:
            try:
                if name in self.failing:
                    raise Refused(self.failing[name], "told to fail")
                function(*arguments)
            except Refused as error:
                self._text = error.text
                return error.status
            except BaseException as error:
                self.crashes.append(error)
                return NUMBERS["STATUS_INTERNAL_ERROR"]
            return NUMBERS["STATUS_SUCCESS"]

        return call

    def _last_error(self, text: Any, size: Any) -> None:
        text.value = self._text.encode()[: size.value - 1]

    def _new(self) -> int:
        self._next += 8
        return self._next

    def _Create(self, place: int) -> None:
        streams.refuse_in_capture()
        made = self._new()
        self.handles[made] = Handle(threading.current_thread(), current.device)
        write(place, VOID, [made])

    def _SetStream(self, handle: int, stream: int | None) -> None:
        self._handle(handle).stream = stream or 0

    def _handle(self, handle: int) -> Handle:
        found = self.handles.get(handle)
        if found is None:
            raise Refused("BAD_PARAM", "no handle")
        here = threading.current_thread()
        if (found.thread is not here and found.thread.is_alive()) or found.device != current.device:
            raise Refused("BAD_PARAM", "a handle of another thread or device")
        found.thread = here
        return found

    def _BackendCreateDescriptor(self, kind: int, place: int) -> None:
        if kind not in KINDS:
            raise Refused("NOT_SUPPORTED", f"no kind of descriptors: {kind}")
        made = self._new()
        self.descriptors[made] = Descriptor(kind, self)
        write(place, VOID, [made])

    def descriptor(self, address: int) -> Descriptor:
        """What a pointer to a descriptor points to."""
        if address not in self.descriptors:
            raise Refused("BAD_PARAM_NULL_POINTER", "no descriptor")
        return self.descriptors[address]

    def _BackendSetAttribute(
        self, address: int, number: int, kind: int, count: int, values: int
    ) -> None:
        self.descriptor(address).set(number, kind, count, values)

    def _BackendGetAttribute(
        self, address: int, number: int, kind: int, room: int, count: int, values: int
    ) -> None:
        given = read(values, VOID, room) if kind == NUMBERS["TYPE_BACKEND_DESCRIPTOR"] else []
        element, found = graphs.asked(self.descriptor(address), number, kind, given)
        if element is not None:
            write(values, element, found[:room])
        write(count, ctypes.c_int64, [min(len(found), room)])

    def _BackendFinalize(self, address: int) -> None:
        descriptor = self.descriptor(address)
        descriptor.require_all()
        graphs.check(descriptor)
        descriptor.is_final = True

    def _BackendDestroyDescriptor(self, address: int) -> None:
        self.descriptor(address).is_gone = True
        del self.descriptors[address]

    def _BackendExecute(self, handle: int, plan: int, pack: int) -> None:
        state = self._handle(handle)
        if state.stream != streams.get_current_stream().ptr:
            raise Refused("BAD_PARAM", "the handle's stream is not the current one")
        chosen = self.descriptor(plan)
        label, work = engines.prepared(chosen, self.descriptor(pack))
        if memory.ledger is not None:
            memory.ledger.add(*engines.counted(chosen))
            return
        self.executed.append(label)
        recorded = streams.capturing()
        if recorded is None:
            work()
        else:
            recorded.append(lambda: self._replay(chosen, work))

    def _replay(self, plan: Descriptor, work: Callable[[], None]) -> None:
        if plan.is_gone:
            raise RuntimeError("The code of a recorded plan has been unloaded.")
        work()


@contextlib.contextmanager
def installed(version: int = 91900) -> Iterator[StandIn]:
    """The stand-in in the library's place, for kernels that are looked up meanwhile."""
    from flambeau.backends.cuda.cudnn import library
    from flambeau.core.dispatch import forget_kernels

    made = StandIn(version)
    loaded, before = library.Library(made.functions), library.loaded
    library.loaded = lambda: loaded
    _forget(library)
    forget_kernels()
    try:
        yield made
    finally:
        library.loaded = before
        _forget(library)
        forget_kernels()
    assert not made.crashes, made.crashes


def _forget(library: Any) -> None:
    for state in (library.local, *library._spare):
        state.handles.clear()
        state.kept.clear()
