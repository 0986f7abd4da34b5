"""What the compiler makes of our kernels, read out of the machine code itself."""

from __future__ import annotations

import pytest

from flambeau.backends.cuda import launch, nvrtc

from ...benchmarks.gpu import machine_code
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
    "random": ["*float32*"],
}
"""The kernels of what models compute most, by file."""
LEAST_THREADS = dict.fromkeys(["attention", "attention_gradient", "channels_last"], 256)
OTHER_LEAST = 512
"""A quarter of what a multiprocessor holds: with 4 reads of 16 bytes under way in each thread, 32
KiB are; and at 4.3 TB/s and 700 ns each multiprocessor waits for 23 KiB. Tensor cores are busy with
fewer threads, whose tiles are larger for it."""

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


@needs_nvrtc
@pytest.mark.parametrize("file", HOT)
def test_hot_kernels_keep_their_numbers_in_registers_and_fill_the_device(file: str) -> None:
    seen = 0
    for label, text, names in machine_code.programs(HOT[file]):
        if label != file or not names:
            continue
        for name, kernel in machine_code.measured(label, text, names, "sm_90").items():
            assert kernel.stack == 0, f"{name} has a stack of {kernel.stack} bytes: it spills"
            blocks = kernel.blocks(machine_code.dynamic_shared(name))
            assert blocks * kernel.threads >= LEAST_THREADS.get(file, OTHER_LEAST), (
                f"{name}: {blocks} blocks"
            )
            seen += 1
    assert seen
