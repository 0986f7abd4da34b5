"""Launches of our own kernels: from a source to code on the device, and from a call to the GPU.

A `Template` is a C++ kernel template in `kernels/`, with the values its parameters may have; tests
compile every combination. `template[values]` is a `Kernel`, compiled when first called on a kind of
device and kept on disk, and a call packs its words and goes straight to the driver.
"""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .. import disk
from . import nvrtc

KERNELS = Path(__file__).with_name("kernels")
"""The folder of the sources."""
PLAIN_SHARED = 48 << 10
"""Bytes of shared memory that a block may have without asking for more."""
MOST_WORDS = 4_096
"""Bytes of arguments that any device takes."""

OLDEST = 75
"""The compute capability, times 10, of the oldest devices that CUDA 13 knows: Turing's."""
AMPERE = 80
"""That of the first devices whose tensor cores and asynchronous copies kernels use."""

Grid = int | tuple[int, int] | tuple[int, int, int]


@dataclass(frozen=True)
class Source:
    """CUDA C++ that holds kernels; `label` stands for it in messages."""

    label: str
    text: str


@cache
def source(name: str) -> Source:
    """The file `kernels/name.cu`."""
    path = KERNELS / f"{name}.cu"
    return Source(path.name, path.read_text(encoding="utf-8"))


@cache
def _headers() -> str:
    """What all headers hold, for the digest of code that may include them."""
    return "".join(p.read_text(encoding="utf-8") for p in sorted(KERNELS.glob("*.cuh")))


def options(architecture: str) -> list[str]:
    """How kernels are compiled for an architecture such as "sm_90"."""
    return [f"-arch={architecture}", "-std=c++17", f"-I{KERNELS}", "-lineinfo"]


def machine_code(
    text: Source, expressions: tuple[str, ...], architecture: str
) -> tuple[bytes, list[str]]:
    """The machine code of a source, and the symbols of the kernels that `expressions` name; from
    disk, if it was compiled before."""
    parts = [text.text, _headers(), architecture, repr(nvrtc.version()), repr(expressions)]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    kept = disk.found("cuda", name)
    if kept is None:
        code, symbols = nvrtc.compiled(text.text, text.label, expressions, options(architecture))
        disk.keep("cuda", name, "\n".join(symbols).encode() + b"\n\n" + code)
        return code, symbols
    head, _, code = kept.partition(b"\n\n")
    return code, head.decode().split("\n")


