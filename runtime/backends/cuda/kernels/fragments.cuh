// Products of 16 x 16 tiles by a warp on tensor cores, their factors in shared memory.
//
// Lane l of a warp, with g = l / 4 and t = l % 4, holds of a left factor (rows x k) the rows g and
// g + 8 at k = 2t, 2t + 1, 2t + 8, 2t + 9, of a right factor (k x columns) the columns g and g + 8
// at the same k, and of the result the rows g and g + 8 at columns 2t, 2t + 1, 2t + 8, 2t + 9:
// the layout of mma.m16n8k16 (PTX ISA, section 9.7.14), so that a result is a left factor as it is.
#pragma once
#include "block.cuh"
#include "instructions.cuh"
#include "memory.cuh"

struct Tile {  // of a result: of rows g and g + 8
    float at[2][4];
};

INLINE int lane_row() { return threadIdx.x % WARP / 4; }
INLINE int lane_column(int k) { return threadIdx.x % 4 * 2 + (k & 1) + (k & 2) * 4; }

// Half types: a factor is four registers of two elements. `tile` points to its first element, rows
// are `stride` elements apart and begin at multiples of 16 bytes.
template <typename T>
struct Factor {
    uint32 pair[4];
};
// float32: the numbers themselves.
template <>
struct Factor<float> {
    float at[2][4];
};

template <typename T>
INLINE uint32 paired(float low, float high) {
    return uint32(narrow<T>(low).bits) | uint32(narrow<T>(high).bits) << 16;
}

// Lines of the tile are rows of a left factor, or columns of a right one.
template <typename T>
INLINE Factor<T> along_rows(const T* tile, int stride, bool is_left) {
    Factor<T> found;
    const int lane = threadIdx.x % WARP;
    // The four 8 x 8 matrices: for a left factor by rows first, for a right one by k.
    const int row = is_left ? lane % 16 : lane % 8 + lane / 16 * 8;
    const int column = is_left ? lane / 16 * 8 : lane / 8 % 2 * 8;
    load_matrices<false>(found.pair, tile + row * stride + column);
    return found;
}
INLINE Factor<float> along_rows(const float* tile, int stride, bool) {
    Factor<float> found;
    for (int i = 0; i < 4; ++i) {  // 8 bytes at a time, which strides of 8 + 32 n keep in all banks
        const auto pair =
            load<2>(tile + (lane_row() + i / 2 * 8) * stride + lane_column(i % 2 * 2));
        found.at[i / 2][i % 2 * 2] = pair.lane[0], found.at[i / 2][i % 2 * 2 + 1] = pair.lane[1];
    }
    return found;
}

// Rows of the tile are those of a right factor: k.
template <typename T>
INLINE Factor<T> down_columns(const T* tile, int stride) {
    Factor<T> found;
    const int lane = threadIdx.x % WARP;
    load_matrices<true>(found.pair, tile + lane % 16 * stride + lane / 16 * 8);
    return found;
}
INLINE Factor<float> down_columns(const float* tile, int stride) {
    Factor<float> found;
    for (int second = 0; second < 2; ++second)
        for (int k = 0; k < 4; ++k)
            found.at[second][k] = tile[lane_column(k) * stride + lane_row() + 8 * second];
    return found;
}

// Rows of the tile are k of a left factor, and its columns the rows of that.
template <typename T>
INLINE Factor<T> down_rows(const T* tile, int stride) {
    Factor<T> found;
    const int lane = threadIdx.x % WARP;
    load_matrices<true>(found.pair, tile + (lane % 8 + lane / 16 * 8) * stride + lane / 8 % 2 * 8);
    return found;
}
INLINE Factor<float> down_rows(const float* tile, int stride) { return down_columns(tile, stride); }

// A result as a left factor.
template <typename T>
struct AsFactor {
    INLINE Factor<T> of(const Tile& x) {
        return {{paired<T>(x.at[0][0], x.at[0][1]), paired<T>(x.at[1][0], x.at[1][1]),
                 paired<T>(x.at[0][2], x.at[0][3]), paired<T>(x.at[1][2], x.at[1][3])}};
    }
};
template <>
struct AsFactor<float> {
    INLINE Factor<float> of(const Tile& x) {
        Factor<float> found;
        for (int k = 0; k < 8; ++k) found.at[k / 4][k % 4] = x.at[k / 4][k % 4];
        return found;
    }
};

// sum += left @ right.
template <typename T>
INLINE void multiply_add(Tile& sum, const Factor<T>& left, const Factor<T>& right) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of the columns
        float d[4] = {sum.at[0][2 * half], sum.at[0][2 * half + 1], sum.at[1][2 * half],
                      sum.at[1][2 * half + 1]};
        multiply_add_16x8x16<T>(d, left.pair, right.pair[2 * half], right.pair[2 * half + 1]);
        sum.at[0][2 * half] = d[0], sum.at[0][2 * half + 1] = d[1];
        sum.at[1][2 * half] = d[2], sum.at[1][2 * half + 1] = d[3];
    }
}

// In tf32 and what it leaves of each factor: three products give nearly all bits of float32. The
// order of k is free: a lane's k = 2t and 2t + 1 take the instruction's places t and t + 4.
template <>
__device__ __forceinline__ void multiply_add<float>(Tile& sum, const Factor<float>& left,
                                                    const Factor<float>& right) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float d[4] = {sum.at[0][2 * half], sum.at[0][2 * half + 1], sum.at[1][2 * half],
                      sum.at[1][2 * half + 1]};
#pragma unroll
        for (int k = 0; k < 4; k += 2) {
            const float a[4] = {left.at[0][k], left.at[1][k], left.at[0][k + 1], left.at[1][k + 1]};
            const float b[2] = {right.at[half][k], right.at[half][k + 1]};
            uint32 a_high[4], a_low[4], b_high[2], b_low[2];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                a_high[i] = rounded_to_tf32(a[i]);
                a_low[i] = rounded_to_tf32(a[i] - __uint_as_float(a_high[i]));
            }
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                b_high[i] = rounded_to_tf32(b[i]);
                b_low[i] = rounded_to_tf32(b[i] - __uint_as_float(b_high[i]));
            }
            multiply_add_16x8x8(d, a_low, b_high);
            multiply_add_16x8x8(d, a_high, b_low);
            multiply_add_16x8x8(d, a_high, b_high);
        }
        sum.at[0][2 * half] = d[0], sum.at[0][2 * half + 1] = d[1];
        sum.at[1][2 * half] = d[2], sum.at[1][2 * half + 1] = d[3];
    }
}
