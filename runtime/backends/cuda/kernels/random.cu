// Random numbers in the order of PyTorch's CUDA generator: thread i of the grid has sequence i, and
// the numbers that it makes of four words lie one grid apart.
#include "bounds.cuh"
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

// In (0, 1], as they are drawn.
template <typename R>
struct Unit : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R, R) { return narrow<T>(Compute<T>(u)); }
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

// Of median a and scale b; the tangent stays clear of its poles.
template <typename R>
struct Cauchy : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R a, R b) {
        const R step = sizeof(R) == 4 ? R(0x1p-23) : R(0x1p-52);
        const R inside = u < step ? step : u > R(1) - step ? R(1) - step : u;
        return narrow<T>(Compute<T>(a + b * tan(R(3.14159265358979323846) * (inside - R(0.5)))));
    }
};

// The number of trials up to the first success of probability a.
template <typename R>
struct Geometric : Uniform<R> {
    template <typename T>
    INLINE T finished(R u, R a, R) {
        const R trials = ceil(log(u) / log1p(-a));
        return narrow<T>(Compute<T>(trials < R(1) ? R(1) : trials));
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

// exp of normal numbers of mean a and standard deviation b.
template <typename R>
struct LogNormal : Normal<R> {
    template <typename T>
    INLINE T finished(R z, R a, R b) { return narrow<T>(Compute<T>(exp(z * b + a))); }
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

// 1 with the probability that p has for each element, else 0.
struct Coin {
    template <typename T, typename R>
    INLINE R of(R p, R u) { return u <= p ? R(1) : R(0); }
    template <typename R>
    INLINE bool allows(R p) { return p >= R(0) && p <= R(1); }
};

// Clocks that run at the rates p ring after exponential times; the largest inverse time is the first.
// Times are rounded as an array of them would be.
struct Race {
    template <typename T, typename R>
    INLINE R of(R p, R u) {
        return p / R(widen(Exponential<R>::template finished<T>(u, R(1), R(0))));
    }
    template <typename R>
    INLINE bool allows(R p) { return p >= R(0) && p - p == R(0); }
};

// For each element of p what KIND makes of it and of a number in (0, 1]; what it does not allow is
// noted.
template <typename T, typename Kind>
__global__ void __launch_bounds__(256)
decide(const T* __restrict__ p, T* __restrict__ out, int64 count, const Stream stream,
       const Note note) {
    using R = Compute<T>;
    constexpr int DRAWS = Uniform<R>::DRAWS;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 threads = gridDim.x * int64(blockDim.x);
    Philox philox(stream, thread);
    for (int64 first = thread; first < count; first += threads * DRAWS) {
        R drawn[DRAWS];
        Uniform<R>::draw(philox.next(), drawn);
#pragma unroll
        for (int k = 0; k < DRAWS; ++k) {
            const int64 i = first + threads * k;
            if (i >= count) continue;
            const R given = widen(p[i]);
            if (!Kind::allows(given)) note.outside(0);
            out[i] = narrow<T>(Kind::template of<T>(given, drawn[k]));
        }
    }
}

// For each of `samples` numbers u in (0, 1] of a row the first of its n places whose running sum of
// weights is not below u times their total. Rows without any weight, or with a wrong one, are noted.
template <typename T>
__global__ void __launch_bounds__(256)
pick(const T* __restrict__ sums, const T* __restrict__ u, int64* __restrict__ out, int64 count,
     int64 n, int64 samples, const Note note) {
    const int64 i = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    if (i >= count) return;
    const T* row = sums + i / samples * n;
    const T total = row[n - 1], wanted = u[i] * total;
    if (!(total > T(0)) || total - total != T(0)) note.outside(0);
    int64 low = 0, high = n - 1;
    while (low < high) {
        const int64 middle = (low + high) / 2;
        if (row[middle] >= wanted) high = middle;
        else low = middle + 1;
    }
    out[i] = low;
}

// Numbers in (0, 1] one by one, of a sequence of their own.
struct Numbers {
    Philox philox;
    Words words;
    int used;

    __device__ Numbers(const Stream& stream, int64 sequence) : philox(stream, sequence), used(2) {}

    __device__ double next() {
        if (used == 2) {
            words = philox.next();
            used = 0;
        }
        const int k = 2 * used++;
        return unit(words.at[k], words.at[k + 1]);
    }
    __device__ double normal() {
        const double radius = sqrt(-2.0 * log(next()));
        return radius * sinpi(2.0 * next());
    }
};

// Gamma variables of rate 1. Source: Marsaglia and Tsang, ACM TOMS 26(3), 2000, with its names.
struct Gamma {
    INLINE double of(double a, Numbers& numbers) {
        if (!(a > 0.0) || a - a != 0.0) return a;
        const double boost = a < 1.0 ? pow(numbers.next(), 1.0 / a) : 1.0;
        const double d = (a < 1.0 ? a + 1.0 : a) - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
        while (true) {
            const double x = numbers.normal(), y = 1.0 + c * x;
            const double u = numbers.next();
            if (y <= 0.0) continue;
            const double v = y * y * y, square = x * x;
            if (u < 1.0 - 0.0331 * square * square ||
                log(u) < 0.5 * square + d * (1.0 - v + log(v)))
                return boost * d * v;
        }
    }
};

// Poisson counts: by products of uniform numbers (Knuth), or by transformed rejection. Source:
// Hoermann, Insurance: Mathematics and Economics 12, 1993, algorithm PTRS, with its names.
struct Poisson {
    INLINE double of(double rate, Numbers& numbers) {
        if (!(rate > 0.0) || rate - rate != 0.0) return rate + (rate - rate);
        if (rate < 10.0) {
            const double least = exp(-rate);
            double product = numbers.next();
            int64 count = 0;
            for (; product > least; ++count) product *= numbers.next();
            return double(count);
        }
        const double b = 0.931 + 2.53 * sqrt(rate), a = -0.059 + 0.02483 * b;
        const double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        const double surely = 0.9277 - 3.6224 / (b - 2.0);
        while (true) {
            const double u = numbers.next() - 0.5, v = numbers.next(), us = 0.5 - fabs(u);
            const double k = us > 0.0 ? floor((2.0 * a / us + b) * u + rate + 0.43) : -1.0;
            if (us >= 0.07 && v <= surely) return k;
            if (k < 0.0 || (us < 0.013 && v > us)) continue;
            const double height = log(v) + log(inverse_alpha) - log(a / (us * us) + b);
            if (height <= -rate + k * log(rate) - lgamma(k + 1.0)) return k;
        }
    }
};

// A number of a distribution for each parameter, element i by sequence i.
template <typename Of>
__global__ void __launch_bounds__(256)
one_by_one(const double* __restrict__ parameter, double* __restrict__ out, int64 count,
           const Stream stream) {
    const int64 i = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    if (i >= count) return;
    Numbers numbers(stream, i);
    out[i] = Of::of(parameter[i], numbers);
}
