"""From the text of a program to an address that can be called: LLVM, for the processor at hand."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from ... import disk

lock = threading.RLock()  # LLVM's contexts are not for several threads at once


@cache
def _target() -> Any:
    """This processor, with all that it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )


@cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())


def is_x86() -> bool:
    """Whether the processor is one of Intel's or AMD's."""
    return llvm.get_default_triple().startswith(("x86_64", "i686"))


@cache
def fuses() -> bool:
    """Whether the processor computes a * b + c with one rounding."""
    return not is_x86() or bool(llvm.get_host_cpu_features().get("fma"))


@cache
def scales() -> bool:
    """Whether the processor multiplies 16 numbers with powers of 2 in one instruction."""
    return is_x86() and bool(llvm.get_host_cpu_features().get("avx512f"))


@cache
def has_halves() -> bool:
    """Whether the processor converts between float16 and float32."""
    return not is_x86() or bool(llvm.get_host_cpu_features().get("f16c"))


def identity(text: str) -> str:
    """What tells the code of `text` apart from all other code, on any processor."""
    parts = (
        text,
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        llvm.get_default_triple(),
        str(llvm.llvm_version_info),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_known: set[str] = set()  # the names of what was added


def add(text: str, name: str) -> None:
    """Compile the module `text`, or find on disk what was compiled of it under `name`, and keep its
    code for good; nothing if it is there.

    10 to 30 ms for a formula, where Numba takes 200 ms, after 900 ms for itself; 1 ms from disk.
    """
    with lock:
        if name in _known:
            return
        code = disk.found("loops", name)
        if code is None:
            module = llvm.parse_assembly(text)
            module.verify()
            passes = llvm.create_pass_builder(_target(), llvm.create_pipeline_tuning_options(2))
            passes.getModulePassManager().run(module, passes)
            code = _target().emit_object(module)
            disk.keep("loops", name, code)
        _engine().add_object_file(llvm.ObjectFileRef.from_data(code))
        _engine().finalize_object()
        _known.add(name)


def address(name: str) -> int:
    """Where the function `name` of an added module begins."""
    return int(_engine().get_function_address(name))


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)


class Code:
    """A compiled program. Calling it releases Python's lock."""

    def __init__(self, name: str, text: str) -> None:
        """`text` defines one function, `name`; in the process it gets a name of its own."""
        digest = identity(text)
        symbol = f"{name}_{digest}"
        add(text.replace(f'@"{name}"', f'@"{symbol}"'), digest)
        self.address = address(symbol)
        self.call = _PROTOTYPE(self.address)
