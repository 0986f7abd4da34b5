// Pooling over windows of up to three dimensions, and its gradients: each thread writes one place, so
// that results never depend on an order, and where a gradient comes from several windows it is read
// from all of them.
//
// Arrays are (outer, depth, height, width, columns): images row by row have one column, images with
// their channels innermost have them as columns, of which a thread takes a vector.
#include "memory.cuh"

// One dimension: its elements, its windows, and what a window is.
struct Axis {
    int64 size, count, kernel, stride, padding, dilation;
};

struct Windows {
    Axis axis[3];
};

// Consecutive elements or windows, `step` apart.
struct Range {
    int begin, end, step;
};

// Windows of one size, which step evenly and may reach beyond the input.
struct Sliding {
    INLINE Range elements(const Axis& a, int window) {
        const int step = int(a.dilation), start = window * int(a.stride) - int(a.padding);
        const int end = min(start + (int(a.kernel) - 1) * step + 1, int(a.size));
        const int missing = start < 0 ? (step - 1 - start) / step : 0;
        return {start + missing * step, end, step};
    }
    // Windows that may have the element; with a dilation, `has` says which of them do.
    INLINE Range windows(const Axis& a, int element) {
        const int reach = element + int(a.padding), stride = int(a.stride);
        const int back = reach - (int(a.kernel) - 1) * int(a.dilation);
        const int first = back > 0 ? (back + stride - 1) / stride : 0;
        return {first, min(reach / stride, int(a.count) - 1) + 1, 1};
    }
    INLINE bool has(const Axis& a, int window, int element) {
        return a.dilation == 1 || (element + a.padding - window * a.stride) % a.dilation == 0;
    }
    // How many elements the window counts for a mean.
    INLINE int length(const Axis& a, int window, bool counts_padding) {
        const int start = window * int(a.stride) - int(a.padding), size = int(a.size);
        const int end = min(start + int(a.kernel), size + int(a.padding));
        return counts_padding ? end - start : min(end, size) - max(start, 0);
    }
};

// As many windows as there are to be, dividing the input as evenly as can be.
struct Even {
    INLINE int start(const Axis& a, int64 window) { return int(window * a.size / a.count); }
    INLINE int end(const Axis& a, int64 window) {
        return int(((window + 1) * a.size + a.count - 1) / a.count);
    }
    INLINE Range elements(const Axis& a, int window) { return {start(a, window), end(a, window), 1}; }
    INLINE Range windows(const Axis& a, int64 element) {
        return {int(element * a.count / a.size),
                int(((element + 1) * a.count + a.size - 1) / a.size), 1};
    }
    INLINE bool has(const Axis&, int, int) { return true; }
    INLINE int length(const Axis& a, int window, bool) { return end(a, window) - start(a, window); }
};

// What a thread works on: a place of (outer, depth, height, width) and the first of its columns.
struct Place {
    int64 outer, column;
    int at[3];

    // Of the windows if `of_windows`, else of the elements.
    __device__ Place(uint32 thread, uint32 parts, int width, const Windows& w, bool of_windows) {
        column = int64(thread % parts) * width;
        uint32 rest = thread / parts;
#pragma unroll
        for (int d = 2; d >= 0; --d) {
            const uint32 size = uint32(of_windows ? w.axis[d].count : w.axis[d].size);
            at[d] = int(rest % size);
            rest /= size;
        }
        outer = rest;
    }
};

// Where an array has columns of a place; `outer` counts whole images.
INLINE int64 element(const Windows& w, int64 outer, int z, int y, int x, int64 columns) {
    return (((outer * w.axis[0].size + z) * w.axis[1].size + y) * w.axis[2].size + x) * columns;
}
INLINE int64 window(const Windows& w, int64 outer, int z, int y, int x, int64 columns) {
    return (((outer * w.axis[0].count + z) * w.axis[1].count + y) * w.axis[2].count + x) * columns;
}

