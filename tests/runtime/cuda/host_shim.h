// CUDA's language for a host's C++ compiler: the threads of a block are fibers, which take turns.
//
// Blocks run one after the other. A thread runs until it waits at a barrier or for its warp; the
// order in which the threads take turns is first to last or last to first, so that a kernel which
// lacks a barrier gives a wrong result in one of them. Shared memory holds NaN at first, and what
// lies behind each array must stay as it was.
#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <sys/mman.h>

#define HOST_SHIM
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __constant__ static const
#define __launch_bounds__(...)
#define __grid_constant__

struct uint3 { unsigned x, y, z; };
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

constexpr int MOST_THREADS = 1024, WARP_LANES = 32;
constexpr size_t STACK = 256 << 10, ARENA = 256 << 10, FENCE = 64;
constexpr unsigned char UNWRITTEN = 0xff;  // NaN as float and double, -1 as an integer
enum class State { ready, at_barrier, in_warp, gone };

struct Thread {
    uint3 index;
    State state;
    bool has_stack;
    unsigned mask;    // the lanes that it waits for
    uint64_t posted;  // what it tells them
    ucontext_t start;
    jmp_buf here;
};

inline Thread threads[MOST_THREADS];
inline uint64_t told[MOST_THREADS];  // what each thread last told its warp
inline Thread* current;
inline unsigned count;
inline uint3 block, blocks, block_size;
inline jmp_buf scheduler;
inline char message[400];
inline void (*body)();
inline const unsigned char* words;
inline unsigned char* arena;
inline size_t arena_used, dynamic_bytes;

[[noreturn]] inline void leave() { longjmp(scheduler, 1); }

template <typename... A>
[[noreturn]] inline void fail(const char* text, A... values) {
    int n = snprintf(message, sizeof message, "block (%u, %u, %u), thread %u: ", block.x, block.y,
                     block.z, current ? current->index.x : 0);
    snprintf(message + n, sizeof message - n, text, values...);
    longjmp(scheduler, 2);
}

inline void wait(State state) {
    Thread* self = current;
    self->state = state;
    if (!_setjmp(self->here)) leave();
}

inline void barrier() { wait(State::at_barrier); }

inline unsigned linear(const Thread& t) { return unsigned(&t - threads); }

// Tell the lanes of `mask` a value, when all of them are here.
inline void exchange(unsigned mask, uint64_t value) {
    unsigned self = linear(*current), first = self - self % WARP_LANES;
    if (!(mask >> (self - first) & 1)) fail("it is not in its own mask %08x", mask);
    current->mask = mask;
    current->posted = value;
    State mine = current->state;
    current->state = State::in_warp;
    for (unsigned lane = 0; lane < WARP_LANES; ++lane) {
        if (!(mask >> lane & 1)) continue;
        if (first + lane >= count) fail("mask %08x has lanes that the block does not have", mask);
        Thread& other = threads[first + lane];
        if (other.state == State::gone) fail("lane %u of mask %08x has left", lane, mask);
        if (other.state != State::in_warp || other.mask != mask) return wait(State::in_warp);
    }
    current->state = mine;
    for (unsigned lane = 0; lane < WARP_LANES; ++lane)
        if (mask >> lane & 1) {
            told[first + lane] = threads[first + lane].posted;
            threads[first + lane].state = State::ready;
        }
}

template <typename T>
uint64_t bits_of(T value) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return bits;
}

template <typename T>
T told_by(unsigned lane) {
    unsigned self = linear(*current);
    T value;
    memcpy(&value, &told[self - self % WARP_LANES + lane], sizeof value);
    return value;
}

inline unsigned lane() { return linear(*current) % WARP_LANES; }

// -- memory --------------------------------------------------------------------------------------

struct Array { const void* tag; size_t begin, bytes; };
inline Array arrays[64];
inline int array_count;

