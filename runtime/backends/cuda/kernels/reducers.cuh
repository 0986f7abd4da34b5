// What reductions do with elements: a reducer for elements of type T has a state `State`, `start()`,
// `add(state, x, index)`, `merge(a, b)` and `finish(state, number)`, the result of type `Result`.
//
// States are merged in an order that depends on shapes alone, so that results never change.
#pragma once
#include "block.cuh"
#include "maths.cuh"

// A reducer whose state is a number, and `Operation` of block.cuh puts numbers together.
template <typename T, typename Operation>
struct Plain {
    using State = Compute<T>;
    using Result = T;
    INLINE State start() { return Operation::template neutral<State>(); }
    INLINE State add(State a, State x, int64) { return Operation::of(a, x); }
    INLINE State merge(State a, State b) { return Operation::of(a, b); }
    INLINE Result finish(State a, double) { return narrow<T>(a); }
};

// The sum divided by `number`, which is 1 or the count for a mean.
template <typename T>
struct SumOf : Plain<T, Sum> {
    INLINE T finish(Compute<T> a, double number) {
        return narrow<T>(number == 1 ? a : a / Compute<T>(number));
    }
};
template <typename T>
struct ProductOf : Plain<T, Product> {};
template <typename T>
struct MaximumOf : Plain<T, Maximum> {};
template <typename T>
struct MinimumOf : Plain<T, Minimum> {};

template <typename T>
struct AbsoluteSum : Plain<T, Sum> {
    INLINE Compute<T> add(Compute<T> a, Compute<T> x, int64) { return a + m::abs(x); }
};

// The root of the sum of squares.
template <typename T>
struct EuclideanNorm : Plain<T, Sum> {
    INLINE Compute<T> add(Compute<T> a, Compute<T> x, int64) { return a + x * x; }
    INLINE T finish(Compute<T> a, double) { return narrow<T>(m::sqrt(a)); }
};

// Whether any element, or every one, differs from 0.
template <typename T>
struct AnyOf {
    using State = bool;
    using Result = bool;
    INLINE bool start() { return false; }
    INLINE bool add(bool a, Compute<T> x, int64) { return a | (x != Compute<T>(0)); }
    INLINE bool merge(bool a, bool b) { return a | b; }
    INLINE bool finish(bool a, double) { return a; }
};
template <typename T>
struct AllOf {
    using State = bool;
    using Result = bool;
    INLINE bool start() { return true; }
    INLINE bool add(bool a, Compute<T> x, int64) { return a & (x != Compute<T>(0)); }
    INLINE bool merge(bool a, bool b) { return a & b; }
    INLINE bool finish(bool a, double) { return a; }
};

// log(sum(exp(x))): the largest element so far, and the sum of exponentials relative to it.
template <typename T>
struct LogSumExp {
    using C = Compute<T>;
    struct State { C top, sum; };
    using Result = T;
    INLINE State start() { return {Limits<C>::lowest(), C(0)}; }
    INLINE State add(State a, C x, int64) {
        // Equal ones need no exponential, which would be NaN for infinities.
        const C e = x == a.top ? C(1) : m::exp(-m::abs(x - a.top));
        return x > a.top ? State{x, a.sum * e + C(1)} : State{a.top, a.sum + e};
    }
    INLINE State merge(State a, State b) {
        const C top = Maximum::of(a.top, b.top);
        const C left = a.top == top ? a.sum : a.sum * m::exp(a.top - top);
        const C right = b.top == top ? b.sum : b.sum * m::exp(b.top - top);
        return {top, left + right};
    }
    INLINE Result finish(State a, double) { return narrow<T>(a.top + m::log(a.sum)); }
};

// The index of the first largest (or smallest) element; NaN is the largest and the smallest.
template <typename T, bool IS_LARGEST>
struct Index {
    using C = Compute<T>;
    struct State { C value; int64 index; };
    using Result = int64;
    INLINE State start() { return {C(0), -1}; }
    INLINE State add(State a, C x, int64 index) { return merge(a, {x, index}); }
    INLINE State merge(State a, State b) {
        if (a.index < 0 || b.index < 0) return a.index < 0 ? b : a;
        const bool first = a.index < b.index;
        if (is_nan(a.value) || is_nan(b.value))
            return is_nan(a.value) && (first || !is_nan(b.value)) ? a : b;
        const bool better = IS_LARGEST ? a.value > b.value : a.value < b.value;
        return better || (a.value == b.value && first) ? a : b;
    }
    INLINE Result finish(State a, double) { return a.index; }
};
template <typename T>
struct IndexOfMaximum : Index<T, true> {};
template <typename T>
struct IndexOfMinimum : Index<T, false> {};

// A state that another lane of the warp has.
template <typename State>
INLINE State shuffled(State state, int other) {
    constexpr int WORDS = (sizeof(State) + 3) / 4;
    uint32 words[WORDS] = {};
    memcpy(words, &state, sizeof(State));
#pragma unroll
    for (int k = 0; k < WORDS; ++k) words[k] = __shfl_xor_sync(ALL_LANES, words[k], other);
    memcpy(&state, words, sizeof(State));
    return state;
}

// All lanes of each group of `width` get the merged states of the group.
template <typename Reducer>
INLINE typename Reducer::State merge_warp(typename Reducer::State state, int width) {
    const int lane = threadIdx.x % WARP;
    for (int other = 1; other < width; other *= 2) {
        const typename Reducer::State theirs = shuffled(state, other);
        // The lower lane's state first, so that both lanes find the same.
        state = lane & other ? Reducer::merge(theirs, state) : Reducer::merge(state, theirs);
    }
    return state;
}

// The first warp gets the merged states of the block.
template <typename Reducer>
INLINE typename Reducer::State merge_block(typename Reducer::State state) {
    SHARED_ARRAY(typename Reducer::State, partial, WARP);
    const int warps = blockDim.x / WARP, lane = threadIdx.x % WARP;
    state = merge_warp<Reducer>(state, WARP);
    if (warps == 1) return state;
    if (lane == 0) partial[threadIdx.x / WARP] = state;
    __syncthreads();
    return merge_warp<Reducer>(lane < warps ? partial[lane] : Reducer::start(), WARP);
}
