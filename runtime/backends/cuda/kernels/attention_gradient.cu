// The gradients of attention: one kernel by queries and one by keys, which compute the weights again,
// so that every sum has one order.
#include "attention.cuh"

constexpr int ROW_LANES = 8;

// Rows of fragments that a warp has, lines of the other operand's tiles, and how many warps share the
// columns of a result: as much as registers hold.
template <typename T, int WIDTH, bool IS_PLAIN>
struct Backward {
    static constexpr bool IS_HALF = sizeof(T) == 2, IS_KEPT = IS_HALF && WIDTH == 64;
    static constexpr int ROWS = IS_KEPT && IS_PLAIN ? 2 : 1;  // of queries; one of keys
    static constexpr int COUNT = (IS_HALF ? 4096 : 2048) / WIDTH;
    static constexpr int SHARERS = WIDTH == 256 ? 2 : 1;  // of keys
    static constexpr int QUERIES = 16 * ROWS * WARPS, KEYS = 16 * WARPS / SHARERS;
    static constexpr int TILE = COUNT * STRIDE<WIDTH>;
};

// The RowSums of each row; ROW_LANES threads have one.
template <typename T>
__global__ void __launch_bounds__(THREADS) attention_sums(const __grid_constant__ Problem p) {
    const Head head(p, blockIdx.y);
    const int64 found = int64(blockIdx.x) * (THREADS / ROW_LANES) + threadIdx.x / ROW_LANES;
    const int64 row = found < p.queries ? found : p.queries - 1;
    const T* out = p.out.of<const T>(head.batch, head.number) + row * p.out.row;
    const T* g = p.g.of<const T>(head.batch, head.number) + row * p.g.row;
    const uint64 places = reinterpret_cast<uint64>(out) | reinterpret_cast<uint64>(g);
    const int lane = threadIdx.x % ROW_LANES, width = int(p.value_width);
    const int whole = places % VECTOR_BYTES == 0 ? width / LANES<T> * LANES<T> : 0;
    float sum = 0;
    for (int k = lane * LANES<T>; k < whole; k += ROW_LANES * LANES<T>) {
        const auto a = load<LANES<T>>(out + k), b = load<LANES<T>>(g + k);
#pragma unroll
        for (int i = 0; i < LANES<T>; ++i) sum += widen(a.lane[i]) * widen(b.lane[i]);
    }
    for (int k = whole + lane; k < width; k += ROW_LANES) sum += widen(out[k]) * widen(g[k]);
    sum = reduce_warp<Sum>(sum, ROW_LANES);
    if (lane || found >= p.queries) return;
    const int64 place = head.index * p.queries + row;
    const float top = float(p.log_sums[place]);
    // The weights of a query that looks nowhere are 0.
    p.sums[place] = {top == Limits<float>::lowest() ? Limits<float>::highest() : top * LOG2_E,
                     sum * float(p.scale)};
}

// From the product of query and key to the weight, and from that of g and value to the gradient by
// the first product.
INLINE float weight_of(float score, float scale, const RowSums& sums) {
    return power_of_2(score * scale - sums.top);
}
INLINE float by_score_of(float weight, float by_weight, const Problem& p, const RowSums& sums) {
    return weight * (by_weight * float(p.scale) - sums.along);
}

