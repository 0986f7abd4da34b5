// Instructions of PTX that CUDA C++ has no names for: matrices of a warp, and copies to shared memory
// that are waited for later. The host shim of the tests has its own reading of each, by the layouts
// of the PTX ISA, "Warp level matrix instructions".
#pragma once
#include "types.cuh"

#ifndef HOST_SHIM
INLINE uint32 shared_address(const void* place) { return uint32(__cvta_generic_to_shared(place)); }
#endif

// Four matrices of 8 x 8 elements of 16 bits. Lane 8 i + r has the place of row r of matrix i; lane
// l gets of each the two elements from column l % 4 * 2 on in row l / 4, or, if IS_TURNED, those of
// the transpose.
template <bool IS_TURNED>
INLINE void load_matrices(uint32 (&to)[4], const void* row) {
#ifdef HOST_SHIM
    shim::load_matrices(to, row, IS_TURNED);
#else
    if constexpr (IS_TURNED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(shared_address(row)) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(shared_address(row)) : "memory");
#endif
}

// d += a @ b for matrices of 16 x 16 and 16 x 8 elements.
template <typename T>
INLINE void multiply_add_16x8x16(float (&d)[4], const uint32 (&a)[4], uint32 b0, uint32 b1);
#ifdef HOST_SHIM
template <typename T>
INLINE void multiply_add_16x8x16(float (&d)[4], const uint32 (&a)[4], uint32 b0, uint32 b1) {
    shim::multiply_add_16x8x16(d, a, b0, b1, [](uint16 bits) { return widen(T{bits}); });
}
#else
#define HALF_PRODUCT(T, name)                                                                      \
    template <>                                                                                    \
    __device__ __forceinline__ void multiply_add_16x8x16<T>(float (&d)[4], const uint32 (&a)[4],   \
                                                            uint32 b0, uint32 b1) {                \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name ".f32 "                \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"             \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                              \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));              \
    }
HALF_PRODUCT(float16, "f16")
HALF_PRODUCT(bfloat16, "bf16")
#undef HALF_PRODUCT
#endif

// The same for 16 x 8 and 8 x 8 numbers of tf32.
INLINE void multiply_add_16x8x8(float (&d)[4], const uint32 (&a)[4], const uint32 (&b)[2]) {
#ifdef HOST_SHIM
    shim::multiply_add_16x8x8(d, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// To the 11 significant bits of tf32, ties away from 0.
INLINE uint32 rounded_to_tf32(float x) {
#ifdef HOST_SHIM
    return shim::rounded_to_tf32(x);
#else
    uint32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
#endif
}

// -- copies from global to shared memory that are waited for later -------------------------------

// BYTES (4, 8 or 16) of `from` if they are there, else zeros; each place a multiple of that.
template <int BYTES = 16, typename T>
INLINE void copy_later(T* to, const T* from, bool is_there = true) {
#ifdef HOST_SHIM
    shim::copy_later(to, is_there ? from : nullptr, BYTES);
#else
    const uint32 place = shared_address(to);
    const int count = is_there ? BYTES : 0;
    if constexpr (BYTES == 16)  // past the first cache, which they are not read from again
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     ::"r"(place), "l"(from), "r"(count) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     ::"r"(place), "l"(from), "n"(BYTES), "r"(count) : "memory");
#endif
}

INLINE void end_group() {
#ifdef HOST_SHIM
    shim::end_group();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait for this thread's groups of copies but for the last COUNT.
template <int COUNT>
INLINE void await_groups() {
#ifdef HOST_SHIM
    shim::await_groups(COUNT);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(COUNT) : "memory");
#endif
}
