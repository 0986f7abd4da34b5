"""Streams and events: queues of work on the GPU, and points in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from ..backends import cuda as _backend
from ..errors import DeviceError


def _cupy() -> Any:
    """CuPy's streams. Raises: DeviceError without a GPU."""
    if not _backend.device_count():
        raise DeviceError("Expected a GPU, which streams and events are of. There is none here.")
    return _backend.xp.cuda


class Stream:
    """A queue of work on the current GPU, done in order and beside that of other queues.

    Raises: DeviceError without a GPU.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.handle = _cupy().Stream(non_blocking=True)
        self.priority = priority

    @classmethod
    def of(cls, handle: Any) -> Self:
        """The stream that CuPy's `handle` stands for."""
        made = cls.__new__(cls)
        made.handle, made.priority = handle, 0
        return made

    def synchronize(self) -> None:
        """Wait until its work is done."""
        self.handle.synchronize()

    def query(self) -> bool:
        """Whether its work is done."""
        return bool(self.handle.done)

    def wait_stream(self, stream: Stream) -> None:
        """Let later work wait for all that `stream` has been given so far."""
        self.handle.wait_event(stream.handle.record())

    def wait_event(self, event: Event) -> None:
        """Let later work wait for `event`."""
        self.handle.wait_event(event.handle)

    def record_event(self, event: Event | None = None) -> Event:
        """An event, or `event`, that happens once the work given so far is done."""
        event = event or Event()
        event.record(self)
        return event

    @property
    def cuda_stream(self) -> int:
        """Its address in CUDA."""
        return int(self.handle.ptr)


class Event:
    """A point in a stream, to wait for and to measure the time between. Raises: DeviceError without
    a GPU."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.handle = _cupy().Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Put it behind the work that `stream`, the current one for None, has been given."""
        self.handle.record(None if stream is None else stream.handle)

    def wait(self, stream: Stream | None = None) -> None:
        """Let later work of `stream` wait for it."""
        (stream or current_stream()).wait_event(self)

    def query(self) -> bool:
        """Whether it has happened."""
        return bool(self.handle.done)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        self.handle.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to `end_event`, both made with `enable_timing`."""
        return float(_cupy().get_elapsed_time(self.handle, end_event.handle))


def current_stream(device: Any = None) -> Stream:
    """The stream that work goes to. Raises: DeviceError without a GPU."""
    return Stream.of(_cupy().get_current_stream())


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to outside of `stream` blocks.

    Raises: DeviceError without a GPU.
    """
    return Stream.of(_cupy().Stream.null)


def set_stream(stream: Stream) -> None:
    """Let work go to `stream` from now on."""
    stream.handle.use()


@contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """A `with` block whose work goes to `stream`; None changes nothing."""
    if stream is None:
        yield
    else:
        with stream.handle:
            yield