inline void* shared(const void* tag, size_t bytes) {
    for (int k = 0; k < array_count; ++k)
        if (arrays[k].tag == tag) return arena + arrays[k].begin;
    if (array_count == 64 || arena_used + bytes + FENCE > ARENA) fail("too much shared memory");
    arrays[array_count++] = {tag, arena_used, bytes};
    void* found = arena + arena_used;
    arena_used += (bytes + FENCE + 15) / 16 * 16;
    return found;
}

inline void check_fences() {
    for (int k = 0; k < array_count; ++k)
        for (size_t b = 0; b < FENCE; ++b)
            if (arena[arrays[k].begin + arrays[k].bytes + b] != UNWRITTEN)
                fail("a write behind shared array %d of %zu bytes", k, arrays[k].bytes);
}

inline void check_aligned(const void* place, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(place) % bytes)
        fail("%zu bytes at %p, which is no multiple of it", bytes, place);
}

// -- the run -------------------------------------------------------------------------------------

inline void fiber() {
    for (;;) {
        body();
        wait(State::gone);
    }
}

inline void resume(Thread& thread) {
    current = &thread;
    int why = _setjmp(scheduler);
    if (!why) {
        if (thread.has_stack) _longjmp(thread.here, 1);
        thread.has_stack = true;
        setcontext(&thread.start);
    }
    if (why == 2) throw 0;
}

inline void prepare(Thread& thread, unsigned k) {
    thread.index = {k % block_size.x, 0, 0};
    thread.state = State::ready;
    if (thread.has_stack) return;
    static unsigned char* stacks = static_cast<unsigned char*>(
        mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = stacks + STACK * k;
    thread.start.uc_stack.ss_size = STACK;
    makecontext(&thread.start, fiber, 0);
    thread.has_stack = false;
}

inline void run_block(bool backwards) {
    memset(arena, UNWRITTEN, ARENA);
    array_count = 0;
    arena_used = (dynamic_bytes + FENCE + 15) / 16 * 16;
    arrays[array_count++] = {nullptr, 0, dynamic_bytes};
    for (unsigned k = 0; k < count; ++k) prepare(threads[k], k);
    for (;;) {
        bool moved = false;
        unsigned here = 0, waiting = 0;
        for (unsigned k = 0; k < count; ++k) {
            Thread& thread = threads[backwards ? count - 1 - k : k];
            if (thread.state != State::ready) continue;
            resume(thread);
            moved = true;
        }
        for (unsigned k = 0; k < count; ++k) {
            here += threads[k].state != State::gone;
            waiting += threads[k].state == State::at_barrier;
        }
        if (!here) break;
        if (waiting == here) {
            for (unsigned k = 0; k < count; ++k)
                if (threads[k].state == State::at_barrier) threads[k].state = State::ready;
        } else if (!moved) {
            fail("some threads wait at a barrier or for their warp, and others never come");
        }
    }
    check_fences();
}

// Run the kernel; the reason why not, or null.
inline const char* run(const long long* grid, long long block_threads, long long bytes,
                       long long backwards, const unsigned char* given, void (*kernel)()) {
    static void* memory = malloc(ARENA + 16);
    arena = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(memory) + 15) / 16 * 16);
    blocks = {unsigned(grid[0]), unsigned(grid[1]), unsigned(grid[2])};
    block_size = {unsigned(block_threads), 1, 1};
    count = unsigned(block_threads);
    dynamic_bytes = size_t(bytes);
    body = kernel;
    words = given;
    if (count < 1 || count > MOST_THREADS || dynamic_bytes > 227 << 10) {
        snprintf(message, sizeof message, "a block of %u threads and %zu bytes", count,
                 dynamic_bytes);
        return message;
    }
    const unsigned long total = (unsigned long)blocks.x * blocks.y * blocks.z;
    for (unsigned long k = 0; k < total; ++k) {
        unsigned long b = backwards ? total - 1 - k : k;
        block = {unsigned(b % blocks.x), unsigned(b / blocks.x % blocks.y),
                 unsigned(b / blocks.x / blocks.y)};
        current = nullptr;
        try {
            run_block(backwards);
        } catch (int) {
            for (Thread& thread : threads) thread.has_stack = false;
            return message;
        }
    }
    return nullptr;
}

