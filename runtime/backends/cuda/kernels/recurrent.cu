// Cells of LSTM and GRU: what a time does after its product with the state, and before it on the way
// back. A thread has one unit of one sequence. Arrays of all times are given where the rows of this
// time begin.
#include "maths.cuh"
#include "memory.cuh"

#define UNIT                                                               \
    using C = Compute<T>;                                                  \
    const int64 thread = blockIdx.x * int64(blockDim.x) + threadIdx.x;     \
    if (thread >= count) return;                                           \
    const int64 row = thread / width, unit = thread % width

template <typename T>
INLINE Compute<T> read(const T* x, int64 place) { return Compute<T>(widen(x[place])); }

// i, f, g, o of gates + product, (rows, 4 width); c = f c + i g, in place, and a copy of it; h = o
// tanh(c), also to `state` if that is not null.
template <typename T>
__global__ void __launch_bounds__(256)
lstm_cell(const T* __restrict__ product, const T* __restrict__ gates, Compute<T>* __restrict__ c,
          T* __restrict__ acts, T* __restrict__ cells, T* __restrict__ out, T* __restrict__ state,
          int64 count, int64 width) {
    UNIT;
    const int64 first = row * 4 * width + unit;
    C gate[4];
#pragma unroll
    for (int k = 0; k < 4; ++k)
        gate[k] = read(product, first + k * width) + read(gates, first + k * width);
    const C i = m::sigmoid(gate[0]), f = m::sigmoid(gate[1]), g = m::tanh(gate[2]);
    const C o = m::sigmoid(gate[3]), next = f * c[thread] + i * g, h = o * m::tanh(next);
    c[thread] = next;
    acts[first] = narrow<T>(i);
    acts[first + width] = narrow<T>(f);
    acts[first + 2 * width] = narrow<T>(g);
    acts[first + 3 * width] = narrow<T>(o);
    cells[thread] = narrow<T>(next);
    out[thread] = narrow<T>(h);
    if (state) state[thread] = narrow<T>(h);
}

// The gradients by the sums of the gates, from those by h, which is dh + g, and by c, in place of which
// comes that by the cell before. `g` may be null.
template <typename T>
__global__ void __launch_bounds__(256)
lstm_cell_gradient(const T* __restrict__ dh, const T* __restrict__ g, Compute<T>* __restrict__ dc,
                   const T* __restrict__ acts, const T* __restrict__ cells,
                   const T* __restrict__ before, T* __restrict__ total, int64 count,
                   int64 width) {
    UNIT;
    const int64 first = row * 4 * width + unit;
    const C i = read(acts, first), f = read(acts, first + width);
    const C n = read(acts, first + 2 * width), o = read(acts, first + 3 * width);
    const C by_h = read(dh, thread) + (g ? read(g, thread) : C(0));
    const C squashed = m::tanh(read(cells, thread));
    const C by_c = dc[thread] + by_h * o * (C(1) - squashed * squashed);
    total[first] = narrow<T>(by_c * n * i * (C(1) - i));
    total[first + width] = narrow<T>(by_c * read(before, thread) * f * (C(1) - f));
    total[first + 2 * width] = narrow<T>(by_c * i * (C(1) - n * n));
    total[first + 3 * width] = narrow<T>(by_h * squashed * o * (C(1) - o));
    dc[thread] = by_c * f;
}

// r and z of gates + product + bias, (rows, 3 width) but for n = tanh(gate + r q), with q the product's
// part; h = n + z (h - n), in place, and a copy of it; `acts` are r, z, n, q. `bias` may be null.
template <typename T>
__global__ void __launch_bounds__(256)
gru_cell(const T* __restrict__ product, const T* __restrict__ gates, const T* __restrict__ bias,
         T* __restrict__ state, T* __restrict__ acts, T* __restrict__ out, int64 count,
         int64 width) {
    UNIT;
    const int64 first = row * 3 * width + unit, kept = row * 4 * width + unit;
    C part[3];
#pragma unroll
    for (int k = 0; k < 3; ++k)
        part[k] = read(product, first + k * width) + (bias ? read(bias, unit + k * width) : C(0));
    const C r = m::sigmoid(part[0] + read(gates, first));
    const C z = m::sigmoid(part[1] + read(gates, first + width));
    const C n = m::tanh(read(gates, first + 2 * width) + r * part[2]);
    const T h = narrow<T>(n + z * (read(state, thread) - n));
    state[thread] = out[thread] = h;
    acts[kept] = narrow<T>(r);
    acts[kept + width] = narrow<T>(z);
    acts[kept + 2 * width] = narrow<T>(n);
    acts[kept + 3 * width] = narrow<T>(part[2]);
}

// The gradients by the sums of the gates and by the state's product, (rows, 3 width), and what goes
// straight to the state before, in place of dh. `g` may be null.
template <typename T>
__global__ void __launch_bounds__(256)
gru_cell_gradient(T* __restrict__ dh, const T* __restrict__ g, const T* __restrict__ acts,
                  const T* __restrict__ before, T* __restrict__ total, T* __restrict__ product,
                  int64 count, int64 width) {
    UNIT;
    const int64 first = row * 3 * width + unit, kept = row * 4 * width + unit;
    const C r = read(acts, kept), z = read(acts, kept + width);
    const C n = read(acts, kept + 2 * width), q = read(acts, kept + 3 * width);
    const C by_h = read(dh, thread) + (g ? read(g, thread) : C(0));
    const C by_n = by_h * (C(1) - z) * (C(1) - n * n);
    const C by_r = by_n * q * r * (C(1) - r);
    const C by_z = by_h * (read(before, thread) - n) * z * (C(1) - z);
    total[first] = product[first] = narrow<T>(by_r);
    total[first + width] = product[first + width] = narrow<T>(by_z);
    total[first + 2 * width] = narrow<T>(by_n);
    product[first + 2 * width] = narrow<T>(by_n * r);
    dh[thread] = narrow<T>(by_h * z);
}
