// Elements from one type to another, by accesses of up to 16 bytes.
#include "memory.cuh"

template <typename From, typename To>
constexpr int CAST_LANES = VECTOR_BYTES / int(sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));

// Whole numbers come from the part of a number before its point, as in C; true is 1.
template <typename To, typename From>
INLINE To converted(From x) { return narrow<To>(Compute<To>(widen(x))); }

template <typename From, typename To>
__global__ void __launch_bounds__(256) cast(const From* x, To* out, int64 count, int64 is_aligned) {
    constexpr int N = CAST_LANES<From, To>;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 first = thread * N;
    if (is_aligned && first + N <= count) {
        const auto lanes = load<N>(x + first);
        Vector<To, N> found;
#pragma unroll
        for (int k = 0; k < N; ++k) found.lane[k] = converted<To>(lanes.lane[k]);
        store(out + first, found);
    } else {
        for (int64 i = first; i < count && i < first + N; ++i) out[i] = converted<To>(x[i]);
    }
}