// f(z, y, x) for all of three ranges in order, until it gives false.
template <typename F>
INLINE void each(const Range* r, F f) {
    for (int z = r[0].begin; z < r[0].end; z += r[0].step)
        for (int y = r[1].begin; y < r[1].end; y += r[1].step)
            for (int x = r[2].begin; x < r[2].end; x += r[2].step)
                if (!f(z, y, x)) return;
}

#define POOLING_KERNEL __global__ void __launch_bounds__(256, 3)
#define POOLING_THREAD                                                         \
    constexpr int N = IS_VECTOR ? LANES<T> : 1;                                \
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;         \
    if (thread >= threads) return;                                             \
    using C = Compute<T>

// The largest element of each window; NaN is larger than all.
template <typename T, bool IS_VECTOR>
POOLING_KERNEL max_pool(const T* __restrict__ x, T* __restrict__ out, int64 threads, int64 columns,
                        const Windows w) {
    POOLING_THREAD;
    const Place p(uint32(thread), uint32(columns / N), N, w, true);
    Range range[3];
    for (int d = 0; d < 3; ++d) range[d] = Sliding::elements(w.axis[d], p.at[d]);
    C best[N];
    for (int k = 0; k < N; ++k) best[k] = Limits<C>::lowest();
    each(range, [&](int z, int y, int q) {
        const auto read = load<N>(x + element(w, p.outer, z, y, q, columns) + p.column);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const C value = widen(read.lane[k]);
            best[k] = value > best[k] || is_nan(value) ? value : best[k];
        }
        return true;
    });
    Vector<T, N> found;
#pragma unroll
    for (int k = 0; k < N; ++k) found.lane[k] = narrow<T>(best[k]);
    store(out + thread * N, found);
}

// The sum of g over the windows whose first largest element, which is in `best`, is this one.
template <typename T, bool IS_VECTOR>
POOLING_KERNEL max_pool_gradient(const T* __restrict__ g, const T* __restrict__ x,
                                 const T* __restrict__ best, T* __restrict__ out, int64 threads,
                                 int64 columns, const Windows w) {
    POOLING_THREAD;
    const Place p(uint32(thread), uint32(columns / N), N, w, false);
    Range range[3];
    for (int d = 0; d < 3; ++d) range[d] = Sliding::windows(w.axis[d], p.at[d]);
    const auto own = load<N>(x + thread * N);
    C sum[N] = {};
    each(range, [&](int z, int y, int q) {
        const int at[3] = {z, y, q};
        for (int d = 0; d < 3; ++d)
            if (!Sliding::has(w.axis[d], at[d], p.at[d])) return true;
        const int64 place = window(w, p.outer, z, y, q, columns) + p.column;
        const auto largest = load<N>(best + place);
        uint32 hits = 0;
#pragma unroll
        for (int k = 0; k < N; ++k)
            hits |= uint32(C(widen(own.lane[k])) == C(widen(largest.lane[k]))) << k;
        if (!hits) return true;
        Range before[3];
        for (int d = 0; d < 3; ++d) before[d] = Sliding::elements(w.axis[d], at[d]);
        each(before, [&](int bz, int by, int bx) {
            if (bz == p.at[0] && by == p.at[1] && bx == p.at[2]) return false;
            const auto other = load<N>(x + element(w, p.outer, bz, by, bx, columns) + p.column);
#pragma unroll
            for (int k = 0; k < N; ++k)
                hits &= ~(uint32(C(widen(other.lane[k])) == C(widen(largest.lane[k]))) << k);
            return hits != 0;
        });
        if (!hits) return true;
        const auto by = load<N>(g + place);
#pragma unroll
        for (int k = 0; k < N; ++k)
            if (hits >> k & 1) sum[k] += C(widen(by.lane[k]));
        return true;
    });
    Vector<T, N> found;
#pragma unroll
    for (int k = 0; k < N; ++k) found.lane[k] = narrow<T>(sum[k]);
    store(out + thread * N, found);
}

