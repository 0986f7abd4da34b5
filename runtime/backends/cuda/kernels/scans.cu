// Running sums, products, logarithmic sums and extremes along one dimension of (outer, n, inner).
//
// Few long lines are cut into segments: their totals are found first, then what comes before each,
// then each segment goes on from that. So all is read twice and written once, in one order.
#include "block.cuh"
#include "memory.cuh"

template <typename T>
struct RunningSum {
    using State = Compute<T>;
    using Out = T;
    INLINE State neutral() { return State(0); }
    INLINE State of(T x, int64) { return widen(x); }
    INLINE State join(State a, State b) { return a + b; }
    INLINE Out result(State a) { return narrow<T>(a); }
};

template <typename T>
struct RunningProduct {
    using State = Compute<T>;
    using Out = T;
    INLINE State neutral() { return State(1); }
    INLINE State of(T x, int64) { return widen(x); }
    INLINE State join(State a, State b) { return a * b; }
    INLINE Out result(State a) { return narrow<T>(a); }
};

template <typename T>
struct RunningLogSum {
    using State = Compute<T>;
    using Out = T;
    INLINE State neutral() { return Limits<State>::lowest(); }
    INLINE State of(T x, int64) { return widen(x); }
    INLINE State join(State a, State b) {
        const State top = Maximum::of(a, b), rest = a > b ? b : a;
        // Of two infinities of one sign the difference would be NaN.
        return a == b ? a + State(0.6931471805599453) : top + log1p(exp(rest - top));
    }
    INLINE Out result(State a) { return narrow<T>(a); }
};

// Where the largest (smallest) element so far is, the last of equals; NaN exceeds all.
template <typename R>
struct Extreme {
    R value;
    int64 at;  // negative: nothing yet
};

template <typename T, bool IS_LARGEST>
struct RunningExtreme {
    using State = Extreme<Compute<T>>;
    using Out = int64;
    INLINE State neutral() { return {Compute<T>(0), -1}; }
    INLINE State of(T x, int64 i) { return {widen(x), i}; }
    INLINE State join(State a, State b) {
        if (b.at < 0) return a;
        const bool beats = IS_LARGEST ? b.value >= a.value : b.value <= a.value;
        return a.at < 0 || is_nan(b.value) || beats ? b : a;
    }
    INLINE Out result(State a) { return a.at; }
};
template <typename T>
using RunningLargest = RunningExtreme<T, true>;
template <typename T>
using RunningSmallest = RunningExtreme<T, false>;

template <typename R>
INLINE R from_lanes_before(R x, int by) { return __shfl_up_sync(ALL_LANES, x, by); }
template <typename R>
INLINE Extreme<R> from_lanes_before(Extreme<R> x, int by) {
    return {__shfl_up_sync(ALL_LANES, x.value, by), __shfl_up_sync(ALL_LANES, x.at, by)};
}

constexpr int SCAN_THREADS = 256, ITEMS = 4, SCAN_WARPS = SCAN_THREADS / WARP;

// What comes before a segment, in `totals` (lines, segments); nothing where that is null.
template <typename S>
INLINE typename S::State carried(const typename S::State* totals, int64 place) {
    return totals ? totals[place] : S::neutral();
}

// inner = 1: a block has a segment of a row. Without `out` it only finds the segment's total.
template <typename T, template <typename> class Running>
__global__ void __launch_bounds__(SCAN_THREADS)
scan_rows(const T* x, typename Running<T>::Out* out, typename Running<T>::State* totals, int64 n,
          int64 length, int64 segments) {
    using S = Running<T>;
    using State = typename S::State;
    SHARED_ARRAY(State, of_warps, SCAN_WARPS);
    const int64 row = blockIdx.x / segments, segment = blockIdx.x % segments;
    const int64 begin = segment * length, end = begin + length < n ? begin + length : n;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    x += row * n;
    State carry = out ? carried<S>(totals, blockIdx.x) : S::neutral();
    for (int64 start = begin; start < end; start += SCAN_THREADS * ITEMS) {
        const int64 first = start + threadIdx.x * ITEMS;
        State own[ITEMS];
        State sum = S::neutral();
#pragma unroll
        for (int k = 0; k < ITEMS; ++k) {
            if (first + k < end) sum = S::join(sum, S::of(x[first + k], first + k));
            own[k] = sum;
        }
        // The threads of the warp up to this one, then those before it.
        State upto = sum;
#pragma unroll
        for (int by = 1; by < WARP; by *= 2) {
            const State before = from_lanes_before(upto, by);
            if (lane >= by) upto = S::join(before, upto);
        }
        State before = from_lanes_before(upto, 1);
        if (lane == 0) before = S::neutral();
        __syncthreads();  // others may still read the warps' sums of the round before
        if (lane == WARP - 1) of_warps[warp] = upto;
        __syncthreads();
        State base = carry;
        for (int k = 0; k < SCAN_WARPS; ++k) {
            if (k == warp) before = S::join(base, before);
            base = S::join(base, of_warps[k]);
        }
        carry = base;
        if (!out) continue;
#pragma unroll
        for (int k = 0; k < ITEMS; ++k)
            if (first + k < end) out[row * n + first + k] = S::result(S::join(before, own[k]));
    }
    if (!out && threadIdx.x == 0) totals[blockIdx.x] = carry;
}

// inner > 1: a thread has a segment of a line; neighbours have neighbouring lines.
template <typename T, template <typename> class Running>
__global__ void __launch_bounds__(SCAN_THREADS)
scan_columns(const T* x, typename Running<T>::Out* out, typename Running<T>::State* totals, int64 n,
             int64 length, int64 segments, int64 outer, int64 inner) {
    using S = Running<T>;
    const int64 thread = blockIdx.x * int64(SCAN_THREADS) + threadIdx.x;
    const int64 column = thread % inner, segment = thread / inner % segments;
    const int64 row = thread / inner / segments;
    if (row >= outer) return;
    const int64 place = (row * inner + column) * segments + segment;
    const int64 begin = segment * length, end = begin + length < n ? begin + length : n;
    const int64 first = row * n * inner + column;
    typename S::State sum = out ? carried<S>(totals, place) : S::neutral();
#pragma unroll 4
    for (int64 i = begin; i < end; ++i) {
        sum = S::join(sum, S::of(x[first + i * inner], i));
        if (out) out[first + i * inner] = S::result(sum);
    }
    if (!out) totals[place] = sum;
}

// The totals of each line become what comes before the segments.
template <typename T, template <typename> class Running>
__global__ void __launch_bounds__(SCAN_THREADS)
scan_totals(typename Running<T>::State* totals, int64 lines, int64 segments) {
    using S = Running<T>;
    const int64 line = blockIdx.x * int64(SCAN_THREADS) + threadIdx.x;
    if (line >= lines) return;
    typename S::State sum = S::neutral();
    for (int64 k = line * segments; k < (line + 1) * segments; ++k) {
        const typename S::State own = totals[k];
        totals[k] = sum;
        sum = S::join(sum, own);
    }
}
