// softmax(query @ key.T * scale + mask) @ value and its gradients in tiles: no scores in memory.
//
// Forward after arXiv:2205.14135, algorithm 1, with the division at the end (arXiv:2307.08691).
// Backward has one kernel by keys and one by queries, so that every sum has one order.
#include "fragments.cuh"
#include "memory.cuh"
#include "philox.cuh"

constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;
constexpr int WARPS = 4, THREADS = WARPS * WARP, LINES = 16 * WARPS;  // of a block's own tile

// An array (batch, head, row, width); steps in elements, along the width 1.
struct Rows {
    void* place;
    int64 batch, head, row;

    template <typename T>
    __device__ T* of(int64 b, int64 h) const {
        return static_cast<T*>(place) + b * batch + h * head;
    }
};

struct Problem {
    Rows query, key, value, out, g, by_query, by_key, by_value;
    const float* mask;  // added to the scores; may be null
    int64 mask_batch, mask_head, mask_row, mask_column;
    double* log_sums;  // (batch, head, query): the logarithm of the sum of a row's exponentials
    float* along;     // (batch, head, query): the sum of g * out over a row
    int64 heads, queries_of_key, queries, keys, width, value_width, is_causal;
    double scale, dropped;  // the probability that a weight is left out
    Stream stream;
};

// -- tiles in shared memory ----------------------------------------------------------------------

// Elements from line to line of a tile: lines of a fragment begin in different banks.
template <int WIDTH>
constexpr int STRIDE = WIDTH + 8;

// Lines of the other operand's tiles, which are of 16 KiB at most.
template <typename T, int WIDTH>
constexpr int BESIDE = (16 << 10) / (WIDTH * int(sizeof(T))) < 64
    ? (16 << 10) / (WIDTH * int(sizeof(T))) : 64;

// COUNT lines from `first` on of `rows`, of which there are `there`; zeros for the others.
template <typename T, int WIDTH, int COUNT>
INLINE void fetch(T* tile, const Rows& rows, const T* place, int64 first, int64 there,
                  int64 width) {
    constexpr int LANE = LANES<T>, PARTS = WIDTH / LANE;
    const bool is_aligned = reinterpret_cast<uint64>(place) % VECTOR_BYTES == 0
        && rows.row % LANE == 0;
    for (int i = threadIdx.x; i < COUNT * PARTS; i += THREADS) {
        const int line = i / PARTS, column = i % PARTS * LANE;
        T* to = tile + line * STRIDE<WIDTH> + column;
        const T* from = place + (first + line) * rows.row + column;
        const bool is_there = first + line < there;
        if (is_there && is_aligned && column + LANE <= width) {
            copy_later(to, from);
        } else {
            Vector<T, LANE> lanes;
#pragma unroll
            for (int k = 0; k < LANE; ++k)
                lanes.lane[k] = is_there && column + k < width ? from[k] : narrow<T>(0.0f);
            store(to, lanes);
        }
    }
}

// left @ right.T for 16 lines of each.
template <typename T, int WIDTH>
INLINE void multiply_lines(Tile& sum, const T* left, const T* right) {
#pragma unroll
    for (int k = 0; k < WIDTH; k += 16)
        multiply_add(sum, along_rows(left + k, STRIDE<WIDTH>, true),
                     along_rows(right + k, STRIDE<WIDTH>, false));
}

// sums += weights @ lines, for 16 lines.
template <typename T, int WIDTH>
INLINE void gather_lines(Tile* sums, const Tile& weights, const T* lines) {
    const Factor<T> left = AsFactor<T>::of(weights);
#pragma unroll
    for (int k = 0; k < WIDTH / 16; ++k)
        multiply_add(sums[k], left, down_columns(lines + 16 * k, STRIDE<WIDTH>));
}

// Write the 16 lines of a warp, from `first` on, times a number for each of a lane's two.
template <typename T, int WIDTH>
INLINE void write_lines(const Tile* sums, const Rows& rows, T* place, int64 first, int64 there,
                        int64 width, const float* times) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        const int64 line = first + lane_row() + 8 * row;
        if (line >= there) continue;
        T* to = place + line * rows.row;