template <typename T>
T word(const unsigned char*& place) {
    T value;
    memcpy(&value, place, sizeof value);
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
    uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = h >> 10 & 31, rest = h & 0x3ff;
    if (exponent == 31) return as_float(sign | 0x7f800000 | rest << 13);
    float size = exponent ? ldexpf(float(rest | 0x400), int(exponent) - 25)
                          : ldexpf(float(rest), -24);
    return sign ? -size : size;
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

}  // namespace shim

#define threadIdx (shim::current->index)
#define blockIdx (shim::block)
#define blockDim (shim::block_size)
#define gridDim (shim::blocks)
#define __syncthreads() shim::barrier()
#define SHARED_ARRAY(type, name, size)                                                     \
    static char name##_tag;                                                                \
    type(&name)[size] = *static_cast<type(*)[size]>(shim::shared(&name##_tag, sizeof(type[size])))
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(shim::arena)

inline void __threadfence() {}
inline void __threadfence_system() {}
inline void __threadfence_block() {}
inline void __syncwarp(unsigned mask = 0xffffffffu) { shim::exchange(mask, 0); }
inline unsigned __activemask() {
    unsigned first = shim::linear(*shim::current) / 32 * 32, mask = 0;
    for (unsigned lane = 0; lane < 32 && first + lane < shim::count; ++lane)
        if (shim::threads[first + lane].state != shim::State::gone) mask |= 1u << lane;
    return mask;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    shim::exchange(mask, shim::bits_of(value));
    unsigned self = shim::lane();
    return shim::told_by<T>(self / width * width + unsigned(source) % width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32) {
    shim::exchange(mask, shim::bits_of(value));
    unsigned self = shim::lane(), from = self ^ unsigned(other);
    return shim::told_by<T>(from / width > self / width ? self : from);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    shim::exchange(mask, shim::bits_of(value));
    unsigned self = shim::lane();
    return shim::told_by<T>(self % width + by < unsigned(width) ? self + by : self);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    shim::exchange(mask, shim::bits_of(value));
    unsigned self = shim::lane();
    return shim::told_by<T>(self % width >= by ? self - by : self);
}
inline unsigned __ballot_sync(unsigned mask, int holds) {
    shim::exchange(mask, holds != 0);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) result |= unsigned(shim::told_by<uint64_t>(lane)) << lane;
    return result;
}
inline int __any_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) != 0; }
inline int __all_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) == mask; }
template <typename T>
unsigned __match_any_sync(unsigned mask, T value) {
    shim::exchange(mask, shim::bits_of(value));
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; ++lane)
        if (mask >> lane & 1) result |= unsigned(shim::told_by<T>(lane) == value) << lane;
    return result;
}
inline int __syncthreads_or(int holds) {
    SHARED_ARRAY(int, any, 1);
    __syncthreads();
    any[0] = 0;
    __syncthreads();
    if (holds) any[0] = 1;
    __syncthreads();
    return any[0];
}
inline int __syncthreads_and(int holds) { return !__syncthreads_or(!holds); }

// Threads take turns only where they wait, so that plain changes are atomic.
template <typename T> T atomicExch(T* p, T v) { T old = *p; *p = v; return old; }
template <typename T> T atomicAdd(T* p, T v) { T old = *p; *p = T(old + v); return old; }
template <typename T> T atomicMax(T* p, T v) { T old = *p; if (v > old) *p = v; return old; }
template <typename T> T atomicMin(T* p, T v) { T old = *p; if (v < old) *p = v; return old; }
template <typename T> T atomicOr(T* p, T v) { T old = *p; *p = old | v; return old; }
template <typename T> T atomicAnd(T* p, T v) { T old = *p; *p = old & v; return old; }
template <typename T> T atomicCAS(T* p, T expected, T v) {
    T old = *p;
    if (old == expected) *p = v;
    return old;
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
