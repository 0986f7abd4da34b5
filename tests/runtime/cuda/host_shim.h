// CUDA's language for a host's C++ compiler. What threads do lies in machine.h.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#include "machine.h"

#define HOST_SHIM
#define __global__
#define __device__
#define __host__
// What a call returns straight to memory would not be seen.
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__
#define __restrict__
#define __constant__ static const
#define __launch_bounds__(...)
#define __grid_constant__

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace shim {

template <typename T>
T told_by(unsigned lane) {
    T value;
    told_by(lane, &value, sizeof value);
    return value;
}

inline unsigned lane() { return thread_index().x % WARP_LANES; }


template <typename T>
T word(const unsigned char*& place) {
    T value;
    copy_unchecked(&value, place, sizeof value);
    place += sizeof value;
    return value;
}

// Calls `kernel` with the words of 8 bytes at `place`; a struct is several.
template <typename... A>
void call(void (*kernel)(A...), const unsigned char* place) {
    static_assert(((sizeof(A) % 8 == 0) && ...), "parameters of kernels are words of 8 bytes");
    std::tuple<A...> words{word<A>(place)...};
    std::apply(kernel, words);
}

// -- half types ----------------------------------------------------------------------------------

inline float as_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
inline uint32_t as_bits(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

inline float float_of_float16(uint16_t h) {
    const uint32_t sign = uint32_t(h & 0x8000) << 16, rest = uint32_t(h & 0x7fff) << 13;
    if ((h & 0x7c00) == 0x7c00) return as_float(sign | 0x7f800000 | rest);
    return as_float(sign | as_bits(as_float(rest) * 0x1p112f));  // by the difference of exponents
}

inline uint16_t float16_of_float(float x) {
    uint32_t bits = as_bits(x);
    uint16_t sign = uint16_t(bits >> 16 & 0x8000);
    float size = fabsf(x);
    if (std::isnan(x)) return 0x7fff;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < ldexpf(1, -14)) return sign | uint16_t(nearbyintf(size * ldexpf(1, 24)));
    bits &= 0x7fffffff;
    bits += 0xfff + (bits >> 13 & 1);  // to nearest, ties to even
    return sign | uint16_t((bits >> 13) - (112 << 10));
}

inline uint16_t bfloat16_of_float(float x) {
    if (std::isnan(x)) return 0x7fff;
    uint32_t bits = as_bits(x);
    return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// To the 10 bits behind the point that tf32 has, ties away from 0; of such bits only those count.
inline uint32_t rounded_to_tf32(float x) {
    return std::isfinite(x) ? (as_bits(x) + 0x1000) & ~0x1fffu : as_bits(x);
}
inline float as_tf32(uint32_t bits) { return as_float(bits & ~0x1fffu); }

// -- products of matrices --------------------------------------------------------------------------

// `widen` makes a number of the 16 bits of a half.
template <typename Widen>
void multiply_add_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                          Widen widen) {
    const uint32_t b[2] = {b0, b1};
    float wide_a[8], wide_b[4];
    for (int i = 0; i < 8; ++i) wide_a[i] = widen(uint16_t(a[i / 2] >> 16 * (i % 2)));
    for (int i = 0; i < 4; ++i) wide_b[i] = widen(uint16_t(b[i / 2] >> 16 * (i % 2)));
    multiply_halves(d, wide_a, wide_b);
}

inline void multiply_add_16x8x8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    const float wide_a[4] = {as_tf32(a[0]), as_tf32(a[1]), as_tf32(a[2]), as_tf32(a[3])};
    multiply_tf32s(d, wide_a, {as_tf32(b[0]), as_tf32(b[1])});
}

}  // namespace shim

#define threadIdx (shim::thread_index())
#define blockIdx (shim::block_index())
#define blockDim (shim::block_size())
#define gridDim (shim::grid_size())
#define __syncthreads() ((void)shim::barrier(__LINE__, false))
#define __syncthreads_or(holds) (int(shim::barrier(__LINE__, holds).any))
#define __syncthreads_and(holds) (int(shim::barrier(__LINE__, holds).all))
#define SHARED_ARRAY(type, name, size)                                                        \
    static char name##_tag;                                                                   \
    type(&name)[size] = *static_cast<type(*)[size]>(                                          \
        shim::shared_array(&name##_tag, sizeof(type[size])))
namespace shim {
// A vector in one access, as on a GPU.
template <typename V>
V load(const void* place) {
    V vector;
    read(&vector, place, sizeof vector);
    return vector;
}
}  // namespace shim
#define DYNAMIC_SHARED(type, name) type* name = static_cast<type*>(shim::dynamic_shared())

inline void __threadfence() { shim::fence(); }
inline void __threadfence_system() { shim::fence(); }
inline void __threadfence_block() {}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    shim::exchange(shim::Deed::sync, mask, nullptr, 0);
}
inline unsigned __activemask() { return shim::present_lanes(); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    shim::exchange(shim::Deed::shuffle, mask, &value, sizeof value);
    unsigned self = shim::lane();
    return shim::told_by<T>(self / width * width + unsigned(source) % width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32) {
    shim::exchange(shim::Deed::shuffle, mask, &value, sizeof value);
    unsigned self = shim::lane(), from = self ^ unsigned(other);
    return shim::told_by<T>(from / width > self / width ? self : from);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    shim::exchange(shim::Deed::shuffle, mask, &value, sizeof value);
    unsigned self = shim::lane();
    return shim::told_by<T>(self % width + by < unsigned(width) ? self + by : self);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    shim::exchange(shim::Deed::shuffle, mask, &value, sizeof value);
    unsigned self = shim::lane();
    return shim::told_by<T>(self % width >= by ? self - by : self);
}
inline unsigned __ballot_sync(unsigned mask, int holds) {
    const bool said = holds != 0;
    shim::exchange(shim::Deed::vote, mask, &said, sizeof said);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) result |= unsigned(shim::told_by<bool>(lane)) << lane;
    return result;
}
inline int __any_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) != 0; }
inline int __all_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) == mask; }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
    shim::exchange(shim::Deed::shuffle, mask, &value, sizeof value);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) result |= unsigned(shim::told_by<T>(lane) == value) << lane;
    return result;
}
// One step: threads take turns only where they wait.
namespace shim {
template <typename T, typename F>
inline T changed(T* place, F change) {
    changes(place, sizeof(T));
    T old;
    copy_unchecked(&old, place, sizeof old);
    const T made = change(old);
    copy_unchecked(place, &made, sizeof made);
    return old;
}
}  // namespace shim
#define ATOMIC(name, made) \
    template <typename T> T name(T* place, T v) { \
        return shim::changed(place, [&](T old) { return T(made); }); \
    }
