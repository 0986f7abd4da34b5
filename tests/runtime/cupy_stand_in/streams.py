"""Devices, streams, events and graphs "of the GPU".

Kernels run at once, copies to the CPU when their stream is next waited for: until then the CPU's
array keeps what it held. While a stream is captured, kernels do not run at all; they are kept and
run when the graph is launched, and what CUDA refuses meanwhile is refused.
"""

from __future__ import annotations

import ctypes
import types
from collections.abc import Callable
from typing import Any, Self

from . import memory
from .interface import checked_methods
from .memory import CUDARuntimeError, current

Work = Callable[[], None]

UNSUPPORTED = "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"


class _Clock:
    """Every recorded event gets the next number: milliseconds."""

    now = 0


def pass_time(milliseconds: int) -> None:
    """Let work take so long."""
    _Clock.now += milliseconds


def count() -> int:
    """How many devices there are."""
    return memory.devices


@checked_methods("cupy.cuda.Device")
class Device:
    """One of the devices."""

    _before: list[int]

    def __init__(self, device: int | None = None) -> None:
        self.id = current.device if device is None else int(device)
        if not 0 <= self.id < count():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal", 101)
        self._before = []

    def __enter__(self) -> Self:
        self._before.append(current.device)
        current.device = self.id
        return self

    def __exit__(self, *exception: object) -> None:
        current.device = self._before.pop()

    def use(self) -> None:
        """Make it current."""
        current.device = self.id

    def synchronize(self) -> None:
        """Do what is pending on it."""
        refuse_in_capture()
        for stream in [s for s in _streams if s.device_id in (-1, self.id)]:
            stream.flush()

    @property
    def compute_capability(self) -> str:
        """An H100's."""
        return "90"


@checked_methods("cupy.cuda.Event")
class Event:
    """A point in a stream."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.time: int | None = None
        self._has_timing = not disable_timing
        self._stream: Any = None
        self._position = 0
        self.ptr = id(self)

    @property
    def done(self) -> bool:
        """Whether all before it has been done."""
        return self._stream is None or self._stream.finished >= self._position

    def record(self, stream: Any = None) -> None:
        """Put it behind what a stream has been given."""
        self._stream = stream or get_current_stream()
        self._position = self._stream.given
        _Clock.now += 1
        self.time = _Clock.now

    def synchronize(self) -> None:
        """Do what is before it."""
        if self._stream is not None:
            refuse_in_capture(self._stream)
            self._stream.flush(self._position)


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    """Milliseconds between two events."""
    for event in (start_event, end_event):
        if not event._has_timing or event.time is None:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: invalid resource handle", 400)
        if not event.done:
            raise CUDARuntimeError("cudaErrorNotReady: device not ready", 600)
    assert start_event.time is not None
    assert end_event.time is not None
    return float(end_event.time - start_event.time)


class Graph:
    """Kernels that were kept, to be run again."""

    def __init__(self, work: list[Work]) -> None:
        self._work = work

    def launch(self, stream: Any = None) -> None:
        """Run them."""
        for kernel in self._work:
            kernel()


class _BaseStream:
    """A queue of copies to the CPU; what else it is given runs at once."""

    def __init__(self, ptr: int, device_id: int, priority: int = 0) -> None:
        self.ptr, self.device_id, self.priority = ptr, device_id, priority
        self.given = self.finished = 0
        self._pending: list[Work] = []
        self.capture: list[Work] | None = None
        self._before: list[Any] = []
        _streams.append(self)

    def later(self, work: Work) -> None:
        """Give it a copy to the CPU."""
        if self.capture is not None:
            self.capture.append(lambda: self.later(work))
            return
        self.given += 1
        self._pending.append(work)

    def flush(self, position: int | None = None) -> None:
        """Do what is pending, up to a position."""
        end = self.given if position is None else position
        while self._pending and self.finished < end:
            self.finished += 1
            self._pending.pop(0)()

    def __enter__(self) -> Self:
        self._before.append(current.streams.get(current.device))
        self.use()
        return self

    def __exit__(self, *exception: object) -> None:
        current.streams[current.device] = self._before.pop()

    def use(self) -> Self:
        """Make it current."""
        if self.device_id not in (-1, current.device):
            raise RuntimeError(f"stream of device {self.device_id} used on {current.device}")
        current.streams[current.device] = self
        return self

    @property
    def done(self) -> bool:
        """Whether nothing is pending."""
        refuse_in_capture(self)
        return not self._pending

    def synchronize(self) -> None:
        """Do what is pending."""
        refuse_in_capture(self)
        self.flush()

    def record(self, event: Event | None = None) -> Event:
        """An event behind what it has been given."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Go on only after the event."""
        if (
            event._stream is not None
            and event._stream.capture is not None
            and event._stream is not self
        ):
            self.capture = event._stream.capture  # the capture spreads to this stream

    def begin_capture(self, mode: int | None = None) -> None:
        """Keep kernels instead of running them."""
        if self is _null:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: the legacy stream", 900)
        self.capture = []

    def end_capture(self) -> Graph:
        """What was kept."""
        if self.capture is None:
            raise CUDARuntimeError("cudaErrorIllegalState: no capture", 401)
        found = self.capture
        for stream in _streams:
            if stream.capture is found:
                stream.capture = None
        return Graph(found)

    def is_capturing(self) -> bool:
        """Whether kernels are being kept."""
        return self.capture is not None