template <typename T, int WIDTH, bool IS_PLAIN>
__global__ void __launch_bounds__(THREADS, 1)
attention_by_queries(const __grid_constant__ Problem p) {
    using B = Backward<T, WIDTH, IS_PLAIN>;
    constexpr int ROWS = B::ROWS, PARTS = WIDTH / 16, OWN = 16 * ROWS;
    DYNAMIC_SHARED(T, memory);
    T* tiles = memory + 2 * B::QUERIES * STRIDE<WIDTH>;  // twice keys and values
    const Head head(p, blockIdx.y);
    const int64 key_head = head.number / p.queries_of_key;
    const T* key = p.key.of<const T>(head.batch, key_head);
    const T* value = p.value.of<const T>(head.batch, key_head);
    const int first = int(gridDim.x - 1 - blockIdx.x) * B::QUERIES, keys = int(p.keys);
    const int warp = threadIdx.x / WARP, own = first + warp * OWN, queries = int(p.queries);
    const int seen = p.is_causal && first + B::QUERIES < keys ? first + B::QUERIES : keys;
    const float scale = exponent_scale<IS_PLAIN>(p, head);
    OwnLines<T, WIDTH, ROWS, B::IS_KEPT> query(memory + warp * OWN * STRIDE<WIDTH>);
    OwnLines<T, WIDTH, ROWS, B::IS_KEPT> g(query.tile + B::QUERIES * STRIDE<WIDTH>);
    fetch<T, WIDTH, B::QUERIES>(memory, p.query.of<const T>(head.batch, head.number), p.query.row,
                                first, queries, int(p.width));
    fetch<T, WIDTH, B::QUERIES>(memory + B::QUERIES * STRIDE<WIDTH>,
                                p.g.of<const T>(head.batch, head.number), p.g.row, first, queries,
                                int(p.value_width));
    end_group();
    RowSums sums_of[ROWS][2] = {};
#pragma unroll
    for (int r = 0; r < 2 * ROWS; ++r) {
        const int row = own + 8 * r + lane_row();
        if (row < queries) sums_of[r / 2][r % 2] = p.sums[head.index * queries + row];
    }
    Tile sums[ROWS][PARTS] = {};
    for (int start = -B::COUNT; start < seen; start += B::COUNT) {
        await_groups<0>();
        __syncthreads();  // this tile is there, and nobody reads the one before it
        const T* key_tile = tiles + (start / B::COUNT & 1) * 2 * B::TILE;
        if (start + B::COUNT < seen) {
            T* next = tiles + (start / B::COUNT + 1 & 1) * 2 * B::TILE;
            fetch<T, WIDTH, B::COUNT>(next, key, p.key.row, start + B::COUNT, keys, int(p.width));
            fetch<T, WIDTH, B::COUNT>(next + B::TILE, value, p.value.row, start + B::COUNT, keys,
                                      int(p.value_width));
            end_group();
        }
        if (start < 0) {
            query.keep();
            g.keep();
            continue;
        }
#pragma unroll 1
        for (int j = 0; j < B::COUNT; j += 16) {
            if (p.is_causal && start + j >= own + OWN) break;  // this warp sees none of these
            const T* key_lines = key_tile + j * STRIDE<WIDTH>;
            Tile scores[ROWS][1] = {}, by_weights[ROWS][1] = {};
            query.multiply(scores, key_lines);
            g.multiply(by_weights, key_lines + B::TILE);
            const bool has_limits = is_limited<IS_PLAIN>(p, head, own, start + j + 16);
            Factor<T> by_scores[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
#pragma unroll
                for (int c = 0; c < 4; ++c) {
                    const int column = start + j + lane_column(c);
#pragma unroll
                    for (int row = 0; row < 2; ++row) {
                        float& score = scores[r][0].at[row][c];
                        float by_weight = by_weights[r][0].at[row][c];
                        const int line = own + 16 * r + 8 * row + lane_row();
                        if (has_limits) score = limited<IS_PLAIN>(score, p, head, line, column);
                        if (!IS_PLAIN && p.dropped > 0)
                            by_weight *= Factors(p, head, own + 16 * r + lane_row(), column & ~1)
                                             .of[row][c % 2];
                        score = by_score_of(weight_of(score, scale, sums_of[r][row]), by_weight, p,
                                            sums_of[r][row]);
                    }
                }
                by_scores[r] = AsFactor<T>::of(scores[r][0]);
            }
            gather_lines<T, WIDTH>(sums, by_scores, key_lines);
        }
    }
    const float ones[2] = {1.0f, 1.0f};
    T* out = p.by_query.of<T>(head.batch, head.number);
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
        write_lines<T, PARTS>(sums[r], out, p.by_query.row, own + 16 * r, queries, int(p.width),
                              ones);
}

