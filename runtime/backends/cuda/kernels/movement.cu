// Elements moved without change: copies between any two ways of lying in memory, joins, borders, flips,
// rolls and triangles.
#include "tables.cuh"
#include "words.cuh"

#define IN_FLIGHT 4  // words that a thread reads before it writes the first
#define BLOCK_WORDS (IN_FLIGHT * 256)

// out = x, `count` words in order of the result's memory.
template <typename W>
__global__ void __launch_bounds__(256)
copy_strided(const W* __restrict__ x, W* __restrict__ out, int64 count, const Paths<2> paths) {
    const int64 first = int64(blockIdx.x) * BLOCK_WORDS + threadIdx.x;
    W read[IN_FLIGHT];
    int64 to[IN_FLIGHT];
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) {
        const int64 i = first + k * 256;
        if (i >= count) break;
        int64 offset[2];
        paths.find(uint32(i), offset);
        read[k] = x[offset[0]];
        to[k] = offset[1];
    }
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k)
        if (first + k * 256 < count) out[to[k]] = read[k];
}

// out[c][r] = x[r][c] for each of a batch of matrices, whose rows lie `x_pitch` and `out_pitch` apart:
// tiles of 32 N x 32 N elements go through shared memory, so that both sides are accessed in order, by
// words of N elements. Rows r, r + 1, ... of a word's N are kept 32 apart, so that lanes that read a
// column find it in different banks.
template <typename E, int N>
__global__ void __launch_bounds__(256)
transpose(const E* __restrict__ x, E* __restrict__ out, int64 rows, int64 columns, int64 x_pitch,
          int64 out_pitch, const Paths<2> batch) {
    using Word = Vector<E, N>;
    constexpr int TILE = 32 * N, PITCH = 33;
    SHARED_ARRAY(Word, tile, TILE * PITCH);
    const int64 across = (columns + TILE - 1) / TILE, down = (rows + TILE - 1) / TILE;
    const int64 c0 = blockIdx.x % across * TILE, r0 = blockIdx.x / across % down * TILE;
    int64 offset[2];
    batch.find(uint32(blockIdx.x / (across * down)), offset);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int r = warp; r < TILE; r += 8)
        if (r0 + r < rows && c0 + lane * N < columns)
            tile[(r % N * 32 + r / N) * PITCH + lane] =
                load<N>(x + offset[0] + (r0 + r) * x_pitch + c0 + lane * N);
    __syncthreads();
    const int64 r = r0 + lane * N;
#pragma unroll
    for (int w = warp; w < 32; w += 8) {
        const int64 c = c0 + w * N;
        if (r >= rows || c >= columns) continue;
        Word read[N];
#pragma unroll
        for (int k = 0; k < N; ++k) read[k] = tile[(k * 32 + lane) * PITCH + w];
#pragma unroll
        for (int j = 0; j < N; ++j) {
            Word written;
#pragma unroll
            for (int k = 0; k < N; ++k) written.lane[k] = read[k].lane[j];
            store(out + offset[1] + (c + j) * out_pitch + r, written);
        }
    }
}

// Arrays of rows side by side: each has rows of `width` words, which become those from `start` on of
// rows of `total` words.
template <typename W>
__global__ void __launch_bounds__(256)
join(const __grid_constant__ Table table, W* __restrict__ out, int64 total, int64 records,
     int64 length) {
    constexpr int WIDTH = PLACES + 1, START = PLACES + 2;
    const Chunk chunk = own_chunk(table, 3, int(records), length);
    const W* x = chunk.place<W>(0);
    const uint32 width = uint32(chunk.record[WIDTH]);
    const int64 start = int64(chunk.record[START]);
#pragma unroll 4
    for (int64 i = chunk.begin + threadIdx.x; i < chunk.end; i += blockDim.x) {
        const uint32 row = uint32(i) / width, column = uint32(i) - row * width;
        out[row * total + start + column] = x[i];
    }
}

// A dimension of the result (whose step is the input's), and which of the input's `size` places it
// shows: `before` places on, or outside of them as the mode says.
struct Turn {
    Dimension<1> result;
    int64 size, before, mode;

