// Reductions over any dimensions: elements of one result in the same threads (`reduce_rows`), or
// neighbouring results side by side (`reduce_columns`), whichever reads memory in order.
//
// Where there are few results, each is reduced in chunks; the last block of a result puts the states
// of its chunks together.
#include "last_block.cuh"
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

// Where results and the states of chunks go: chunk by chunk, each with all `count` results.
template <typename Reducer>
struct Target {
    using State = typename Reducer::State;
    typename Reducer::Result* out;
    State* states;
    int64 count;
    double number;

    // The result, part by part behind all results.
    __device__ void finish(int64 place, State state) const {
#pragma unroll
        for (int part = 0; part < Reducer::PARTS; ++part)
            out[part * count + place] = Reducer::finish(state, number, part);
    }

    // The same, or the state of this block's chunk if there are several.
    __device__ void put(int64 place, State state) const {
        if (gridDim.y > 1)
            states[blockIdx.y * count + place] = state;
        else
            finish(place, state);
    }

    // The state of another block's chunk.
    __device__ State of_chunk(int64 place, int64 chunk) const {
        return states[chunk * count + place];
    }
};

// The state with one more element, of one input or two.
template <typename Reducer, typename T>
INLINE typename Reducer::State added(typename Reducer::State state, T x, T y, int64 index) {
    if constexpr (Reducer::INPUTS == 2)
        return Reducer::add(state, widen(x), widen(y));
    else
        return Reducer::add(state, widen(x), index);
}

// Groups of `threads` reduce a result each, or with more threads than a warp the block does. There
// are `length` vectors, or elements, to reduce; blockIdx.y is the chunk of `chunk` of them.
template <template <typename> class Of, typename T, bool IS_WIDE>
__global__ void __launch_bounds__(512)
reduce_rows(const T* __restrict__ x, const T* __restrict__ y, typename Of<T>::Result* out,
            typename Of<T>::State* states, uint32* counters, int64 results, int64 length,
            int64 chunk, int64 threads, double number, Path kept, Path reduced) {
    constexpr int WIDTH = IS_WIDE ? LANES<T> : 1;
    using Reducer = Of<T>;
    using State = typename Reducer::State;
    const Target<Reducer> target{out, states, results, number};
    const int lane = threadIdx.x % threads;
    const int64 row = int64(blockIdx.x) * (blockDim.x / threads) + threadIdx.x / threads;
    const bool is_real = row < results;
    const int64 start = is_real ? kept.place(row) : 0;
    const int64 begin = blockIdx.y * chunk, end = min(begin + chunk, length);
    State state[IN_FLIGHT];
#pragma unroll
    for (int f = 0; f < IN_FLIGHT; ++f) state[f] = Reducer::start();
    for (int64 k = begin + lane; k < end && is_real; k += threads * IN_FLIGHT) {
        Vector<T, WIDTH> read[Reducer::INPUTS][IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * threads < end) {
                const int64 place = start + reduced.place(k + f * threads);
                read[0][f] = load<WIDTH>(x + place);
                if (Reducer::INPUTS == 2) read[Reducer::INPUTS - 1][f] = load<WIDTH>(y + place);
            }
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * threads < end) {
                const int64 index = (k + f * threads) * WIDTH;
#pragma unroll
                for (int w = 0; w < WIDTH; ++w)
                    state[f] = added<Reducer>(state[f], read[0][f].lane[w],
                                              read[Reducer::INPUTS - 1][f].lane[w], index + w);
            }
    }
    State all = Reducer::merge(Reducer::merge(state[0], state[1]),
                               Reducer::merge(state[2], state[3]));
    all = threads <= WARP ? merge_warp<Reducer>(all, threads) : merge_block<Reducer>(all);
    if (lane == 0 && is_real) target.put(row, all);
    if (gridDim.y == 1 || !comes_last(counters)) return;  // with chunks, a block has one result
    all = Reducer::start();
