"""What the compiler makes of our kernels, read out of the machine code itself."""

from __future__ import annotations

import fnmatch
import re
import sys
from pathlib import Path

import pytest

from flambeau.backends.cuda import launch, nvrtc

from ...benchmarks.gpu import machine_code
from ...programs import printed
from .test_compilation import needs_nvrtc

HOT = {
    "formulas": ["plus_*", "gelu_*", "divide_*", "where_*"],
    "attention": ["attention<bfloat16, 64, true>"],
    "attention_gradient": ["attention_by_*<bfloat16, 64, true>"],
    "channels_last": ["*_vectors<bfloat16, 128>"],
    "softmax": ["softmax*bfloat16, true, 4, false>"],
    "long_rows": ["softmax_rows*<bfloat16, false>"],
    "logits": ["logits_long_rows<bfloat16>", "logits_gradient<bfloat16, *>"],
    "normalization": ["normalize_*<bfloat16, true, 4>", "normalize_*<float32, true, 4>"],
    "batch_norm": ["normalize_channels*<bfloat16, true>"],
    "reductions": ["reduce_*<SumOf, float32, true>", "reduce_*<Moments, float32, true>"],
    "random": ["random_reals<float32, *", "dropout<float32, *"],
}
"""The kernels of what models compute most, by file."""
LEAST_THREADS = dict.fromkeys(["attention", "attention_gradient", "channels_last"], 256)
OTHER_LEAST = 512
"""A quarter of what a multiprocessor holds: with 4 reads of 16 bytes under way in each thread, 32
KiB are; and at 4.3 TB/s and 700 ns each multiprocessor waits for 23 KiB. Tensor cores are busy with
fewer threads, whose tiles are larger for it."""

ROOT = Path(__file__).parents[3]
FACTS = re.compile(r" *\d+ +(\d+) +[\d.]+ +(\d+) x (\d+)")
"""Of a line of the report: stack, blocks and their threads."""
NAME = re.compile(r"\w+(<.*>)?$")

EXAMPLE = """
__global__ void __launch_bounds__(96) example(int* x, int k) {
    __shared__ int shared[1000];
    int local[64];
    for (int i = 0; i < 64; ++i) local[x[i] & 63] = x[i + k];
    shared[threadIdx.x] = local[k];
    __syncthreads();
    x[threadIdx.x] = shared[threadIdx.x ^ 1];
}
"""


@needs_nvrtc
def test_resources_are_those_of_the_source() -> None:
    code, symbols = nvrtc.compiled(EXAMPLE, "example.cu", ["example"], launch.options("sm_90"))
    found = machine_code.resources(code)[symbols[0]]
    assert (found.stack, found.shared, found.threads) == (256, 4000, 96)
    assert 8 <= found.registers <= 255


def test_blocks_are_bounded_by_registers_shared_memory_and_threads() -> None:
    kernel = machine_code.Resources(registers=128, threads=128)
    assert kernel.blocks() == 4  # 65536 / (128 * 128)
    assert kernel.blocks(dynamic=100 << 10) == 2
    assert machine_code.Resources(registers=33, threads=1024).blocks() == 1
    assert machine_code.Resources(registers=16, threads=32).blocks() == 32


@pytest.fixture(scope="module")
def report() -> dict[str, tuple[int, int]]:
    """By kernel: bytes of stack, and threads that a multiprocessor holds. In a process of its own,
    as NVRTC 13.5 compiles otherwise once it was told to compile fast."""
    patterns = [pattern for found in HOT.values() for pattern in found]
    module = "tests.benchmarks.gpu.machine_code"
    told = printed(sys.executable, "-m", module, *patterns, cwd=ROOT)
    found = {}
    for line in told.splitlines()[1:]:
        stack, blocks, threads = map(int, FACTS.match(line).groups())  # type: ignore[union-attr]
        found[NAME.search(line)[0]] = stack, blocks * threads  # type: ignore[index]
    return found


@needs_nvrtc
@pytest.mark.parametrize("file", HOT)
def test_hot_kernels_keep_their_numbers_in_registers_and_fill_the_device(
    file: str, report: dict[str, tuple[int, int]]
) -> None:
    for pattern in HOT[file]:
        names = fnmatch.filter(report, f"*{pattern}*")
        assert names
        for name in names:
            stack, threads = report[name]
            assert stack == 0, f"{name} has a stack of {stack} bytes: it spills"
            assert threads >= LEAST_THREADS.get(file, OTHER_LEAST), name
