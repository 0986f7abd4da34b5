// Softmax and log-softmax of rows too long for registers, or too ragged for vectors that begin where
// they do: read twice, the second time from the cache. And the gradients.
#include "maths.cuh"
#include "spans.cuh"

#define SPAN_KERNEL __global__ void __launch_bounds__(SPAN_THREADS, 2)

// The largest element of a row, and the sum of exponentials relative to it.
template <typename T>
struct Exponentials {
    using C = Compute<T>;
    C top, total;

    // Relative to -inf, all would be NaN.
    INLINE C base(C top) { return top == Limits<C>::lowest() ? C(0) : top; }

    __device__ explicit Exponentials(const Span<T, 1>& row) : top(Limits<C>::lowest()), total(0) {
        row.each([&](int64, const auto& read) {
            constexpr int WIDTH = sizeof(read[0]) / sizeof(T);
            C largest = top;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) largest = m::fmax(largest, C(widen(read[0].lane[w])));
            const C relative = base(largest);
            total *= m::exp_for<T>(top - relative);
            top = largest;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w)
                total += m::exp_for<T>(C(widen(read[0].lane[w])) - relative);
        });
        const C own = top;
        top = reduce_block<Maximum>(own);
        total = reduce_block<Sum>(total * m::exp_for<T>(own - base(top)));
    }
};

// Write f(x) for each element x of the row.
template <typename T, typename F>
INLINE void write_row(const Span<T, 1>& row, T* out, F f) {
    row.each([&](int64 k, const auto& read) {
        constexpr int WIDTH = sizeof(read[0]) / sizeof(T);
        Vector<T, WIDTH> written;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w)
            written.lane[w] = narrow<T>(f(Compute<T>(widen(read[0].lane[w]))));
        store_whole(out + k, written);
    });
}

template <typename T, bool IS_LOG>
SPAN_KERNEL softmax_rows_streamed(const T* x, T* out, int64 columns) {
    using C = Compute<T>;
    const Span<T, 1> row(blockIdx.x, columns, x);
    const Exponentials<T> of(row);
    const C top = of.top, change = IS_LOG ? top + m::log(of.total) : C(1) / of.total;
    write_row(row, out + blockIdx.x * columns, [=](C value) {
        return IS_LOG ? value - change : m::exp_for<T>(value - top) * change;
    });
}

template <typename T, bool IS_LOG>
SPAN_KERNEL softmax_gradient_rows_streamed(const T* g, const T* y, T* out, int64 columns) {
    using C = Compute<T>;
    const Span<T, 2> row(blockIdx.x, columns, g, y);
    out += blockIdx.x * columns;
    C along = 0;
    row.each([&](int64, const auto& read) {
#pragma unroll
        for (int w = 0; w < int(sizeof(read[0]) / sizeof(T)); ++w) {
            const C by = widen(read[0].lane[w]);
            along += IS_LOG ? by : by * C(widen(read[1].lane[w]));
        }
    });
    along = reduce_block<Sum>(along);
    row.each([&](int64 k, const auto& read) {
        constexpr int WIDTH = sizeof(read[0]) / sizeof(T);
        Vector<T, WIDTH> written;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C by = widen(read[0].lane[w]), value = widen(read[1].lane[w]);
            written.lane[w] = narrow<T>(
                IS_LOG ? by - m::exp_for<T>(value) * along : value * (by - along));
        }
        store_whole(out + k, written);
    });
}
