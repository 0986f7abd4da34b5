// Images at other sizes, and the gradient: each thread writes one place, and in the gradient asks all
// results that may be made of it.
//
// Arrays are (outer, depth, height, width, columns), as in pooling.cu.
#include "memory.cuh"

// One dimension: elements, results, and their distance.
struct Axis {
    int64 size, count;
    double step;
};

struct Axes {
    Axis axis[3];
};

// Up to four elements of a line, and their weights.
template <typename R, int COUNT>
struct Taps {
    int place[COUNT];
    R weight[COUNT];
};

// Ways to make result o of elements: its taps, and how far from its coordinate they reach.
struct Nearest {
    static constexpr int COUNT = 1, REACH = 1;
    template <typename R>
    INLINE R coordinate(const Axis& a, int o, double shift) { return (R(o) + R(shift)) * R(a.step); }
    template <typename R>
    INLINE Taps<R, 1> taps(const Axis& a, int o, double shift) {
        return {{min(int(floor(coordinate<R>(a, o, shift))), int(a.size) - 1)}, {R(1)}};
    }
};

// `shift` is 0.5 where the centres of elements are compared, 0 where those of the corners agree.
template <typename R>
INLINE R centre(const Axis& a, int o, double shift) {
    return (R(o) + R(shift)) * R(a.step) - R(shift);
}

struct Linear {
    static constexpr int COUNT = 2, REACH = 1;
    template <typename R>
    INLINE R coordinate(const Axis& a, int o, double shift) {
        const R at = centre<R>(a, o, shift);
        return at > R(0) ? at : R(0);
    }
    template <typename R>
    INLINE Taps<R, 2> taps(const Axis& a, int o, double shift) {
        const R at = coordinate<R>(a, o, shift);
        const int last = int(a.size) - 1, first = min(int(floor(at)), last);
        const R t = at - R(first);
        return {{first, min(first + 1, last)}, {R(1) - t, t}};
    }
};

// Source: Keys, IEEE ASSP 29(6), 1981, with PyTorch's coefficient.
struct Cubic {
    static constexpr int COUNT = 4, REACH = 2;
    template <typename R>
    INLINE R coordinate(const Axis& a, int o, double shift) { return centre<R>(a, o, shift); }
    template <typename R>
    INLINE R near(R s) { return (R(1.25) * s - R(2.25)) * s * s + R(1); }
    template <typename R>
    INLINE R far(R s) { return ((R(-0.75) * s + R(3.75)) * s - R(6)) * s + R(3); }
    template <typename R>
    INLINE Taps<R, 4> taps(const Axis& a, int o, double shift) {
        const R at = coordinate<R>(a, o, shift);
        const int first = int(floor(at)), last = int(a.size) - 1;
        const R t = at - R(first);
        Taps<R, 4> found = {{}, {far(t + R(1)), near(t), near(R(1) - t), far(R(2) - t)}};
#pragma unroll
        for (int k = 0; k < 4; ++k) found.place[k] = max(0, min(first - 1 + k, last));
        return found;
    }
};

#define PLACE(name)                                                            \
    constexpr int N = IS_VECTOR ? LANES<T> : 1;                                \
    using R = Compute<T>;                                                      \
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;         \
    if (thread >= threads) return;                                             \
    const uint32 parts = uint32(columns / N);                                  \
    const int64 column = int64(uint32(thread) % parts) * N;                    \
    uint32 rest = uint32(thread) / parts;                                      \
    int at[3];                                                                 \
    for (int d = 2; d >= 0; --d) {                                             \
        at[d] = int(rest % uint32(axes.axis[d].name));                         \
        rest /= uint32(axes.axis[d].name);                                     \
    }                                                                          \
    R sum[N] = {};

template <int N, typename T, typename R>
INLINE void add_lanes(R* sum, const T* x, R weight) {
    const auto read = load<N>(x);
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] += R(widen(read.lane[k])) * weight;
}

