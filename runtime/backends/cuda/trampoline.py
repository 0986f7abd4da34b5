"""Machine code that runs a product of cuBLASLt with what it finds in memory.

ctypes takes 1 us to hand over the 16 arguments of `cublasLtMatmul`, and 0.25 us more for the
address of a bias; this takes one argument, in 0.2 us.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

CHANGING = ("right", "left", "addend", "out", "workspace", "stream", "vector")
"""Words of 8 bytes that each run is given: addresses."""
KEPT = (
    "matmul", "handle", "description", "alpha", "right_lies", "left_lies", "beta", "addend_lies",
    "out_lies", "algorithm", "size", "set_attribute", "attribute",
)  # fmt: skip
"""Words behind those, which a plan keeps: addresses of functions, descriptors and numbers, the
bytes of the workspace, and which attribute of the description `vector` is, or 0."""
WORDS = CHANGING + KEPT
ARGUMENTS = (
    "handle", "description", "alpha", "right", "right_lies", "left", "left_lies", "beta", "addend",
    "addend_lies", "out", "out_lies", "algorithm", "workspace", "size", "stream",
)  # fmt: skip
"""Of cublasLtMatmul, whose A is the right operand."""


def _load(*words: str) -> list[str]:
    lines = []
    for word in words:
        place = f"getelementptr i64, ptr %words, i64 {WORDS.index(word)}"
        lines += [f"  %at_{word} = {place}", f"  %{word} = load i64, ptr %at_{word}"]
    return lines


def _text() -> str:
    given = ", ".join(f"i64 %{word}" for word in ARGUMENTS)
    lines = [
        'define i32 @"product"(ptr %words) {',
        *_load("matmul", "set_attribute", "attribute", "vector", *ARGUMENTS),
        "  %has_vector = icmp ne i64 %attribute, 0",
        "  br i1 %has_vector, label %set, label %run",
        "set:",
        "  %number = trunc i64 %attribute to i32",
        "  %setter = inttoptr i64 %set_attribute to ptr",
        "  %done = call i32 %setter(i64 %description, i32 %number, ptr %at_vector, i64 8)",
        "  %failed = icmp ne i32 %done, 0",
        "  br i1 %failed, label %fail, label %run",
        "fail:",
        "  ret i32 %done",
        "run:",
        "  %function = inttoptr i64 %matmul to ptr",
        f"  %status = call i32 %function({given})",
        "  ret i32 %status",
        "}",
    ]
    return "\n".join(lines)


@cache
def product() -> Any:
    """The function of the address of such words: it runs the product, and gives the status."""
    from ..cpu.loops.machine import Code

    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(Code("product", _text()).address)