#pragma unroll 4
    for (int64 k = threadIdx.x; k < gridDim.y; k += blockDim.x)
        all = Reducer::merge(all, target.of_chunk(row, k));
    all = merge_block<Reducer>(all);
    if (threadIdx.x == 0) target.finish(row, all);
}

// The first `across` threads get the merged states of all threads that are as far behind them.
template <typename Reducer>
INLINE typename Reducer::State merge_column(typename Reducer::State state, int across) {
    SHARED_ARRAY(typename Reducer::State, shared, COLUMN_BLOCK);
    const int deep = threadIdx.x / across, depth = COLUMN_BLOCK / across;
    __syncthreads();
    shared[threadIdx.x] = state;
    for (int half = depth / 2; half > 0; half /= 2) {
        __syncthreads();
        if (deep < half)
            shared[threadIdx.x] = Reducer::merge(shared[threadIdx.x],
                                                 shared[threadIdx.x + half * across]);
    }
    return shared[threadIdx.x];
}

// `across` threads have a vector of neighbouring results each, or one, and the other threads of the
// block other elements of the same ones. blockIdx.x counts the blocks along a row of `columns`
// results and those rows, blockIdx.y the chunks of the `length` elements to reduce.
template <template <typename> class Of, typename T, bool IS_WIDE>
__global__ void __launch_bounds__(COLUMN_BLOCK, 1)
reduce_columns(const T* __restrict__ x, const T* __restrict__ y, typename Of<T>::Result* out,
               typename Of<T>::State* states, uint32* counters, int64 columns, int64 length,
               int64 chunk, int64 across, double number, Path kept, Path reduced) {
    using Reducer = Of<T>;
    using State = typename Reducer::State;
    constexpr int WIDTH = IS_WIDE ? LANES<T> : 1;
    const int64 per_row = (columns + across * WIDTH - 1) / (across * WIDTH);
    const int64 row = blockIdx.x / per_row, part = blockIdx.x % per_row;
    const int lane = threadIdx.x % across, deep = threadIdx.x / across;
    const int depth = COLUMN_BLOCK / across;
    const int64 column = (part * across + lane) * WIDTH;
    const bool is_real = column < columns;
    const int64 start = kept.place(row) + column, first = row * columns + column;
    const Target<Reducer> target{out, states, int64(gridDim.x) / per_row * columns, number};
    const int64 begin = blockIdx.y * chunk, end = min(begin + chunk, length);
    State state[WIDTH];
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) state[w] = Reducer::start();
    for (int64 k = begin + deep; k < end && is_real; k += depth * IN_FLIGHT) {
        Vector<T, WIDTH> read[Reducer::INPUTS][IN_FLIGHT];
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * depth < end) {
                const int64 place = start + reduced.place(k + f * depth);
                read[0][f] = load<WIDTH>(x + place);
                if (Reducer::INPUTS == 2) read[Reducer::INPUTS - 1][f] = load<WIDTH>(y + place);
            }
#pragma unroll
        for (int f = 0; f < IN_FLIGHT; ++f)
            if (k + f * depth < end) {
#pragma unroll
                for (int w = 0; w < WIDTH; ++w)
                    state[w] = added<Reducer>(state[w], read[0][f].lane[w],
                                              read[Reducer::INPUTS - 1][f].lane[w], k + f * depth);
            }
    }
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) {
        const State all = merge_column<Reducer>(state[w], across);
        if (deep == 0 && is_real) target.put(first + w, all);
    }
    if (gridDim.y == 1 || !comes_last(counters)) return;
    // All columns of a chunk before the next, so that reads do not wait for each other.
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) state[w] = Reducer::start();
#pragma unroll 4
    for (int64 k = deep; k < gridDim.y && is_real; k += depth)
#pragma unroll
        for (int w = 0; w < WIDTH; ++w)
            state[w] = Reducer::merge(state[w], target.of_chunk(first + w, k));
#pragma unroll
    for (int w = 0; w < WIDTH; ++w) {
        const State all = merge_column<Reducer>(state[w], across);
        if (deep == 0 && is_real) target.finish(first + w, all);
    }
}
