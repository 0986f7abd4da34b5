"""Lets go of what the session itself holds, and gives the memory back."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flambeau import cuda
from flambeau.backends.cpu import buffers, onednn

from ..base import counted, joined
from .holders import living

LAST_RESULTS = ("_", "__", "___")


@dataclass
class Freed:
    """What came back: bytes of tensors and graphs, and bytes of the process and of the GPU."""

    results: int
    had_traceback: bool
    names: tuple[str, ...]
    tensors: int
    process: int | None
    gpu: int

    def __str__(self) -> str:
        dropped = [counted(self.results, "result", "results")] if self.results else []
        dropped += ["the last traceback"] if self.had_traceback else []
        dropped += list(self.names)
        words = f"Dropped {joined(dropped)}: " if dropped else "Nothing was pinned: "
        words += f"{bytes_text(self.tensors)} of tensors and graphs came back"
        if self.process:
            words += f"; the process is {bytes_text(self.process)} smaller"
        if self.gpu:
            words += f"; {bytes_text(self.gpu)} of GPU cache went to the driver"
        return words + "."


def bytes_text(count: int) -> str:
    """`12.3 MB`, in powers of 1000."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def free(shell: Any, names: Sequence[str] = ()) -> Freed:
    """Drop what the IPython `shell` pins of past results and errors, collect dead graphs, and empty
    the pools of CPU and GPU.

    Variables of the user stay, but for `names`. Memory of the process is only known on Linux.
    """
    before, resident, reserved = tensor_bytes(), resident_bytes(), _reserved()
    results = _drop_results(shell)
    had_traceback = _drop_traceback(shell)
    for name in names:
        shell.user_ns.pop(name, None)
    gc.collect()
    empty_pools()
    now = resident_bytes()
    return Freed(
        results,
        had_traceback,
        tuple(names),
        max(0, before - tensor_bytes()),
        None if resident is None or now is None else max(0, resident - now),
        max(0, reserved - _reserved()),
    )


def _reserved() -> int:
    """Bytes that were asked of the drivers of all GPUs."""
    return sum(cuda.memory_reserved(k) for k in range(cuda.device_count()))


def empty_pools() -> None:
    """Give back what the runtime and the C library keep for later: nothing that anyone holds."""
    cuda.empty_cache()
    onednn.free()
    buffers.release()


def _drop_results(shell: Any) -> int:
    """Forget `Out`, `_1`, `_`, `__`, `___`, at each of the four places that hold them."""
    namespace, hidden = shell.user_ns, shell.user_ns_hidden
    outputs = namespace.get("_oh", {})
    count = len(outputs)
    for number in list(outputs):
        namespace.pop(f"_{number}", None)
        hidden.pop(f"_{number}", None)
    outputs.clear()
    for name in LAST_RESULTS:
        for place in (namespace, hidden):
            if name in place:
                place[name] = ""
        if hasattr(shell.displayhook, name):
            setattr(shell.displayhook, name, "")
    if shell.last_execution_result is not None:
        shell.last_execution_result.result = None
    return count


def _drop_traceback(shell: Any) -> bool:
    """Forget the last exception, whose frames hold every local of the code that failed."""
    found = False
    for name in ("last_exc", "last_value", "last_type", "last_traceback"):
        if getattr(sys, name, None) is not None:
            found = True
            setattr(sys, name, None)
    last = shell.last_execution_result
    if last is not None:
        found = found or last.error_in_exec is not None
        last.error_in_exec = last.error_before_exec = None
    if hasattr(shell.InteractiveTB, "tb"):
        shell.InteractiveTB.tb = None
    return found


def tensor_bytes() -> int:
    """Bytes of all arrays that living tensors and graphs hold, shared memory counted once."""
    return sum(block.nbytes for block in dict(living()).values())


def resident_bytes() -> int | None:
    """Memory of this process in RAM; None where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
    except OSError:
        return None
    import resource

    return pages * resource.getpagesize()


def peak_bytes() -> int | None:
    """The most memory that this process ever had in RAM; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