#pragma unroll
        for (int k = 0; k < WIDTH / 16; ++k)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int column = 16 * k + lane_column(c);
                if (column < width) to[column] = narrow<T>(sums[k].at[row][c] * times[row]);
            }
    }
}

// -- scores --------------------------------------------------------------------------------------

// Which head a block works for.
struct Head {
    int64 batch, number, index;
    const float* mask;

    __device__ Head(const Problem& p, int64 number)
        : batch(blockIdx.z), number(number), index(batch * p.heads + number),
          mask(p.mask ? p.mask + batch * p.mask_batch + number * p.mask_head : nullptr) {}
};

// The score of a query and a key in powers of 2, -inf where the query may not look.
INLINE float finished(float product, const Problem& p, const Head& head, int64 query, int64 key) {
    if (key >= p.keys || query >= p.queries || (p.is_causal && key > query))
        return Limits<float>::lowest();
    float score = product * float(p.scale);
    if (head.mask) score += head.mask[query * p.mask_row + key * p.mask_column];
    return score * LOG2_E;
}

// What a weight is multiplied by for dropout: 0 or 1 / (1 - dropped). Four words serve two queries,
// 8 apart, and two keys.
INLINE float kept(const Words& words, const Problem& p, int64 query, int64 key) {
    const uint32* at = words.at;  // chosen without an index, for which they would go to memory
    const uint32 word = query & 8 ? (key & 1 ? at[3] : at[2]) : (key & 1 ? at[1] : at[0]);
    return unit(word) > float(p.dropped) ? 1.0f / (1.0f - float(p.dropped)) : 0.0f;
}
INLINE Words words_of(const Problem& p, const Head& head, int64 query, int64 key) {
    Philox philox(p.stream, head.index * ((p.queries + 15) / 16) + query / 16);
    philox.counter += query % 8 * ((p.keys + 1) / 2) + key / 2;
    return philox.next();
}

// -- forward -------------------------------------------------------------------------------------

template <typename T, int WIDTH>
__global__ void __launch_bounds__(THREADS) attention(const __grid_constant__ Problem p) {
    constexpr int COUNT = BESIDE<T, WIDTH>;
    DYNAMIC_SHARED(T, memory);
    T* query_tile = memory;
    T* key_tile = query_tile + LINES * STRIDE<WIDTH>;
    T* value_tile = key_tile + COUNT * STRIDE<WIDTH>;
    const Head head(p, blockIdx.y);
    const int64 key_head = head.number / p.queries_of_key;
    const T* key = p.key.of<const T>(head.batch, key_head);
    const T* value = p.value.of<const T>(head.batch, key_head);
    // The last queries first: if causal, they see the most keys.
    const int64 first = int64(gridDim.x - 1 - blockIdx.x) * LINES;
    const int64 own = first + threadIdx.x / WARP * 16;
    const int64 seen = p.is_causal && first + LINES < p.keys ? first + LINES : p.keys;
    const T* lines = query_tile + threadIdx.x / WARP * 16 * STRIDE<WIDTH>;
    fetch<T, WIDTH, LINES>(query_tile, p.query, p.query.of<const T>(head.batch, head.number), first,
                           p.queries, p.width);
    fetch<T, WIDTH, COUNT>(key_tile, p.key, key, 0, p.keys, p.width);
    end_group();
    fetch<T, WIDTH, COUNT>(value_tile, p.value, value, 0, p.keys, p.value_width);
    end_group();
    float top[2] = {Limits<float>::lowest(), Limits<float>::lowest()}, total[2] = {0, 0};
    Tile sums[WIDTH / 16] = {};
    for (int64 start = 0; start < seen; start += COUNT) {
        await_groups<1>();  // the keys are there
        __syncthreads();
        Tile weights[COUNT / 16] = {};
#pragma unroll
        for (int j = 0; j < COUNT / 16; ++j)
            multiply_lines<T, WIDTH>(weights[j], lines, key_tile + 16 * j * STRIDE<WIDTH>);
        __syncthreads();
        if (start + COUNT < seen)
            fetch<T, WIDTH, COUNT>(key_tile, p.key, key, start + COUNT, p.keys, p.width);
        end_group();
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const int64 query = own + lane_row() + 8 * row;
            float largest = top[row];
#pragma unroll
            for (int j = 0; j < COUNT / 16; ++j)
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    float& x = weights[j].at[row][c];
                    x = finished(x, p, head, query, start + 16 * j + lane_column(c));
                    largest = Maximum::of(largest, x);
                }
            largest = reduce_warp<Maximum>(largest, 4);
            const float base = largest == Limits<float>::lowest() ? 0.0f : largest;
            const float shrunk = exp2f(top[row] - base);
            float sum = 0;
#pragma unroll
            for (int j = 0; j < COUNT / 16; ++j)
#pragma unroll
                for (int c = 0; c < 4; ++c)
                    sum += weights[j].at[row][c] = exp2f(weights[j].at[row][c] - base);
            top[row] = largest;
            total[row] = total[row] * shrunk + sum;
#pragma unroll
            for (int k = 0; k < WIDTH / 16; ++k)
#pragma unroll
                for (int c = 0; c < 4; ++c) sums[k].at[row][c] *= shrunk;
        }
        if (p.dropped > 0)