    // -1 outside.
    __device__ int64 place(int64 at) const {
        const int64 j = at - before;
        if (j >= 0 && j < size) return mode == 4 ? size - 1 - j : j;
        if (mode == 1) return j < 0 ? -j : 2 * (size - 1) - j;
        if (mode == 2) return j < 0 ? 0 : size - 1;
        if (mode == 3) return (j % size + size) % size;
        return -1;
    }
};

struct Turns {
    int64 dimensions;
    Turn turn[MOST_PATH_DIMENSIONS];
};

struct Pattern {
    uint64 bits[2];
};

// out = x, each dimension turned; what lies outside is `fill`.
template <typename W>
__global__ void __launch_bounds__(256)
turn(const W* __restrict__ x, W* __restrict__ out, int64 count, const Pattern fill,
     const Turns turns) {
    const int64 first = int64(blockIdx.x) * BLOCK_WORDS + threadIdx.x;
    W read[IN_FLIGHT];
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) {
        const int64 i = first + k * 256;
        if (i >= count) break;
        uint32 rest = uint32(i);
        int64 place = 0;
        bool is_inside = true;
#pragma unroll 1
        for (int d = 0; d < turns.dimensions; ++d) {
            const Turn& t = turns.turn[d];
            const uint32 outer = d + 1 < turns.dimensions ? t.result.quotient(rest) : 0;
            const int64 at = t.place(rest - outer * t.result.size);
            is_inside = is_inside && at >= 0;
            place += at * t.result.step[0];
            rest = outer;
        }
        if (is_inside) read[k] = x[place];
        else memcpy(&read[k], &fill, sizeof(W));
    }
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k)
        if (first + k * 256 < count) out[first + k * 256] = read[k];
}

// The places of a line of n elements with `before` and `after` more around it where element i is seen.
struct Reflect {
    template <typename F>
    INLINE void each(int64 i, int64 n, int64 before, int64 after, F f) {
        f(before + i);
        if (i > 0 && i <= before) f(before - i);
        if (i < n - 1 && n - 1 - i <= after) f(before + 2 * (n - 1) - i);
    }
};
struct Replicate {
    template <typename F>
    INLINE void each(int64 i, int64 n, int64 before, int64 after, F f) {
        const int64 begin = i > 0 ? before + i : 0;
        const int64 end = i < n - 1 ? before + i + 1 : before + n + after;
        for (int64 k = begin; k < end; ++k) f(k);
    }
};
struct Circular {
    template <typename F>
    INLINE void each(int64 i, int64 n, int64 before, int64 after, F f) {
        for (int64 k = (before + i) % n; k < before + n + after; k += n) f(k);
    }
};

// The transposed map of such a border, for the lines (outer, n, inner): each element gets the sum of
// g where it is seen.
template <typename T, typename Mode>
__global__ void __launch_bounds__(256)
unturn(const T* __restrict__ g, T* __restrict__ out, int64 count, int64 n, int64 inner,
       int64 before, int64 after) {
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    if (thread >= count) return;
    const uint32 line = uint32(thread) / uint32(inner), column = uint32(thread) % uint32(inner);
    const uint32 outer = line / uint32(n), i = line % uint32(n);
    const T* own = g + int64(outer) * (before + n + after) * inner + column;
    Compute<T> sum = 0;
    Mode::each(i, n, before, after, [&](int64 k) { sum += widen(own[k * inner]); });
    out[thread] = narrow<T>(sum);
}

// Of matrices what lies on and below the diagonal, or, if not `is_lower`, on and above it; else 0.
template <typename W>
__global__ void __launch_bounds__(256)
triangle(const W* __restrict__ x, W* __restrict__ out, int64 count, int64 rows, int64 columns,
         int64 diagonal, int64 is_lower) {
    const int64 first = int64(blockIdx.x) * BLOCK_WORDS + threadIdx.x;
#pragma unroll
    for (int k = 0; k < IN_FLIGHT; ++k) {
        const int64 i = first + k * 256;
        if (i >= count) break;
        const uint32 line = uint32(i) / uint32(columns), column = uint32(i) - line * uint32(columns);
        const int64 beyond = int64(column) - int64(line % uint32(rows)) - diagonal;
        const bool is_kept = is_lower ? beyond <= 0 : beyond >= 0;
        out[i] = is_kept ? x[i] : W();
    }
}
