// Number types of tensors under the names of their dtypes, and the types that kernels compute in.
// No header of CUDA's is needed.
#pragma once

// Arrays in shared memory, at multiples of 16 bytes, as vectors and matrices must be. The host shim of
// the tests has its own reading of both.
#ifndef SHARED_ARRAY
#define SHARED_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
#define DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(16) unsigned char all_shared[]; \
    type* name = reinterpret_cast<type*>(all_shared)
#endif

#define INLINE static __device__ __forceinline__

// Write to a place where other threads may write, too: the value of one of them stays.
template <typename T>
INLINE void put_any(T* place, const T& value) {
#ifdef HOST_SHIM
    shim::put_any(place, &value, sizeof value);
#else
    *place = value;
#endif
}

using int8 = signed char;
using uint8 = unsigned char;
using int16 = short;
using uint16 = unsigned short;
using int32 = int;
using uint32 = unsigned int;
using int64 = long long;
using uint64 = unsigned long long;
using float32 = float;
using float64 = double;

struct float16 {
    uint16 bits;
};

struct bfloat16 {
    uint16 bits;
};

INLINE float widen(float16 x) {
#ifdef HOST_SHIM
    return shim::float_of_float16(x.bits);
#else
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
#endif
}

INLINE float widen(bfloat16 x) { return __uint_as_float(uint32(x.bits) << 16); }

template <typename T>
INLINE T widen(T x) { return x; }

// `Compute<T>` is the type in which kernels compute on elements of type T.
template <typename T>
struct ComputeType { using type = T; };
template <>
struct ComputeType<float16> { using type = float; };
template <>
struct ComputeType<bfloat16> { using type = float; };
template <typename T>
using Compute = typename ComputeType<T>::type;

// `narrow<T>(x)`: x rounded to an element of type T.
template <typename T>
struct Narrow {
    template <typename X>
    INLINE T of(X x) { return T(x); }
};
template <>
struct Narrow<float16> {
    INLINE float16 of(float x) {
        float16 narrow;
#ifdef HOST_SHIM
        narrow.bits = shim::float16_of_float(x);
#else
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
#endif
        return narrow;
    }
};
template <>
struct Narrow<bfloat16> {
    INLINE bfloat16 of(float x) {
        bfloat16 narrow;
#ifdef HOST_SHIM
        narrow.bits = shim::bfloat16_of_float(x);
#elif __CUDA_ARCH__ < 800  // which have no instruction for it
        const uint32 bits = __float_as_uint(x);
        narrow.bits = x != x ? 0x7fff : uint16((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#else
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrow.bits) : "f"(x));
#endif
        return narrow;
    }
};
template <typename T, typename X>
INLINE T narrow(X x) { return Narrow<T>::of(x); }

// Limits, for empty maxima and the like.
template <typename T>
struct Limits {  // of integers
    static constexpr bool is_signed = T(-1) < T(0);
    static constexpr T top =
        is_signed ? T(~(uint64(1) << 63) >> (64 - 8 * sizeof(T))) : T(~uint64(0));
    INLINE T lowest() { return is_signed ? T(-top - 1) : T(0); }
    INLINE T highest() { return top; }
};
template <>
struct Limits<float> {
    INLINE float lowest() { return -__int_as_float(0x7f800000); }
    INLINE float highest() { return __int_as_float(0x7f800000); }
};
template <>
struct Limits<double> {
    INLINE double lowest() { return -__longlong_as_double(0x7ff0000000000000LL); }
    INLINE double highest() { return __longlong_as_double(0x7ff0000000000000LL); }
};
template <>
struct Limits<bool> {
    INLINE bool lowest() { return false; }
    INLINE bool highest() { return true; }
};

INLINE bool is_nan(float x) { return x != x; }
INLINE bool is_nan(double x) { return x != x; }
template <typename T>
INLINE bool is_nan(T) { return false; }
