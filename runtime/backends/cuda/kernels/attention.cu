// softmax(query @ key.T * scale + mask) @ value in tiles.
//
// After arXiv:2205.14135, algorithm 1, with the division at the end (arXiv:2307.08691).
#include "attention.cuh"

// Rows of fragments that a warp has, and keys of a tile: as many as registers hold.
template <typename T, int WIDTH, bool IS_PLAIN>
struct Forward {
    static constexpr bool IS_HALF = sizeof(T) == 2;
    static constexpr int ROWS = IS_HALF && IS_PLAIN && WIDTH <= 128 ? 2 : 1;
    static constexpr int KEYS = IS_HALF ? (WIDTH == 64 ? 64 : 32) : 4096 / WIDTH;
    static constexpr int OWN = 16 * ROWS, LINES = OWN * WARPS;
};

// Weights of a tile of keys relative to the largest so far, and the sums so far relative to it.
template <int ROWS, int COLUMNS, int PARTS>
struct Softmax {
    float top[ROWS][2], total[ROWS][2];

    __device__ Softmax() {
        for (int k = 0; k < 2 * ROWS; ++k) {
            top[k / 2][k % 2] = Limits<float>::lowest();
            total[k / 2][k % 2] = 0.0f;
        }
    }

    // From scores, which are to be multiplied by `scale`, to weights.
    __device__ void add(Tile (&scores)[ROWS][COLUMNS], Tile (&sums)[ROWS][PARTS], float scale) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
#pragma unroll
            for (int row = 0; row < 2; ++row) {
                float largest = top[r][row];
#pragma unroll
                for (int i = 0; i < 4 * COLUMNS; ++i)
                    largest = fmaxf(largest, scores[r][i / 4].at[row][i % 4]);
                largest = reduce_warp<Maximum>(largest, 4);
                const float base = largest == Limits<float>::lowest() ? 0.0f : largest * scale;
                const float shrunk = power_of_2(top[r][row] * scale - base);
                float sum = 0;
#pragma unroll
                for (int i = 0; i < 4 * COLUMNS; ++i) {
                    float& x = scores[r][i / 4].at[row][i % 4];
                    sum += x = power_of_2(x * scale - base);
                }
                top[r][row] = largest;
                total[r][row] = total[r][row] * shrunk + sum;
#pragma unroll
                for (int k = 0; k < 4 * PARTS; ++k) sums[r][k / 4].at[row][k % 4] *= shrunk;
            }
    }
};

// IS_PLAIN: without a mask and dropout, which would take registers.
template <typename T, int WIDTH, bool IS_PLAIN>
__global__ void __launch_bounds__(THREADS, 1) attention(const __grid_constant__ Problem p) {
    using F = Forward<T, WIDTH, IS_PLAIN>;
    constexpr int ROWS = F::ROWS, KEYS = F::KEYS, COLUMNS = KEYS / 16, PARTS = WIDTH / 16;
    constexpr int TILE = KEYS * STRIDE<WIDTH>;
    DYNAMIC_SHARED(T, memory);
    T* tiles = memory + F::LINES * STRIDE<WIDTH>;  // twice keys and values
    const Head head(p, blockIdx.y);
    const int64 key_head = head.number / p.queries_of_key;
    const T* query = p.query.of<const T>(head.batch, head.number);
    const T* key = p.key.of<const T>(head.batch, key_head);
    const T* value = p.value.of<const T>(head.batch, key_head);
    // The last queries first: if causal, they see the most keys.
    const int first = int(gridDim.x - 1 - blockIdx.x) * F::LINES, keys = int(p.keys);
    const int warp = threadIdx.x / WARP, own = first + warp * F::OWN;
    const int seen = p.is_causal && first + F::LINES < keys ? first + F::LINES : keys;
    const float scale = exponent_scale<IS_PLAIN>(p, head);
    OwnLines<T, WIDTH, ROWS, (F::IS_HALF && WIDTH == 64)> lines(
        memory + warp * F::OWN * STRIDE<WIDTH>);
    fetch<T, WIDTH, F::LINES>(memory, query, p.query.row, first, int(p.queries), int(p.width));
    end_group();
    Softmax<ROWS, COLUMNS, PARTS> softmax;
    Tile sums[ROWS][PARTS] = {};
    for (int start = -KEYS; start < seen; start += KEYS) {
        await_groups<0>();
        __syncthreads();  // this tile is there, and nobody reads the one before it
        T* key_tile = tiles + (start / KEYS & 1) * 2 * TILE;
        if (start + KEYS < seen) {
            T* next = tiles + (start / KEYS + 1 & 1) * 2 * TILE;
            fetch<T, WIDTH, KEYS>(next, key, p.key.row, start + KEYS, keys, int(p.width));
            fetch<T, WIDTH, KEYS>(next + TILE, value, p.value.row, start + KEYS, keys,
                                  int(p.value_width));
            end_group();
        }
        if (start < 0) {
            lines.keep();
            continue;
        }
        if (p.is_causal && start >= own + F::OWN) continue;  // this warp sees none of these
        Tile scores[ROWS][COLUMNS] = {};
        lines.multiply(scores, key_tile);
        if (is_limited<IS_PLAIN>(p, head, own, start + KEYS))
#pragma unroll
            for (int i = 0; i < ROWS * COLUMNS * 8; ++i) {
                const int r = i / (COLUMNS * 8), j = i / 8 % COLUMNS, row = i / 4 % 2, c = i % 4;
                float& x = scores[r][j].at[row][c];
                x = limited<IS_PLAIN>(x, p, head, own + 16 * r + 8 * row + lane_row(),
                            start + 16 * j + lane_column(c));
            }
        softmax.add(scores, sums, scale);
#pragma unroll
        for (int j = 0; j < COLUMNS; ++j) {
            Factor<T> weights[ROWS];
#pragma unroll
            for (int r = 0; r < ROWS; ++r) {
                Tile& tile = scores[r][j];
                if (!IS_PLAIN && p.dropped > 0)
#pragma unroll
                    for (int c = 0; c < 4; c += 2) {
                        const Factors factors(p, head, own + 16 * r + lane_row(),
                                              start + 16 * j + lane_column(c));
#pragma unroll
                        for (int k = 0; k < 4; ++k)
                            tile.at[k / 2][c + k % 2] *= factors.of[k / 2][k % 2];
                    }
                weights[r] = AsFactor<T>::of(tile);
            }
            gather_lines<T, WIDTH>(sums, weights, key_tile + TILE + 16 * j * STRIDE<WIDTH>);
        }
    }
    T* out = p.out.of<T>(head.batch, head.number);
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        float shares[2];
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const float all = reduce_warp<Sum>(softmax.total[r][row], 4);
            shares[row] = all == 0.0f ? 0.0f : 1.0f / all;  // 0 for a query that may look nowhere
            const int query_row = own + 16 * r + 8 * row + lane_row();
            if (threadIdx.x % 4 == 0 && query_row < p.queries)
                p.log_sums[head.index * p.queries + query_row] = all == 0.0f
                    ? Limits<float>::lowest() : (softmax.top[r][row] * scale + log2f(all)) * LN_2;
        }
        write_lines<T, PARTS>(sums[r], out, p.out.row, own + 16 * r, int(p.queries),
                              int(p.value_width), shares);
    }
}
