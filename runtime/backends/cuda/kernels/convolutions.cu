// Convolutions as products of matrices that are never made: their elements are gathered from images
// into tiles, tensor cores multiply those. Up to three spatial dimensions; fewer are preceded by 1.
#include "fragments.cuh"
#include "memory.cuh"

constexpr int CONV_THREADS = 128, SIDE = 64, DEPTH = 32, PITCH = DEPTH + 8;

// What windows of an image (n, channels, sizes) see. At `position` p, tap t sees place
// p * stride - pad + t * dilation; or, if `is_spread`, the place x of which p = x * stride - pad +
// t * dilation: then this is the gradient of the former. Steps in elements.
struct Windows {
    const void* place;
    int64 step_image, step_channel, step[3], size[3], positions[3], taps[3];
    int64 stride[3], pad[3], dilation[3];
    int64 channels;  // of one group
    int64 is_spread;
};

// The element at a position, of (n, positions), and a channel of a tap, of (taps, channels); 0
// outside the image.
template <typename T>
INLINE T seen(const Windows& w, int position, int tap_and_channel, int group) {
    const int channels = int(w.channels);
    int tap = tap_and_channel / channels;
    const int channel = tap_and_channel % channels + group * channels;
    int64 offset = channel * w.step_channel;
#pragma unroll
    for (int d = 2; d >= 0; --d) {
        const int p = position % int(w.positions[d]), t = tap % int(w.taps[d]);
        position /= int(w.positions[d]);
        tap /= int(w.taps[d]);
        const int stride = int(w.stride[d]);
        int x = w.is_spread ? p + int(w.pad[d]) - t * int(w.dilation[d])
                            : p * stride - int(w.pad[d]) + t * int(w.dilation[d]);
        if (w.is_spread) {
            if (x < 0 || x % stride) return narrow<T>(0.0f);
            x /= stride;
        }
        if (x < 0 || x >= int(w.size[d])) return narrow<T>(0.0f);
        offset += x * w.step[d];
    }
    return static_cast<const T*>(w.place)[offset + position * w.step_image];
}

// Place k of line i of a tile for a thread's turn: neighbours have neighbouring lines or places.
struct Turn {
    int line, k;
    __device__ Turn(int i, bool is_along_k)
        : line(is_along_k ? i / DEPTH : i % SIDE), k(is_along_k ? i % DEPTH : i / SIDE) {}
};

// sums += left @ right.T: a warp has 16 lines of the left tile and all of the right one.
template <typename T>
INLINE void multiply_tiles(Tile* sums, const T* left, const T* right) {
    const T* own = left + threadIdx.x / WARP * 16 * PITCH;
#pragma unroll
    for (int k = 0; k < DEPTH; k += 16) {
        const Factor<T> factor = along_rows(own + k, PITCH, true);
#pragma unroll
        for (int j = 0; j < SIDE / 16; ++j)
            multiply_add(sums[j], factor, along_rows(right + 16 * j * PITCH + k, PITCH, false));
    }
}

struct Image {
    void* place;
    int64 step_image, step_channel, step[3];
};

// out = windows @ weight.T + bias, for weight (groups, outputs, taps * channels).
template <typename T>
__global__ void __launch_bounds__(CONV_THREADS)
convolve(const __grid_constant__ Windows windows, const T* weight, const T* bias,
         const __grid_constant__ Image out, int64 count, int64 outputs, int64 depth) {
    SHARED_ARRAY(T, left, SIDE * PITCH);
    SHARED_ARRAY(T, right, SIDE * PITCH);
    const int first = blockIdx.x * SIDE, first_output = blockIdx.y * SIDE, group = blockIdx.z;
    const bool is_along_k = windows.step_channel == 1;
    weight += group * outputs * depth;
    Tile sums[SIDE / 16] = {};
    for (int start = 0; start < depth; start += DEPTH) {
        __syncthreads();
        for (int i = threadIdx.x; i < SIDE * DEPTH; i += CONV_THREADS) {
            const Turn turn(i, is_along_k);
            const bool is_there = first + turn.line < count && start + turn.k < depth;
            left[turn.line * PITCH + turn.k] = is_there
                ? seen<T>(windows, first + turn.line, start + turn.k, group) : narrow<T>(0.0f);
            const Turn row(i, true);
            const bool has_weight = first_output + row.line < outputs && start + row.k < depth;
            right[row.line * PITCH + row.k] = has_weight
                ? weight[(first_output + row.line) * depth + start + row.k] : narrow<T>(0.0f);
        }
        __syncthreads();
        multiply_tiles(sums, left, right);
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        int position = first + threadIdx.x / WARP * 16 + lane_row() + 8 * row;
        if (position >= count) continue;
        int64 offset = 0;
#pragma unroll
        for (int d = 2; d >= 0; --d) {
            offset += position % int(windows.positions[d]) * out.step[d];
            position /= int(windows.positions[d]);
        }
        offset += position * out.step_image;
#pragma unroll
        for (int j = 0; j < SIDE / 16; ++j)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int64 output = first_output + 16 * j + lane_column(c);
                if (output >= outputs) continue;
                const int64 channel = group * outputs + output;
                const float shift = bias ? widen(bias[channel]) : 0.0f;
                static_cast<T*>(out.place)[offset + channel * out.step_channel] =
                    narrow<T>(sums[j].at[row][c] + shift);
            }
    }
}

// g.T @ windows over a part of the positions: partial (parts, groups, outputs, taps * channels).
template <typename T>
__global__ void __launch_bounds__(CONV_THREADS)
correlate(const __grid_constant__ Windows g, const __grid_constant__ Windows windows, float* partial,
          int64 count, int64 length, int64 groups, int64 outputs, int64 depth) {
    SHARED_ARRAY(T, left, SIDE * PITCH);
    SHARED_ARRAY(T, right, SIDE * PITCH);
    const int first = blockIdx.x * SIDE, first_output = blockIdx.y * SIDE;
    const int group = blockIdx.z % int(groups);
    const int64 part = blockIdx.z / groups;
    const int64 end = (part + 1) * length < count ? (part + 1) * length : count;
    const bool g_is_along_k = g.step_channel != 1, is_along_k = windows.step_channel != 1;
    Tile sums[SIDE / 16] = {};
    for (int64 start = part * length; start < end; start += DEPTH) {
        __syncthreads();
        for (int i = threadIdx.x; i < SIDE * DEPTH; i += CONV_THREADS) {
            const Turn row(i, g_is_along_k), turn(i, is_along_k);
            T of_g = narrow<T>(0.0f), of_window = narrow<T>(0.0f);
            if (first_output + row.line < outputs && start + row.k < end)
                of_g = seen<T>(g, int(start) + row.k, first_output + row.line, group);
            if (first + turn.line < depth && start + turn.k < end)
                of_window = seen<T>(windows, int(start) + turn.k, first + turn.line, group);
            left[row.line * PITCH + row.k] = of_g;
            right[turn.line * PITCH + turn.k] = of_window;
        }
        __syncthreads();
        multiply_tiles(sums, left, right);
    }
    partial += (part * groups + group) * outputs * depth;
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        const int64 output = first_output + threadIdx.x / WARP * 16 + lane_row() + 8 * row;
        if (output >= outputs) continue;
#pragma unroll
        for (int j = 0; j < SIDE / 16; ++j)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int64 place = first + 16 * j + lane_column(c);
                if (place < depth) partial[output * depth + place] = sums[j].at[row][c];
            }
    }
}
