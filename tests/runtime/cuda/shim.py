"""The host shim: kernels compiled as C++ for this machine's processor, behind the interface of the
CUDA driver, on the stand-in's arrays.

`host_shim.h` gives CUDA's language; the same sources, the same Python launchers and the same
geometry run as on a GPU.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flambeau.backends.cuda.launch import KERNELS, Kernel

HEADER = Path(__file__).with_name("host_shim.h")
ENTRY = """
static void body_%d() { shim::call(%s, shim::words); }
extern "C" const char* run_%d(const long long* grid, long long threads, long long shared,
                              long long backwards, const unsigned char* words) {
    return shim::run(grid, threads, shared, backwards, words, body_%d);
}
"""
FLAGS = ["-std=c++17", "-O0", "-fPIC", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE",
         "-ffp-contract=off", "-w", "-fno-stack-protector"]  # fmt: skip


@cache
def compiler() -> str | None:
    """The C++ compiler of this machine; None without one."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


class ShimError(AssertionError):
    """A kernel did what a GPU forbids, or leaves undefined."""


@cache
def header(folder: Path) -> Path:
    """The shim's header in a folder where it lies compiled, which spares each kernel half of the
    compiler's time."""
    digest = hashlib.sha256(HEADER.read_bytes()).hexdigest()[:16]
    place = folder / f"shim-{digest}.h"
    if not place.with_suffix(".h.gch").exists():
        place.write_bytes(HEADER.read_bytes())
        made = folder / f"shim-{digest}.{os.getpid()}"
        command = [str(compiler()), *FLAGS, "-x", "c++-header", str(place), "-o", str(made)]
        subprocess.run(command, check=True)
        made.replace(place.with_suffix(".h.gch"))
    return place


def built(text: str, expressions: Sequence[str]) -> list[Any]:
    """Functions that run the kernels of a source, from a shared library that is compiled once for
    all processes with the same cache."""
    program = text + "".join(ENTRY % (k, e, k, k) for k, e in enumerate(expressions))
    headers = "".join(p.read_text() for p in [HEADER, *sorted(KERNELS.glob("*.cuh"))])
    name = hashlib.sha256((program + headers).encode()).hexdigest()[:24]
    folder = Path(os.environ["FLAMBEAU_CACHE"]) / "shim"
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"{name}.so"
    if not library.exists():
        place = folder / f"{name}.{os.getpid()}"
        command = [str(compiler()), *FLAGS, "-shared", f"-I{KERNELS}", "-x", "c++", "-"]
        done = subprocess.run(
            [*command, "-include", str(header(folder)), "-o", str(place)],
            input=program, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise ShimError(f"{expressions} do not compile on the host:\n{done.stderr[:4000]}")
        place.replace(library)
    loaded = ctypes.CDLL(str(library))
    found = [getattr(loaded, f"run_{k}") for k in range(len(expressions))]
    for function in found:
        function.restype = ctypes.c_char_p
    return found


functions: list[Any] = []
"""What has been compiled; kernels keep the numbers, whichever driver they were loaded by."""
known: dict[tuple[str, str], int] = {}
"""Those numbers, by source and expression."""


class HostDriver:
    """Runs kernels on the processor. `backwards`: the last block and thread take their turn first,
    where otherwise the first do. `generation`: the compute capability, times 10."""

    def __init__(
        self, backwards: bool = False, multiprocessors: int = 3, generation: int = 90
    ) -> None:
        self.backwards, self.count, self.generation = backwards, multiprocessors, generation
        self.launched: list[str] = []

    def is_available(self) -> bool:
        """Whether there is a compiler."""
        return compiler() is not None

    def device(self) -> int:
        """None of a GPU's, so that no kernel takes a function of one for its own."""
        return -1

    def capability(self) -> int:
        """As it was told."""
        return self.generation

    def multiprocessors(self) -> int:
        """Few, so that small arrays reach the geometry of large ones."""
        return self.count

    def resident_threads(self) -> int:
        """Few, for the same reason."""
        return 512

    def load(self, kernel: Kernel) -> int:
        """Compile it."""
        identity = kernel.source.text, kernel.expression
        if identity not in known:
            self.build(kernel.source.text, [kernel.expression])
        return known[identity]

    def build(self, text: str, expressions: Sequence[str]) -> None:
        """Compile several kernels of a source at once, which takes less time."""
        for expression, function in zip(expressions, built(text, expressions), strict=True):
            known[text, expression] = len(functions)
            functions.append(function)

    def launch(
        self, function: int, grid: tuple[int, ...], threads: int, shared: int, kernel: Kernel,
        words: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Run it. Raises: ShimError for what a GPU forbids."""
        limits = (2**31 - 1, 65_535, 65_535)
        if not all(0 < n <= most for n, most in zip(grid, limits, strict=True)):
            raise ShimError(f"{kernel}: a grid of {grid} blocks; at most {limits}")
        self.launched.append(kernel.expression)
        blocks = (ctypes.c_longlong * 3)(*grid)
        whole = ctypes.c_longlong
        wrong = functions[function](
            blocks, whole(threads), whole(shared), whole(self.backwards),
            kernel.packing.pack(kernel.size, *words)[8:],
        )  # fmt: skip
        if wrong:
            raise ShimError(f"{kernel}: {wrong.decode()}")
