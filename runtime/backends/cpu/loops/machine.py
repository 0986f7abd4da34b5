"""From the text of a program to an address that can be called: LLVM, for the processor at hand."""

from __future__ import annotations

import ctypes
import threading
from functools import cache
from typing import Any

import llvmlite.binding as llvm

lock = threading.Lock()  # LLVM's contexts are not for several threads at once


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


def add(text: str) -> None:
    """Compile the module `text` and keep its code for good.

    10 to 30 ms for a formula, where Numba takes 200 ms, after 900 ms for itself.
    """
    with lock:
        module = llvm.parse_assembly(text)
        module.verify()
        passes = llvm.create_pass_builder(_target(), llvm.create_pipeline_tuning_options(2))
        passes.getModulePassManager().run(module, passes)
        code = _target().emit_object(module)
        _engine().add_object_file(llvm.ObjectFileRef.from_data(code))
        _engine().finalize_object()


def address(name: str) -> int:
    """Where the function `name` of an added module begins."""
    return int(_engine().get_function_address(name))


_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)


class Code:
    """A compiled program. Calling it releases Python's lock."""

    def __init__(self, name: str, text: str) -> None:
        add(text)
        self.address = address(name)
        self.call = _PROTOTYPE(self.address)