// A block has keys of a head of keys, and goes through all queries of the heads that share it.
template <typename T, int WIDTH, bool IS_PLAIN>
__global__ void __launch_bounds__(THREADS, 1)
attention_by_keys(const __grid_constant__ Problem p) {
    using B = Backward<T, WIDTH, IS_PLAIN>;
    constexpr int PARTS = WIDTH / 16 / B::SHARERS, COUNT = B::COUNT, TILE = B::TILE;
    DYNAMIC_SHARED(T, memory);
    SHARED_ARRAY(RowSums, sums_of, 2 * COUNT);
    T* tiles = memory + 2 * B::KEYS * STRIDE<WIDTH>;  // twice queries and g
    const int batch = blockIdx.z, key_head = blockIdx.y, first = int(blockIdx.x) * B::KEYS;
    const int warp = threadIdx.x / WARP, own = first + warp / B::SHARERS * 16;
    const int column = warp % B::SHARERS * 16 * PARTS;  // from which on this warp has the results
    const int queries = int(p.queries), keys = int(p.keys);
    OwnLines<T, WIDTH, 1, B::IS_KEPT> key(memory + warp / B::SHARERS * 16 * STRIDE<WIDTH>);
    OwnLines<T, WIDTH, 1, B::IS_KEPT> value(key.tile + B::KEYS * STRIDE<WIDTH>);
    fetch<T, WIDTH, B::KEYS>(memory, p.key.of<const T>(batch, key_head), p.key.row, first, keys,
                             int(p.width));
    fetch<T, WIDTH, B::KEYS>(memory + B::KEYS * STRIDE<WIDTH>, p.value.of<const T>(batch, key_head),
                             p.value.row, first, keys, int(p.value_width));
    end_group();
    // Queries before the first key see none of these.
    const int begin = p.is_causal ? first / COUNT * COUNT : 0;
    const int steps = begin < queries ? (queries - begin + COUNT - 1) / COUNT : 0;
    const int all = steps * int(p.queries_of_key);
    const auto fetch_step = [&](int step) {
        const int64 number = int64(key_head) * p.queries_of_key + step / steps;
        const int start = begin + step % steps * COUNT;
        T* tile = tiles + (step & 1) * 2 * TILE;
        fetch<T, WIDTH, COUNT>(tile, p.query.of<const T>(batch, number), p.query.row, start, queries,
                               int(p.width));
        fetch<T, WIDTH, COUNT>(tile + TILE, p.g.of<const T>(batch, number), p.g.row, start, queries,
                               int(p.value_width));
        const RowSums* sums = p.sums + (batch * p.heads + number) * queries;
        if (threadIdx.x < COUNT) {
            const bool is_there = start + int(threadIdx.x) < queries;
            copy_later<8>(sums_of + (step & 1) * COUNT + threadIdx.x,
                          is_there ? sums + start + threadIdx.x : sums, is_there);
        }
        end_group();
    };
    Tile by_key[1][PARTS] = {}, by_value[1][PARTS] = {};
    for (int step = -1; step < all; ++step) {
        await_groups<0>();
        __syncthreads();  // this tile is there, and nobody reads the one before it
        if (step + 1 < all) fetch_step(step + 1);
        if (step < 0) {
            key.keep();
            value.keep();
            continue;
        }
        const Head head(p, int64(key_head) * p.queries_of_key + step / steps);
        const float scale = exponent_scale<IS_PLAIN>(p, head);
        const int start = begin + step % steps * COUNT;
#pragma unroll 1
        for (int j = 0; j < COUNT; j += 16) {
            if (p.is_causal && start + j + 16 <= own) continue;  // these see none of this warp's
            const T* lines = tiles + (step & 1) * 2 * TILE + j * STRIDE<WIDTH>;
            Tile scores[1][1] = {}, by_weights[1][1] = {};
            key.multiply(scores, lines);
            value.multiply(by_weights, lines + TILE);
            const bool has_limits = is_limited<IS_PLAIN>(p, head, start + j, own + 16);
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int row = start + j + lane_column(c);
                const RowSums sums = sums_of[(step & 1) * COUNT + j + lane_column(c)];
#pragma unroll
                for (int line = 0; line < 2; ++line) {
                    float& score = scores[0][0].at[line][c];
                    float& by_weight = by_weights[0][0].at[line][c];
                    const int column = own + lane_row() + 8 * line;
                    if (has_limits) score = limited<IS_PLAIN>(score, p, head, row, column);
                    float factor = 1.0f;
                    if (!IS_PLAIN && p.dropped > 0) {
                        const Factors factors(p, head, row & ~8, column & ~1);
                        factor = c / 2 ? (column & 1 ? factors.of[1][1] : factors.of[1][0])
                                       : (column & 1 ? factors.of[0][1] : factors.of[0][0]);
                    }
                    const float weight = weight_of(score, scale, sums);
                    by_weight = by_score_of(weight, by_weight * factor, p, sums);
                    score = weight * factor;
                }
            }
            const Factor<T> weights[1] = {AsFactor<T>::of(scores[0][0])};
            const Factor<T> by_scores[1] = {AsFactor<T>::of(by_weights[0][0])};
            gather_lines<T, WIDTH>(by_value, weights, lines + TILE + column);
            gather_lines<T, WIDTH>(by_key, by_scores, lines + column);
        }
    }
    const float ones[2] = {1.0f, 1.0f};
    write_lines<T, PARTS>(by_key[0], p.by_key.of<T>(batch, key_head) + column, p.by_key.row, own, keys,
                          int(p.width) - column, ones);
    write_lines<T, PARTS>(by_value[0], p.by_value.of<T>(batch, key_head) + column, p.by_value.row,
                          own, keys, int(p.value_width) - column, ones);
}
