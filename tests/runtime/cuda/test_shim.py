"""The host shim: it runs CUDA C++ as a GPU would, and sees what is wrong with a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.backends.cuda import memory
from flambeau.backends.cuda.launch import Kernel, Source

from .shim import HostDriver, ShimError

SUMS = """
#include "block.cuh"
#include "memory.cuh"

__global__ void sums(const float* x, float* out, int64 columns) {
    float part = 0;
    for (int64 k = threadIdx.x; k < columns; k += blockDim.x) part += x[blockIdx.x * columns + k];
    part = reduce_block<Sum>(part);
    if (threadIdx.x == 0) out[blockIdx.x] = part;
}

__global__ void reversed(const float* x, float* out, int64 count) {
    SHARED_ARRAY(float, kept, 64);
    kept[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = kept[count - 1 - threadIdx.x];
}

__global__ void apart(const float* x, float* out, int64 count) {
    if (threadIdx.x < 16) __syncthreads(); else __syncwarp(0xffff0000u);
    if (threadIdx.x >= 16) __syncwarp(0xffffffffu);
}

__global__ void absent(const float* x, float* out, int64 count) {
    if (threadIdx.x == 5) return;
    out[threadIdx.x] = __shfl_sync(0xffffffffu, x[threadIdx.x], 5);
}

__global__ void askew(const float* x, float* out, int64 count) {
    store<4>(out + 1, load<4>(x));
}
"""


def kernel(name: str) -> Kernel:
    return Kernel(Source("sums.cu", SUMS), name, "PPq")


def call(
    host: HostDriver, kernel: Kernel, x: Any, out: Any, count: int, grid: int, threads: int
) -> Any:
    host.lent = [x, out]
    kernel(grid, threads, x.ctypes.data, out.ctypes.data, count)
    return out


def test_reads_of_arrays_that_nobody_has_written_are_reported(host: HostDriver) -> None:
    import cupy

    out = np.zeros(1, np.float32)
    host.lent = [out]
    for x in (cupy.empty(100, "f4"), memory.current.empty((100,), np.dtype("f4"), 400)):
        with pytest.raises(ShimError, match="nobody has written"):
            kernel("sums")(1, 32, x.data.ptr, out.ctypes.data, 100)
        x[...] = 1
        kernel("sums")(1, 32, x.data.ptr, out.ctypes.data, 100)
        assert out[0] == 100


@pytest.mark.parametrize("columns", [0, 1, 31, 32, 100, 1000])
@pytest.mark.parametrize("threads", [32, 96, 1024])
def test_rows_are_summed_by_blocks(host: HostDriver, columns: int, threads: int) -> None:
    x = np.arange(5 * columns, dtype=np.float32).reshape(5, columns)
    out = call(host, kernel("sums"), x, np.full(5, np.nan, np.float32), columns, 5, threads)
    np.testing.assert_array_equal(out, x.sum(1))


def test_an_empty_grid_runs_nothing(host: HostDriver) -> None:
    call(host, kernel("sums"), np.zeros(1), np.zeros(1), 0, 0, 32)
    assert host.launched == []


def test_barriers_order_what_threads_write_and_read(host: HostDriver) -> None:
    x = np.arange(64, dtype=np.float32)
    out = call(host, kernel("reversed"), x, np.zeros_like(x), 64, 1, 64)
    np.testing.assert_array_equal(out, x[::-1])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("apart", "others never come"),
        ("absent", "lane 5 of mask ffffffff has left|others never come"),
        ("askew", "16 bytes at .*no multiple"),
    ],
)
def test_what_a_gpu_forbids_is_reported(host: HostDriver, name: str, message: str) -> None:
    x = np.zeros(64, np.float32)
    x = x[-x.ctypes.data % 16 // 4 :]
    with pytest.raises(ShimError, match=message):
        call(host, kernel(name), x, x.copy(), 32, 1, 32)
    # The next kernel finds everything in order again.
    out = call(host, kernel("sums"), x[:32], np.ones(1, np.float32), 32, 1, 32)
    assert out.tolist() == [0]


def test_too_large_a_grid_or_block_is_reported(host: HostDriver) -> None:
    x = np.zeros(4, np.float32)
    with pytest.raises(ShimError, match="a block of 1056 threads"):
        call(host, kernel("sums"), x, x, 0, 1, 1056)
    with pytest.raises(ShimError, match="65535"):
        kernel("sums")((1, 65_536), 32, 0, 0, 0)
