"""cuDNN's shared library: found in the wheels or on the system, loaded on demand; its handles.

Source: the C interface of cuDNN 9, cudnn_graph.h.
"""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

from .. import cublaslt, libraries, nvrtc

LIBRARIES = ("libcudnn.so.9", "cudnn64_9.dll")
FOLDERS = ("cudnn/lib", "cudnn/bin")
"""Where the wheels have the library, below the package `nvidia`."""
TEXT_BYTES = 1024

UNSUPPORTED = {*range(3000, 4000)} - {3008, 3009}
"""Statuses that say that cuDNN has no code for a combination: CUDNN_STATUS_NOT_SUPPORTED and those
after it, without those that say that something is missing which it needs."""


class CuDNNError(RuntimeError):
    """A call that cuDNN refused, with a status of cudnnStatus_t."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.is_unsupported = status in UNSUPPORTED


class Library:
    """The loaded library. Every call through it raises CuDNNError unless it succeeds."""

    def __init__(self, functions: Any) -> None:
        self.functions = functions
        self.functions.cudnnGetVersion.restype = ctypes.c_size_t
        self.functions.cudnnGetErrorString.restype = ctypes.c_char_p
        self.version = int(self.functions.cudnnGetVersion())
        self.execute = self.functions.cudnnBackendExecute
        self.execute.argtypes = [ctypes.c_void_p] * 3

    def call(self, name: str, *arguments: Any) -> None:
        """Call `cudnn<name>`. Raises: CuDNNError for any status but success."""
        status = getattr(self.functions, f"cudnn{name}")(*arguments)
        if status:
            raise self.error(name, status)

    def error(self, name: str, status: int) -> CuDNNError:
        """What went wrong in `cudnn<name>`, in the library's words."""
        text = ctypes.create_string_buffer(TEXT_BYTES)
        self.functions.cudnnGetLastErrorString(text, ctypes.c_size_t(TEXT_BYTES))
        words = self.functions.cudnnGetErrorString(status).decode()
        detail = text.value.decode(errors="replace").strip()
        words += f" ({detail})" if detail else ""
        return CuDNNError(f"cudnn{name}: {words}", status)


@cache
def loaded() -> Library | None:
    """The library; None where it is not installed, or what it cannot do without is not: where
    cuDNN does not find cuBLASLt, it ends the process."""
    products = libraries.opened(cublaslt.LIBRARIES, cublaslt.FOLDERS)
    if products is None or not nvrtc.is_available():
        return None
    found = libraries.opened(LIBRARIES, FOLDERS)
    return None if found is None else Library(found)


class _Handle:
    """cuDNN's state for one device, and the stream that it gives work to. It lives to the end, as
    nobody says when CUDA does."""

    def __init__(self, functions: Library) -> None:
        self.library = functions
        self.value = ctypes.c_void_p()
        self.stream = 0  # a new handle's stream is the default one
        functions.call("Create", ctypes.byref(self.value))

    def on(self, stream: int) -> int | None:
        """The handle, its work going to the stream of that address."""
        if stream != self.stream:
            self.library.call("SetStream", self.value, ctypes.c_void_p(stream))
            self.stream = stream
        return self.value.value


class _State:
    """Handles by device, and what stands ready by key. Only one thread at a time may use it."""

    def __init__(self) -> None:
        self.handles: dict[int, _Handle] = {}
        self.kept: dict[Any, Any] = {}


_spare: list[_State] = []
"""Those of threads that have ended, for the next ones: to build plans anew takes seconds."""


class _Lease:
    """A state, until its thread ends."""

    def __init__(self) -> None:
        try:
            self.state = _spare.pop()
        except IndexError:
            self.state = _State()

    def __del__(self, give_back: Any = _spare.append) -> None:
        give_back(self.state)


class _Local(threading.local):
    """What the current thread has."""

    def __init__(self) -> None:
        self._lease = _Lease()
        self.handles, self.kept = self._lease.state.handles, self._lease.state.kept


local = _Local()


def handle(functions: Library, device: int, stream: int) -> int | None:
    """The calling thread's handle for the current device, which is `device`."""
    found = local.handles.get(device)
    if found is None:
        found = local.handles[device] = _Handle(functions)
    return found.on(stream)
