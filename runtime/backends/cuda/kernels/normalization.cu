// Layer and RMS norm of rows, and rows brought to mean 0 and variance 1, with their gradients.
#include "maths.cuh"
#include "last_block.cuh"
#include "rows.cuh"

// (x - mean) / sqrt(var + eps) * weight + bias for each row, and its mean and variance; what is null
// is left out.
template <ROW_PARAMETERS>
ROW_KERNEL normalize_rows(const T* __restrict__ x, const T* weight, const T* bias,
                          T* __restrict__ out, T* __restrict__ means, T* __restrict__ vars,
                          int64 rows, int64 columns, int64 threads_per_row, double eps) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    constexpr int WIDTH = decltype(row)::WIDTH;
    const C count = C(columns);
    const C mean =
        row.template reduce<Sum>([&](int s, int w) { return row.value(0, s, w); }) / count;
    const C var = row.template reduce<Sum>([&](int s, int w) {
        return m::square(row.value(0, s, w) - mean);
    }) / count;
    const C scale = m::rsqrt(var + C(eps));
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> written;
        Vector<T, WIDTH> by, more;
        if (weight) by = load<WIDTH>(weight + k);
        if (bias) more = load<WIDTH>(bias + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            C y = (row.value(0, s, w) - mean) * scale;
            if (weight) y *= C(widen(by.lane[w]));
            if (bias) y += C(widen(more.lane[w]));
            written.lane[w] = narrow<T>(y);
        }
        store(out + row.at.row * columns + k, written);
    });
    if (means && row.at.is_real && row.at.lane == 0) {
        means[row.at.row] = narrow<T>(mean);
        vars[row.at.row] = narrow<T>(var);
    }
}

// The gradient of `normalize_rows` by x, (wg - mean(wg) - y * mean(wg * y)) * scale, with y the
// normalized row and wg = g * weight; and for the gradients by weight and bias each row's mean and
// scale.
template <ROW_PARAMETERS>
ROW_KERNEL normalize_rows_gradient(const T* __restrict__ g, const T* __restrict__ x,
                                   const T* weight, T* __restrict__ out,
                                   Compute<T>* __restrict__ means, Compute<T>* __restrict__ scales,
                                   int64 rows, int64 columns, int64 threads_per_row, double eps) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 2> row(RowThreads(rows, threads_per_row), columns, g, x);
    constexpr int WIDTH = decltype(row)::WIDTH;
    const C count = C(columns);
    const C mean =
        row.template reduce<Sum>([&](int s, int w) { return row.value(1, s, w); }) / count;
    const C var = row.template reduce<Sum>([&](int s, int w) {
        return m::square(row.value(1, s, w) - mean);
    }) / count;
    const C scale = m::rsqrt(var + C(eps));
    C level = 0, along = 0;
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> by;
        if (weight) by = load<WIDTH>(weight + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C wg = row.value(0, s, w) * (weight ? C(widen(by.lane[w])) : C(1));
            level += wg;
            along += wg * (row.value(1, s, w) - mean) * scale;
        }
    });
    level = row.at.template reduce<Sum>(level) / count;
    along = row.at.template reduce<Sum>(along) / count;
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> written;
        Vector<T, WIDTH> by;
        if (weight) by = load<WIDTH>(weight + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C wg = row.value(0, s, w) * (weight ? C(widen(by.lane[w])) : C(1));
            const C y = (row.value(1, s, w) - mean) * scale;
            written.lane[w] = narrow<T>((wg - level - y * along) * scale);
        }
        store(out + row.at.row * columns + k, written);
    });
    if (row.at.is_real && row.at.lane == 0) {
        means[row.at.row] = mean;
        scales[row.at.row] = scale;
    }
}

// x / sqrt(mean(x**2) + eps) * weight for each row; without weight if that is null.
template <ROW_PARAMETERS>
ROW_KERNEL scale_rows(const T* __restrict__ x, const T* weight, T* __restrict__ out, int64 rows,
                      int64 columns, int64 threads_per_row, double eps) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 1> row(RowThreads(rows, threads_per_row), columns, x);
    constexpr int WIDTH = decltype(row)::WIDTH;
    const C mean = row.template reduce<Sum>([&](int s, int w) {
        return m::square(row.value(0, s, w));
    }) / C(columns);
    const C scale = m::rsqrt(mean + C(eps));
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> written, by;
        if (weight) by = load<WIDTH>(weight + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w)
            written.lane[w] =
                narrow<T>(row.value(0, s, w) * scale * (weight ? C(widen(by.lane[w])) : C(1)));
        store(out + row.at.row * columns + k, written);
    });
}

// The gradient of `scale_rows` by x, (wg - y * mean(wg * y)) * scale, with y the scaled row and wg =
// g * weight; and for the gradient by weight each row's scale.
template <ROW_PARAMETERS>
ROW_KERNEL scale_rows_gradient(const T* __restrict__ g, const T* __restrict__ x, const T* weight,
                               T* __restrict__ out, Compute<T>* __restrict__ scales, int64 rows,
                               int64 columns, int64 threads_per_row, double eps) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 2> row(RowThreads(rows, threads_per_row), columns, g, x);
    constexpr int WIDTH = decltype(row)::WIDTH;
    C squares = 0, along = 0;
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> by;
        if (weight) by = load<WIDTH>(weight + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C value = row.value(1, s, w);
            squares += value * value;
            along += row.value(0, s, w) * (weight ? C(widen(by.lane[w])) : C(1)) * value;
        }
    });
    squares = row.at.template reduce<Sum>(squares) / C(columns);
    along = row.at.template reduce<Sum>(along) / C(columns);
    const C scale = m::rsqrt(squares + C(eps)), share = along * scale * scale;
    row.each([&](int64 k, int s) {
        Vector<T, WIDTH> written, by;
        if (weight) by = load<WIDTH>(weight + k);
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) {
            const C wg = row.value(0, s, w) * (weight ? C(widen(by.lane[w])) : C(1));
            written.lane[w] = narrow<T>((wg - row.value(1, s, w) * share) * scale);
        }
        store(out + row.at.row * columns + k, written);
    });
    if (row.at.is_real && row.at.lane == 0) scales[row.at.row] = scale;
}

