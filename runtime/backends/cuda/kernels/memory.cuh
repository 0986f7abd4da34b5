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
    return shim::load<Vector<T, N>>(place);
#else
    return *reinterpret_cast<const Vector<T, N>*>(place);
#endif
}

template <int N, typename T>
INLINE void store(T* place, const Vector<T, N>& vector) {
#ifdef HOST_SHIM
    shim::write(place, &vector, sizeof vector);
#else
    *reinterpret_cast<Vector<T, N>*>(place) = vector;
#endif
}

// The same for memory of the GPU in one instruction, which the compiler does not take apart, as it
// does with some vectors that are made of elements.
template <int N, typename T>
INLINE void store_whole(T* place, const Vector<T, N>& vector) {
#ifdef HOST_SHIM
    store(place, vector);
#else
    if constexpr (sizeof(T) * N == 16) {
        uint4 words;
        memcpy(&words, &vector, 16);
        asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                     ::"l"(place), "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                     : "memory");
    } else {
        store(place, vector);
    }
#endif
}
