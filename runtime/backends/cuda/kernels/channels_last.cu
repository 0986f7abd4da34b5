// Convolutions of images whose channels lie innermost, in whole vectors: products of matrices of
// windows that are never made. Vectors of the next tiles are on their way to shared memory while
// tensor cores multiply. Up to three spatial dimensions; fewer are preceded by 1.
#include "fragments.cuh"
#include "memory.cuh"
#include "pointwise.cuh"

constexpr int WARPS = 4, CONV_THREADS = WARPS * WARP, STAGES = 3, LINES = 128;  // a tile of positions, or of depth
constexpr int LINE_BYTES = 64;  // of a tile's lines along channels

// Position p sees with tap t place p * stride + first + t * tap_step of `size`, and weight
// t * weight_step. The step of `positions` is that of the other array, output or gradient.
struct Axis {
    int64 size, step, stride, first, taps, tap_step, weight_step;
    Dimension<1> positions;
};

// What positions (images, 3 axes) see of an array. Steps in elements, of channels 1.
struct Walk {
    const void* place;
    int64 step_image, channels, weight_first;
    Axis axis[3];
};

struct Position {
    int image, at[3];

    __device__ Position(const Walk& walk, uint32 index) {
#pragma unroll
        for (int d = 2; d >= 0; --d) {
            const uint32 outer = walk.axis[d].positions.quotient(index);
            at[d] = int(index - outer * walk.axis[d].positions.size);
            index = outer;
        }
        image = int(index);
    }

    // Where it lies in the other array.
    __device__ int64 place(const Walk& walk, int64 step_image) const {
        int64 found = image * step_image;
#pragma unroll
        for (int d = 0; d < 3; ++d) found += at[d] * walk.axis[d].positions.step[0];
        return found;
    }
};

// The first place that a position sees; far outside, if there is no such position.
struct alignas(16) Seen {
    int offset, at[3];

    __device__ Seen() {}
    __device__ Seen(const Walk& walk, const Position& position, bool is_there)
        : offset(position.image * int(walk.step_image)) {
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            const Axis& axis = walk.axis[d];
            at[d] = position.at[d] * int(axis.stride) + int(axis.first);
            offset += at[d] * int(axis.step);
        }
        if (!is_there) at[0] = -(1 << 30);
    }
};

// A tap, and the first of a vector of its channels.
struct Tap {
    int channel, t[3], shift[3], offset, weight;

    __device__ Tap(const Walk& walk, int index) {
        const int channels = int(walk.channels), taps1 = int(walk.axis[1].taps),
                  taps2 = int(walk.axis[2].taps);
        const int tap = index / channels;
        channel = index % channels;
        t[2] = taps2 ? tap % taps2 : 0;
        t[1] = taps2 && taps1 ? tap / taps2 % taps1 : 0;
        t[0] = taps2 && taps1 ? tap / taps2 / taps1 : int(walk.axis[0].taps);
        place(walk);
    }

    __device__ void place(const Walk& walk) {
        offset = 0;
        weight = int(walk.weight_first);
#pragma unroll
        for (int d = 0; d < 3; ++d) {
            const Axis& axis = walk.axis[d];
            shift[d] = t[d] * int(axis.tap_step);
            offset += shift[d] * int(axis.step);
            weight += t[d] * int(axis.weight_step);
        }
    }

    __device__ bool is_there(const Walk& walk) const { return t[0] < int(walk.axis[0].taps); }

    // To the channel `by` further on, maybe of another tap.
    __device__ void advance(const Walk& walk, int by) {
        channel += by;
        while (channel >= int(walk.channels)) {
            channel -= int(walk.channels);
            if (++t[2] == int(walk.axis[2].taps)) {
                t[2] = 0;
                if (++t[1] == int(walk.axis[1].taps)) {
                    t[1] = 0;
                    ++t[0];
                }
            }
            place(walk);
        }
    }