#pragma unroll
            for (int j = 0; j < COUNT / 16; ++j)
#pragma unroll
                for (int c = 0; c < 4; c += 2) {
                    const int64 column = start + 16 * j + lane_column(c);
                    const Words words = words_of(p, head, own + lane_row(), column);
                    for (int k = 0; k < 4; ++k)
                        weights[j].at[k / 2][c + k % 2] *=
                            kept(words, p, own + lane_row() + 8 * (k / 2), column + k % 2);
                }
        await_groups<1>();  // the values are there
        __syncthreads();
#pragma unroll
        for (int j = 0; j < COUNT / 16; ++j)
            gather_lines<T, WIDTH>(sums, weights[j], value_tile + 16 * j * STRIDE<WIDTH>);
        __syncthreads();
        if (start + COUNT < seen)
            fetch<T, WIDTH, COUNT>(value_tile, p.value, value, start + COUNT, p.keys,
                                   p.value_width);
        end_group();
    }
    await_groups<0>();
    float shares[2];
    for (int row = 0; row < 2; ++row) {
        const float all = reduce_warp<Sum>(total[row], 4);
        shares[row] = all == 0.0f ? 0.0f : 1.0f / all;  // 0 for a query that may look nowhere
        const int64 query = own + lane_row() + 8 * row;
        if (threadIdx.x % 4 == 0 && query < p.queries)
            p.log_sums[head.index * p.queries + query] =
                all == 0.0f ? Limits<float>::lowest() : (top[row] + log2f(all)) * LN_2;
    }
    write_lines<T, WIDTH>(sums, p.out, p.out.of<T>(head.batch, head.number), own, p.queries,
                          p.value_width, shares);
}

// -- backward ------------------------------------------------------------------------------------

// along = sum(g * out) of each row; a warp has one row.
template <typename T>
__global__ void __launch_bounds__(THREADS) attention_along(const __grid_constant__ Problem p) {
    const Head head(p, blockIdx.y);
    const int64 row = blockIdx.x * int64(WARPS) + threadIdx.x / WARP;
    if (row >= p.queries) return;
    const T* out = p.out.of<const T>(head.batch, head.number) + row * p.out.row;
    const T* g = p.g.of<const T>(head.batch, head.number) + row * p.g.row;
    float sum = 0;
    for (int64 k = threadIdx.x % WARP; k < p.value_width; k += WARP)
        sum += widen(out[k]) * widen(g[k]);
    sum = reduce_warp<Sum>(sum);
    if (threadIdx.x % WARP == 0) p.along[head.index * p.queries + row] = sum;
}

