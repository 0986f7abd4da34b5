// Products of 16 x 16 tiles by a warp on tensor cores, their factors in shared memory.
//
// Lane l of a warp, with g = l / 4 and t = l % 4, holds of a left factor (rows x k) the rows g and
// g + 8 at k = 2t, 2t + 1, 2t + 8, 2t + 9, of a right factor (k x columns) the columns g and g + 8
// at the same k, and of the result the rows g and g + 8 at columns 2t, 2t + 1, 2t + 8, 2t + 9:
// the layout of mma.m16n8k16 (PTX ISA, section 9.7.14), so that a result is a left factor as it is.
#pragma once
#include "block.cuh"

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

#ifdef HOST_SHIM
#define TENSOR_CORES 0
#else
#define TENSOR_CORES 1
#endif

INLINE uint32 shared_address(const void* place) {
#if TENSOR_CORES
    return uint32(__cvta_generic_to_shared(place));
#else
    return 0;
#endif
}

template <typename T>
INLINE uint32 paired(float low, float high) {
    return uint32(narrow<T>(low).bits) | uint32(narrow<T>(high).bits) << 16;
}

template <typename T>
INLINE uint32 paired(const T& low, const T& high) {
    return uint32(low.bits) | uint32(high.bits) << 16;
}

// Lines of the tile are rows of a left factor, or columns of a right one.
template <typename T>
INLINE Factor<T> along_rows(const T* tile, int stride, bool is_left) {
    Factor<T> found;
#if TENSOR_CORES
    const int lane = threadIdx.x % WARP;
    // The four 8 x 8 matrices: for a left factor by rows first, for a right one by k.
    const int row = is_left ? lane % 16 : lane % 8 + lane / 16 * 8;
    const int column = is_left ? lane / 16 * 8 : lane / 8 % 2 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(found.pair[0]), "=r"(found.pair[1]), "=r"(found.pair[2]), "=r"(found.pair[3])
                 : "r"(shared_address(tile + row * stride + column))
                 : "memory");
#else
    for (int part = 0; part < 4; ++part) {
        const int second = is_left ? part % 2 : part / 2, k = is_left ? part / 2 * 2 : part % 2 * 2;
        const T* place = tile + (lane_row() + 8 * second) * stride + lane_column(k);
        found.pair[part] = paired(place[0], place[1]);
    }
#endif
    return found;
}
INLINE Factor<float> along_rows(const float* tile, int stride, bool) {
    Factor<float> found;
    for (int second = 0; second < 2; ++second)
        for (int k = 0; k < 4; ++k)
            found.at[second][k] = tile[(lane_row() + 8 * second) * stride + lane_column(k)];
    return found;
}

// Rows of the tile are those of a right factor: k.
template <typename T>
INLINE Factor<T> down_columns(const T* tile, int stride) {
    Factor<T> found;
#if TENSOR_CORES
    const int lane = threadIdx.x % WARP;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(found.pair[0]), "=r"(found.pair[1]), "=r"(found.pair[2]), "=r"(found.pair[3])
                 : "r"(shared_address(tile + lane % 16 * stride + lane / 16 * 8))
                 : "memory");
#else
    for (int part = 0; part < 4; ++part) {
        const T* place = tile + lane_column(part % 2 * 2) * stride + lane_row() + part / 2 * 8;
        found.pair[part] = paired(place[0], place[stride]);
    }
#endif
    return found;
}
INLINE Factor<float> down_columns(const float* tile, int stride) {
    Factor<float> found;
    for (int second = 0; second < 2; ++second)
        for (int k = 0; k < 4; ++k)
            found.at[second][k] = tile[lane_column(k) * stride + lane_row() + 8 * second];
    return found;
}

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

