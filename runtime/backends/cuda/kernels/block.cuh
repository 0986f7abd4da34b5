// Reductions over the threads of a warp and of a block, always in the same order.
#pragma once
#include "types.cuh"

#define WARP 32
#define ALL_LANES 0xffffffffu

struct Sum {
    template <typename T>
    INLINE T of(T a, T b) { return a + b; }
    template <typename T>
    INLINE T neutral() { return T(0); }
};

struct Product {
    template <typename T>
    INLINE T of(T a, T b) { return a * b; }
    template <typename T>
    INLINE T neutral() { return T(1); }
};

// NaN, where there is one, is the largest and the smallest number.
struct Maximum {
    template <typename T>
    INLINE T of(T a, T b) { return a > b || is_nan(a) ? a : b; }
    template <typename T>
    INLINE T neutral() { return Limits<T>::lowest(); }
};

struct Minimum {
    template <typename T>
    INLINE T of(T a, T b) { return a < b || is_nan(a) ? a : b; }
    template <typename T>
    INLINE T neutral() { return Limits<T>::highest(); }
};

// All lanes get the reduction over the lanes of their group of `width`, a power of 2.
template <typename Operation, typename T>
INLINE T reduce_warp(T value, int width = WARP) {
    for (int offset = width / 2; offset > 0; offset /= 2)
        value = Operation::of(value, __shfl_xor_sync(ALL_LANES, value, offset));
    return value;
}

// All threads of the block, a multiple of 32, get the reduction over them. Every one must call it.
template <typename Operation, typename T>
INLINE T reduce_block(T value) {
    SHARED_ARRAY(T, partial, WARP);
    const int warps = blockDim.x / WARP;
    value = reduce_warp<Operation>(value);
    if (warps == 1) return value;
    __syncthreads();  // the threads may still read the partials of the reduction before
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = value;
    __syncthreads();
    const int lane = threadIdx.x % WARP;
    value = lane < warps ? partial[lane] : Operation::template neutral<T>();
    return reduce_warp<Operation>(value);
}