    // Whether the position sees something with it.
    __device__ bool is_seen(const Walk& walk, const Seen& seen) const {
        bool is_inside = true;
#pragma unroll
        for (int d = 0; d < 3; ++d)
            is_inside = is_inside && uint32(seen.at[d] + shift[d]) < uint32(walk.axis[d].size);
        return is_inside;
    }
};

// out = windows @ weight.T + bias, for weight (groups, outputs, depth); a block has LINES positions
// and COLUMNS outputs. Each position sees `length` channels of taps.
template <typename T, int COLUMNS>
__global__ void __launch_bounds__(CONV_THREADS, 1)
convolve_vectors(const __grid_constant__ Walk walk, const T* weight, const T* bias, T* out,
                 int64 step_image, int64 step_channel, int64 count, int64 outputs, int64 depth,
                 int64 length) {
    constexpr int LANE = LANES<T>, DEPTH = LINE_BYTES / int(sizeof(T)), PITCH = DEPTH + LANE;
    constexpr int PARTS = DEPTH / LANE, STEP = CONV_THREADS / PARTS;
    constexpr int TILE = (LINES + COLUMNS) * PITCH, OUT_PITCH = COLUMNS + LANE;
    constexpr int M = LINES / 32, N = COLUMNS / 32;  // tiles of a warp, of which 2 x 2 are a block
    DYNAMIC_SHARED(T, memory);
    SHARED_ARRAY(int64, places, LINES);
    const int first = int(blockIdx.x) * LINES, first_output = int(blockIdx.y) * COLUMNS;
    const int group = blockIdx.z, own = threadIdx.x / PARTS, lane = threadIdx.x % PARTS * LANE;
    const T* image = static_cast<const T*>(walk.place) + group * walk.channels;
    weight += (group * outputs + first_output + own) * depth;
    const int64 row_step = STEP * depth;
    {
        const Position position(walk, first + threadIdx.x < count ? first + threadIdx.x : 0);
        places[threadIdx.x] = position.place(walk, step_image);
    }
    Seen seen[LINES / STEP];
#pragma unroll
    for (int i = 0; i < LINES / STEP; ++i) {
        const int line = first + own + i * STEP;
        const bool is_there = line < count;
        seen[i] = Seen(walk, Position(walk, is_there ? line : 0), is_there);
    }
    Tap tap(walk, lane);
    const int steps = (int(length) + DEPTH - 1) / DEPTH;
    const auto fetch = [&](int step) {
        T* left = memory + step % STAGES * TILE + own * PITCH + lane;
        const bool is_there = tap.is_there(walk);
#pragma unroll
        for (int i = 0; i < LINES / STEP; ++i) {
            const bool is_seen = is_there && tap.is_seen(walk, seen[i]);
            copy_later(left + i * STEP * PITCH, image + (seen[i].offset + tap.offset + tap.channel),
                       is_seen);
        }
        T* right = left + LINES * PITCH;
        const T* row = weight + (tap.weight + tap.channel);
#pragma unroll
        for (int i = 0; i < COLUMNS / STEP; ++i, row += row_step)
            copy_later(right + i * STEP * PITCH, row,
                       is_there && own + i * STEP < int(outputs) - first_output);
        tap.advance(walk, DEPTH);
    };
#pragma unroll
    for (int step = 0; step < STAGES - 1; ++step) {
        if (step < steps) fetch(step);
        end_group();
    }
    const int warp = threadIdx.x / WARP, row = warp / 2 * 16 * M, column = warp % 2 * 16 * N;
    Tile sums[M][N] = {};
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        await_groups<STAGES - 2>();
        __syncthreads();  // this tile is there, and nobody reads the one before it
        if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
        end_group();
        const T* left = memory + step % STAGES * TILE;
        const T* right = left + LINES * PITCH;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) {
            Factor<T> factors[M];
#pragma unroll
            for (int m = 0; m < M; ++m)
                factors[m] = along_rows(left + (row + 16 * m) * PITCH + k, PITCH, true);
#pragma unroll
            for (int n = 0; n < N; ++n) {
                const Factor<T> other =
                    along_rows(right + (column + 16 * n) * PITCH + k, PITCH, false);
#pragma unroll
                for (int m = 0; m < M; ++m) multiply_add(sums[m][n], factors[m], other);
            }
        }
    }
    __syncthreads();  // nobody reads the tiles any more
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
        for (int c = 0; c < 4; c += 2) {
            const int at = column + 16 * n + lane_column(c);
            float shift[2] = {};
            for (int k = 0; k < 2; ++k)
                if (bias && first_output + at + k < outputs)
                    shift[k] = widen(bias[group * outputs + first_output + at + k]);
#pragma unroll
            for (int m = 0; m < 2 * M; ++m) {
                const float* sum = sums[m / 2][n].at[m % 2] + c;
                const Vector<T, 2> pair = {narrow<T>(sum[0] + shift[0]), narrow<T>(sum[1] + shift[1])};
                store(memory + (row + 8 * m + lane_row()) * OUT_PITCH + at, pair);
            }
        }
    __syncthreads();
    out += group * outputs * step_channel;
    const bool is_whole = step_channel == 1 && outputs % LANE == 0
        && reinterpret_cast<uint64>(out) % VECTOR_BYTES == 0;
    if (is_whole) {
        for (int i = threadIdx.x; i < LINES * (COLUMNS / LANE); i += CONV_THREADS) {
            const int line = i / (COLUMNS / LANE), at = i % (COLUMNS / LANE) * LANE;
            if (first + line < count && first_output + at < outputs)
                store(out + places[line] + first_output + at,
                      load<LANE>(memory + line * OUT_PITCH + at));
        }
    } else {
        for (int i = threadIdx.x; i < LINES * COLUMNS; i += CONV_THREADS) {
            const int line = i % LINES, at = i / LINES;
            if (first + line < count && first_output + at < outputs)
                out[places[line] + (first_output + at) * step_channel] =
                    memory[line * OUT_PITCH + at];
        }
    }
}