// For each window the place of its first largest element in its image, and what `h` has there; 0
// where there is none, as for NaN. What is null is left out.
template <typename T>
POOLING_KERNEL max_pool_places(const T* __restrict__ x, const T* __restrict__ best, const T* h,
                               T* picks, int64* places, int64 threads, int64 columns,
                               const Windows w) {
    constexpr bool IS_VECTOR = false;
    POOLING_THREAD;
    const Place p(uint32(thread), uint32(columns), N, w, true);
    Range range[3];
    for (int d = 0; d < 3; ++d) range[d] = Sliding::elements(w.axis[d], p.at[d]);
    const C largest = widen(best[thread]);
    int64 found = -1, flat = 0;
    each(range, [&](int z, int y, int q) {
        const int64 here = element(w, p.outer, z, y, q, columns) + p.column;
        if (C(widen(x[here])) != largest) return true;
        found = here;
        flat = element(w, 0, z, y, q, 1);
        return false;
    });
    if (places) places[thread] = flat;
    if (picks) picks[thread] = found < 0 ? narrow<T>(C(0)) : h[found];
}

// By how much the sum of a window is divided.
template <typename Kind>
INLINE int64 elements_of(const Windows& w, int z, int y, int x, bool counts_padding, int64 divisor) {
    if (divisor) return divisor;
    return int64(Kind::length(w.axis[0], z, counts_padding)) *
           Kind::length(w.axis[1], y, counts_padding) * Kind::length(w.axis[2], x, counts_padding);
}

// The mean of each window: its sum divided by `divisor`, or, if that is 0, by its elements.
template <typename T, bool IS_VECTOR, typename Kind>
POOLING_KERNEL average(const T* __restrict__ x, T* __restrict__ out, int64 threads, int64 columns,
                       const Windows w, int64 counts_padding, int64 divisor) {
    POOLING_THREAD;
    const Place p(uint32(thread), uint32(columns / N), N, w, true);
    Range range[3];
    for (int d = 0; d < 3; ++d) range[d] = Kind::elements(w.axis[d], p.at[d]);
    C sum[N] = {};
    each(range, [&](int z, int y, int q) {
        const auto read = load<N>(x + element(w, p.outer, z, y, q, columns) + p.column);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += C(widen(read.lane[k]));
        return true;
    });
    const C count = C(elements_of<Kind>(w, p.at[0], p.at[1], p.at[2], counts_padding, divisor));
    Vector<T, N> found;
#pragma unroll
    for (int k = 0; k < N; ++k) found.lane[k] = narrow<T>(sum[k] / count);
    store(out + thread * N, found);
}

// The sum of what the windows of each element give it: their g, divided as the mean was.
template <typename T, bool IS_VECTOR, typename Kind>
POOLING_KERNEL average_gradient(const T* __restrict__ g, T* __restrict__ out, int64 threads,
                                int64 columns, const Windows w, int64 counts_padding,
                                int64 divisor) {
    POOLING_THREAD;
    const Place p(uint32(thread), uint32(columns / N), N, w, false);
    Range range[3];
    for (int d = 0; d < 3; ++d) range[d] = Kind::windows(w.axis[d], p.at[d]);
    C sum[N] = {};
    each(range, [&](int z, int y, int q) {
        const C share = C(1) / C(elements_of<Kind>(w, z, y, q, counts_padding, divisor));
        const auto read = load<N>(g + window(w, p.outer, z, y, q, columns) + p.column);
#pragma unroll
        for (int k = 0; k < N; ++k) sum[k] += C(widen(read.lane[k])) * share;
        return true;
    });
    Vector<T, N> found;
#pragma unroll
    for (int k = 0; k < N; ++k) found.lane[k] = narrow<T>(sum[k]);
    store(out + thread * N, found);
}
