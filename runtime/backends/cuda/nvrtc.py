"""NVRTC, NVIDIA's run-time compiler, through ctypes: from CUDA C++ to machine code of a GPU.

It needs neither a driver nor a GPU, so that tests compile every kernel wherever the library is: in
a CUDA toolkit, or in the wheel `nvidia-cuda-nvrtc`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

from ...errors import CompilationError
from . import libraries

LIBRARIES = ("libnvrtc.so.13", "libnvrtc.so.12", "nvrtc64_130_0.dll", "nvrtc64_120_0.dll")
FOLDERS = ("cu13/lib", "cuda_nvrtc/lib", "cu13/bin", "cuda_nvrtc/bin")
"""Where the wheels have the library, below the package `nvidia`."""


@cache
def _library() -> Any:
    return libraries.opened(LIBRARIES, FOLDERS)


def is_available() -> bool:
    """Whether the library is there."""
    return _library() is not None


@cache
def version() -> tuple[int, int]:
    """The library's version, major and minor."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def compiled(
    text: str, label: str, expressions: Sequence[str], options: Sequence[str]
) -> tuple[bytes, list[str]]:
    """The machine code (a cubin) of the source `text`, and the symbols of the kernels that the
    C++ `expressions`, such as "rows<float32>", name. `label` stands for the file in messages.

    Raises: CompilationError with the compiler's report.
    """
    library = _library()
    if library is None:
        raise CompilationError(
            f"Expected the library NVRTC, to compile {label}. None was found. Install "
            "nvidia-cuda-nvrtc, or a CUDA toolkit."
        )
    program = ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), label.encode(), 0, None, None)
    try:
        for expression in expressions:
            library.nvrtcAddNameExpression(program, expression.encode())
        words = (ctypes.c_char_p * len(options))(*[o.encode() for o in options])
        if library.nvrtcCompileProgram(program, len(options), words):
            report = _content(program, "ProgramLog").decode(errors="replace").strip("\0\n")
            raise CompilationError(f"{label} does not compile for {options}:\n{report}")
        symbol = ctypes.c_char_p()
        symbols = []
        for expression in expressions:
            library.nvrtcGetLoweredName(program, expression.encode(), ctypes.byref(symbol))
            symbols.append((symbol.value or b"").decode())
        return _content(program, "CUBIN"), symbols
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _content(program: Any, what: str) -> bytes:
    size = ctypes.c_size_t()
    getattr(_library(), f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(_library(), f"nvrtcGet{what}")(program, buffer)
    return buffer.raw
