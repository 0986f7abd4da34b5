// Cross-entropy of rows of logits, and its gradient. Of the forward pass one number for each row is
// kept: the logarithm of the sum of its exponentials.
#include "bounds.cuh"
#include "maths.cuh"
#include "rows.cuh"

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
        [&](int s, int w) { return m::exp(row.value(0, s, w) - top); });
    const Results<T> results{target, log_sums, losses, note, columns, ignored};
    if (row.at.is_real && row.at.lane == 0)
        results.set(row.start[0], row.at.row, top + m::log(total));
}

// exp(x); of halves by the device's own power of 2, whose error of a few 2^-22 is lost in them.
template <typename T>
INLINE Compute<T> exponential(Compute<T> x) {
    if constexpr (sizeof(T) == 2)
        return m::exp2(x * Compute<T>(1.44269504));  // log2(e)
    else
        return m::exp(x);
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
        total *= exponential<T>(top - shift);
        top = largest;
#pragma unroll
        for (int k = 0; k < N; ++k) total += exponential<T>(values[k] - shift);  // NaN stays so
    }

    // Of all threads of the block.
    __device__ C log_sum() const {
        const C largest = reduce_block<Maximum>(top), shift = base(largest);
        return shift + m::log(reduce_block<Sum>(total * exponential<T>(top - shift)));
    }
};

// Elements of a row before the first that lies at a multiple of a vector, where the array does.
template <typename T>
INLINE int64 before_vectors(int64 row, int64 columns) {
    const int64 before = (LANES<T> - row * columns % LANES<T>) % LANES<T>;
    return before < columns ? before : columns;
}

// Longer rows, which are read once: a block has one, whose vectors begin where memory is aligned.
template <typename T>
__global__ void __launch_bounds__(MOST_ROW_THREADS)
logits_long_rows(const T* __restrict__ x, const int64* __restrict__ target,
                        Compute<T>* __restrict__ log_sums, Compute<T>* __restrict__ losses,
                        const Note note, int64 columns, int64 ignored) {
    using C = Compute<T>;
    constexpr int N = LANES<T>, AT_ONCE = 2;
    const int64 row = blockIdx.x, before = before_vectors<T>(row, columns);
    const int64 vectors = (columns - before) / N, behind = before + vectors * N;
    const T* start = x + row * columns;
    RunningSum<T> sum;
    for (int64 v = threadIdx.x; v < vectors; v += int64(AT_ONCE) * blockDim.x) {
        Vector<T, N> part[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            const int64 place = v + int64(u) * blockDim.x;
            if (place < vectors) part[u] = load<N>(start + before + place * N);
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (v + int64(u) * blockDim.x >= vectors) continue;
            C values[N];
#pragma unroll
            for (int w = 0; w < N; ++w) values[w] = C(widen(part[u].lane[w]));
            sum.add(values);
        }
    }
    const int64 rest = threadIdx.x < before ? int64(threadIdx.x) : behind + threadIdx.x - before;
    if (rest < columns) {
        const C values[1] = {C(widen(start[rest]))};
        sum.add(values);
    }
    const C log_sum = sum.log_sum();
    const Results<T> results{target, log_sums, losses, note, columns, ignored};
    if (threadIdx.x == 0) results.set(start, row, log_sum);
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
    constexpr int N = LANES<T>;
    using C = Compute<T>;
    const int64 row = blockIdx.x, chosen = target[row];
    const C divisor = count ? *count : C(1), log_sum = log_sums[row];
    const C factor = chosen == ignored ? C(0) : C(widen(g[row * step])) / divisor;
    const auto of = [&](T value, int64 k) {
        const C share = exponential<T>(C(widen(value)) - log_sum);
        return narrow<T>((share - (k == chosen ? C(1) : C(0))) * factor);
    };
    const T* start = x + row * columns;
    T* written = out + row * columns;
    const int64 before = before_vectors<T>(row, columns);
    const int64 vectors = (columns - before) / N, behind = before + vectors * N;
#pragma unroll 2
    for (int64 v = int64(blockIdx.y) * blockDim.x + threadIdx.x; v < vectors;
         v += int64(gridDim.y) * blockDim.x) {
        const int64 first = before + v * N;
        Vector<T, N> part = load<N>(start + first);
#pragma unroll
        for (int w = 0; w < N; ++w) part.lane[w] = of(part.lane[w], first + w);
        store(written + first, part);
    }
    const int64 rest = threadIdx.x < before ? int64(threadIdx.x) : behind + threadIdx.x - before;
    if (blockIdx.y == 0 && rest < columns) written[rest] = of(start[rest], rest);
}
