"""Machine code that runs a product of cuBLASLt with what it finds in memory.

ctypes takes 1 us to hand over the 16 arguments of `cublasLtMatmul`, and 0.25 us more for the
address of a bias; this takes one argument, in 0.2 us.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

CHANGING = ("right", "left", "addend", "out", "workspace", "stream", "vector", "aux")
"""Words of 8 bytes that each run is given: addresses."""
KEPT = (
    "matmul", "handle", "description", "alpha", "right_lies", "left_lies", "beta", "addend_lies",
    "out_lies", "algorithm", "size", "set_attribute", "vector_attribute", "aux_attribute",
)  # fmt: skip
"""Words behind those, which a plan keeps: addresses of functions, descriptors and numbers, the
bytes of the workspace, and which attributes of the description `vector` and `aux` are, or 0."""
WORDS = CHANGING + KEPT
ARGUMENTS = (
    "handle", "description", "alpha", "right", "right_lies", "left", "left_lies", "beta", "addend",
    "addend_lies", "out", "out_lies", "algorithm", "workspace", "size", "stream",
)  # fmt: skip
"""Of cublasLtMatmul, whose A is the right operand."""


def _load(word: str, suffix: str = "") -> list[str]:
    name = word + suffix
    return [
        f"  %at_{name} = getelementptr i64, ptr %words, i64 {WORDS.index(word)}",
        f"  %{name} = load i64, ptr %at_{name}",
    ]


def _set(word: str, here: str, behind: str) -> list[str]:
    """Set the attribute of `word`, if it is one, and return a status that is not 0."""
    return [
        f"{here}:",
        *_load(f"{word}_attribute"),
        f"  %has_{word} = icmp ne i64 %{word}_attribute, 0",
        f"  br i1 %has_{word}, label %set_{word}, label %{behind}",
        f"set_{word}:",
        f"  %{word}_number = trunc i64 %{word}_attribute to i32",
        *_load("set_attribute", f"_of_{word}"),
        *_load("description", f"_of_{word}"),
        f"  %set_{word}_at = inttoptr i64 %set_attribute_of_{word} to ptr",
        f"  %{word}_at = getelementptr i64, ptr %words, i64 {WORDS.index(word)}",
        f"  %{word}_status = call i32 %set_{word}_at(i64 %description_of_{word}, "
        f"i32 %{word}_number, ptr %{word}_at, i64 8)",
        f"  %{word}_failed = icmp ne i32 %{word}_status, 0",
        f"  br i1 %{word}_failed, label %{word}_end, label %{behind}",
        f"{word}_end:",
        f"  ret i32 %{word}_status",
    ]


def _text() -> str:
    lines = ['define i32 @"product"(ptr %words) {']
    lines += _set("vector", "entry", "second") + _set("aux", "second", "run")
    lines += ["run:", *_load("matmul"), "  %function = inttoptr i64 %matmul to ptr"]
    for word in ARGUMENTS:
        lines += _load(word)
    given = ", ".join(f"i64 %{word}" for word in ARGUMENTS)
    return "\n".join([*lines, f"  %status = call i32 %function({given})", "  ret i32 %status", "}"])


@cache
def product() -> Any:
    """The function of the address of such words: it runs the product, and gives the status."""
    from ..cpu.loops.machine import Code

    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(Code("product", _text()).address)
