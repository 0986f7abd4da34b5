"""The host shim: kernels compiled as C++ for this machine's processor, behind the interface of the
CUDA driver, on the stand-in's arrays.

`host_shim.h` gives CUDA's language; the same sources, the same Python launchers and the same
geometry run as on a GPU, and `checker.cpp` looks at every access to memory.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flambeau.backends.cuda import launch
from flambeau.backends.cuda.launch import Kernel

from ..cupy_stand_in import memory

HERE = Path(__file__).parent
MACHINE = ("machine.cpp", "checker.cpp", "tensor_cores.cpp", "banks.cpp")
HEADERS = ("host_shim.h", "machine.h", "machine_state.h")
ENTRY = """
static void body_%(k)d() { shim::call(%(kernel)s, shim::parameters()); }
extern "C" const char* run_%(k)d(shim::Launch* launch) {
    launch->bound = %(bound)s;
    return shim::run(*launch, body_%(k)d);
}
"""
MOST_MUTANTS = 4096
"""See machine.h."""
FLAGS = ["-std=c++17", "-fPIC", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-ffp-contract=off",
         "-w", "-fno-stack-protector"]  # fmt: skip
CHECKED = ["-O1", "-g1", "-fsanitize=thread,bounds,shift,integer-divide-by-zero",
           "--param=tsan-distinguish-volatile=1",
           "--param=tsan-instrument-func-entry-exit=0"]  # fmt: skip
"""For kernels: the compiler calls `checker.cpp` before each access."""


@cache
def compiler() -> str | None:
    """The C++ compiler of this machine; None without one."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


class ShimError(AssertionError):
    """A kernel did what a GPU forbids, or leaves undefined."""


def digest(*texts: str) -> str:
    """A name for what is made of texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


@cache
def folder() -> Path:
    """Where libraries are kept, for all processes with the same cache."""
    found = Path(os.environ["FLAMBEAU_CACHE"]) / "shim"
    found.mkdir(parents=True, exist_ok=True)
    return found


def compiled(target: Path, options: Sequence[str], program: str | None = None) -> Path:
    """`target`, made by the compiler unless it is there."""
    if not target.exists():
        made = target.with_name(f"{target.name}.{os.getpid()}")
        done = subprocess.run(
            [str(compiler()), *FLAGS, *options, "-o", str(made)],
            input=program, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise ShimError(f"The host's compiler says:\n{done.stderr[:4000]}")
        made.replace(target)
    return target


@cache
def machine() -> Path:
    """The library that runs threads and checks what they do."""
    texts = [(HERE / name).read_text() for name in (*MACHINE, *HEADERS)]
    sources = [str(HERE / name) for name in MACHINE]
    return compiled(folder() / f"machine-{digest(*texts)}.so", ["-O2", "-shared", *sources])


@cache
def header() -> Path:
    """The shim's header where it lies compiled, which spares each kernel half of the compiler's
    time."""
    text = (HERE / "host_shim.h").read_text().replace('"machine.h"', f'"{HERE / "machine.h"}"')
    place = folder() / f"shim-{digest(text, (HERE / 'machine.h').read_text())}.h"
    if not place.exists():
        place.write_text(text)
    compiled(place.with_suffix(".h.gch"), [*CHECKED, "-x", "c++-header", str(place)])
    return place


def bound(text: str, expression: str) -> str:
    """The threads that a kernel's __launch_bounds__ allow, in C++."""
    name = expression.partition("<")[0]
    text += "".join(p.read_text() for p in sorted(launch.KERNELS.glob("*.cuh")))
    limit = r"__launch_bounds__\s*\(([\w /*+-]+)[^()]*\)"
    for macro, value in re.findall(rf"#define (\w+) .*{limit}", text):
        text = re.sub(rf"\b{macro}\b", f"__launch_bounds__({value})", text)
    found = re.search(rf"{limit}\s+{name}\(", text)
    return found[1] if found else "shim::MOST_THREADS"


def built(text: str, expressions: Sequence[str]) -> list[Any]:
    """Functions that run the kernels of a source, from a shared library that is compiled once."""
    entries = [
        ENTRY % {"k": k, "kernel": e, "bound": bound(text, e)} for k, e in enumerate(expressions)
    ]
    program = "\n".join(['#line 1 "<stdin>"', text, *entries])
    headers = [p.read_text() for p in sorted(launch.KERNELS.glob("*.cuh"))]
    name = digest(program, *headers, str(CHECKED), header().name, machine().name)
    options = [*CHECKED, "-shared", "-nodefaultlibs", f"-I{launch.KERNELS}"]
    options += ["-include", str(header()), "-x", "c++", "-", "-x", "none", str(machine()), "-lm"]
    try:
        library = compiled(folder() / f"{name}.so", options, program)
    except ShimError as error:
        raise ShimError(f"{expressions}: {error}") from None
    loaded = ctypes.CDLL(str(library))
    found = [getattr(loaded, f"run_{k}") for k in range(len(expressions))]
    for function in found:
        function.restype = ctypes.c_char_p
        function.library = library
    return found


