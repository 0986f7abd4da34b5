// What attention's kernels share: the problem, tiles of it in shared memory, and how products of
// queries and keys become weights. No matrix of queries x keys is ever in global memory.
//
// A warp has 16 lines of its own, or 32, and goes with them through tiles of the other operand, of
// which the next is fetched meanwhile. Every sum has one order.
#pragma once
#include "fragments.cuh"
#include "memory.cuh"
#include "philox.cuh"

constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;
constexpr int WARPS = 4, THREADS = WARPS * WARP;

// An array (batch, head, row, width); steps in elements, along the width 1.
struct Rows {
    void* place;
    int64 batch, head, row;

    template <typename T>
    __device__ T* of(int64 b, int64 h) const {
        return static_cast<T*>(place) + b * batch + h * head;
    }
};

// Of a row of scores in the backward pass: log2 of the sum of its exponentials, inf if there is
// none; and the sum of g * out, times the scale.
struct RowSums {
    float top, along;
};

struct Problem {
    Rows query, key, value, out, g, by_query, by_key, by_value;
    const float* mask;  // added to the scores; may be null
    int64 mask_batch, mask_head, mask_row, mask_column;
    double* log_sums;  // (batch, head, query): the logarithm of the sum of a row's exponentials
    RowSums* sums;     // (batch, head, query)
    int64 heads, queries_of_key, queries, keys, width, value_width, is_causal;
    double scale, dropped;  // the scale is positive; the probability that a weight is left out
    Stream stream;
};

// Which head a block works for.
struct Head {
    int64 batch, number, index;
    const float* mask;

    __device__ Head(const Problem& p, int64 number)
        : batch(blockIdx.z), number(number), index(batch * p.heads + number),
          mask(p.mask ? p.mask + batch * p.mask_batch + number * p.mask_head : nullptr) {}
};

// -- tiles in shared memory ----------------------------------------------------------------------

// Elements from line to line of a tile: lines of a fragment begin in different banks.
template <int WIDTH>
constexpr int STRIDE = WIDTH + 8;

// COUNT lines from `first` on, `row` elements apart, of which there are `there`; zeros for the
// others. They are there after `await_groups`.
template <typename T, int WIDTH, int COUNT>
INLINE void fetch(T* tile, const T* place, int64 row, int first, int there, int width) {
    constexpr int LANE = LANES<T>, PARTS = WIDTH / LANE, STEP = THREADS / PARTS;
    static_assert(COUNT % STEP == 0, "every thread copies as much");
    const int line = threadIdx.x / PARTS, column = threadIdx.x % PARTS * LANE;
    T* to = tile + line * STRIDE<WIDTH> + column;
    const T* from = place + (first + line) * row + column;
    const bool is_aligned =
        reinterpret_cast<uint64>(place) % VECTOR_BYTES == 0 && row % LANE == 0;
    if (is_aligned && width == WIDTH) {
#pragma unroll
        for (int k = 0; k < COUNT; k += STEP) {
            const bool is_there = first + line + k < there;
            copy_later(to + k * STRIDE<WIDTH>, is_there ? from + k * row : place, is_there);
        }
        return;
    }
#pragma unroll 1
    for (int k = 0; k < COUNT; k += STEP)
#pragma unroll
        for (int i = 0; i < LANE; ++i) {
            const bool is_there = first + line + k < there && column + i < width;
            to[k * STRIDE<WIDTH> + i] = is_there ? from[k * row + i] : narrow<T>(0.0f);
        }
}

// A warp's own lines, 16 of each row of fragments: in registers if IS_KEPT, else in the tile.
template <typename T, int WIDTH, int ROWS, bool IS_KEPT>
struct OwnLines {
    const T* tile;
    Factor<T> kept[IS_KEPT ? ROWS : 1][IS_KEPT ? WIDTH / 16 : 1];

    __device__ explicit OwnLines(const T* tile) : tile(tile) {}

    // Once, when the tile is there.
    __device__ void keep() {
        if constexpr (IS_KEPT)
#pragma unroll
            for (int r = 0; r < ROWS; ++r)
#pragma unroll
                for (int k = 0; k < WIDTH / 16; ++k) kept[r][k] = read(r, k);
    }

    __device__ Factor<T> read(int r, int k) const {
        return along_rows(tile + 16 * r * STRIDE<WIDTH> + 16 * k, STRIDE<WIDTH>, true);
    }

    __device__ Factor<T> at(int r, int k) const {
        if constexpr (IS_KEPT) return kept[r][k];
        else return read(r, k);
    }

