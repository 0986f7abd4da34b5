// The machine that runs kernels on the processor: what `host_shim.h`, which kernels are compiled
// with, needs of `machine.cpp` and `checker.cpp`, which are compiled once.
#pragma once
#include <cstddef>
#include <cstdint>

struct uint3 { unsigned x, y, z; };

namespace shim {

constexpr int MOST_THREADS = 1024, WARP_LANES = 32;
constexpr size_t STACK = 256 << 10;   // bytes of each thread
constexpr size_t ARENA = 512 << 10;   // of shared memory, with gaps
constexpr size_t FENCE = 64;          // of a gap, at least
constexpr size_t MOST_TOLD = 64;      // that a lane tells its warp at once
constexpr size_t ALIGNMENT = 16;  // of arrays in shared memory, and no more
constexpr size_t MOST_SHARED = 227 << 10, MOST_STATIC_SHARED = 48 << 10;  // of a block, on Hopper

// -- what threads ask and do -----------------------------------------------------------------------

__attribute__((const)) uint3 thread_index();
__attribute__((const)) uint3 block_index();
__attribute__((const)) uint3 block_size();
__attribute__((const)) uint3 grid_size();

// Wait for the block, at the same `line` all; any or all of what the threads say.
struct Votes { bool any, all; };
Votes barrier(int line, bool holds);

// Tell the lanes of `mask` some bytes, when all of them are here and do the same.
enum class Deed { shuffle, sync, vote, load_matrices, multiply };
void exchange(Deed deed, unsigned mask, const void* mine, size_t bytes);
void told_by(unsigned lane, void* value, size_t bytes);
unsigned present_lanes();
void fence();  // of the device

// Matrices that the lanes of a warp hold together.
void load_matrices(uint32_t (&to)[4], const void* row, bool is_turned);
void multiply_halves(float (&d)[4], const float (&a)[8], const float (&b)[4]);
void multiply_tf32s(float (&d)[4], const float (&a)[4], const float (&b)[2]);

void* shared_array(const void* tag, size_t bytes);
void* dynamic_shared();
void check_aligned(const void* place, size_t bytes);

// Copies to shared memory, which take place when they are waited for; `from` is null for zeros.
void copy_later(void* to, const void* from, size_t bytes);
void end_group();
void await_groups(int but_for);

// -- what is checked -------------------------------------------------------------------------------

void read(void* to, const void* place, size_t bytes);  // which `bytes` divide
void write(void* place, const void* from, size_t bytes);
void changes(void* place, size_t bytes);  // a read and a write as one step
void put_any(void* place, const void* value, size_t bytes);  // as others may, too
void copy_unchecked(void* to, const void* from, size_t bytes);

// Whether a source that `mutate.py` wrote is to be broken at its place `number`.
constexpr int MOST_MUTANTS = 4096;
bool is_mutant(int number);

// -- launches --------------------------------------------------------------------------------------

// Bytes that kernels may use. `written` has a byte for each, 0 where nothing has been put yet; it is
// null where everything has.
struct Region { uintptr_t begin, end; unsigned char* written; };

struct Launch {
    long long grid[3], threads, shared, bound;  // `bound` threads at most
    long long is_backwards;                     // the last block and thread take their turn first
    const unsigned char* words;
    const Region* regions;  // in order
    long long region_count;
};

// Run the kernel; the reason why not, or null.
const char* run(const Launch& launch, void (*kernel)());
const unsigned char* parameters();

}  // namespace shim
