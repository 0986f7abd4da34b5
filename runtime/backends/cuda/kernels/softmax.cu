// Softmax and log-softmax of rows, cross-entropy, and their gradients.
#include "maths.cuh"
#include "rows.cuh"

template <ROW_PARAMETERS, bool IS_LOG>
ROW_KERNEL softmax_rows(const T* __restrict__ x, T* __restrict__ out, int64 rows, int64 columns,
                        int64 threads_per_row) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    const C top = row.template reduce<Maximum>([&](int s, int w) { return row.value(0, s, w); });
    const C total = row.template reduce<Sum>(
        [&](int s, int w) { return m::exp_for<T>(row.value(0, s, w) - top); });
    const C change = IS_LOG ? top + m::log(total) : C(1) / total;
    row.store(out, [&](int s, int w) {
        const C value = row.value(0, s, w);
        return IS_LOG ? value - change : m::exp_for<T>(value - top) * change;
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
        return IS_LOG ? by - m::exp_for<T>(value) * along : value * (by - along);
    });
}

// The probabilities of all classes, and each row's loss, (log(sum(exp(x))) - x[target]) times the
// weight of the target, if there are weights; 0 where it is to be ignored, NaN where it is no class.
template <ROW_PARAMETERS>
ROW_KERNEL cross_entropy_rows(const T* __restrict__ x, const int64* __restrict__ target,
                              const T* __restrict__ weight,
                              T* __restrict__ probabilities, Compute<T>* __restrict__ losses,
                              int64 rows, int64 columns, int64 threads_per_row, int64 ignored,
                              double smoothing) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    const C top = row.template reduce<Maximum>([&](int s, int w) { return row.value(0, s, w); });
    const C total = row.template reduce<Sum>(
        [&](int s, int w) { return m::exp_for<T>(row.value(0, s, w) - top); });
    const C share = C(1) / total;
    row.store(probabilities,
              [&](int s, int w) { return m::exp_for<T>(row.value(0, s, w) - top) * share; });
    C even = 0;  // the mean over all classes of x - top
    if (smoothing != 0)
        even = row.template reduce<Sum>([&](int s, int w) { return row.value(0, s, w) - top; }) /
               C(columns);
    if (row.at.is_real && row.at.lane == 0) {
        const int64 chosen = target[row.at.row];
        const bool is_class = chosen >= 0 && chosen < columns;
        const C value = is_class ? C(widen(row.start[0][chosen])) : C(NOT_A_NUMBER);
        const C kept = (value - top) * C(1 - smoothing) + even * C(smoothing);
        const C by = weight && is_class ? C(widen(weight[chosen])) : C(1);
        losses[row.at.row] = chosen == ignored ? C(0) : (m::log(total) - kept) * by;
    }
}

// The sum of losses, or their mean over the targets that are not to be ignored, and how many those
// are, or what they weigh; `losses` and `weight` may be null. One block, so that the order is always the same.
template <typename T>
__global__ void __launch_bounds__(1024)
cross_entropy_total(const Compute<T>* __restrict__ losses, const int64* __restrict__ target,
                    const T* __restrict__ weight, T* __restrict__ loss, Compute<T>* __restrict__ count, int64 rows,
                    int64 columns, int64 ignored, int64 is_mean) {
    using C = Compute<T>;
    C total = 0, counted = 0;
    for (int64 k = threadIdx.x; k < rows; k += blockDim.x) {
        if (losses) total += losses[k];
        const int64 chosen = target[k];
        const bool is_class = chosen >= 0 && chosen < columns;
        const C by = weight && is_class ? C(widen(weight[chosen])) : C(1);
        counted += chosen == ignored ? C(0) : by;
    }
    total = reduce_block<Sum>(total);
    counted = reduce_block<Sum>(counted);
    if (threadIdx.x) return;
    *count = counted;
    if (losses) *loss = narrow<T>(is_mean ? total / counted : total);
}

// (probabilities - targets) * g * weight / count, and 0 where the target is to be ignored. `g` is one
// number, or one for each row; `count` may be null. The target is 1 - smoothing for its class and
// smoothing / columns for each.
template <typename T, bool IS_VECTOR>
__global__ void __launch_bounds__(256)
cross_entropy_gradient(const T* __restrict__ probabilities, const int64* __restrict__ target,
                       const T* __restrict__ weight, const T* __restrict__ g, const Compute<T>* __restrict__ count,
                       T* __restrict__ out, int64 rows, int64 columns, int64 step, int64 ignored,
                       double smoothing) {
    constexpr int WIDTH = IS_VECTOR ? LANES<T> : 1;
    using C = Compute<T>;
    const int64 row = blockIdx.x, chosen = target[row];
    const C divisor = count ? *count : C(1);
    const C by = weight && chosen >= 0 && chosen < columns ? C(widen(weight[chosen])) : C(1);
    const C factor = chosen == ignored ? C(0) : C(widen(g[row * step])) / divisor * by;
    const T* start = probabilities + row * columns;
    const C even = C(smoothing / double(columns));
    for (int64 k = (int64(blockIdx.y) * blockDim.x + threadIdx.x) * WIDTH; k < columns;
         k += int64(gridDim.y) * blockDim.x * WIDTH) {
        const Vector<T, WIDTH> p = load<WIDTH>(start + k);
        Vector<T, WIDTH> written;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C off = even + (k + w == chosen ? C(1 - smoothing) : C(0));
            written.lane[w] = narrow<T>((C(widen(p.lane[w])) - off) * factor);
        }
        store(out + row * columns + k, written);
    }
}
