"""oneDNN's shared library: found among the installed packages, loaded on demand, its threads set.

Source: the C interface of oneDNN 3.2, include/oneapi/dnnl/dnnl.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ... import mkldnn

PACKAGES = ("onednn-cpu-iomp", "onednn-cpu-gomp", "onednn-cpu-tbb", "intel-cmplr-lib-rt")
"""Packages whose files may hold the library and what it needs."""

NEEDED = ("libintlc.so.5", "libimf.so", "libsvml.so", "libirng.so", "libiomp5.so", "libtbb.so.12")
"""What the variants of the library link to, in the order in which they need each other."""

IDLE_MILLISECONDS = 5
"""How long an idle thread spins before it sleeps: longer than a program is between two operations.
At 1 a step of a perceptron (784-512-512-10, two threads) takes 3.0 to 3.3 ms instead of 2.8, as
threads fall asleep within it; OpenMP's 200 would take the cores from other programs."""

SUCCESS = 0
STATUS = {1: "out of memory", 2: "invalid arguments", 3: "not implemented", 5: "runtime error"}


class Library:
    """The loaded library, its engine and its stream."""

    def __init__(self, path: Path) -> None:
        for name in NEEDED:
            if (path.parent / name).exists():
                ctypes.CDLL(str(path.parent / name))
        self.functions = ctypes.CDLL(str(path))
        self.openmp = _openmp(path.parent)
        self.engine, self.stream = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("engine_create", ctypes.byref(self.engine), 1, ctypes.c_size_t(0))
        self.call("stream_create", ctypes.byref(self.stream), self.engine, 1)
        self.instructions = int(self.functions.dnnl_get_effective_cpu_isa())  # a dnnl_cpu_isa_t

    def call(self, name: str, *arguments: Any) -> None:
        """Call `dnnl_<name>`. Raises: OneDNNError for any status but success."""
        status = getattr(self.functions, f"dnnl_{name}")(*arguments)
        if status != SUCCESS:
            raise OneDNNError(f"oneDNN: {name} failed: {STATUS.get(status, status)}.")

    def set_threads(self, count: int | None) -> None:
        """Use `count` threads from the calling thread on; as many as OpenMP likes if None."""
        if self.openmp is not None:
            self.openmp.omp_get_max_threads()  # in a forked child it only registers now
            if count is not None:
                self.openmp.omp_set_num_threads(count)
            _forget_registration()


class OneDNNError(RuntimeError):
    """A call that oneDNN refused, such as for a combination that it has no code for."""


_lock = threading.Lock()
_library: Library | None = None
_is_missing = False
_threads: int | None = None
_thread_settings = threading.local()


def _renew() -> None:
    """A forked child's lock of its own, as another thread may have held the parent's, and its
    threads' settings, as OpenMP starts anew in it."""
    global _lock, _thread_settings
    _lock, _thread_settings = threading.Lock(), threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def library() -> Library | None:
    """The library, loaded at the first call; None where there is none, or it is switched off."""
    global _library, _is_missing
    if not mkldnn.enabled:
        return None
    if _library is None and not _is_missing:
        with _lock:
            if _library is None and not _is_missing:
                path = _path()
                with contextlib.suppress(OSError, OneDNNError, AttributeError):
                    _library = None if path is None else Library(path)
                _is_missing = _library is None
    if _library is not None and getattr(_thread_settings, "count", 0) != _threads:
        _library.set_threads(_threads)
        _thread_settings.count = _threads
    return _library


def set_num_threads(count: int) -> None:
    """Let each operation use `count` threads, now or when the library is loaded."""
    global _threads
    _threads = count
    if _library is not None:
        _library.set_threads(count)
        _thread_settings.count = count


def _path() -> Path | None:
    """Where libdnnl lies, if a package brought it."""
    for package in PACKAGES:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "libdnnl.so.3":
                return Path(str(file.locate())).resolve()
    return None


def _openmp(folder: Path) -> Any:
    """The OpenMP library beside oneDNN, whose threads sleep soon; None if it is another's."""
    try:
        openmp = ctypes.CDLL(str(folder / "libiomp5.so"))
    except OSError:
        return None
    with _environment():
        if "KMP_BLOCKTIME" not in os.environ:
            openmp.kmp_set_blocktime(IDLE_MILLISECONDS)
        openmp.omp_get_max_threads()  # it reads the environment now
    return openmp


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What OpenMP needs to be told: not to end the process if a package has brought an OpenMP of
    its own, and to begin anew in forked processes, which joblib and scikit-learn forbid it: there
    the first operation with more than one thread would wait for ever."""
    settings = {"KMP_DUPLICATE_LIB_OK": "TRUE", "KMP_INIT_AT_FORK": "TRUE"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _forget_registration() -> None:
    """Remove the file by which OpenMP libraries of one process find each other: it would stay
    behind when the process is killed."""
    name = f"__KMP_REGISTERED_LIB_{os.getpid()}_{os.getuid()}"
    (Path("/dev/shm") / name).unlink(missing_ok=True)
