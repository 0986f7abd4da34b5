"""The checker: it sees each kind of fault that compute-sanitizer looks for, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from flambeau.backends.cuda.launch import KERNELS, Kernel, Source

from .shim import HostDriver, ShimError, known

KERNEL = """
__global__ void __launch_bounds__(64) NAME(const float* x, float* out, int64 count) {
    SHARED_ARRAY(float, s, 64);
    SHARED_ARRAY(float, t, 64);
    const int i = threadIdx.x, lane = i % 32;
    BODY
}
"""
READ_COPIES = "copy_later(s + 4 * i, x + 4 * i); end_group();"
SOUND = {
    "barrier": "s[i] = x[i]; __syncthreads(); out[i] = s[63 - i];",
    "warps": "s[i] = x[i]; __syncwarp(); out[i] = s[i ^ 1];",
    "pairs": "const unsigned pair = 3u << lane / 2 * 2; s[i] = x[i]; __syncwarp(pair);"
    "out[i] = s[i ^ 1]; __syncwarp(pair); s[i] = 0;",
    "through_a_third": "if (i < 3) { if (i == 0) s[0] = 1; if (i < 2) __syncwarp(3);"
    "if (i) __syncwarp(6); if (i == 2) out[0] = s[0]; }",
    "atomics": "if (i == 0) s[0] = 0; __syncthreads(); atomicAdd(s, 1.0f); __syncthreads();"
    "out[i] = s[0]; atomicAdd(out + 64, 1.0f);",
    "marks": "*static_cast<volatile float*>(out) = 1; put_any(out, 2.0f);",
    "copies": f"if (i < 16) {{ {READ_COPIES} await_groups<0>(); }} __syncthreads(); out[i] = s[i];",
    "readers": "s[i] = x[i]; __syncthreads(); out[i] = s[0] + s[1]; __syncthreads(); s[i] = i;",
    "last_block": "if (i == 0) out[blockIdx.x] = 1; __syncthreads();"
    "if (i == 0) { __threadfence(); s[0] = atomicAdd(out + 70, 1.0f); __threadfence(); }"
    "__syncthreads(); if (s[0] == 1) out[2 + i] = out[0] + out[1];",
    "in_blocks": "if (i < 32) out[blockIdx.x * 32 + i] = x[i];",
}
FAULTS = {
    "no_barrier": (
        "s[i] = 0; out[i] = s[63 - i];",
        r"reads byte \d+ of a shared array, (which nobody|where thread \d+ wrote \(.*; no barrier)",
    ),
    "read_before_write": (
        "s[i] = 0; __syncthreads(); out[i] = s[63 - i]; s[i] = 1;",
        r"writes byte \d+ of a shared array, where thread \d+ read|reads byte .* wrote",
    ),
    "one_turn_too_few": (
        "for (int k = 0; k < 2; ++k) { s[i] = k; __syncthreads(); out[i] = s[63 - i]; }",
        "no barrier is between them",
    ),
    "shuffles_order_nothing": (
        "s[i] = x[i]; __shfl_sync(~0u, 1, 0); out[i] = s[i ^ 1];", "no barrier",
    ),
    "votes_order_nothing": ("s[i] = x[i]; __ballot_sync(~0u, 1); out[i] = s[i ^ 1];", "no barrier"),
    "warps_apart": ("s[i] = x[i]; __syncwarp(); out[i] = s[63 - i];", "no barrier|nobody"),
    "pairs_apart": (
        "s[i] = x[i]; __syncwarp(3u << lane / 2 * 2); out[i] = s[i ^ 2];", "no barrier|nobody",
    ),
    "many_readers": (
        "s[i] = x[i]; __syncthreads(); out[i] = s[0]; __syncwarp(); if (i == 0) s[0] = 1;",
        r"where thread \d+ (read|wrote)",
    ),
    "same_value": ("s[0] = 1;", "where thread .* wrote"),
    "plain_and_atomic": (
        "if (i == 0) s[0] = 0; __syncthreads(); if (i == 5) out[0] = s[0]; atomicAdd(s, 1.0f);",
        "where thread",
    ),
    "bytes": (
        "reinterpret_cast<char*>(s)[i] = 1; __syncthreads();"
        "if (i == 9) out[0] = s[3]; reinterpret_cast<char*>(s)[i] = 1;",
        "where thread",
    ),
    "copies_not_awaited": (
        f"if (i < 16) {{ {READ_COPIES} }} __syncthreads(); out[i] = s[i];",
        r"where thread \d+ is copying to asynchronously",
    ),
    "copies_not_even_ones_own": (
        f"if (i < 16) {{ {READ_COPIES} out[i] = s[4 * i]; }}", "is copying",
    ),
    "copies_without_barrier": (
        f"if (i < 16) {{ {READ_COPIES} await_groups<0>(); }} out[i] = s[i];",
        "wrote|copying|nobody has written",
    ),
    "too_few_copies_awaited": (
        f"if (i < 16) {{ {READ_COPIES} await_groups<1>(); }} __syncthreads(); out[i] = s[i];",
        "is copying",
    ),
    "copies_in_no_group": (
        "if (i < 16) { copy_later(s + 4 * i, x + 4 * i); await_groups<0>(); }",
        "left before its copies",
    ),
    "copies_over_what_is_read": (
        "s[i] = 0; __syncthreads(); out[i] = s[63 - i];"
        f"if (i < 16) {{ {READ_COPIES} await_groups<0>(); }}",
        "where thread .* (read|wrote|is copying)",
    ),
    "beyond_shared": (
        "float* p = s; p[i + 1] = 0;", "writes 4 bytes of shared memory that belong to no one",
    ),
    "before_shared": (
        "s[i] = 0; __syncwarp(); float* p = s; out[i] = p[i - 1];",
        "belong to no one|no barrier|nobody",
    ),
    "unwritten_shared": ("if (i < 63) s[i] = 0; __syncthreads(); out[i] = s[i];", "nobody has"),
    "beyond": ("out[i] = x[i + 1];", r"reads 4 bytes at .*, where no array is"),
    "before": ("out[i - 1] = 0;", "writes 4 bytes at .*, where no array is"),
    "null": ("if (count) out = nullptr; out[i] = 0;", "where no array is"),
    "blocks_write": ("out[i] = x[i];", "writes byte .* of an array.* another block wrote"),
    "no_fence_before": (
        "if (i == 0) { out[blockIdx.x] = 1; s[0] = atomicAdd(out + 70, 1.0f); __threadfence(); }"
        "__syncthreads(); if (s[0] == 1) out[2 + i] = out[0] + out[1];",
        "another block wrote",
    ),
    "no_fence_behind": (
        "if (i == 0) { out[blockIdx.x] = 1; __threadfence(); s[0] = atomicAdd(out + 70, 1.0f); }"
        "__syncthreads(); if (s[0] == 1) out[2 + i] = out[0] + out[1];",
        "another block wrote",
    ),
    "fence_before_the_barrier": (
        "if (i == 63) out[blockIdx.x] = 1;"
        "if (i == 0) { __threadfence(); s[0] = atomicAdd(out + 70, 1.0f); __threadfence(); }"
        "__syncthreads(); if (s[0] == 1) out[2 + i] = out[0] + out[1];",
        "another block wrote",
    ),
    "blocks_read": (
        "if (blockIdx.x == 0) out[i] = x[i]; else if (i == 0) out[64] = out[5];",
        "where another block (wrote|read)",
    ),
    "threads_in_global": ("out[i] = x[i]; out[70] = out[63 - i];", "no barrier"),
    "anothers_variables": (
        "float own = x[i]; if (i == 0) *reinterpret_cast<float**>(s) = &own; __syncthreads();"
        "out[i] = **reinterpret_cast<float**>(s);",
        "memory of another thread's variables",
    ),
    "own_array": ("float own[4] = {}; own[i % 5] = 1; out[i] = own[i % 3];", "its own array"),
    "shift": ("out[i] = 1 << i;", "more bits"),
    "division": ("out[i] = 64 / i;", "divides by 0"),
    "barriers_apart": (
        "if (i < 32) __syncthreads();\nelse __syncthreads();", "at the barrier of line",
    ),
    "absent_lane": ("if (lane < 31) out[i] = __shfl_sync(~0u >> 1, 1.0f, 31);", "asks lane 31"),
    "other_deed": (
        "if (lane) __syncwarp(); else __shfl_sync(~0u, 1, 0);", "something else",
    ),
    "too_much_shared": ("SHARED_ARRAY(float, u, 12200); u[i] = 0;", "at most 49152"),
}  # fmt: skip
BLOCKS = dict.fromkeys(
    "blocks_write blocks_read in_blocks last_block no_fence_before no_fence_behind"
    " fence_before_the_barrier".split(),
    2,
)
BODIES = SOUND | {name: body for name, (body, _) in FAULTS.items()}
SOURCE = Source(
    "checked.cu",
    '#include "block.cuh"\n#include "instructions.cuh"\n'
    + "".join(KERNEL.replace("NAME", n).replace("BODY", b) for n, b in BODIES.items()),
)


@pytest.fixture(params=[False, True], ids=["first thread first", "last thread first"])
def run(request: pytest.FixtureRequest, host: HostDriver) -> Any:
    """Runs a kernel by its name."""
    if (KERNELS, SOURCE.text, "barrier") not in known:
        host.build(SOURCE.text, [*BODIES])
    host.backwards = request.param
    memory = np.zeros(2_000, np.uint8)
    x = memory[-memory.ctypes.data % 16 :][:256].view(np.float32)
    out = memory[1_000 + -memory.ctypes.data % 16 :][:320].view(np.float32)
    host.lent = [x, out]

    def launch(name: str, threads: int = 64) -> None:
        kernel = Kernel(SOURCE, name, "PPq")
        kernel(BLOCKS.get(name, 1), threads, x.ctypes.data, out.ctypes.data, 64)

    return launch


@pytest.mark.parametrize("name", SOUND)
def test_sound_kernels_pass(run: Any, name: str) -> None:
    run(name)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_reported_with_their_line(run: Any, name: str) -> None:
    with pytest.raises(ShimError, match=FAULTS[name][1]) as error:
        run(name)
    assert re.search(r"checked\.cu", str(error.value))
    run("barrier")  # and the next kernel finds everything in order


def test_blocks_larger_than_the_kernels_bound_are_reported(run: Any) -> None:
    with pytest.raises(ShimError, match="a block of 96 threads and 0 bytes; at most 64"):
        run("barrier", threads=96)
