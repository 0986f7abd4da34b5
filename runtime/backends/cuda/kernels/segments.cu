// Rows added to a table at places that may repeat.
//
// Sorted by place, the rows of one place are a segment. Segments are summed in order, in pieces that
// end where 64 sorted rows end, so that one place for all rows keeps many threads busy, and then the
// pieces of a segment: the result never depends on who came first.
#include "block.cuh"
#include "memory.cuh"

constexpr int PIECE = 64;

// The sum, or what another operation makes, of sorted rows [begin, end) at the N columns from `column` on.
template <typename Operation, typename T, int N>
INLINE void sum_rows(const T* rows, const int64* order, int64 begin, int64 end, int64 columns,
                     int64 column, Compute<T>* sum) {
#pragma unroll 4
    for (int64 i = begin; i < end; ++i) {
        const auto lanes = load<N>(rows + order[i] * columns + column);
#pragma unroll
        for (int k = 0; k < N; ++k)
            sum[k] = Operation::of(sum[k], Compute<T>(widen(lanes.lane[k])));
    }
}

template <typename Operation, typename T, int N>
INLINE void add_to(T* out, const Compute<T>* sum) {
    auto lanes = load<N>(out);
#pragma unroll
    for (int k = 0; k < N; ++k) 
        lanes.lane[k] = narrow<T>(Operation::of(Compute<T>(widen(lanes.lane[k])), sum[k]));
    store(out, lanes);
}

// A thread has the N columns from `column` on of what begins at sorted row `i`, if anything does.
// Rows whose place is not in [0, limit) are left out. Of a segment that goes on beyond its piece the sum is put
// into `partial`: two rows for each 64 sorted ones, of what began before them and of what ends
// after.
template <typename T, bool IS_VECTOR, typename Operation>
__global__ void __launch_bounds__(256)
add_segments(T* out, const T* rows, const int64* places, const int64* order, Compute<T>* partial,
             int64 count, int64 columns, int64 limit) {
    constexpr int N = IS_VECTOR ? LANES<T> : 1;
    const int64 parts = columns / N;
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 i = thread / parts, column = thread % parts * N;
    if (i >= count) return;
    const int64 place = places[i];
    const bool begins = i == 0 || places[i - 1] != place;
    if (place < 0 || place >= limit || (!begins && i % PIECE != 0)) return;
    const int64 stop = i / PIECE * PIECE + PIECE < count ? i / PIECE * PIECE + PIECE : count;
    int64 end = i + 1;
    while (end < stop && places[end] == place) ++end;
    const bool ends = end == count || places[end] != place;
    Compute<T> sum[N];
#pragma unroll
    for (int k = 0; k < N; ++k) sum[k] = Operation::template neutral<Compute<T>>();
    sum_rows<Operation, T, N>(rows, order, i, end, columns, column, sum);
    if (begins && ends) {
        add_to<Operation, T, N>(out + place * columns + column, sum);
        return;
    }
    Compute<T>* to = partial + (i / PIECE * 2 + begins) * columns + column;
#pragma unroll
    for (int k = 0; k < N; ++k) to[k] = sum[k];
}

// A thread has one column of the segment that begins within 64 sorted rows and goes on after them.
template <typename T, typename Operation>
__global__ void __launch_bounds__(256)
add_pieces(T* out, const int64* places, const Compute<T>* partial, int64 count, int64 columns,
           int64 limit) {
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 column = thread % columns;
    int64 next = (thread / columns + 1) * PIECE;
    if (next >= count) return;
    const int64 place = places[next];
    const bool began_here = next == PIECE || places[next - PIECE - 1] != place;
    if (place < 0 || place >= limit || places[next - 1] != place || !began_here) return;
    Compute<T> sum = partial[(next / PIECE * 2 - 1) * columns + column];
    for (; next < count && places[next] == place; next += PIECE)
        sum = Operation::of(sum, partial[next / PIECE * 2 * columns + column]);
    T* to = out + place * columns + column;
    *to = narrow<T>(Operation::of(Compute<T>(widen(*to)), sum));
}

// As the rows come, one after the other at each place: fast for single columns, in no fixed order.
template <typename T>
__global__ void __launch_bounds__(256)
add_as_they_come(T* out, const T* rows, const int64* places, int64 count, int64 columns,
                 int64 limit) {
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;
    const int64 i = thread / columns;
    if (i >= count) return;
    const int64 place = places[i];
    if (place >= 0 && place < limit) atomicAdd(out + place * columns + thread % columns, rows[thread]);
}
