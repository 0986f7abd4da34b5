// Norms of order 2, 1, inf or -inf of all elements of many arrays together, in two launches and always in the same order.
#include "block.cuh"
#include "memory.cuh"
#include "tables.cuh"

// What an element gives to a norm, and how such parts are joined.
struct Squares {
    using Join = Sum;
    template <typename R>
    INLINE R term(R x) { return x * x; }
};
template <typename Joined>
struct Sizes {
    using Join = Joined;
    template <typename R>
    INLINE R term(R x) { return fabs(x); }
};

// partial[first + b] is what the chunk of block b has.
template <typename T, typename Norm>
__global__ void __launch_bounds__(256)
norm_of_chunks(const __grid_constant__ Table table, double* partial, int64 first, int64 records,
               int64 length) {
    using R = Compute<T>;
    using Join = typename Norm::Join;
    const Chunk chunk = own_chunk(table, 1, int(records), length);
    const T* place = chunk.place<T>(0);
    R total = Join::template neutral<R>();
    const bool is_aligned = chunk.record[PLACES] % VECTOR_BYTES == 0;
    const int64 size = chunk.end - chunk.begin;
    const int64 whole = chunk.begin + (is_aligned ? size / LANES<T> * LANES<T> : 0);
#pragma unroll 4
    for (int64 i = chunk.begin + threadIdx.x * LANES<T>; i < whole; i += blockDim.x * LANES<T>) {
        const auto lanes = load<LANES<T>>(place + i);
#pragma unroll
        for (int j = 0; j < LANES<T>; ++j)
            total = Join::of(total, Norm::term(R(widen(lanes.lane[j]))));
    }
    for (int64 i = whole + threadIdx.x; i < chunk.end; i += blockDim.x)
        total = Join::of(total, Norm::term(R(widen(place[i]))));
    const double all = reduce_block<Join>(double(total));
    if (threadIdx.x == 0) partial[first + blockIdx.x] = all;
}

// All parts joined, by one block; their root, if they are sums of squares.
template <typename T, typename Join>
__global__ void __launch_bounds__(1024)
join_parts(const double* partial, T* out, int64 parts, int64 is_squared) {
    double total = Join::template neutral<double>();
    for (int64 i = threadIdx.x; i < parts; i += blockDim.x) total = Join::of(total, partial[i]);
    total = reduce_block<Join>(total);
    if (threadIdx.x == 0) *out = narrow<T>(Compute<T>(is_squared ? sqrt(total) : total));
}
