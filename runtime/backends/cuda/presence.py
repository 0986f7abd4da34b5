"""Whether there are GPUs to compute on, and if there are none, why.

To ask starts neither CuPy where there is no driver, nor CUDA's context on a GPU.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

DRIVERS = ("libcuda.so.1", "nvcuda.dll")
"""The driver's library on Linux and on Windows."""
TOO_OLD, NO_DEVICE, NOT_INITIALIZED = 35, 100, 3
"""cudaErrorInsufficientDriver, cudaErrorNoDevice and cudaErrorInitializationError."""

LISTED = Path("/proc/driver/nvidia/gpus")
"""Where Linux shows the driver's GPUs, a folder for each."""
NOT_INSTALLED = "CuPy is not installed (pip install 'flambeau[cuda13]' or 'flambeau[cuda12]')."


class Presence(NamedTuple):
    """How many GPUs can be used, and why there are none."""

    count: int
    why_none: str = ""


class _Asked:
    """The answer for the CuPy that is loaded, and whether this process began with a fork."""

    cupy: Any = None
    answer = Presence(0)
    is_forked = False
    is_away = False


def stay_away() -> None:
    """Start no driver in this process, which only talks about GPUs: count what the system lists."""
    _Asked.is_away = LISTED.is_dir()


def look() -> Presence:
    """What can be used here; the answer is kept once CuPy is loaded."""
    if _Asked.is_away and importlib.util.find_spec("cupy") is not None:
        return _listed()
    cupy = sys.modules.get("cupy")
    if cupy is None or cupy is not _Asked.cupy:
        if importlib.util.find_spec("cupy") is None:
            return Presence(0, NOT_INSTALLED)
        if cupy is None and not any(map(_is_there, DRIVERS)):
            return Presence(0, f"There is no NVIDIA driver ({DRIVERS[0]} is not found).")
        try:
            import cupy
        except Exception as error:
            return Presence(0, f"CuPy does not load ({type(error).__name__}: {error}).")
        _Asked.cupy, _Asked.answer = cupy, _counted(cupy)
    return _Asked.answer


def _listed() -> Presence:
    count = len(list(LISTED.iterdir()))
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is not None:
        count = min(count, len([n for n in shown.split(",") if n.strip() not in ("", "-1")]))
    return Presence(count, "" if count else "The system lists no GPU that may be used.")


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _counted(cupy: Any) -> Presence:
    runtime = cupy.cuda.runtime
    try:
        return Presence(int(runtime.getDeviceCount()))
    except runtime.CUDARuntimeError as error:
        return Presence(0, _explained(runtime, error))


def _explained(runtime: Any, error: Any) -> str:
    if error.status == TOO_OLD:
        if not runtime.driverGetVersion():
            return "There is no NVIDIA driver that CUDA finds."
        has, wants = map(_version, (runtime.driverGetVersion(), runtime.runtimeGetVersion()))
        return (
            f"The NVIDIA driver is for CUDA {has}, CuPy for CUDA {wants}: update the driver, or "
            "install an older CuPy (pip install 'flambeau[cuda12]')."
        )
    if error.status == NO_DEVICE:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if shown is None else f" CUDA_VISIBLE_DEVICES={shown!r} may hide some."
        return f"The NVIDIA driver finds no GPU.{hidden}"
    return f"CUDA says: {error}."


def _version(number: int) -> str:
    """CUDA's 13000 as "13.0"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def after_fork() -> str:
    """Why CUDA cannot be used in a process that was forked from one that used it; else empty."""
    if not _Asked.is_forked:
        return ""
    return (
        "This process was forked from one that had used CUDA, which does not live on in it. Start "
        "it with multiprocessing's 'spawn', or make tensors on the CPU here."
    )


def _note_fork() -> None:
    _Asked.is_forked = _Asked.is_forked or _Asked.answer.count > 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