// The first 32 threads of 256 get the sums of all threads that are a multiple of 32 behind them.
template <typename C>
INLINE C sum_column(C value) {
    SHARED_ARRAY(C, shared, 256);
    const int deep = threadIdx.x / 32;
    __syncthreads();
    shared[threadIdx.x] = value;
    for (int half = 4; half > 0; half /= 2) {
        __syncthreads();
        if (deep < half) shared[threadIdx.x] += shared[threadIdx.x + half * 32];
    }
    return shared[threadIdx.x];
}

// The gradients by weight, sum(g * (x - mean) * scale), with a mean of 0 if there are none, and by
// bias, sum(g), which lie in `out` one behind the other: a block has 32 vectors of columns, 8 rows of
// a chunk at a time, and the last one adds the sums of all chunks up, of which `parts` is
// (2, chunks, columns).
template <typename T, bool IS_VECTOR>
__global__ void __launch_bounds__(256)
normalize_weight_gradient(const T* __restrict__ g, const T* __restrict__ x,
                          const Compute<T>* __restrict__ means,
                          const Compute<T>* __restrict__ scales, T* out, Compute<T>* parts,
                          uint32* counters, int64 rows, int64 columns, int64 chunk) {
    constexpr int WIDTH = IS_VECTOR ? LANES<T> : 1, AT_ONCE = IS_VECTOR ? 2 : 4;
    using C = Compute<T>;
    const int lane = threadIdx.x % 32, deep = threadIdx.x / 32;
    const int64 column = (int64(blockIdx.x) * 32 + lane) * WIDTH;
    const int64 end = min(rows, (blockIdx.y + 1) * chunk);
    const bool is_real = column < columns;
    C sums[2][WIDTH] = {};
    for (int64 base = blockIdx.y * chunk + deep; base < end && is_real; base += 8 * AT_ONCE) {
        Vector<T, WIDTH> by[AT_ONCE], value[AT_ONCE];
        C mean[AT_ONCE], scale[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            // Behind the last row the first is read again: no read waits for a branch.
            const int64 row = base + 8 * u < end ? base + 8 * u : base;
            by[u] = load<WIDTH>(g + row * columns + column);
            value[u] = load<WIDTH>(x + row * columns + column);
            mean[u] = means ? means[row] : C(0);
            scale[u] = scales[row];
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            if (base + 8 * u >= end) break;
#pragma unroll
            for (int w = 0; w < WIDTH; ++w) {
                const C each = C(widen(by[u].lane[w]));
                sums[0][w] += each * (C(widen(value[u].lane[w])) - mean[u]) * scale[u];
                sums[1][w] += each;
            }
        }
    }
#pragma unroll
    for (int k = 0; k < 2 * WIDTH; ++k) {
        const int64 place = column + k % WIDTH;
        const C sum = sum_column(sums[k / WIDTH][k % WIDTH]);
        if (deep || !is_real) continue;
        if (gridDim.y == 1)
            out[(k / WIDTH) * columns + place] = narrow<T>(sum);
        else
            parts[(int64(k / WIDTH) * gridDim.y + blockIdx.y) * columns + place] = sum;
    }
    if (gridDim.y == 1 || !comes_last(counters)) return;
    // All sums of a chunk before the next, so that reads do not wait for each other.
    C all[2 * WIDTH] = {};
#pragma unroll 2
    for (int64 part = deep; part < gridDim.y && is_real; part += 8)
#pragma unroll
        for (int k = 0; k < 2 * WIDTH; ++k)
            all[k] += parts[(int64(k / WIDTH) * gridDim.y + part) * columns + column + k % WIDTH];
#pragma unroll
    for (int k = 0; k < 2 * WIDTH; ++k) {
        const C sum = sum_column(all[k]);
        if (deep == 0 && is_real) out[(k / WIDTH) * columns + column + k % WIDTH] = narrow<T>(sum);
    }
}

// From the normalized rows and their variances: (g - mean(g) - y * mean(g * y)) / sqrt(var + eps).
template <ROW_PARAMETERS>
ROW_KERNEL normalized_gradient(const T* __restrict__ g, const T* __restrict__ y,
                               const T* __restrict__ vars, T* __restrict__ out, int64 rows,
                               int64 columns, int64 threads_per_row, double eps) {
    using C = Compute<T>;
    Rows<T, IS_VECTOR, PIECES, 2> row(RowThreads(rows, threads_per_row), columns, g, y);
    const C count = C(columns);
    const C level =
        row.template reduce<Sum>([&](int s, int w) { return row.value(0, s, w); }) / count;
    const C along = row.template reduce<Sum>([&](int s, int w) {
        return row.value(0, s, w) * row.value(1, s, w);
    }) / count;
    const C var = row.at.is_real ? C(widen(vars[row.at.row])) : C(1);
    const C scale = m::rsqrt(var + C(eps));
    row.store(out, [&](int s, int w) {
        return (row.value(0, s, w) - level - row.value(1, s, w) * along) * scale;
    });
}
