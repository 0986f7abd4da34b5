// Long rows, one a block, in vectors wherever they begin: what lies before the first whole vector and
// behind the last is read by elements. Nothing is kept: another pass reads the row again, from the
// cache.
#pragma once
#include "block.cuh"
#include "memory.cuh"

#define SPAN_THREADS 512
#define IN_FLIGHT 4  // vectors of each array that a thread reads before it uses the first

// The same row of N arrays, which all begin at multiples of a vector.
template <typename T, int N>
struct Span {
    static constexpr int WIDTH = LANES<T>;
    const T* start[N];
    int64 columns;
    int before, vectors;  // elements before the first whole vector, and whole vectors

    template <typename... Arrays>
    __device__ Span(int64 row, int64 columns, const Arrays*... arrays)
        : start{arrays + row * columns...}, columns(columns) {
        const int past = int(reinterpret_cast<uint64>(start[0]) / sizeof(T) % WIDTH);
        before = past ? WIDTH - past : 0;
        if (before > columns) before = int(columns);
        vectors = int((columns - before) / WIDTH);
    }

    // f(k, read) for vectors, or single elements, of all arrays from place k of the row on. The
    // threads of blocks side by side, `parts` of them, share the row.
    template <typename F>
    __device__ void each(F f, int part = 0, int parts = 1) const {
        const int thread = part * int(blockDim.x) + threadIdx.x, all = parts * int(blockDim.x);
        const int edges = int(columns) - vectors * WIDTH;
        for (int e = thread; e < edges; e += all) {
            const int64 k = e < before ? e : e + int64(vectors) * WIDTH;
            Vector<T, 1> read[N];
#pragma unroll
            for (int n = 0; n < N; ++n) read[n] = load<1>(start[n] + k);
            f(k, read);
        }
        for (int base = thread; base < vectors; base += all * IN_FLIGHT) {
            Vector<T, WIDTH> read[IN_FLIGHT][N];
#pragma unroll
            for (int u = 0; u < IN_FLIGHT; ++u) {
                // Behind the last vector the first is read again: no read waits for a branch.
                const int at = base + u * all < vectors ? base + u * all : base;
#pragma unroll
                for (int n = 0; n < N; ++n)
                    read[u][n] = load<WIDTH>(start[n] + before + int64(at) * WIDTH);
            }
#pragma unroll
            for (int u = 0; u < IN_FLIGHT; ++u)
                if (base + u * all < vectors)
                    f(before + int64(base + u * all) * WIDTH, read[u]);
        }
    }
};