template <int N, typename T, typename R>
INLINE void store_lanes(T* out, const R* sum) {
    Vector<T, N> found;
#pragma unroll
    for (int k = 0; k < N; ++k) found.lane[k] = narrow<T>(sum[k]);
    store(out, found);
}

template <typename T, bool IS_VECTOR, typename Kind>
__global__ void __launch_bounds__(256, 4)
resample(const T* __restrict__ x, T* __restrict__ out, int64 threads, int64 columns, double shift,
         const Axes axes) {
    PLACE(count)
    const auto z = Kind::template taps<R>(axes.axis[0], at[0], shift);
    const auto y = Kind::template taps<R>(axes.axis[1], at[1], shift);
    const auto q = Kind::template taps<R>(axes.axis[2], at[2], shift);
#pragma unroll
    for (int i = 0; i < Kind::COUNT; ++i) {
        if (z.weight[i] == R(0)) continue;
        const int64 plane = int64(rest) * axes.axis[0].size + z.place[i];
#pragma unroll
        for (int j = 0; j < Kind::COUNT; ++j) {
            if (y.weight[j] == R(0)) continue;
            const int64 line = plane * axes.axis[1].size + y.place[j];
#pragma unroll
            for (int k = 0; k < Kind::COUNT; ++k) {
                if (q.weight[k] == R(0)) continue;
                const int64 place = (line * axes.axis[2].size + q.place[k]) * columns + column;
                add_lanes<N>(sum, x + place, z.weight[i] * y.weight[j] * q.weight[k]);
            }
        }
    }
    store_lanes<N>(out + thread * N, sum);
}

// The results that element i may be a part of: [begin, end).
template <typename Kind>
INLINE void candidates(const Axis& a, int i, double shift, int& begin, int& end) {
    begin = 0;
    end = int(a.count);
    if (!(a.step > 0)) return;
    // One more on each side, as coordinates are rounded; the ends stand for what lies beyond.
    const double from = (i - Kind::REACH) / a.step - 2, to = (i + Kind::REACH + 1) / a.step + 2;
    if (i > 0) begin = max(0, int(floor(min(from, double(a.count)))));
    if (i < a.size - 1) end = min(end, int(ceil(min(to, double(a.count)))));
}

template <typename R, typename Kind>
INLINE R share(const Axis& a, int o, int i, double shift) {
    const auto taps = Kind::template taps<R>(a, o, shift);
    R weight = 0;
#pragma unroll
    for (int k = 0; k < Kind::COUNT; ++k)
        if (taps.place[k] == i) weight += taps.weight[k];
    return weight;
}

template <typename T, bool IS_VECTOR, typename Kind>
__global__ void __launch_bounds__(256, 4)
resample_gradient(const T* __restrict__ g, T* __restrict__ out, int64 threads, int64 columns,
                  double shift, const Axes axes) {
    PLACE(size)
    int begin[3], end[3];
    for (int d = 0; d < 3; ++d) candidates<Kind>(axes.axis[d], at[d], shift, begin[d], end[d]);
    for (int z = begin[0]; z < end[0]; ++z) {
        const R deep = share<R, Kind>(axes.axis[0], z, at[0], shift);
        if (deep == R(0)) continue;
        for (int y = begin[1]; y < end[1]; ++y) {
            const R high = share<R, Kind>(axes.axis[1], y, at[1], shift) * deep;
            if (high == R(0)) continue;
            const int64 line =
                (int64(rest) * axes.axis[0].count + z) * axes.axis[1].count + y;
            for (int q = begin[2]; q < end[2]; ++q) {
                const R weight = share<R, Kind>(axes.axis[2], q, at[2], shift) * high;
                if (weight == R(0)) continue;
                add_lanes<N>(sum, g + (line * axes.axis[2].count + q) * columns + column, weight);
            }
        }
    }
    store_lanes<N>(out + thread * N, sum);
}
