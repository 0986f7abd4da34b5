// Work row by row: `threads_per_row` threads read a row of each of N arrays once and keep it in
// registers, or, where it is too long for that, read it again from the cache in each pass.
//
// A block has several rows of up to 32 threads, or one row. A thread keeps PIECES vectors of its row,
// or four times as many single elements where rows do not fill vectors, each `threads_per_row`
// behind the one before; PIECES is 0 where nothing is kept. `geometry` in rows.py counts the same.
#pragma once
#include "block.cuh"
#include "memory.cuh"

#define MOST_ROW_THREADS 512

struct RowThreads {
    int64 row, readable;  // the latter is the last row where there is none of that number
    int per_row, lane;
    bool is_real;  // whether there is such a row; if not, the threads only take part in reductions

    __device__ RowThreads(int64 rows, int64 threads_per_row) {
        per_row = int(threads_per_row);
        lane = threadIdx.x % per_row;
        row = int64(blockIdx.x) * (blockDim.x / per_row) + threadIdx.x / per_row;
        is_real = row < rows;
        readable = is_real ? row : rows - 1;
    }

    // All threads of the row get the reduction over them.
    template <typename Operation, typename T>
    __device__ T reduce(T value) const {
        return per_row <= WARP ? reduce_warp<Operation>(value, per_row)
                               : reduce_block<Operation>(value);
    }
};

template <typename T, bool IS_VECTOR, int PIECES, int N>
struct Rows {
    static constexpr int WIDTH = IS_VECTOR ? LANES<T> : 1;
    static constexpr int STEPS = PIECES ? (IS_VECTOR ? PIECES : 4 * PIECES) : (IS_VECTOR ? 2 : 8);
    using C = Compute<T>;

    const RowThreads at;
    const int64 columns;
    const T* start[N];
    Vector<T, WIDTH> part[N][STEPS];

    template <typename... Arrays>
    __device__ Rows(const RowThreads& threads, int64 columns, Arrays... arrays)
        : at(threads), columns(columns), start{arrays + threads.readable * columns...} {
        if (PIECES) read(0);
    }

    __device__ int64 place(int64 base, int s) const {
        return (base + at.lane + s * at.per_row) * WIDTH;
    }

    // What is beyond the row is read from its beginning: a branch would let the compiler wait for each
    // vector before it reads the next.
    __device__ void read(int64 base) {
#pragma unroll
        for (int s = 0; s < STEPS; ++s) {
            const int64 k = place(base, s), there = k < columns ? k : 0;
#pragma unroll
            for (int n = 0; n < N; ++n) part[n][s] = load<WIDTH>(start[n] + there);
        }
    }

    // Element w of step s, of array n.
    __device__ C value(int n, int s, int w) const { return C(widen(part[n][s].lane[w])); }

    // f(k, s) for each vector of this thread: its step, and where in the row it begins.
    template <typename F>
    __device__ void each(F f) {
        for (int64 base = 0; base * WIDTH < columns; base += int64(at.per_row) * STEPS) {
            if (!PIECES) read(base);
#pragma unroll
            for (int s = 0; s < STEPS; ++s) {
                const int64 k = place(base, s);
                if (at.is_real && k < columns) f(k, s);
            }
            if (PIECES) break;
        }
    }

    // All threads of the row get the reduction of f(s, w) over it.
    template <typename Operation, typename F>
    __device__ C reduce(F f) {
        C result = Operation::template neutral<C>();
        each([&](int64, int s) {
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) result = Operation::of(result, f(s, w));
        });
        return at.template reduce<Operation>(result);
    }

    // Write f(s, w) to the row of `out`.
    template <typename To, typename F>
    __device__ void store(To* out, F f) {
        each([&](int64 k, int s) {
            Vector<To, WIDTH> written;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) written.lane[w] = narrow<To>(f(s, w));
            ::store(out + at.row * columns + k, written);
        });
    }
};

#define ROW_PARAMETERS typename T, bool IS_VECTOR, int PIECES
#define ROW_KERNEL __global__ void __launch_bounds__(MOST_ROW_THREADS, 1)
