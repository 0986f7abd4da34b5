// Cross-entropy of rows of logits, and its gradient. Of the forward pass one number for each row is
// kept: the logarithm of the sum of its exponentials.
#include "bounds.cuh"
#include "maths.cuh"
#include "rows.cuh"
#include "spans.cuh"

// Where a row's results go; the loss is 0 where the target is to be ignored, NaN where it is no
// class, which is noted.
template <typename T>
struct Results {
    const int64* target;
    Compute<T>* log_sums;
    Compute<T>* losses;
    Note note;
    int64 columns, ignored;

    __device__ void set(const T* start, int64 row, Compute<T> log_sum) const {
        using C = Compute<T>;
        const int64 chosen = target[row];
        const bool is_class = chosen >= 0 && chosen < columns;
        if (!is_class && chosen != ignored) note.outside(chosen);
        const C value = is_class ? C(widen(start[chosen])) : C(NOT_A_NUMBER);
        log_sums[row] = log_sum;
        losses[row] = chosen == ignored ? C(0) : log_sum - value;
    }
};

// Rows that fit into registers.
template <ROW_PARAMETERS>
ROW_KERNEL logits_rows(const T* __restrict__ x, const int64* __restrict__ target,
                              Compute<T>* __restrict__ log_sums, Compute<T>* __restrict__ losses,
                              const Note note, int64 rows, int64 columns, int64 threads_per_row,
                              int64 ignored) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    const C top = row.template reduce<Maximum>([&](int s, int w) { return row.value(0, s, w); });
    const C total = row.template reduce<Sum>(
        [&](int s, int w) { return m::exp_for<T>(row.value(0, s, w) - top); });
    const Results<T> results{target, log_sums, losses, note, columns, ignored};
    if (row.at.is_real && row.at.lane == 0)
        results.set(row.start[0], row.at.row, top + m::log(total));
}

// The largest number so far, and the sum of exponentials relative to it.
template <typename T>
struct RunningSum {
    using C = Compute<T>;
    C top = Limits<C>::lowest(), total = C(0);

    // What exponents are taken relative to: before the first finite number there is nothing.
    __device__ static C base(C top) { return top == Limits<C>::lowest() ? C(0) : top; }

    template <int N>
    __device__ void add(const C (&values)[N]) {
        C largest = top;
#pragma unroll
        for (int k = 0; k < N; ++k) largest = m::fmax(largest, values[k]);
        const C shift = base(largest);
        total *= m::exp_for<T>(top - shift);
        top = largest;
#pragma unroll
        for (int k = 0; k < N; ++k) total += m::exp_for<T>(values[k] - shift);
    }

    // Of all threads of the block.
    __device__ C log_sum() const {
        const C largest = reduce_block<Maximum>(top), shift = base(largest);
        return shift + m::log(reduce_block<Sum>(total * m::exp_for<T>(top - shift)));
    }
};

// Longer rows, which are read once: a block has one.
template <typename T>
__global__ void __launch_bounds__(SPAN_THREADS, 2)
logits_long_rows(const T* __restrict__ x, const int64* __restrict__ target,
                        Compute<T>* __restrict__ log_sums, Compute<T>* __restrict__ losses,
                        const Note note, int64 columns, int64 ignored) {
    using C = Compute<T>;
    const Span<T, 1> row(blockIdx.x, columns, x);
    RunningSum<T> sum;
    row.each([&](int64, const auto& read) {
        constexpr int WIDTH = sizeof(read[0]) / sizeof(T);
        C values[WIDTH];
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) values[w] = C(widen(read[0].lane[w]));
        sum.add(values);
    });
    const C log_sum = sum.log_sum();
    const Results<T> results{target, log_sums, losses, note, columns, ignored};
    if (threadIdx.x == 0) results.set(row.start[0], blockIdx.x, log_sum);
}

template <typename T, bool IS_WIDE>
struct LossOf {
    using type = T;
};

template <typename T>
struct LossOf<T, true> {
    using type = Compute<T>;
};

template <typename T, bool IS_WIDE>
using Loss = typename LossOf<T, IS_WIDE>::type;  // that of logits T

// The sum of losses, or their mean over the targets that are not to be ignored, and how many those
// are; `loss` may be null. One block, so that the order is always the same.
template <typename T, bool IS_WIDE>
__global__ void __launch_bounds__(1024)
logits_total(const Compute<T>* __restrict__ losses, const int64* __restrict__ target,
                    Loss<T, IS_WIDE>* __restrict__ loss, Compute<T>* __restrict__ count, int64 rows,
                    int64 ignored, int64 is_mean) {
    using C = Compute<T>;
    C total = 0, counted = 0;
    for (int64 k = threadIdx.x; k < rows; k += blockDim.x) {
        total += losses[k];
        counted += target[k] == ignored ? C(0) : C(1);
    }
    total = reduce_block<Sum>(total);
    counted = reduce_block<Sum>(counted);
    if (threadIdx.x) return;
    *count = counted;
    if (loss) *loss = narrow<Loss<T, IS_WIDE>>(is_mean ? total / counted : total);
}

// (exp(x - log_sum) - 1 at the target) * g / count, and 0 where the target is to be ignored. `g` is
// one number, or one for each row; `count` may be null.
template <typename T, bool IS_WIDE>
__global__ void __launch_bounds__(256)
logits_gradient(const T* __restrict__ x, const int64* __restrict__ target,
                       const Loss<T, IS_WIDE>* __restrict__ g,
                       const Compute<T>* __restrict__ log_sums,
                       const Compute<T>* __restrict__ count, T* __restrict__ out, int64 columns,
                       int64 step, int64 ignored) {
    using C = Compute<T>;
    const int64 row = blockIdx.x, chosen = target[row];
    const C divisor = count ? *count : C(1), log_sum = log_sums[row];
    const C factor = chosen == ignored ? C(0) : C(widen(g[row * step])) / divisor;
    const Span<T, 1> span(row, columns, x);
    T* written = out + row * columns;
    span.each([&](int64 k, const auto& read) {
        constexpr int WIDTH = sizeof(read[0]) / sizeof(T);
        Vector<T, WIDTH> found;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C share = m::exp_for<T>(C(widen(read[0].lane[w])) - log_sum);
            found.lane[w] = narrow<T>((share - (k + w == chosen ? C(1) : C(0))) * factor);
        }
        store_whole(written + k, found);
    }, blockIdx.y, gridDim.y);
}
