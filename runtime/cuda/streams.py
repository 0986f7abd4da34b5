"""Streams and events: queues of work on the GPU, and points in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from ..autograd.placement import note_switch
from ..backends import cuda as _backend
from ..backends.cuda import waits
from ..core.devices import device as _Device
from ..errors import DeviceError
from .devices import _gpu, _index, current_device

__all__ = [
    "Event", "ExternalStream", "Stream", "StreamContext", "current_stream", "default_stream",
    "get_stream_from_external", "set_stream", "stream",
]  # fmt: skip


def _cupy() -> Any:
    """CuPy's streams. Raises: DeviceError without a GPU."""
    if not _backend.device_count():
        raise DeviceError("Expected a GPU, which streams and events are of. There is none here.")
    return _backend.xp.cuda


class Stream:
    """A queue of work on a GPU, the current one unless `device` names another, done in order and
    beside that of other queues; of lower `priority` numbers first.

    Streams of one CUDA stream are equal. Raises: DeviceError without a GPU.
    """

    handle: Any
    device_index: int

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        cuda = _cupy()
        self.device_index = _index(device)
        with _gpu(device):
            self.handle = cuda.Stream(non_blocking=True, priority=priority or None)
        self.priority = priority

    @classmethod
    def of(cls, handle: Any, index: int | None = None) -> Self:
        """The stream that CuPy's `handle` stands for, on the GPU `index` or the current one."""
        made = cls.__new__(cls)
        made.handle, made.priority = handle, 0
        made.device_index = current_device() if index is None else index
        return made

    @staticmethod
    def priority_range() -> tuple[int, int]:
        """The lowest priority and the highest."""
        return 0, -5

    @property
    def device(self) -> _Device:
        """The GPU."""
        return _Device("cuda", self.device_index)

    @property
    def cuda_stream(self) -> int:
        """Its address in CUDA."""
        return int(self.handle.ptr)

    stream_id = cuda_stream

    def __cuda_stream__(self) -> tuple[int, int]:
        """How other libraries find it: version and address."""
        return 0, self.cuda_stream

    def synchronize(self) -> None:
        """Wait until its work is done."""
        waits.wait_for(_backend.xp, self.handle)

    def query(self) -> bool:
        """Whether its work is done."""
        return bool(self.handle.done)

    def wait_stream(self, stream: Stream) -> None:
        """Let later work wait for all that `stream` has been given so far."""
        self.wait_event(stream.record_event())

    def wait_event(self, event: Event) -> None:
        """Let later work wait for `event`."""
        self.handle.wait_event(event._made_on(self))

    def record_event(self, event: Event | None = None) -> Event:
        """An event, or `event`, that happens once the work given so far is done."""
        event = event or Event()
        event.record(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[int, int]:
        return self.device_index, self.cuda_stream

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """The stream of another library at the address `stream_ptr`, which that library takes care
    of."""

    def __init__(self, stream_ptr: int, device: Any = None) -> None:
        made = get_stream_from_external(stream_ptr, device)
        self.handle, self.priority = made.handle, made.priority
        self.device_index = made.device_index


class _Address:
    """A stream's address, as CuPy wants to be told of it."""

    def __init__(self, address: int) -> None:
        self.address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self.address


def get_stream_from_external(data_ptr: int, device: Any = None) -> Stream:
    """The stream at an address in CUDA. Raises: DeviceError without a GPU."""
    cuda, index = _cupy(), _index(device)
    if not data_ptr:
        return default_stream(device)
    if hasattr(cuda.Stream, "from_external"):
        return Stream.of(cuda.Stream.from_external(_Address(data_ptr)), index)
    return Stream.of(cuda.ExternalStream(data_ptr, index), index)


class Event:
    """A point in a stream, to wait for and, with `enable_timing`, to measure the time between.

    It belongs to the GPU of the stream that it is first recorded on. Raises: DeviceError without a
    GPU.
    """

    def __init__(
        self,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        _cupy()
        if interprocess:
            raise NotImplementedError(
                "Event: expected interprocess=False. Got True: events are not shared among "
                "processes."
            )
        self._options = {"block": blocking, "disable_timing": not enable_timing}
        self.handle: Any = None

    def _made_on(self, stream: Stream) -> Any:
        if self.handle is None:
            with _cupy().Device(stream.device_index):
                self.handle = _cupy().Event(**self._options)
        return self.handle

    def record(self, stream: Stream | None = None) -> None:
        """Put it behind the work that `stream`, the current one for None, has been given."""
        stream = stream or current_stream()
        self._made_on(stream).record(stream.handle)

    def wait(self, stream: Stream | None = None) -> None:
        """Let later work of `stream` wait for it."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether it has happened, as one that was never recorded has."""
        return self.handle is None or bool(self.handle.done)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        if self.handle is not None:
            waits.wait_for(_backend.xp, self.handle)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to `end_event`, both made with `enable_timing`.

        Raises: ValueError if either was not, or was not recorded.
        """
        for event in (self, end_event):
            if event._options["disable_timing"] or event.handle is None:
                raise ValueError(
                    "elapsed_time: expected two recorded events made with enable_timing=True. Got "
                    f"one {'that keeps no time' if event.handle else 'that was not recorded'}."
                )
        return float(_cupy().get_elapsed_time(self.handle, end_event.handle))

    @property
    def cuda_event(self) -> int:
        """Its address in CUDA; 0 before it was recorded."""
        return 0 if self.handle is None else int(self.handle.ptr)


def current_stream(device: Any = None) -> Stream:
    """The stream that work on the GPU goes to. Raises: DeviceError without a GPU."""
    cuda, index = _cupy(), _index(device)
    with cuda.Device(index):
        return Stream.of(cuda.get_current_stream(), index)


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to outside of `stream` blocks.

    Raises: DeviceError without a GPU.
    """
    return Stream.of(_cupy().Stream.null, _index(device))


def set_stream(stream: Stream | None) -> None:
    """Let work on the stream's GPU go to it from now on; None changes nothing."""
    if stream is not None:
        index = stream.device_index
        note_switch(index, _cupy().get_current_stream(index), stream.handle)
        with _cupy().Device(index):
            stream.handle.use()


class StreamContext:
    """A `with` block whose work goes to `stream`, on its GPU; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream
        self._entered: list[Iterator[Any]] = []

    def __enter__(self) -> Stream | None:
        block: Any = _block(self.stream)
        self._entered.append(block)
        block.__enter__()
        return self.stream

    def __exit__(self, *exception: Any) -> None:
        block: Any = self._entered.pop()
        block.__exit__(*exception)


@contextmanager
def _block(stream: Stream | None) -> Iterator[None]:
    if stream is None:
        yield
    else:
        index = stream.device_index
        before = _cupy().get_current_stream(index)
        with _cupy().Device(index), stream.handle:
            note_switch(index, before, stream.handle)
            try:
                yield
            finally:
                note_switch(index, stream.handle, before)


def stream(stream: Stream | None) -> StreamContext:
    """A `with` block whose work goes to `stream`, on its GPU; None changes nothing."""
    return StreamContext(stream)
