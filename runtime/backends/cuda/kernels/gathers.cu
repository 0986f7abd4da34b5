// Rows and elements read from places that arrays name, or written there. Places that are not there are
// noted; nothing is written to them, and 0 is read from them.
#include "bounds.cuh"
#include "words.cuh"

#define MOST_INDICES 4

// Numbers along several dimensions, of `size` elements each, which together name a row. Negative ones
// count from the end, if the checks allow them.
template <typename I>
struct Indices {
    const I* at[MOST_INDICES];
    int64 size[MOST_INDICES], low[MOST_INDICES];
    Note note[MOST_INDICES];
    int64 count;

    // The row that the numbers at `i` name; -1 if there is none.
    __device__ int64 row(int64 i) const {
        int64 row = 0;
#pragma unroll
        for (int k = 0; k < MOST_INDICES; ++k) {
            if (k >= count) break;
            const int64 number = int64(at[k][i]);
            if (number < low[k] || number >= size[k]) {
                note[k].outside(number);
                return -1;
            }
            row = row * size[k] + (number < 0 ? number + size[k] : number);
        }
        return row;
    }
};

#define THREAD(count)                                                      \
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;     \
    if (thread >= count) return

// out (outer, count, words) = x (outer, rows, words) at the rows that the indices name.
template <typename W, typename I>
__global__ void __launch_bounds__(256)
take_rows(const W* __restrict__ x, W* __restrict__ out, int64 threads, int64 count, int64 rows,
          int64 words, const Indices<I> indices) {
    THREAD(threads);
    const uint32 line = uint32(thread) / uint32(words), word = uint32(thread) % uint32(words);
    const uint32 outer = line / uint32(count), i = line % uint32(count);
    const int64 row = indices.row(i);
    out[thread] = row < 0 ? W() : x[(outer * rows + row) * words + word];
}

// The opposite: rows of `out` become those of x (outer, count, words), the one word that x is, or, if
// it is null, zeros. Of places that come twice either one stays.
template <typename W, typename I>
__global__ void __launch_bounds__(256)
put_rows(const W* __restrict__ x, W* __restrict__ out, int64 threads, int64 count, int64 rows,
         int64 words, int64 is_one, const Indices<I> indices) {
    THREAD(threads);
    const uint32 line = uint32(thread) / uint32(words), word = uint32(thread) % uint32(words);
    const uint32 outer = line / uint32(count), i = line % uint32(count);
    const int64 row = indices.row(i);
    if (row >= 0)
        put_any(out + (outer * rows + row) * words + word, x ? x[is_one ? 0 : thread] : W());
}

// The numbers of those rows among all (outer, rows), -1 where there is none.
template <typename I>
__global__ void __launch_bounds__(256)
find_rows(int64* __restrict__ found, int64 threads, int64 count, int64 rows,
          const Indices<I> indices) {
    THREAD(threads);
    const int64 row = indices.row(thread % count);
    found[thread] = row < 0 ? -1 : thread / count * rows + row;
}

// out[i] = x at element i's place, but for one dimension of `size` elements, `step` apart, along
// which `index` names the place.
template <typename W, typename I>
__global__ void __launch_bounds__(256)
take_along(const W* __restrict__ x, const I* __restrict__ index, W* __restrict__ out, int64 threads,
           int64 size, int64 step, const Note note, const Paths<2> paths) {
    THREAD(threads);
    int64 offset[2];
    paths.find(uint32(thread), offset);
    const int64 number = int64(index[offset[1]]);
    const bool is_there = number >= 0 && number < size;
    if (!is_there) note.outside(number);
    out[thread] = is_there ? x[offset[0] + number * step] : W();
}

// The opposite: the element that x, or 0 if it is null, has for place i is written there.
template <typename W, typename I>
__global__ void __launch_bounds__(256)
put_along(const W* __restrict__ x, const I* __restrict__ index, W* __restrict__ out, int64 threads,
          int64 size, int64 step, const Note note, const Paths<3> paths) {
    THREAD(threads);
    int64 offset[3];
    paths.find(uint32(thread), offset);
    const int64 number = int64(index[offset[1]]);
    if (number >= 0 && number < size)
        put_any(out + offset[0] + number * step, x ? x[offset[2]] : W());
    else note.outside(number);
}

// Those places, -1 where there is none.
template <typename I>
__global__ void __launch_bounds__(256)
find_along(const I* __restrict__ index, int64* __restrict__ places, int64 threads, int64 size,
           int64 step, const Note note, const Paths<2> paths) {
    THREAD(threads);
    int64 offset[2];
    paths.find(uint32(thread), offset);
    const int64 number = int64(index[offset[1]]);
    const bool is_there = number >= 0 && number < size;
    if (!is_there) note.outside(number);
    places[thread] = is_there ? offset[0] + number * step : -1;
}
