// The k smallest or largest elements of each row, and the element of a rank, without sorting it all.
//
// Keys order as the elements do, NaN last. Digit by digit, from the highest, a block counts how many
// of its row's keys have each value of the digit, and keeps those that the k-th has.
#include "block.cuh"

constexpr int SELECT_THREADS = 512, SELECT_WARPS = SELECT_THREADS / WARP;
constexpr int DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS;
constexpr int MOST_SELECTED = 1024;

INLINE uint32 key_of(float x) {
    if (is_nan(x)) return ~0u;
    const uint32 bits = __float_as_uint(x == 0.0f ? 0.0f : x);
    return bits >> 31 ? ~bits : bits | 1u << 31;
}
INLINE uint64 key_of(double x) {
    if (is_nan(x)) return ~0ull;
    const uint64 bits = uint64(__double_as_longlong(x == 0.0 ? 0.0 : x));
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}
INLINE uint32 key_of(int32 x) { return uint32(x) ^ 1u << 31; }
INLINE uint64 key_of(int64 x) { return uint64(x) ^ 1ull << 63; }
INLINE uint32 key_of(float16 x) { return key_of(widen(x)); }
INLINE uint32 key_of(bfloat16 x) { return key_of(widen(x)); }

// How many threads before this one hold something, and in the whole block.
struct Count {
    int before, all;
};
INLINE Count count_before(bool holds) {
    SHARED_ARRAY(int, of_warps, SELECT_WARPS);
    const uint32 votes = __ballot_sync(ALL_LANES, holds);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    __syncthreads();  // others may still read the counts of the round before
    if (lane == 0) of_warps[warp] = __popc(votes);
    __syncthreads();
    Count count = {__popc(votes & ((1u << lane) - 1)), 0};
    for (int k = 0; k < SELECT_WARPS; ++k) {
        if (k < warp) count.before += of_warps[k];
        count.all += of_warps[k];
    }
    return count;
}

// Without `is_rank` the places of the k first of a row, in order; with it that of the k-th alone.
// Of equal elements the first count first.
template <typename T>
__global__ void __launch_bounds__(SELECT_THREADS)
select_rows(const T* x, int64* out, int64 n, int64 k, int64 is_largest, int64 is_rank) {
    using Key = decltype(key_of(T()));
    SHARED_ARRAY(int, counts, DIGITS);
    SHARED_ARRAY(Key, keys, MOST_SELECTED);
    SHARED_ARRAY(int64, places, MOST_SELECTED);
    SHARED_ARRAY(int64, digit_and_rank, 2);
    x += blockIdx.x * n;
    const Key flipped = is_largest ? Key(~Key(0)) : Key(0);
    Key found = 0, known = 0;  // the k-th key as far as it is known, and which bits those are
    int64 rank = k;            // the place among those that share them, from 1
    for (int shift = 8 * int(sizeof(Key)) - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        for (int i = threadIdx.x; i < DIGITS; i += SELECT_THREADS) counts[i] = 0;
        __syncthreads();
        for (int64 i = threadIdx.x; i < n; i += SELECT_THREADS) {
            const Key key = key_of(x[i]) ^ flipped;
            if ((key & known) == found) atomicAdd(&counts[int(key >> shift) & (DIGITS - 1)], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int64 rest = rank;
            int digit = 0;
            while (rest > counts[digit]) rest -= counts[digit++];
            digit_and_rank[0] = digit;
            digit_and_rank[1] = rest;
        }
        __syncthreads();
        found |= Key(digit_and_rank[0]) << shift;
        known |= Key(DIGITS - 1) << shift;
        rank = digit_and_rank[1];
    }
    int64 taken = 0, equal = 0;
    for (int64 start = 0; start < n; start += SELECT_THREADS) {
        const int64 i = start + threadIdx.x;
        // Behind the row the largest key, which comes after the row's own that equal it.
        const Key key = i < n ? Key(key_of(x[i]) ^ flipped) : Key(~Key(0));
        const bool is_equal = key == found;
        const Count ties = count_before(is_equal);
        const bool is_last = is_equal && equal + ties.before + 1 == rank;
        if (is_rank) {
            if (is_last) out[blockIdx.x] = i;
        } else {
            const bool takes = key < found || (is_equal && equal + ties.before < rank);
            const Count chosen = count_before(takes);
            if (takes) {
                keys[taken + chosen.before] = key;
                places[taken + chosen.before] = i;
            }
            taken += chosen.all;
        }
        equal += ties.all;
    }
    if (is_rank) return;
    __syncthreads();
    for (int64 i = threadIdx.x; i < k; i += SELECT_THREADS) {
        int64 smaller = 0;  // their places ascend, so that of equals the first stay first
        for (int64 j = 0; j < k; ++j)
            smaller += keys[j] < keys[i] || (keys[j] == keys[i] && j < i);
        out[blockIdx.x * k + smaller] = places[i];
    }
}
