// Work row by row: `threads_per_row` threads keep a row in registers, so that memory is read once.
//
// A block has several rows of up to 32 threads, or one row. A thread has PIECES vectors of its row,
// or four times as many single elements where rows do not fill vectors, each `threads_per_row`
// behind the one before. `geometry` in rows.py counts the same.
#pragma once
#include "block.cuh"
#include "memory.cuh"

#define MOST_ROW_THREADS 512

struct RowThreads {
    int64 row;
    int per_row, lane;
    bool is_real;  // whether there is such a row; if not, the threads only take part in reductions

    __device__ RowThreads(int64 rows, int threads_per_row) {
        per_row = threads_per_row;
        lane = threadIdx.x % per_row;
        row = int64(blockIdx.x) * (blockDim.x / per_row) + threadIdx.x / per_row;
        is_real = row < rows;
    }

    // All threads of the row get the reduction over them.
    template <typename Operation, typename T>
    __device__ T reduce(T value) const {
        return per_row <= WARP ? reduce_warp<Operation>(value, per_row)
                               : reduce_block<Operation>(value);
    }
};

// A row of numbers in the registers of its threads.
template <typename T, bool IS_VECTOR, int PIECES>
struct Row {
    static constexpr int WIDTH = IS_VECTOR ? LANES<T> : 1;
    static constexpr int STEPS = IS_VECTOR ? PIECES : 4 * PIECES;
    using C = Compute<T>;
    C value[STEPS][WIDTH];

    // Elements behind the end are `beyond`.
    __device__ void load(const T* start, const RowThreads& at, int64 columns, C beyond) {
        Vector<T, WIDTH> read[STEPS];
#pragma unroll
        for (int s = 0; s < STEPS; ++s) {
            const int64 k = int64(at.lane + s * at.per_row) * WIDTH;
            if (at.is_real && k < columns) read[s] = ::load<WIDTH>(start + k);
        }
#pragma unroll
        for (int s = 0; s < STEPS; ++s) {
            const int64 k = int64(at.lane + s * at.per_row) * WIDTH;
            const bool is_in = at.is_real && k < columns;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) value[s][w] = is_in ? C(widen(read[s].lane[w])) : beyond;
        }
    }

    template <typename To>
    __device__ void store(To* start, const RowThreads& at, int64 columns) const {
#pragma unroll
        for (int s = 0; s < STEPS; ++s) {
            const int64 k = int64(at.lane + s * at.per_row) * WIDTH;
            if (!at.is_real || k >= columns) continue;
            Vector<To, WIDTH> written;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) written.lane[w] = narrow<To>(value[s][w]);
            ::store(start + k, written);
        }
    }

    // f(step, lane) for each element, those behind the end too.
    template <typename F>
    __device__ void each(F f) {
#pragma unroll
        for (int s = 0; s < STEPS; ++s)
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) f(s, w);
    }

    // The reduction of f(step, lane) over the row.
    template <typename Operation, typename F>
    __device__ C reduce(const RowThreads& at, F f) {
        C result = Operation::template neutral<C>();
        each([&](int s, int w) { result = Operation::of(result, f(s, w)); });
        return at.template reduce<Operation>(result);
    }
};