_streams: list[_BaseStream] = []
_null = _BaseStream(0, -1)


@checked_methods("cupy.cuda.Stream")
class Stream(_BaseStream):
    """A new queue of the current device."""

    null = _null

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False,
        priority: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(id(self), current.device, priority or 0)

    @staticmethod
    def from_external(obj: Any) -> _BaseStream:
        """The queue of a foreign object."""
        _, ptr = obj.__cuda_stream__()
        return next((s for s in _streams if s.ptr == ptr), None) or _BaseStream(ptr, -1)


def get_current_stream(device_id: int = -1) -> Any:
    """The queue that kernels go to."""
    device = current.device if device_id < 0 else device_id
    return current.streams.get(device) or _null


def capturing() -> list[Work] | None:
    """What the current stream keeps, if it is being captured."""
    found: list[Work] | None = get_current_stream().capture
    return found


def refuse_in_capture(stream: Any = None) -> None:
    """Raise what CUDA does when a captured stream is waited for, or for None when all are.

    Raises: CUDARuntimeError.
    """
    if any(s.capture is not None for s in (_streams if stream is None else [stream])):
        raise CUDARuntimeError(UNSUPPORTED, 900)


def refuse_transfer(what: str) -> None:
    """Raise what CuPy does, before it asks CUDA, on a stream that is captured.

    Raises: RuntimeError.
    """
    if capturing() is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = 1, 2, 3


def memcpy_async(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    """Copy bytes; those for page-locked memory of the CPU come when the stream is waited for."""
    queue = next(s for s in _streams if s.ptr == stream)
    memory.fill(dst)
    if kind == DEVICE_TO_HOST:
        if queue.capture is not None:
            queue.later(lambda: ctypes.memmove(dst, src, size))  # type: ignore[arg-type, return-value]
            return
        kept = ctypes.string_at(src, size)
        queue.later(lambda: ctypes.memmove(dst, kept, size))  # type: ignore[arg-type, return-value]
        if not memory.is_pinned(dst):
            queue.flush()
    elif queue.capture is not None:
        queue.capture.append(lambda: ctypes.memmove(dst, src, size))  # type: ignore[arg-type, return-value]
    else:
        ctypes.memmove(dst, src, size)


def memcpy_peer_async(
    dst: int, dst_device: int, src: int, src_device: int, size: int, stream: int
) -> None:
    """Copy bytes from device to device."""
    memcpy_async(dst, src, size, DEVICE_TO_DEVICE, stream)


def properties(device: int) -> dict[str, Any]:
    """What CUDA says of a device: the keys that the runtime reads."""
    return {
        "name": b"stand-in", "major": 9, "minor": 0, "totalGlobalMem": memory.CAPACITY,
        "multiProcessorCount": 132, "warpSize": 32, "maxThreadsPerMultiProcessor": 2048,
        "regsPerMultiprocessor": 65536, "sharedMemPerBlock": 49152, "l2CacheSize": 52428800,
        "sharedMemPerBlockOptin": 232448, "sharedMemPerMultiprocessor": 233472,
        "isMultiGpuBoard": 0, "integrated": 0, "uuid": b"0" * 16, "pciBusID": 1, "pciDomainID": 0,
        "pciDeviceID": 0, "maxThreadsPerBlock": 1024, "memoryBusWidth": 6144,
    }  # fmt: skip


runtime = types.SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=count,
    getDevice=lambda: current.device,
    setDevice=lambda device: Device(device).use(),
    getDeviceProperties=properties,
    deviceCanAccessPeer=lambda device, peer: int(device != peer),
    deviceEnablePeerAccess=lambda peer: None,
    deviceSynchronize=lambda: Device().synchronize(),
    memGetInfo=lambda: (memory.CAPACITY - memory.used(current.device), memory.CAPACITY),
    malloc=memory.malloc,
    free=memory.free,
    memcpyAsync=memcpy_async,
    memcpyPeerAsync=memcpy_peer_async,
    memcpyHostToDevice=HOST_TO_DEVICE,
    memcpyDeviceToHost=DEVICE_TO_HOST,
    memcpyDeviceToDevice=DEVICE_TO_DEVICE,
    runtimeGetVersion=lambda: 13000,
    driverGetVersion=lambda: 13000,
    streamCaptureModeGlobal=0,
    streamCaptureModeThreadLocal=1,
    streamCaptureModeRelaxed=2,
    profilerStart=lambda: None,
    deviceGetPCIBusId=lambda device: f"0000:{device + 1:02x}:00.0",
    profilerStop=lambda: None,
)
