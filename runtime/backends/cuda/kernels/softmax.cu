// Softmax and log-softmax of rows, and their gradients.
#include "maths.cuh"
#include "rows.cuh"

template <typename T, bool IS_VECTOR, int PIECES, bool IS_LOG>
__global__ void __launch_bounds__(MOST_ROW_THREADS)
softmax_rows(const T* __restrict__ x, T* __restrict__ out, int64 rows, int64 columns,
             int64 threads_per_row) {
    using C = Compute<T>;
    const RowThreads at(rows, int(threads_per_row));
    Row<T, IS_VECTOR, PIECES> row;
    row.load(x + at.row * columns, at, columns, Limits<C>::lowest());
    const C top = row.template reduce<Maximum>(at, [&](int s, int w) { return row.value[s][w]; });
    C total = 0;
    row.each([&](int s, int w) {
        const C shifted = row.value[s][w] - top, e = m::exp(shifted);
        total += e;  // 0 behind the end
        row.value[s][w] = IS_LOG ? shifted : e;
    });
    total = at.template reduce<Sum>(total);
    const C change = IS_LOG ? m::log(total) : C(1) / total;
    row.each([&](int s, int w) {
        row.value[s][w] = IS_LOG ? row.value[s][w] - change : row.value[s][w] * change;
    });
    row.store(out + at.row * columns, at, columns);
}

template <typename T, bool IS_VECTOR, int PIECES, bool IS_LOG>
__global__ void __launch_bounds__(MOST_ROW_THREADS)
softmax_gradient_rows(const T* __restrict__ g, const T* __restrict__ y, T* __restrict__ out,
                      int64 rows, int64 columns, int64 threads_per_row) {
    using C = Compute<T>;
    const RowThreads at(rows, int(threads_per_row));
    Row<T, IS_VECTOR, PIECES> by, row;
    by.load(g + at.row * columns, at, columns, C(0));
    row.load(y + at.row * columns, at, columns, C(0));
    const C along = by.template reduce<Sum>(at, [&](int s, int w) {
        return IS_LOG ? by.value[s][w] : by.value[s][w] * row.value[s][w];
    });
    row.each([&](int s, int w) {
        const C b = by.value[s][w], r = row.value[s][w];
        row.value[s][w] = IS_LOG ? b - m::exp(r) * along : r * (b - along);
    });
    row.store(out + at.row * columns, at, columns);
}
