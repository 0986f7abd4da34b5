// Random numbers in the order of PyTorch's CUDA generator: thread i of the grid has sequence i, and
// the numbers that it makes of four words lie one grid apart.
#include "memory.cuh"
#include "philox.cuh"

// A distribution makes DRAWS numbers of four words; a and b are its parameters.
template <typename R>
struct Uniform;
template <>
struct Uniform<float> {
    static constexpr int DRAWS = 4;
    INLINE void draw(const Words& words, float* out) {
        for (int k = 0; k < 4; ++k) out[k] = unit(words.at[k]);
    }
};
template <>
struct Uniform<double> {
    static constexpr int DRAWS = 2;
    INLINE void draw(const Words& words, double* out) {
        for (int k = 0; k < 2; ++k) out[k] = unit(words.at[2 * k], words.at[2 * k + 1]);
    }
};

// In [a, b): what reaches b becomes a.
template <typename R>
struct Interval : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R a, R b) {
        const T x = narrow<T>(Compute<T>(u * (b - a) + a));
        return widen(x) == Compute<T>(b) ? narrow<T>(Compute<T>(a)) : x;
    }
};

// b with probability a, else 0.
template <typename R>
struct Kept : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R a, R b) { return narrow<T>(Compute<T>(u < a ? b : R(0))); }
};

// Of rate a; log(u) of the largest u below 1 for 1, so that nothing becomes 0.
template <typename R>
struct Exponential : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R a, R) {
        const R half_step = sizeof(R) == 4 ? R(0x1p-24) : R(0x1p-53);
        return narrow<T>(Compute<T>(-(u >= R(1) - half_step ? -half_step : log(u)) / a));
    }
};

// Of mean a and standard deviation b: pairs by the transform of Box and Muller (1958).
template <typename R>
struct Normal;
template <>
struct Normal<float> {
    static constexpr int DRAWS = 4;
    INLINE void draw(const Words& words, float* out) {
        for (int k = 0; k < 4; k += 2) {
            const float radius = sqrtf(-2.0f * logf(unit(words.at[k])));
            // Two pi over 2**32, and half of that, as float32.
            const float angle = words.at[k + 1] * 0x1.921fb6p-30f + 0x1.921fb6p-31f;
            out[k] = radius * sinf(angle);
            out[k + 1] = radius * cosf(angle);
        }
    }
    template <typename T>
    INLINE T finished(float z, float a, float b) { return narrow<T>(z * b + a); }
};
template <>
struct Normal<double> {
    static constexpr int DRAWS = 2;
    INLINE void draw(const Words& words, double* out) {
        const double radius = sqrt(-2.0 * log(unit(words.at[0], words.at[1])));
        const double half_turns =
            (words.at[2] ^ (uint64(words.at[3]) << 21)) * 0x1p-52 + 0x1p-53;
        out[0] = radius * sinpi(half_turns);
        out[1] = radius * cospi(half_turns);
    }
    template <typename T>
    INLINE T finished(double z, double a, double b) { return narrow<T>(Compute<T>(z * b + a)); }
};

template <typename T, template <typename> class Distribution>
__global__ void __launch_bounds__(256)
random_reals(T* out, int64 count, const Stream stream, double a, double b) {
    using R = Compute<T>;
    constexpr int DRAWS = Distribution<R>::DRAWS;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 threads = gridDim.x * int64(blockDim.x);
    Philox philox(stream, thread);
    for (int64 first = thread; first < count; first += threads * DRAWS) {
        R drawn[DRAWS];
        Distribution<R>::draw(philox.next(), drawn);
#pragma unroll
        for (int k = 0; k < DRAWS; ++k) {
            const int64 i = first + threads * k;
            if (i < count)
                out[i] = Distribution<R>::template finished<T>(drawn[k], R(a), R(b));
        }
    }
}

// Dropout: x times `value` with a probability, else 0; without x, the factors. What a thread makes of
// four words lies side by side if IS_VECTOR: count and places must be multiples of 4 elements.
template <typename T, bool IS_VECTOR>
__global__ void __launch_bounds__(256)
dropout(const T* x, T* out, int64 count, const Stream stream, double probability, double value) {
    constexpr int N = LANES<T> < 4 ? LANES<T> : 4;
    using R = Compute<T>;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 threads = gridDim.x * int64(blockDim.x);
    Philox philox(stream, thread);
    for (int64 first = IS_VECTOR ? 4 * thread : thread; first < count; first += 4 * threads) {
        const Words words = philox.next();
#pragma unroll
        for (int k = 0; k < 4; k += N) {
            Vector<T, N> found;
            if (IS_VECTOR && x) found = load<N>(x + first + k);
#pragma unroll
            for (int j = 0; j < N; ++j) {
                const R factor = unit(words.at[k + j]) < float(probability) ? R(value) : R(0);
                if (IS_VECTOR) {
                    found.lane[j] = narrow<T>(x ? widen(found.lane[j]) * factor : factor);
                } else {
                    const int64 i = first + threads * (k + j);
                    if (i < count) out[i] = narrow<T>(x ? widen(x[i]) * factor : factor);
                }
            }
            if (IS_VECTOR) store(out + first + k, found);
        }
    }
}

// Integers from `low` on, `span` of them, as remainders of words of 32 bits or, IS_LONG, of 64.
template <bool IS_LONG>
__global__ void __launch_bounds__(256)
random_integers(int64* out, int64 count, const Stream stream, int64 low, uint64 span) {
    constexpr int DRAWS = IS_LONG ? 2 : 4;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 threads = gridDim.x * int64(blockDim.x);
    Philox philox(stream, thread);
    for (int64 first = thread; first < count; first += threads * DRAWS) {
        const Words words = philox.next();
#pragma unroll
        for (int k = 0; k < DRAWS; ++k) {
            const uint64 word = IS_LONG
                ? uint64(words.at[2 * k]) << 32 | words.at[2 * k + 1] : words.at[k];
            const int64 i = first + threads * k;
            if (i < count) out[i] = int64(uint64(low) + word % span);
        }
    }
}