// From the product of query and key, and that of g and value, to the weight, with dropout, and the
// gradient by the first product.
struct Parts {
    float weight, by_score;
};
INLINE Parts parts_of(float score, float by_weight, float log_sum, float along, float factor,
                      float scale) {
    const float weight = exp2f(score - log_sum);
    return {weight * factor, weight * (by_weight * factor - along) * scale};
}

// The log2 of a row's sum; inf for a query that looks nowhere, whose weights are then 0.
INLINE float known_sum(const Problem& p, int64 place) {
    const float sum = float(p.log_sums[place]);
    return sum == Limits<float>::lowest() ? Limits<float>::highest() : sum * LOG2_E;
}

template <typename T, int WIDTH>
__global__ void __launch_bounds__(THREADS)
attention_by_queries(const __grid_constant__ Problem p) {
    constexpr int COUNT = BESIDE<T, WIDTH> < 32 ? 16 : BESIDE<T, WIDTH> / 2;
    DYNAMIC_SHARED(T, memory);
    T* query_tile = memory;
    T* g_tile = query_tile + LINES * STRIDE<WIDTH>;
    T* key_tile = g_tile + LINES * STRIDE<WIDTH>;
    T* value_tile = key_tile + COUNT * STRIDE<WIDTH>;
    const Head head(p, blockIdx.y);
    const int64 key_head = head.number / p.queries_of_key;
    const T* key = p.key.of<const T>(head.batch, key_head);
    const T* value = p.value.of<const T>(head.batch, key_head);
    const int64 first = int64(gridDim.x - 1 - blockIdx.x) * LINES;
    const int64 own = first + threadIdx.x / WARP * 16;
    const int64 seen = p.is_causal && first + LINES < p.keys ? first + LINES : p.keys;
    const int offset = threadIdx.x / WARP * 16 * STRIDE<WIDTH>;
    fetch<T, WIDTH, LINES>(query_tile, p.query, p.query.of<const T>(head.batch, head.number), first,
                           p.queries, p.width);
    fetch<T, WIDTH, LINES>(g_tile, p.g, p.g.of<const T>(head.batch, head.number), first, p.queries,
                           p.value_width);
    float log_sum[2] = {}, along[2] = {};
    for (int row = 0; row < 2; ++row) {
        const int64 query = own + lane_row() + 8 * row;
        if (query < p.queries) {
            log_sum[row] = known_sum(p, head.index * p.queries + query);
            along[row] = p.along[head.index * p.queries + query];
        }
    }
    Tile sums[WIDTH / 16] = {};
    for (int64 start = 0; start < seen; start += COUNT) {
        __syncthreads();
        fetch<T, WIDTH, COUNT>(key_tile, p.key, key, start, p.keys, p.width);
        fetch<T, WIDTH, COUNT>(value_tile, p.value, value, start, p.keys, p.value_width);
        end_group();
        await_groups<0>();
        __syncthreads();
#pragma unroll
        for (int j = 0; j < COUNT; j += 16) {
            Tile scores = {}, by_weights = {};
            multiply_lines<T, WIDTH>(scores, query_tile + offset, key_tile + j * STRIDE<WIDTH>);
            multiply_lines<T, WIDTH>(by_weights, g_tile + offset, value_tile + j * STRIDE<WIDTH>);
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int64 column = start + j + lane_column(c);
                Words words = {};
                if (p.dropped > 0) words = words_of(p, head, own + lane_row(), column);
#pragma unroll
                for (int row = 0; row < 2; ++row) {
                    const int64 query = own + lane_row() + 8 * row;
                    const float factor = p.dropped > 0 ? kept(words, p, query, column) : 1.0f;
                    const float score = finished(scores.at[row][c], p, head, query, column);
                    scores.at[row][c] = parts_of(score, by_weights.at[row][c], log_sum[row],
                                                 along[row], factor, float(p.scale)).by_score;
                }
            }
            gather_lines<T, WIDTH>(sums, scores, key_tile + j * STRIDE<WIDTH>);
        }
    }
    const float ones[2] = {1.0f, 1.0f};
    write_lines<T, WIDTH>(sums, p.by_query, p.by_query.of<T>(head.batch, head.number), own,
                          p.queries, p.width, ones);
}