// g.T @ windows over a part of the positions: partial (parts, groups, outputs, depth). A block has
// ROWS outputs and LINES places of the depth; its tiles have positions as lines.
template <typename T, int ROWS>
__global__ void __launch_bounds__(CONV_THREADS, 1)
correlate_vectors(const __grid_constant__ Walk walk, const T* g, int64 step_image, float* partial,
                  int64 count, int64 part_length, int64 groups, int64 outputs, int64 depth) {
    constexpr int LANE = LANES<T>, DEPTH = LINE_BYTES / int(sizeof(T));
    constexpr int G_PITCH = ROWS + LANE, PITCH = LINES + LANE, TILE = DEPTH * (G_PITCH + PITCH);
    constexpr int G_PARTS = ROWS / LANE, G_STEP = CONV_THREADS / G_PARTS;
    constexpr int PARTS = LINES / LANE, STEP = CONV_THREADS / PARTS;
    constexpr int M = ROWS / 32, N = LINES / 32;
    DYNAMIC_SHARED(T, memory);
    const int first_output = int(blockIdx.y) * ROWS, first = int(blockIdx.x) * LINES;
    const int group = blockIdx.z % int(groups), part = blockIdx.z / int(groups);
    const int begin = part * int(part_length);
    const int end = begin + part_length < count ? begin + int(part_length) : int(count);
    const int lane = threadIdx.x % PARTS * LANE, g_lane = threadIdx.x % G_PARTS * LANE;
    const T* image = static_cast<const T*>(walk.place) + group * walk.channels;
    g += group * outputs + first_output + g_lane;
    const Tap tap(walk, first + lane < depth ? first + lane : 0);
    const bool has_place = first + lane < depth, has_output = first_output + g_lane < outputs;
    // The positions of a step, which a warp looks up for all before it is fetched.
    SHARED_ARRAY(Seen, seen, 2 * DEPTH);
    SHARED_ARRAY(int64, places, 2 * DEPTH);
    const int warp = threadIdx.x / WARP;
    const auto look_up = [&](int step) {
        const int i = threadIdx.x % WARP;
        if (step % WARPS != warp || i >= DEPTH) return;
        const int index = begin + step * DEPTH + i;
        const Position position(walk, index < end ? index : 0);
        seen[step % 2 * DEPTH + i] = Seen(walk, position, index < end);
        places[step % 2 * DEPTH + i] = position.place(walk, step_image);
    };
    const auto fetch = [&](int step) {
        const int there = end - begin - step * DEPTH;
        T* left = memory + step % STAGES * TILE;
        T* right = left + DEPTH * G_PITCH;
#pragma unroll
        for (int k = 0; k < DEPTH / G_STEP; ++k) {
            const int i = threadIdx.x / G_PARTS + k * G_STEP;
            copy_later(left + i * G_PITCH + g_lane, g + places[step % 2 * DEPTH + i],
                       has_output && i < there);
        }
#pragma unroll
        for (int k = 0; k < DEPTH / STEP; ++k) {
            const int i = threadIdx.x / PARTS + k * STEP;
            const Seen from = seen[step % 2 * DEPTH + i];
            copy_later(right + i * PITCH + lane, image + (from.offset + tap.offset + tap.channel),
                       has_place && tap.is_seen(walk, from));
        }
    };
    const int steps = (end - begin + DEPTH - 1) / DEPTH;
#pragma unroll
    for (int step = 0; step < STAGES - 1; ++step) {
        look_up(step);
        __syncthreads();
        if (step < steps) fetch(step);
        end_group();
    }
    look_up(STAGES - 1);
    const int row = warp / 2 * 16 * M, column = warp % 2 * 16 * N;
    Tile sums[M][N] = {};
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
        await_groups<STAGES - 2>();
        __syncthreads();  // this tile is there, and nobody reads the one before it
        if (step + STAGES - 1 < steps) fetch(step + STAGES - 1);
        end_group();
        look_up(step + STAGES);
        const T* left = memory + step % STAGES * TILE;
        const T* right = left + DEPTH * G_PITCH;
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) {
            Factor<T> factors[M];
#pragma unroll
            for (int m = 0; m < M; ++m)
                factors[m] = down_rows(left + k * G_PITCH + row + 16 * m, G_PITCH);
#pragma unroll
            for (int n = 0; n < N; ++n) {
                const Factor<T> other = down_columns(right + k * PITCH + column + 16 * n, PITCH);
#pragma unroll
                for (int m = 0; m < M; ++m) multiply_add(sums[m][n], factors[m], other);
            }
        }
    }
    partial += (int64(part) * groups + group) * outputs * depth;
#pragma unroll
    for (int m = 0; m < 2 * M; ++m) {
        const int output = first_output + row + 8 * m + lane_row();
        if (output >= outputs) continue;
#pragma unroll
        for (int n = 0; n < 2 * N; ++n) {
            const int at = first + column + 8 * n + threadIdx.x % 4 * 2;
            const float* sum = sums[m / 2][n / 2].at[m % 2] + n % 2 * 2;
            if (at < depth) store(partial + output * depth + at, Vector<float, 2>{sum[0], sum[1]});
        }
    }
}

// The sums of all parts, (rows, taps, channels), as weights (rows, channels, taps).
template <typename T>
__global__ void __launch_bounds__(256)
sum_parts(const float* partial, T* out, int64 parts, int64 count, int64 taps, int64 channels) {
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float sum = 0;
#pragma unroll 4
    for (int64 part = 0; part < parts; ++part) sum += partial[part * count + i];
    const uint32 rest = uint32(i) / uint32(channels), channel = uint32(i) % uint32(channels);
    out[(rest / uint32(taps) * channels + channel) * taps + rest % uint32(taps)] = narrow<T>(sum);
}
