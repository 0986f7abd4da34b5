// A rule that goes element by element, such as a step of an optimizer, for many parameters at once.
//
// Before it stands what the rule was read into, see rules.py: ARRAYS (of a parameter), Real (the
// type that is computed in), NUMBERS, and STEP_LANES (elements that are read at once);
// FOR_EACH_ARRAY(DO), that is DO(k, type, whether it is read, and written) for each of them;
// and rule(n, a), which changes the elements a[0], ... of the arrays by the numbers n[0], ...
#pragma once
#include "memory.cuh"
#include "tables.cuh"

// Each is known at the launch, or by then lies in device memory: where `place` is not null.
struct Numbers {
    double value[NUMBERS + 1];
    const double* place[NUMBERS + 1];
};

// The rule for N elements from `i` on; whether all that it wrote is finite.
template <int N>
INLINE bool step(const Chunk& chunk, const Real* numbers, int64 i) {
    Real a[N][ARRAYS];
#define READ(k, T, is_read, is_written)                     \
    if (is_read) {                                          \
        const auto lanes = load<N>(chunk.place<T>(k) + i);  \
        _Pragma("unroll")                                   \
        for (int j = 0; j < N; ++j) a[j][k] = widen(lanes.lane[j]); \
    }
    FOR_EACH_ARRAY(READ)
#undef READ
#pragma unroll
    for (int j = 0; j < N; ++j) rule(numbers, a[j]);
    bool is_finite = true;
#define WRITE(k, T, is_read, is_written)                    \
    if (is_written) {                                       \
        Vector<T, N> lanes;                                 \
        _Pragma("unroll")                                   \
        for (int j = 0; j < N; ++j) {                       \
            lanes.lane[j] = narrow<T>(a[j][k]);             \
            is_finite = is_finite && a[j][k] - a[j][k] == 0; \
        }                                                   \
        store(chunk.place<T>(k) + i, lanes);                \
    }
    FOR_EACH_ARRAY(WRITE)
#undef WRITE
    return is_finite;
}

// `found`, which may be null, becomes 1 if a result is not finite.
extern "C" __global__ void __launch_bounds__(256)
steps(const __grid_constant__ Table table, const __grid_constant__ Numbers numbers,
      float* found, int64 records, int64 length) {
    Real n[NUMBERS + 1];
#pragma unroll
    for (int k = 0; k < NUMBERS; ++k) 
        n[k] = Real(numbers.place[k] ? *numbers.place[k] : numbers.value[k]);
    const Chunk chunk = own_chunk(table, ARRAYS, int(records), length);
    bool is_aligned = true;
#define CHECK(k, T, is_read, is_written) \
    is_aligned = is_aligned && chunk.record[PLACES + k] % (sizeof(T) * STEP_LANES) == 0;
    FOR_EACH_ARRAY(CHECK)
#undef CHECK
    bool is_finite = true;
    const int64 size = chunk.end - chunk.begin;
    const int64 whole = chunk.begin + (is_aligned ? size / STEP_LANES * STEP_LANES : 0);
    for (int64 i = chunk.begin + threadIdx.x * STEP_LANES; i < whole; i += blockDim.x * STEP_LANES)
        is_finite = step<STEP_LANES>(chunk, n, i) && is_finite;
    for (int64 i = whole + threadIdx.x; i < chunk.end; i += blockDim.x)
        is_finite = step<1>(chunk, n, i) && is_finite;
    if (found && !is_finite) put_any(found, 1.0f);
}
