// Batch norm where channels lie innermost, and its gradient: a thread keeps what belongs to its vector
// of channels in registers and goes down the rows.
#include "maths.cuh"
#include "memory.cuh"

#define NORM_BLOCK 256
#define NORM_IN_FLIGHT 4  // rows that a thread reads before it computes the first

template <typename T, bool IS_WIDE>
struct ParameterOf {
    using type = T;
};

template <typename T>
struct ParameterOf<T, true> {
    using type = Compute<T>;
};

template <typename T, bool IS_WIDE>
using Parameter = typename ParameterOf<T, IS_WIDE>::type;  // of a norm of T

// Which channels and rows are this thread's: `across` threads of a block lie along the channels, the
// others `depth` rows apart.
template <typename T>
struct Channels {
    static constexpr int N = LANES<T>;
    int64 column, begin, end;
    int depth;
    bool is_real;

    __device__ Channels(int64 rows, int64 channels, int64 across, int64 chunk) {
        column = (blockIdx.x * across + threadIdx.x % across) * N;
        is_real = column < channels;
        depth = NORM_BLOCK / int(across);
        begin = blockIdx.y * chunk + threadIdx.x / across;
        end = (blockIdx.y + 1) * chunk;
        if (end > rows) end = rows;
    }

    // f(place of a vector, vectors of `arrays` there) for each row.
    template <typename F, typename... Arrays>
    __device__ void each(int64 channels, F f, const Arrays*... arrays) const {
        constexpr int COUNT = sizeof...(Arrays);
        const T* starts[COUNT] = {arrays...};
        for (int64 row = begin; row < end; row += depth * NORM_IN_FLIGHT) {
            Vector<T, N> read[NORM_IN_FLIGHT][COUNT];
#pragma unroll
            for (int u = 0; u < NORM_IN_FLIGHT; ++u)
#pragma unroll
                for (int a = 0; a < COUNT; ++a)
                    if (row + u * depth < end)
                        read[u][a] = load<N>(starts[a] + (row + u * depth) * channels + column);
#pragma unroll
            for (int u = 0; u < NORM_IN_FLIGHT; ++u)
                if (row + u * depth < end) f((row + u * depth) * channels + column, read[u]);
        }
    }
};

// (x - mean) / sqrt(var + eps) * weight + bias; weight and bias may be null.
template <typename T, bool IS_WIDE>
__global__ void __launch_bounds__(NORM_BLOCK)
normalize_channels(const T* __restrict__ x, const Compute<T>* __restrict__ means,
                   const Compute<T>* __restrict__ vars,
                   const Parameter<T, IS_WIDE>* __restrict__ weight,
                   const Parameter<T, IS_WIDE>* __restrict__ bias, T* __restrict__ out, int64 rows,
                   int64 channels, int64 across, int64 chunk, double eps) {
    using C = Compute<T>;
    const Channels<T> own(rows, channels, across, chunk);
    constexpr int N = own.N;
    if (!own.is_real) return;
    C mean[N], scale[N], level[N];
#pragma unroll
    for (int w = 0; w < N; ++w) {
        const int64 c = own.column + w;
        mean[w] = means[c];
        scale[w] = m::rsqrt(vars[c] + C(eps)) * (weight ? C(widen(weight[c])) : C(1));
        level[w] = bias ? C(widen(bias[c])) : C(0);
    }
    own.each(channels, [&](int64 place, const Vector<T, N>* read) {
        Vector<T, N> written;
#pragma unroll
        for (int w = 0; w < N; ++w)
            written.lane[w] = narrow<T>((C(widen(read[0].lane[w])) - mean[w]) * scale[w] + level[w]);
        store(out + place, written);
    }, x);
}

// The gradients by x, with y the normalized x: (g - mean(g) - y * mean(g * y)) / sqrt(var + eps) *
// weight; by weight, sum(g * y); and by bias, sum(g). `sums` has three numbers of each channel:
// sum(g * (x - shift)), sum(g) and shift; `share` is 1 / count.
template <typename T, bool IS_WIDE>
__global__ void __launch_bounds__(NORM_BLOCK)
normalize_channels_gradient(const T* __restrict__ g, const T* __restrict__ x,
                            const Compute<T>* __restrict__ means,
                            const Compute<T>* __restrict__ vars,
                            const Compute<T>* __restrict__ sums,
                            const Parameter<T, IS_WIDE>* __restrict__ weight, T* __restrict__ out,
                            Parameter<T, IS_WIDE>* __restrict__ by_weight,
                            Parameter<T, IS_WIDE>* __restrict__ by_bias, int64 rows, int64 channels,
                            int64 across, int64 chunk, double eps, double share) {
    using C = Compute<T>;
    const Channels<T> own(rows, channels, across, chunk);
    constexpr int N = own.N;
    if (!own.is_real) return;
    C mean[N], factor[N], slope[N], level[N];
#pragma unroll
    for (int w = 0; w < N; ++w) {
        const int64 c = own.column + w;
        mean[w] = means[c];
        const C scale = m::rsqrt(vars[c] + C(eps)), total = sums[channels + c];
        const C along = (sums[c] + (sums[2 * channels + c] - mean[w]) * total) * scale;
        factor[w] = scale * (weight ? C(widen(weight[c])) : C(1));
        slope[w] = along * C(share) * scale * factor[w];
        level[w] = total * C(share) * factor[w];
        if (blockIdx.y == 0 && threadIdx.x < across) {
            by_weight[c] = narrow<Parameter<T, IS_WIDE>>(along);
            by_bias[c] = narrow<Parameter<T, IS_WIDE>>(total);
        }
    }
    own.each(channels, [&](int64 place, const Vector<T, N>* read) {
        Vector<T, N> written;
#pragma unroll
        for (int w = 0; w < N; ++w) {
            const C by = C(widen(read[0].lane[w])), off = C(widen(read[1].lane[w])) - mean[w];
            written.lane[w] = narrow<T>(by * factor[w] - level[w] - off * slope[w]);
        }
        store(out + place, written);
    }, g, x);
}
