"""Products of tiles on tensor cores: layouts by the tables of the PTX ISA, element by element."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from flambeau.backends.cuda.launch import KERNELS, Kernel, Source

from .shim import HostDriver, known

SOURCE = Source(
    "tiles.cu",
    """
#include "fragments.cuh"

// The instructions as they are: registers to and from memory.
template <typename T>
__global__ void product(const uint32* a, const uint32* b, float* d) {
    const int lane = threadIdx.x;
    uint32 left[4];
    for (int k = 0; k < 4; ++k) left[k] = a[4 * lane + k];
    float sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = d[4 * lane + k];
    multiply_add_16x8x16<T>(sums, left, b[2 * lane], b[2 * lane + 1]);
    for (int k = 0; k < 4; ++k) d[4 * lane + k] = sums[k];
}
__global__ void tf32_product(const uint32* a, const uint32* b, float* d) {
    const int lane = threadIdx.x;
    uint32 left[4], right[2] = {b[2 * lane], b[2 * lane + 1]};
    for (int k = 0; k < 4; ++k) left[k] = a[4 * lane + k];
    float sums[4] = {};
    multiply_add_16x8x8(sums, left, right);
    for (int k = 0; k < 4; ++k) d[4 * lane + k] = sums[k];
}
template <bool IS_TURNED>
__global__ void loaded(const uint16* x, uint32* registers) {
    SHARED_ARRAY(uint16, rows, 32 * 8);
    for (int k = 0; k < 8; ++k) rows[8 * threadIdx.x + k] = x[8 * threadIdx.x + k];
    __syncthreads();
    uint32 found[4];
    load_matrices<IS_TURNED>(found, rows + 8 * threadIdx.x);
    for (int i = 0; i < 4; ++i) registers[4 * threadIdx.x + i] = found[i];
}
__global__ void rounded(const float* x, uint32* bits) {
    bits[threadIdx.x] = rounded_to_tf32(x[threadIdx.x]);
}

// d = a @ b for 16 x 16 tiles in rows of STRIDE; `right` lies as it is, or turned.
template <typename T, bool IS_TURNED>
__global__ void tiles(const T* a, const T* b, float* d) {
    constexpr int STRIDE = 24;
    SHARED_ARRAY(T, left, 16 * STRIDE);
    SHARED_ARRAY(T, right, 16 * STRIDE);
    for (int i = threadIdx.x; i < 256; i += 32) {
        left[i / 16 * STRIDE + i % 16] = a[i];
        right[i / 16 * STRIDE + i % 16] = b[i];
    }
    __syncthreads();
    Tile sum = {};
    multiply_add(sum, along_rows(left, STRIDE, true),
                 IS_TURNED ? along_rows(right, STRIDE, false) : down_columns(right, STRIDE));
    for (int k = 0; k < 2; ++k)
        for (int c = 0; c < 4; ++c) {
            const int row = lane_row() + 8 * k, column = lane_column(c);
            d[row * 16 + column] = sum.at[k][c];
        }
}
""",
)
NAMES = [
    "product<float16>", "product<bfloat16>", "tf32_product", "loaded<false>", "loaded<true>",
    "rounded", *(f"tiles<{t}, {w}>" for t in ("float32", "float16", "bfloat16")
                 for w in ("false", "true")),
]  # fmt: skip

# PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type". The row and the
# column of element i of a lane: of A, of B, of C and D.
LANES = [(lane >> 2, lane % 4) for lane in range(32)]  # %laneid >> 2, %laneid % 4
A16 = [
    [(g if i < 2 or 4 <= i < 6 else g + 8, t * 2 + (i & 1) + (0 if i < 4 else 8)) for i in range(8)]
    for g, t in LANES
]
B16 = [[(t * 2 + (i & 1) + (0 if i < 2 else 8), g) for i in range(4)] for g, t in LANES]
D = [[(g if i < 2 else g + 8, t * 2 + (i & 1)) for i in range(4)] for g, t in LANES]
# "Matrix Fragments for mma.m16n8k8", of .tf32.
A8 = [[(g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)] for g, t in LANES]
B8 = [[(t, g), (t + 4, g)] for g, t in LANES]


def held(matrix: Any, places: Any) -> Any:
    """What each lane has of a matrix, in the order of its registers."""
    rows, columns = np.moveaxis(np.array(places), 2, 0)
    return np.ascontiguousarray(matrix[rows, columns])


@pytest.fixture
def run(host: HostDriver) -> Any:
    def launch(name: str, *arrays: Any) -> None:
        host.lent = [*arrays]
        Kernel(SOURCE, name, "P" * len(arrays))(1, 32, *(a.ctypes.data for a in arrays))

    if (KERNELS, SOURCE.text, NAMES[0]) not in known:
        host.build(SOURCE.text, NAMES)
    return launch


def integers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_lie_as_ptx_says(run: Any, dtype: str) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
    a, b, c = integers(16, 16), integers(16, 8, seed=1), integers(16, 8, seed=2)
    found = held(c, D)
    run(f"product<{dtype}>", held(a.astype(kind), A16), held(b.astype(kind), B16), found)
    np.testing.assert_array_equal(found, held(c + a @ b, D))


def test_numbers_of_tf32_lie_as_ptx_says(run: Any) -> None:
    a, b, found = integers(16, 8), integers(8, 8, seed=1), np.zeros((32, 4), np.float32)
    run("tf32_product", held(a, A8), held(b, B8), found)
    np.testing.assert_array_equal(found, held(a @ b, D))


@pytest.mark.parametrize("is_turned", [False, True])
def test_matrices_are_loaded_as_ptx_says(run: Any, is_turned: bool) -> None:
    """PTX ISA, "ldmatrix": thread l has of each matrix row l / 4, elements 2 * (l % 4) and the
    next; with .trans of its transpose."""
    matrices = np.arange(256, dtype=np.uint16).reshape(4, 8, 8)
    found = np.zeros((32, 4, 2), np.uint16)
    run(f"loaded<{str(is_turned).lower()}>", matrices, found)
    for lane in range(32):
        for i, matrix in enumerate(matrices):
            matrix = matrix.T if is_turned else matrix
            pair = matrix[lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2]
            np.testing.assert_array_equal(found[lane, i], pair)


def test_rounding_to_tf32_goes_away_from_zero_at_ties(run: Any) -> None:
    half = 2.0**-11  # of the last place of numbers from 1 to 2
    x = [1 + half, -1 - half, 1 + 0.99 * half, 1 + 3 * half, np.inf, -np.inf, 0.0, 1.5]
    wanted = [1 + 2 * half, -1 - 2 * half, 1, 1 + 4 * half, np.inf, -np.inf, 0.0, 1.5]
    given, found = np.tile(np.float32(x), 4), np.zeros(32, np.float32)
    run("rounded", given, found)
    np.testing.assert_array_equal(found, np.tile(np.float32(wanted), 4))


@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tiles_are_multiplied(run: Any, dtype: str, is_turned: bool) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    a, b = integers(16, 16).astype(kind), integers(16, 16, seed=1).astype(kind)
    found = np.zeros((16, 16), np.float32)
    run(f"tiles<{dtype}, {str(is_turned).lower()}>", a, b, found)
    right = b.astype(np.float32).T if is_turned else b.astype(np.float32)
    np.testing.assert_array_equal(found, a.astype(np.float32) @ right)