// A block has 64 keys of a head of keys, and goes through all queries of the heads that share it.
template <typename T, int WIDTH>
__global__ void __launch_bounds__(THREADS) attention_by_keys(const __grid_constant__ Problem p) {
    constexpr int COUNT = BESIDE<T, WIDTH> < 32 ? 16 : BESIDE<T, WIDTH> / 2;
    DYNAMIC_SHARED(T, memory);
    T* key_tile = memory;
    T* value_tile = key_tile + LINES * STRIDE<WIDTH>;
    T* query_tile = value_tile + LINES * STRIDE<WIDTH>;
    T* g_tile = query_tile + COUNT * STRIDE<WIDTH>;
    const int64 batch = blockIdx.z, key_head = blockIdx.y;
    const int64 first = int64(blockIdx.x) * LINES;
    const int64 own = first + threadIdx.x / WARP * 16;
    const int offset = threadIdx.x / WARP * 16 * STRIDE<WIDTH>;
    fetch<T, WIDTH, LINES>(key_tile, p.key, p.key.of<const T>(batch, key_head), first, p.keys,
                           p.width);
    fetch<T, WIDTH, LINES>(value_tile, p.value, p.value.of<const T>(batch, key_head), first, p.keys,
                           p.value_width);
    end_group();
    Tile by_key[WIDTH / 16] = {}, by_value[WIDTH / 16] = {};
    for (int64 shared = 0; shared < p.queries_of_key; ++shared) {
        const Head head(p, key_head * p.queries_of_key + shared);
        const T* query = p.query.of<const T>(batch, head.number);
        const T* g = p.g.of<const T>(batch, head.number);
        // Queries before the first key see none of these.
        for (int64 start = p.is_causal ? first / COUNT * COUNT : 0; start < p.queries;
             start += COUNT) {
            __syncthreads();
            fetch<T, WIDTH, COUNT>(query_tile, p.query, query, start, p.queries, p.width);
            fetch<T, WIDTH, COUNT>(g_tile, p.g, g, start, p.queries, p.value_width);
            end_group();
            await_groups<0>();
            __syncthreads();
#pragma unroll
            for (int j = 0; j < COUNT; j += 16) {
                Tile scores = {}, by_weights = {};
                multiply_lines<T, WIDTH>(scores, key_tile + offset, query_tile + j * STRIDE<WIDTH>);
                multiply_lines<T, WIDTH>(by_weights, value_tile + offset,
                                         g_tile + j * STRIDE<WIDTH>);
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    const int64 row = start + j + lane_column(c);
                    const bool is_there = row < p.queries;
                    const int64 place = head.index * p.queries + (is_there ? row : 0);
                    const float log_sum = known_sum(p, place);
                    const float along = is_there ? p.along[place] : 0.0f;
#pragma unroll
                    for (int line = 0; line < 2; ++line) {
                        const int64 column = own + lane_row() + 8 * line;
                        const float factor = p.dropped > 0
                            ? kept(words_of(p, head, row, column), p, row, column) : 1.0f;
                        const float score = finished(scores.at[line][c], p, head, row, column);
                        const Parts parts = parts_of(score, by_weights.at[line][c], log_sum, along,
                                                     factor, float(p.scale));
                        scores.at[line][c] = parts.weight;
                        by_weights.at[line][c] = parts.by_score;
                    }
                }
                gather_lines<T, WIDTH>(by_value, scores, g_tile + j * STRIDE<WIDTH>);
                gather_lines<T, WIDTH>(by_key, by_weights, query_tile + j * STRIDE<WIDTH>);
            }
        }
    }
    await_groups<0>();  // where no query sees the keys
    const float ones[2] = {1.0f, 1.0f};
    write_lines<T, WIDTH>(by_key, p.by_key, p.by_key.of<T>(batch, key_head), own, p.keys, p.width,
                          ones);
    write_lines<T, WIDTH>(by_value, p.by_value, p.by_value.of<T>(batch, key_head), own, p.keys,
                          p.value_width, ones);
}