#if TENSOR_CORES
template <typename T>
INLINE void multiply_add_half(float* d, const Factor<T>& a, uint32 b0, uint32 b1);
#define HALF_PRODUCT(T, name)                                                                 \
    template <>                                                                               \
    __device__ __forceinline__ void multiply_add_half<T>(float* d, const Factor<T>& a,        \
                                                         uint32 b0, uint32 b1) {              \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name ".f32 "           \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"        \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                         \
                     : "r"(a.pair[0]), "r"(a.pair[1]), "r"(a.pair[2]), "r"(a.pair[3]),        \
                       "r"(b0), "r"(b1));                                                     \
    }
HALF_PRODUCT(float16, "f16")
HALF_PRODUCT(bfloat16, "bf16")
#undef HALF_PRODUCT

INLINE uint32 rounded(float x) {  // to the 11 significant bits of tf32
    uint32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

INLINE void multiply_add_tf32(float* d, const uint32* a, const uint32* b) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// sum += left @ right.
#if TENSOR_CORES
template <typename T>
INLINE void multiply_add(Tile& sum, const Factor<T>& left, const Factor<T>& right) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of the columns
        float d[4] = {sum.at[0][2 * half], sum.at[0][2 * half + 1], sum.at[1][2 * half],
                      sum.at[1][2 * half + 1]};
        multiply_add_half<T>(d, left, right.pair[2 * half], right.pair[2 * half + 1]);
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
                a_high[i] = rounded(a[i]);
                a_low[i] = rounded(a[i] - __uint_as_float(a_high[i]));
            }
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                b_high[i] = rounded(b[i]);
                b_low[i] = rounded(b[i] - __uint_as_float(b_high[i]));
            }
            multiply_add_tf32(d, a_low, b_high);
            multiply_add_tf32(d, a_high, b_low);
            multiply_add_tf32(d, a_high, b_high);
        }
        sum.at[0][2 * half] = d[0], sum.at[0][2 * half + 1] = d[1];
        sum.at[1][2 * half] = d[2], sum.at[1][2 * half + 1] = d[3];
    }
}
#else
INLINE float element(const Factor<float>& x, int second, int k, bool) { return x.at[second][k]; }
template <typename T>
INLINE float element(const Factor<T>& x, int second, int k, bool is_left) {
    const int part = is_left ? second + k / 2 * 2 : k / 2 + second * 2;
    return widen(T{uint16(x.pair[part] >> 16 * (k % 2))});
}

// As the layout above defines it; the lanes tell each other their elements.
template <typename T>
INLINE void multiply_add(Tile& sum, const Factor<T>& left, const Factor<T>& right) {
    struct Pair { float left, right; };
    float a[2][16], b[4][16];  // this lane's rows, and the columns 2t, 2t + 1, 2t + 8, 2t + 9
    for (int second = 0; second < 2; ++second)
        for (int k = 0; k < 4; ++k) {
            const Pair own = {element(left, second, k, true), element(right, second, k, false)};
            shim::exchange(ALL_LANES, shim::bits_of(own));
            for (int t = 0; t < 4; ++t) {
                a[second][4 * k + t] = shim::told_by<Pair>(lane_row() * 4 + t).left;
                for (int c = 0; c < 2; ++c)
                    b[2 * second + c][4 * k + t] =
                        shim::told_by<Pair>((threadIdx.x % 4 * 2 + c) * 4 + t).right;
            }
        }
    for (int row = 0; row < 2; ++row)
        for (int c = 0; c < 4; ++c)
            for (int k = 0; k < 16; ++k) sum.at[row][c] += a[row][k] * b[c][k];
}
#endif

// -- copies from global to shared memory that are waited for later -------------------------------

// BYTES (4, 8 or 16) of `from` if they are there, else zeros; each place a multiple of that.
template <int BYTES = 16, typename T>
INLINE void copy_later(T* to, const T* from, bool is_there = true) {
#if TENSOR_CORES
    if constexpr (BYTES == 16)  // past the first cache, which they are not read from again
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     ::"r"(shared_address(to)), "l"(from), "r"(is_there ? 16 : 0) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     ::"r"(shared_address(to)), "l"(from), "n"(BYTES), "r"(is_there ? BYTES : 0)
                     : "memory");
#else
    shim::check_aligned(to, BYTES);
    shim::check_aligned(from, BYTES);
    if (is_there) memcpy(to, from, BYTES);
    else memset(to, 0, BYTES);
#endif
}

INLINE void end_group() {
#if TENSOR_CORES
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait for this thread's groups of copies but for the last COUNT.
template <int COUNT>
INLINE void await_groups() {
#if TENSOR_CORES
    asm volatile("cp.async.wait_group %0;" ::"n"(COUNT) : "memory");
#endif
}
