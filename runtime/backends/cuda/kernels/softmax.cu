// Softmax and log-softmax of rows, and their gradients.
#include "maths.cuh"
#include "rows.cuh"

template <ROW_PARAMETERS, bool IS_LOG>
ROW_KERNEL softmax_rows(const T* __restrict__ x, T* __restrict__ out, int64 rows, int64 columns,
                        int64 threads_per_row) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    const C top = row.template reduce<Maximum>([&](int s, int w) { return row.value(0, s, w); });
    const C total = row.template reduce<Sum>(
        [&](int s, int w) { return m::exp(row.value(0, s, w) - top); });
    const C change = IS_LOG ? top + m::log(total) : C(1) / total;
    row.store(out, [&](int s, int w) {
        const C value = row.value(0, s, w);
        return IS_LOG ? value - change : m::exp(value - top) * change;
    });
}

template <ROW_PARAMETERS, bool IS_LOG>
ROW_KERNEL softmax_gradient_rows(const T* __restrict__ g, const T* __restrict__ y,
                                 T* __restrict__ out, int64 rows, int64 columns,
                                 int64 threads_per_row) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 2> row(RowThreads(rows, threads_per_row), columns, g, y);
    const C along = row.template reduce<Sum>([&](int s, int w) {
        return IS_LOG ? row.value(0, s, w) : row.value(0, s, w) * row.value(1, s, w);
    });
    row.store(out, [&](int s, int w) {
        const C by = row.value(0, s, w), value = row.value(1, s, w);
        return IS_LOG ? by - m::exp(value) * along : value * (by - along);
    });
}
