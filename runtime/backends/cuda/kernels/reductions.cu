// Reductions over any dimensions: elements of one result in the same threads (`reduce_rows`), or
// neighbouring results side by side (`reduce_columns`), whichever reads memory in order.
//
// Where there are few results, each is reduced in chunks, whose states `merge_chunks` puts together.
#include "memory.cuh"
#include "pointwise.cuh"
#include "reducers.cuh"

#define MOST_DIMENSIONS 6
#define IN_FLIGHT 4  // vectors that a thread reads before it adds the first
#define COLUMN_BLOCK 256

// Where a number that counts through several dimensions lies in memory.
struct Path {
    int64 dimensions;
    Dimension<1> dimension[MOST_DIMENSIONS];

    __device__ int64 place(int64 index) const {
        if (dimensions == 1) return index * dimension[0].step[0];
        int64 place = 0;
        uint32 rest = uint32(index);
#pragma unroll 1
        for (int d = 0; d < dimensions - 1; ++d) {
            const uint32 outer = dimension[d].quotient(rest);
            place += int64(rest - outer * dimension[d].size) * dimension[d].step[0];
            rest = outer;
        }
        return place + int64(rest) * dimension[dimensions - 1].step[0];
    }
};

// The result, or the state of a chunk if there are several.
template <typename Reducer>
INLINE void put(void* out, int64 place, typename Reducer::State state, bool is_last, double number) {
    if (is_last)
        static_cast<typename Reducer::Result*>(out)[place] = Reducer::finish(state, number);
    else
        static_cast<typename Reducer::State*>(out)[place] = state;
}

// Groups of `threads` reduce a result each, or with more threads than a warp the block does. There
// are `length` vectors, or elements, to reduce; blockIdx.y is the chunk of `chunk` of them.
template <template <typename> class Of, typename T, bool IS_WIDE>
__global__ void __launch_bounds__(512)
reduce_rows(const T* __restrict__ x, void* __restrict__ out, int64 results, int64 length,
            int64 chunk, int64 threads, double number, Path kept, Path reduced) {
    constexpr int WIDTH = IS_WIDE ? LANES<T> : 1;
    using Reducer = Of<T>;
    using State = typename Reducer::State;
    const int lane = threadIdx.x % threads;
    const int64 row = int64(blockIdx.x) * (blockDim.x / threads) + threadIdx.x / threads;
    const bool is_real = row < results;
    const T* start = x + (is_real ? kept.place(row) : 0);
    const int64 begin = blockIdx.y * chunk, end = min(begin + chunk, length);
    State state[IN_FLIGHT];
#pragma unroll
    for (int f = 0; f < IN_FLIGHT; ++f) state[f] = Reducer::start();
    for (int64 k = begin + lane; k < end && is_real; k += threads * IN_FLIGHT) {
        Vector<T, WIDTH> read[IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * threads < end)
                read[f] = load<WIDTH>(start + reduced.place(k + f * threads));
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * threads < end) {
                const int64 index = (k + f * threads) * WIDTH;
#pragma unroll
                for (int w = 0; w < WIDTH; ++w)
                    state[f] = Reducer::add(state[f], widen(read[f].lane[w]), index + w);
            }
    }
    State all = Reducer::merge(Reducer::merge(state[0], state[1]),
                               Reducer::merge(state[2], state[3]));
    all = threads <= WARP ? merge_warp<Reducer>(all, threads) : merge_block<Reducer>(all);
    if (lane == 0 && is_real)
        put<Reducer>(out, row * gridDim.y + blockIdx.y, all, gridDim.y == 1, number);
}

// `across` threads have a vector of neighbouring results each, or one, and the other threads of the block other
// elements of the same ones. blockIdx.x counts the blocks along a row of `columns` results and those
// rows, blockIdx.y the chunks of the `length` elements to reduce.
template <template <typename> class Of, typename T, bool IS_WIDE>
__global__ void __launch_bounds__(COLUMN_BLOCK)
reduce_columns(const T* __restrict__ x, void* __restrict__ out, int64 columns, int64 length,
               int64 chunk, int64 across, double number, Path kept, Path reduced) {
    using Reducer = Of<T>;
    using State = typename Reducer::State;
    constexpr int WIDTH = IS_WIDE ? LANES<T> : 1;
    SHARED_ARRAY(State, shared, COLUMN_BLOCK);
    const int64 per_row = (columns + across * WIDTH - 1) / (across * WIDTH);
    const int64 row = blockIdx.x / per_row, part = blockIdx.x % per_row;
    const int lane = threadIdx.x % across, deep = threadIdx.x / across;
    const int depth = COLUMN_BLOCK / across;
    const int64 column = (part * across + lane) * WIDTH;
    const bool is_real = column < columns;
    const T* start = x + kept.place(row) + column;
    const int64 begin = blockIdx.y * chunk, end = min(begin + chunk, length);
    State state[WIDTH];
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) state[w] = Reducer::start();
    for (int64 k = begin + deep; k < end && is_real; k += depth * IN_FLIGHT) {
        Vector<T, WIDTH> read[IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * depth < end) read[f] = load<WIDTH>(start + reduced.place(k + f * depth));
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * depth < end) {
#pragma unroll
                for (int w = 0; w < WIDTH; ++w)
                    state[w] = Reducer::add(state[w], widen(read[f].lane[w]), k + f * depth);
            }
    }
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) {
        __syncthreads();
        shared[threadIdx.x] = state[w];
        for (int half = depth / 2; half > 0; half /= 2) {
            __syncthreads();
            if (deep < half)
                shared[threadIdx.x] = Reducer::merge(shared[threadIdx.x],
                                                     shared[threadIdx.x + half * across]);
        }
        if (deep == 0 && is_real)
            put<Reducer>(out, (row * columns + column + w) * gridDim.y + blockIdx.y,
                         shared[threadIdx.x], gridDim.y == 1, number);
    }
}

// A warp puts the states of each result's chunks together.
template <template <typename> class Of, typename T>
__global__ void __launch_bounds__(128)
merge_chunks(const void* __restrict__ states, void* __restrict__ out, int64 results, int64 chunks,
             double number) {
    using Reducer = Of<T>;
    using State = typename Reducer::State;
    const int64 result = int64(blockIdx.x) * (blockDim.x / WARP) + threadIdx.x / WARP;
    const State* own = static_cast<const State*>(states) + result * chunks;
    State state = Reducer::start();
    for (int64 k = threadIdx.x % WARP; k < chunks && result < results; k += WARP)
        state = Reducer::merge(state, own[k]);
    state = merge_warp<Reducer>(state, WARP);
    if (threadIdx.x % WARP == 0 && result < results)
        put<Reducer>(out, result, state, true, number);
}
