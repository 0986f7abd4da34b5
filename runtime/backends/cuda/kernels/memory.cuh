// Vectors of elements, which are read and written with one access of up to 16 bytes.
#pragma once
#include "types.cuh"

#define VECTOR_BYTES 16

template <typename T>
constexpr int LANES = VECTOR_BYTES / int(sizeof(T));  // elements of a full vector

template <typename T, int N>
struct alignas(sizeof(T) * N) Vector {
    T lane[N];
};

// The N elements from `place` on, which must be a multiple of their size in bytes.
template <int N, typename T>
INLINE Vector<T, N> load(const T* place) {
#ifdef HOST_SHIM
    shim::check_aligned(place, sizeof(T) * N);
#endif
    return *reinterpret_cast<const Vector<T, N>*>(place);
}

template <int N, typename T>
INLINE void store(T* place, const Vector<T, N>& vector) {
#ifdef HOST_SHIM
    shim::check_aligned(place, sizeof(T) * N);
#endif
    *reinterpret_cast<Vector<T, N>*>(place) = vector;
}