def explained(message: str, library: Path, label: str) -> str:
    """A message with lines of the source for the places in code, {123}, that it names."""

    def line(found: re.Match[str]) -> str:
        tool = shutil.which("addr2line")
        if tool is None:
            return f"({found[1]})"
        command = [tool, "-i", "-e", str(library), f"{int(found[1], 16) - 1:x}"]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        lines = [t.split()[0].rpartition("/")[2] for t in said.splitlines() if t]
        return f"({', from '.join(lines).replace('<stdin>', label)})"

    return re.sub(r"\{([0-9a-f]+)\}", line, message)


class Region(ctypes.Structure):
    """Bytes that kernels may use; see machine.h."""

    _fields_ = (("begin", ctypes.c_size_t), ("end", ctypes.c_size_t), ("written", ctypes.c_void_p))


class Launch(ctypes.Structure):
    """A launch; see machine.h."""

    _fields_ = (
        ("grid", ctypes.c_longlong * 3), ("threads", ctypes.c_longlong),
        ("shared", ctypes.c_longlong), ("bound", ctypes.c_longlong),
        ("is_backwards", ctypes.c_longlong), ("words", ctypes.c_char_p),
        ("regions", ctypes.c_void_p), ("region_count", ctypes.c_longlong),
    )  # fmt: skip


def regions(lent: Sequence[Any]) -> Iterator[tuple[int, int, int | None]]:
    """Where the arrays of the stand-in lie, page-locked memory, and the NumPy arrays `lent`: in
    order, those that overlap as one. The third number is where it is noted what has been
    written."""
    found = [(b.place, b.place + b.size, b.written) for b in memory.held if b.size]
    found += [(place, place + size, None) for place, size in memory.pinned.items()]
    found += [(a.ctypes.data, a.ctypes.data + a.nbytes, None) for a in lent if a.nbytes]
    begin = end = 0
    written: Any = None
    for first, last, how in sorted(found, key=lambda f: f[:2]):
        if first < end:
            end, written = max(end, last), None
            continue
        if end:
            yield begin, end, None if written is None else written.ctypes.data
        begin, end, written = first, last, how
    if end:
        yield begin, end, None if written is None else written.ctypes.data


functions: list[Any] = []
"""What has been compiled; kernels keep the numbers, whichever driver they were loaded by."""
known: dict[tuple[Path, str, str], int] = {}
"""Those numbers, by the folder of headers, source and expression."""


class HostDriver:
    """Runs kernels on the processor. `backwards`: the last block and thread take their turn first,
    where otherwise the first do; None: in turns. `generation`: the compute capability, times 10."""

    def __init__(
        self, backwards: bool | None = None, multiprocessors: int = 3, generation: int = 90
    ) -> None:
        self.backwards, self.count, self.generation = backwards, multiprocessors, generation
        self.launched: list[str] = []
        self.lent: list[Any] = []  # NumPy arrays that kernels may use
        self.is_backwards = False

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
        identity = launch.KERNELS, kernel.source.text, kernel.expression
        if identity not in known:
            self.build(kernel.source.text, [kernel.expression])
        return known[identity]

    def build(self, text: str, expressions: Sequence[str]) -> None:
        """Compile several kernels of a source at once, which takes less time."""
        for expression, function in zip(expressions, built(text, expressions), strict=True):
            known[launch.KERNELS, text, expression] = len(functions)
            functions.append(function)

    def launch(
        self, function: int, grid: tuple[int, ...], threads: int, shared: int, kernel: Kernel,
        words: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Run it. Raises: ShimError for what a GPU forbids, or leaves undefined."""
        limits = (2**31 - 1, 65_535, 65_535)
        if not all(0 < n <= most for n, most in zip(grid, limits, strict=True)):
            raise ShimError(f"{kernel}: a grid of {grid} blocks; at most {limits}")
        self.launched.append(kernel.expression)
        self.is_backwards = not self.is_backwards if self.backwards is None else self.backwards
        places = [*regions(self.lent)]
        table = (Region * len(places))(*places)
        packed = kernel.packing.pack(kernel.size, *words)[8:]
        what = Launch(
            (ctypes.c_longlong * 3)(*grid), threads, shared, 0, self.is_backwards, packed,
            ctypes.addressof(table), len(places),
        )  # fmt: skip
        wrong = functions[function](ctypes.byref(what))
        if wrong:
            said = explained(wrong.decode(), functions[function].library, kernel.source.label)
            raise ShimError(f"{kernel}: {said}")