ATOMIC(atomicExch, v)
ATOMIC(atomicAdd, old + v)
ATOMIC(atomicMax, v > old ? v : old)
ATOMIC(atomicMin, v < old ? v : old)
ATOMIC(atomicOr, old | v)
ATOMIC(atomicAnd, old & v)
#undef ATOMIC
template <typename T> T atomicCAS(T* place, T expected, T v) {
    return shim::changed(place, [&](T old) { return old == expected ? v : old; });
}

template <typename T> T __ldg(const T* p) { return *p; }
template <typename T> T __ldcs(const T* p) { return *p; }
template <typename T> T __ldcg(const T* p) { return *p; }
template <typename T> void __stcs(T* p, T v) { *p = v; }
template <typename T> void __stcg(T* p, T v) { *p = v; }

inline float __uint_as_float(unsigned b) { return shim::as_float(b); }
inline float __int_as_float(int b) { return shim::as_float(unsigned(b)); }
inline unsigned __float_as_uint(float x) { return shim::as_bits(x); }
inline int __float_as_int(float x) { return int(shim::as_bits(x)); }
inline double __longlong_as_double(long long b) { double x; memcpy(&x, &b, 8); return x; }
inline long long __double_as_longlong(double x) { long long b; memcpy(&b, &x, 8); return b; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)(x)) : 64; }
inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int k = 0; k < 32; ++k) y |= (x >> k & 1) << (31 - k);
    return y;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

template <typename T> T min(T a, T b) { return b < a ? b : a; }
template <typename T> T max(T a, T b) { return a < b ? b : a; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / ::sqrt(x); }
inline double sinpi(double x) { return ::sin(M_PI * ::fmod(x, 2)); }
inline double cospi(double x) { return ::cos(M_PI * ::fmod(x, 2)); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return fminf(fmaxf(x, 0), 1); }
inline double erfcx(double x) {
    if (x < 25) return exp(x * x) * erfc(x);
    const double z = 1 / (2 * x * x);
    return (1 - z * (1 - 3 * z)) / (x * 1.7724538509055160273);
}
inline double normcdfinv(double p) {  // bisection, to the last bit of what erfc can tell
    if (!(p >= 0 && p <= 1)) return NAN;
    if (p == 0 || p == 1) return p ? INFINITY : -INFINITY;
    double low = -40, high = 40;
    for (int k = 0; k < 100; ++k) {
        const double middle = (low + high) / 2;
        (0.5 * erfc(-middle * M_SQRT1_2) < p ? low : high) = middle;
    }
    return low;
}
inline double erfinv(double x) {
    if (!(fabs(x) <= 1)) return NAN;
    if (fabs(x) == 1) return x * INFINITY;
    double low = -6, high = 6;
    for (int k = 0; k < 100; ++k) {
        const double middle = (low + high) / 2;
        (erf(middle) < x ? low : high) = middle;
    }
    return low;
}
// The integral over half a turn of exp(x cos t) cos(nt), by trapezoids.
inline double bessel_i(int order, double x) {
    if (fabs(x) > 720) return order && x < 0 ? -INFINITY : INFINITY;
    double sum = 0;
    for (int k = 0; k <= 1000; ++k) {
        const double t = M_PI * k / 1000, value = exp(x * cos(t)) * cos(order * t);
        sum += k % 1000 ? value : value / 2;
    }
    return sum / 1000;
}
inline double cyl_bessel_i0(double x) { return bessel_i(0, x); }
inline double cyl_bessel_i1(double x) { return bessel_i(1, x); }
inline float erfcxf(float x) { return float(erfcx(double(x))); }
inline float normcdfinvf(float p) { return float(normcdfinv(double(p))); }
inline float erfinvf(float x) { return float(erfinv(double(x))); }
inline float cyl_bessel_i0f(float x) { return float(cyl_bessel_i0(double(x))); }
inline float cyl_bessel_i1f(float x) { return float(cyl_bessel_i1(double(x))); }