class Driver(Protocol):
    """What loads and launches kernels: CUDA's driver, or the host shim of the tests."""

    def is_available(self) -> bool:
        """Whether kernels can be compiled and run here."""

    def device(self) -> int:
        """Index of the current device."""

    def capability(self) -> int:
        """The compute capability of the current device, times 10."""

    def multiprocessors(self) -> int:
        """How many of them the current device has."""

    def resident_threads(self) -> int:
        """How many threads a multiprocessor of the current device holds."""

    def load(self, kernel: Kernel) -> int:
        """The function of the kernel on the current device."""

    def launch(
        self, function: int, grid: tuple[int, ...], threads: int, shared: int, kernel: Kernel,
        words: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Run it on the current stream, in blocks of `threads`, each with `shared` bytes of
        dynamic shared memory."""


class Kernel:
    """One kernel: a call launches it on the current device and stream."""

    def __init__(self, text: Source, expression: str, words: str) -> None:
        """`expression` names the kernel in C++, "rows<float32>". `words` has a letter for each of
        its parameters: "P" a pointer (its address), "q" a `long long`, "d" a `double`."""
        self.source, self.expression, self.words = text, expression, words
        self.packing = struct.Struct("@N" + words)  # behind their size in bytes
        self.size = struct.calcsize("@" + words)
        self._functions: dict[int, int] = {}

    def __call__(self, grid: Grid, threads: int, *words: Any, shared: int = 0) -> None:
        """Run `grid` blocks of `threads`; nothing, if there are none."""
        blocks = (grid, 1, 1) if type(grid) is int else (*grid, 1, 1)[:3]
        if blocks[0] and blocks[1] and blocks[2]:
            self.run(blocks, threads, words, shared)

    def run(
        self, blocks: tuple[int, ...], threads: int, words: tuple[Any, ...], shared: int = 0
    ) -> None:
        """The same for three numbers of blocks, none of which is 0."""
        device = driver.device()
        function = self._functions.get(device)
        if function is None:
            function = self._functions[device] = driver.load(self)
        driver.launch(function, blocks, threads, shared, self, words)

    def __repr__(self) -> str:
        return f"Kernel({self.source.label}: {self.expression})"


class Template(dict[Any, Kernel]):
    """A kernel template of a file in `kernels/`; `template[values]` is the kernel for the values of
    its parameters.

        rows = Template("softmax", "softmax_rows", "PPqq", T=FLOATS, WIDTH=(1, 4))
        rows["float32", 4](grid, threads, x.data.ptr, out.data.ptr, rows, columns)

    Raises: KeyError for values that are not declared, which no test would have compiled.
    """

    def __init__(
        self, file: str, name: str, words: str, since: int = OLDEST, **parameters: tuple[Any, ...]
    ) -> None:
        """`since`: the compute capability of the first devices that it compiles for, times 10."""
        super().__init__()
        self.file, self.name, self.words, self.since = file, name, words, since
        self.parameters = parameters
        templates.append(self)

    def expression(self, values: tuple[Any, ...]) -> str:
        """The kernel's name in C++."""
        words = [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
        return f"{self.name}<{', '.join(words)}>" if words else self.name

    def combinations(self) -> Iterator[tuple[Any, ...]]:
        """All values that the parameters may have."""
        return itertools.product(*self.parameters.values())

    def __missing__(self, values: Any) -> Kernel:
        chosen = values if isinstance(values, tuple) else (values,)
        for value, (name, known) in zip(chosen, self.parameters.items(), strict=True):
            if value not in known:
                raise KeyError(f"{self.name}: {name}={value!r} is none of {known}")
        made = Kernel(source(self.file), self.expression(chosen), self.words)
        self[values] = made
        return made


templates: list[Template] = []
"""Every template, for the tests that compile them all."""


class _Arguments(threading.local):
    """Memory of a thread in which the words of a launch lie, and the list that says so to CUDA."""

    POINTER, SIZE, END = 1, 2, 0  # CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END

    def __init__(self) -> None:
        self.size_and_words = ctypes.create_string_buffer(8 + MOST_WORDS)
        begin = ctypes.addressof(self.size_and_words)
        self.list = (ctypes.c_void_p * 5)(self.POINTER, begin + 8, self.SIZE, begin, self.END)
        # One look into memory of the thread takes 50 ns.
        self.both = self.size_and_words, ctypes.addressof(self.list)


class CUDADriver:
    """CUDA's driver, through CuPy's bindings. A launch is one call of it, past CuPy's own look at
    each argument."""

    MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    MULTIPROCESSORS = 16  # cudaDevAttrMultiProcessorCount
    RESIDENT_THREADS = 39  # cudaDevAttrMaxThreadsPerMultiProcessor
    MAJOR, MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and -Minor

    def __init__(self) -> None:
        self._arguments = _Arguments()
        self._modules: list[Any] = []  # which end with the code that they hold
        self._shared: dict[int, int] = {}
        self._facts: dict[tuple[int, int], int] = {}
        self._bindings: Any = None
        self._device: Callable[[], int] = self._first_device

    def _cuda(self) -> Any:
        """`cupy.cuda`, kept: an import statement would cost each launch 300 ns, and a look into its
        modules for a function 50."""
        if self._bindings is None:
            import cupy

            self._bindings = cupy.cuda
            self._device, self._stream = cupy.cuda.runtime.getDevice, cupy.cuda.get_current_stream
        return self._bindings

    def _first_device(self) -> int:
        self._cuda()
        return self._device()

    def is_available(self) -> bool:
        """Whether CuPy has its driver bindings, and NVRTC is there."""
        return hasattr(self._cuda(), "driver") and nvrtc.is_available()

    def device(self) -> int:
        """Index of the current device."""
        return self._device()

    def capability(self) -> int:
        """The compute capability of the current device, times 10."""
        return 10 * self._fact(self.MAJOR) + self._fact(self.MINOR)

    def multiprocessors(self) -> int:
        """How many of them the current device has."""
        return self._fact(self.MULTIPROCESSORS)

    def resident_threads(self) -> int:
        """How many threads a multiprocessor of the current device holds."""
        return self._fact(self.RESIDENT_THREADS)

    def _fact(self, attribute: int) -> int:
        device = self.device()
        found = self._facts.get((device, attribute))
        if found is None:
            found = int(self._cuda().runtime.deviceGetAttribute(attribute, device))
            self._facts[device, attribute] = found
        return found

    def load(self, kernel: Kernel) -> int:
        """The function of the kernel on the current device."""
        cuda = self._cuda()
        architecture = f"sm_{self.capability()}"
        code, symbols = machine_code(kernel.source, (kernel.expression,), architecture)
        module = cuda.function.Module()
        module.load(code)
        function = module.get_function(symbols[0])
        self._modules.append((module, function))
        return int(function.ptr)

    def launch(
        self, function: int, grid: tuple[int, ...], threads: int, shared: int, kernel: Kernel,
        words: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Run a kernel on the current stream."""
        driver = self._bindings.driver
        if shared > PLAIN_SHARED and self._shared.get(function, 0) < shared:
            driver.funcSetAttribute(function, self.MAX_DYNAMIC_SHARED, shared)
            self._shared[function] = shared
        place, address = self._arguments.both
        kernel.packing.pack_into(place, 0, kernel.size, *words)
        stream = self._stream().ptr
        driver.launchKernel(function, *grid, threads, 1, 1, shared, stream, 0, address)


driver: Driver = CUDADriver()
"""What runs kernels; the tests put the host shim here."""