    // sums[r][j] += own lines @ lines.T, for 16 * COLUMNS lines of another tile.
    template <int COLUMNS>
    __device__ void multiply(Tile (&sums)[ROWS][COLUMNS], const T* lines) const {
#pragma unroll(IS_KEPT ? WIDTH / 16 : sizeof(T) == 4 ? 2 : 4)
        for (int k = 0; k < WIDTH / 16; ++k) {
            Factor<T> left[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) left[r] = at(r, k);
#pragma unroll
            for (int j = 0; j < COLUMNS; ++j) {
                const Factor<T> right =
                    along_rows(lines + 16 * j * STRIDE<WIDTH> + 16 * k, STRIDE<WIDTH>, false);
#pragma unroll
                for (int r = 0; r < ROWS; ++r) multiply_add(sums[r][j], left[r], right);
            }
        }
    }
};

// sums[r] += weights[r] @ lines, for 16 lines and 16 * PARTS of their columns.
template <typename T, int WIDTH, int ROWS, int PARTS>
INLINE void gather_lines(Tile (&sums)[ROWS][PARTS], const Factor<T> (&weights)[ROWS],
                         const T* lines) {
#pragma unroll
    for (int k = 0; k < PARTS; ++k) {
        const Factor<T> right = down_columns(lines + 16 * k, STRIDE<WIDTH>);
#pragma unroll
        for (int r = 0; r < ROWS; ++r) multiply_add(sums[r][k], weights[r], right);
    }
}

// Write 16 lines of a warp, from `first` on, times a number for each of a lane's two.
template <typename T, int PARTS>
INLINE void write_lines(const Tile* sums, T* place, int64 row, int first, int there, int width,
                        const float* times) {
    const bool is_paired = reinterpret_cast<uint64>(place) % (2 * sizeof(T)) == 0 && row % 2 == 0;
#pragma unroll
    for (int second = 0; second < 2; ++second) {
        const int line = first + lane_row() + 8 * second;
        if (line >= there) continue;
        T* to = place + line * row;
#pragma unroll
        for (int k = 0; k < PARTS; ++k)
#pragma unroll
            for (int c = 0; c < 4; c += 2) {
                const int column = 16 * k + lane_column(c);
                const Vector<T, 2> pair = {
                    narrow<T>(sums[k].at[second][c] * times[second]),
                    narrow<T>(sums[k].at[second][c + 1] * times[second])};
                if (is_paired && column + 1 < width) {
                    store(to + column, pair);
                } else {
                    if (column < width) to[column] = pair.lane[0];
                    if (column + 1 < width) to[column + 1] = pair.lane[1];
                }
            }
    }
}

// -- weights -------------------------------------------------------------------------------------

INLINE float power_of_2(float x) {
#ifdef HOST_SHIM
    return exp2f(x);
#else
    float found;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(found) : "f"(x));
    return found;
#endif
}

// In the following IS_PLAIN says that there is no mask.

// What a score is multiplied by to be a power of 2: the mask, where there is one, comes in between.
template <bool IS_PLAIN>
INLINE float exponent_scale(const Problem& p, const Head& head) {
    return !IS_PLAIN && head.mask ? 1.0f : float(p.scale) * LOG2_E;
}

// Whether some of the queries from `query` on may not see some of the keys below `end`, or see them
// through a mask.
template <bool IS_PLAIN>
INLINE bool is_limited(const Problem& p, const Head& head, int query, int end) {
    return (!IS_PLAIN && head.mask) || end > p.keys || (p.is_causal && end - 1 > query);
}

// The score of a query and a key after the mask; -inf where the query may not look.
template <bool IS_PLAIN>
INLINE float limited(float product, const Problem& p, const Head& head, int query, int key) {
    if (key >= int(p.keys) || (p.is_causal && key > query)) return Limits<float>::lowest();
    if (IS_PLAIN || !head.mask || query >= p.queries) return product;
    return (product * float(p.scale) + head.mask[query * p.mask_row + key * p.mask_column]) * LOG2_E;
}

// 0 or 1 / (1 - dropped) for the weights of a query, and that 8 behind, and of two keys, an even one
// and the next.
struct Factors {
    float of[2][2];

    __device__ Factors(const Problem& p, const Head& head, int query, int key) {
        Philox philox(p.stream, head.index * ((p.queries + 15) / 16) + query / 16);
        philox.counter += query % 8 * ((p.keys + 1) / 2) + key / 2;
        const Words words = philox.next();
#pragma unroll
        for (int k = 0; k < 4; ++k)
            of[k / 2][k % 2] =
                unit(words.at[k]) > float(p.dropped) ? 1.0f / (1.0f - float(p.dropped)) : 0.0f;
    }
};
