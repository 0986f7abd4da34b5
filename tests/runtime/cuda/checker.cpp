// What compute-sanitizer looks for: two threads at one place without anything that orders them,
// accesses outside of arrays, reads of what nobody has written.
//
// Kernels are compiled with -fsanitize=thread, whose compiler calls a function before each access;
// those functions are here. Every byte of shared memory and of arrays has a cell that says who wrote
// and who read it last. Threads are ordered by barriers and, within a warp, by __syncwarp: shuffles
// and votes order nothing in memory. Time is counted in phases: each begins at a barrier or with a
// block. Blocks are ordered by a place that both change in one step, the one after a fence, the other
// before one. Two threads may use one place by atomic or volatile accesses both.
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <map>
#include <sys/mman.h>

#include "machine_state.h"

namespace shim {

// -- cells -----------------------------------------------------------------------------------------

// Who: the thread (10 bits), its clock (16), and what else is to be known.
constexpr unsigned THREAD = (1 << 10) - 1, CLOCK_SHIFT = 10, MOST_CLOCK = 1 << 16;
constexpr unsigned CLOCK = (MOST_CLOCK - 1) << CLOCK_SHIFT;
constexpr unsigned ATOMIC = 1u << 26;   // a write in one step
constexpr unsigned SEVERAL = 1u << 27;  // such writes by several threads
constexpr unsigned ASYNC = 1u << 28;    // a write that has not come yet
constexpr unsigned LANES = 1u << 29;    // reads by several lanes of a warp: the latest clock
constexpr unsigned WARPS = 1u << 30;    // reads by several warps
constexpr unsigned BLOCKS = 1u << 31;   // reads by several blocks

struct Cell {
    uint32_t write_phase, write_who, write_code;
    uint32_t read_phase, read_who, read_code, read_lanes;
};

constexpr size_t SHADOW_BYTES = size_t(64) << 30;  // of addresses, of which little is used
constexpr size_t KEPT_SHADOW = size_t(256) << 20;

static Cell* cells;           // of shared memory, and behind it of the regions in use
static size_t used_cells;
static uint32_t phase, first_phase, launch_phase;
static unsigned char owner[ARENA];  // the number of the array that has a byte, from 1; or 0
static size_t owned;

static std::vector<Region> regions;
static std::vector<Cell*> shadows;  // of regions; null before they are used
static size_t latest_region;
static uintptr_t code_begin, code_end;  // of the library with the kernel

static inline bool is_known(unsigned other, uint32_t clock) {
    return current->known_phase == phase && current->known[other % WARP_LANES] > clock;
}

// What a block did up to a fence, before which a thread of it changed some place in one step.
struct Published { uint32_t first, fence; unsigned thread; };
static std::map<uintptr_t, std::vector<Published>> published;  // by that place
static std::vector<Published> acquired;  // by this block, which changed the place later: at a fence
static uint32_t acquired_phase;          // in this phase
static unsigned acquired_by;             // of this thread
static size_t blocks_before;             // how many blocks have run

// Whether what another block did comes before what the current thread does.
static bool is_acquired(uint32_t old_phase, uint32_t who) {
    if (acquired.empty() || (acquired_phase == phase && acquired_by != linear(*current))) return false;
    for (const Published& one : acquired)
        if (old_phase >= one.first
            && (old_phase < one.fence || (old_phase == one.fence && (who & THREAD) == one.thread)))
            return true;
    return false;
}

// Whether what `who` did in this phase comes before what the current thread does.
static inline bool is_before(uint32_t who) {
    const unsigned other = who & THREAD, self = linear(*current);
    if (other == self) return true;
    return other / WARP_LANES == self / WARP_LANES
        && is_known(other, who >> CLOCK_SHIFT & (MOST_CLOCK - 1));
}

static inline bool is_ordered(uint32_t old_phase, uint32_t who) {
    if (old_phase < first_phase) return is_acquired(old_phase, who);
    return old_phase < phase || (!(who & SEVERAL) && is_before(who));
}

// The same of all that have read in this phase, as far as the cell knows them.
static inline bool are_readers_before(const Cell& cell) {
    if (!(cell.read_who & LANES)) return is_before(cell.read_who);
    const unsigned self = linear(*current);
    if ((cell.read_who & THREAD) / WARP_LANES != self / WARP_LANES) return false;
    const uint32_t clock = cell.read_who >> CLOCK_SHIFT & (MOST_CLOCK - 1);
    for (unsigned k = 0; k < WARP_LANES; ++k)
        if (cell.read_lanes >> k & 1 && k != self % WARP_LANES && !is_known(k, clock)) return false;
    return true;
}

// Whether all that the cell knows of reads comes before; of several blocks if all have been acquired.
static inline bool are_reads_before(const Cell& cell) {
    if (cell.read_who & BLOCKS) return acquired.size() == blocks_before && acquired_phase < phase;
    if (cell.read_phase != phase) return is_ordered(cell.read_phase, cell.read_who);
    return !(cell.read_who & WARPS) && are_readers_before(cell);
}

static inline uint32_t own_clock() { return current->known_phase == phase ? current->clock : 0; }
static inline uint32_t own_stamp() { return linear(*current) | own_clock() << CLOCK_SHIFT; }

static inline uint32_t code_of(const void* pc) {
    return uint32_t(reinterpret_cast<uintptr_t>(pc) - code_begin);
}

// -- reports ---------------------------------------------------------------------------------------

struct Access { uintptr_t place; size_t bytes; const char* what; const void* pc; };

static const char* location(const Access& access) {
    static char text[160];
    const uintptr_t in_arena = access.place - reinterpret_cast<uintptr_t>(arena);
    if (in_arena < ARENA) {
        size_t begin = in_arena;
        while (begin && owner[begin - 1] == owner[in_arena]) --begin;
        snprintf(text, sizeof text, "byte %zu of %s", in_arena - begin,
                 owner[in_arena] > 1 ? "a shared array" : "dynamic shared memory");
        return text;
    }
    for (size_t k = 0; k < regions.size(); ++k)
        if (access.place >= regions[k].begin && access.place < regions[k].end) {
            snprintf(text, sizeof text, "byte %zu of an array of %zu bytes",
                     size_t(access.place - regions[k].begin),
                     size_t(regions[k].end - regions[k].begin));
            return text;
        }
    return "no array";
}

[[noreturn]] static void report_race(const Access& access, uint32_t old_phase, uint32_t who,
                                     uint32_t code, const char* did) {
    if (old_phase < first_phase)
        fail("{%x} it %s %s, where another block %s {%x}", code_of(access.pc), access.what,
             location(access), did, code);
    fail("{%x} it %s %s, where thread %u %s {%x}; no barrier is between them", code_of(access.pc),
         access.what, location(access), who & THREAD, did, code);
}

// -- what an access does to a cell -----------------------------------------------------------------

static inline const char* deed_of(uint32_t who) {
    return who & ASYNC ? "is copying to asynchronously" : "wrote";
}

// `oldest`: the first phase that counts here, of the block's in shared memory or the launch's.
static inline void read_cell(Cell& cell, uint32_t oldest, const Access& access, bool is_volatile) {
    if (cell.write_phase >= oldest) {
        const bool are_both_atomic = is_volatile && cell.write_who & ATOMIC;
        if (cell.write_who & ASYNC
            || !(are_both_atomic || is_ordered(cell.write_phase, cell.write_who)))
            report_race(access, cell.write_phase, cell.write_who, cell.write_code,
                        deed_of(cell.write_who));
    }
    if (is_volatile) return;
    const unsigned self = linear(*current);
    uint32_t who = own_stamp(), lanes = 1u << self % WARP_LANES;
    if (cell.read_phase >= oldest) {
        if (cell.read_phase < first_phase || cell.read_who & BLOCKS) {
            who |= BLOCKS;
        } else if (cell.read_phase == phase) {
            const unsigned other = cell.read_who & THREAD;
            if (cell.read_who & WARPS || other / WARP_LANES != self / WARP_LANES) {
                who |= WARPS;
            } else if (!are_readers_before(cell)) {
                const uint32_t clock = cell.read_who & CLOCK;
                if (clock > (who & CLOCK)) who = self | clock;
                who |= LANES;
                lanes |= cell.read_lanes;
            }
        }
    }
    cell.read_phase = phase;
    cell.read_who = who;
    cell.read_lanes = lanes;
    cell.read_code = code_of(access.pc);
}

static inline void write_cell(Cell& cell, uint32_t oldest, const Access& access, uint32_t flags) {
    uint32_t several = 0;
    if (cell.write_phase >= oldest) {
        const bool is_earlier = is_ordered(cell.write_phase, cell.write_who);
        const bool are_both_atomic = flags & cell.write_who & ATOMIC;
        if (cell.write_who & ASYNC || !(is_earlier || are_both_atomic))
            report_race(access, cell.write_phase, cell.write_who, cell.write_code,
                        deed_of(cell.write_who));
        if (!is_earlier) several = SEVERAL;
    }
    if (cell.read_phase >= oldest && !are_reads_before(cell))
        report_race(access, cell.read_who & BLOCKS ? 0 : cell.read_phase, cell.read_who,
                    cell.read_code, "read");
    cell.write_phase = phase;
    cell.write_who = own_stamp() | flags | several;
    cell.write_code = code_of(access.pc);
}

// -- where the cells are ---------------------------------------------------------------------------

// `change`: a read and a write in one step; `copy`: the beginning of an asynchronous one. Volatile
// accesses and changes may meet at one place.
enum class Kind { read, write, change, volatile_read, volatile_write, copy };

static inline void enter(Cell& cell, uint32_t oldest, const Access& access, Kind kind) {
    if (kind == Kind::read || kind == Kind::volatile_read)
        read_cell(cell, oldest, access, kind == Kind::volatile_read);
    else
        write_cell(cell, oldest, access,
                   kind == Kind::write ? 0 : kind == Kind::copy ? ASYNC : ATOMIC);
}

constexpr bool needs_content(Kind kind) {
    return kind == Kind::read || kind == Kind::change || kind == Kind::volatile_read;
}

// Whether an unwritten byte may lie between members of a struct that is read as a whole: where others
// of the same 8 bytes have been written.
template <typename F>
static bool is_padding(size_t begin, size_t bytes, size_t k, F is_written) {
    if (bytes <= 8) return false;
    for (size_t other = k / 8 * 8; other < k / 8 * 8 + 8; ++other)
        if (other >= begin && other < begin + bytes && is_written(other)) return true;
    return false;
}

static inline void at_shared(const Access& access, Kind kind) {
    const size_t begin = access.place - reinterpret_cast<uintptr_t>(arena);
    if (!owner[begin] || begin + access.bytes > ARENA
        || owner[begin + access.bytes - 1] != owner[begin])
        fail("{%x} it %s %zu bytes of shared memory that belong to no one array",
             code_of(access.pc), access.what, access.bytes);
    for (size_t k = begin; k < begin + access.bytes; ++k) {
        if (needs_content(kind) && cells[k].write_phase < first_phase
            && !is_padding(begin, access.bytes, k,
                           [](size_t other) { return cells[other].write_phase >= first_phase; }))
            fail("{%x} it %s %s, which nobody has written", code_of(access.pc), access.what,
                 location({access.place + k - begin, 1, "", nullptr}));
        enter(cells[k], first_phase, access, kind);
    }
    count_access(code_of(access.pc), begin, access.bytes);
}

static bool find_region(uintptr_t place) {
    size_t low = 0, high = regions.size();
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (regions[middle].end <= place) low = middle + 1;
        else high = middle;
    }
    latest_region = low;
    return low < regions.size() && regions[low].begin <= place;
}

constexpr unsigned char POISON = 0xa5;  // what the stand-in's arrays hold that nobody filled

static inline void at_array(const Access& access, Kind kind) {
    if (latest_region >= regions.size() || access.place < regions[latest_region].begin
        || access.place >= regions[latest_region].end) {
        if (access.place >= code_begin && access.place < code_end && kind == Kind::read) return;
        if (!find_region(access.place))
            fail("{%x} it %s %zu bytes at %p, where no array is", code_of(access.pc), access.what,
                 access.bytes, reinterpret_cast<void*>(access.place));
    }
    const Region& region = regions[latest_region];
    if (access.place + access.bytes > region.end)
        fail("{%x} it %s %zu bytes from %s on", code_of(access.pc), access.what, access.bytes,
             location(access));
    Cell*& shadow = shadows[latest_region];
    if (!shadow) {
        shadow = cells + used_cells;
        used_cells += region.end - region.begin;
    }
    const size_t begin = access.place - region.begin;
    for (size_t k = begin; k < begin + access.bytes; ++k) {
        if (region.written && !region.written[k]) {
            if (!needs_content(kind))
                region.written[k] = 1;
            else if (*reinterpret_cast<const unsigned char*>(region.begin + k) == POISON
                     && !is_padding(begin, access.bytes, k,
                                    [&](size_t other) { return region.written[other]; }))
                fail("{%x} it %s %s, which nobody has written", code_of(access.pc), access.what,
                     location({region.begin + k, 1, "", nullptr}));
        }
        enter(shadow[k], launch_phase, access, kind);
    }
}

static inline void check(const void* at, size_t bytes, Kind kind, const char* what, const void* pc) {
    const auto place = reinterpret_cast<uintptr_t>(at);
    const auto low = reinterpret_cast<uintptr_t>(stacks);
    if (!current) return;
    if (place - (low + STACK * linear(*current)) < STACK) return;
    const Access access = {place, bytes, what, pc};
    if (place - low < STACK * MOST_THREADS)
        fail("{%x} it %s the memory of another thread's variables", code_of(pc), what);
    if (place - reinterpret_cast<uintptr_t>(arena) < ARENA) at_shared(access, kind);
    else at_array(access, kind);
}

// -- asynchronous copies ---------------------------------------------------------------------------

void issue_copy(const Copy& copy) {
    if (copy.from) check_read(copy.from, copy.bytes, copy.pc);
    check(copy.to, copy.bytes, Kind::copy, "copies to", copy.pc);
}

// From now on it is as if the thread had written there.
void finish_copy(const Copy& copy) {
    const size_t begin = static_cast<unsigned char*>(copy.to) - arena;
    for (size_t k = begin; k < begin + copy.bytes; ++k) {
        cells[k].write_phase = phase;
        cells[k].write_who = own_stamp();
    }
}

// -- time ------------------------------------------------------------------------------------------

static int find_code(dl_phdr_info* info, size_t, void* kernel) {
    const auto place = reinterpret_cast<uintptr_t>(kernel);
    uintptr_t low = ~uintptr_t(0), high = 0;
    for (int k = 0; k < info->dlpi_phnum; ++k) {
        if (info->dlpi_phdr[k].p_type != PT_LOAD) continue;
        const uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
        low = begin < low ? begin : low;
        high = begin + info->dlpi_phdr[k].p_memsz > high ? begin + info->dlpi_phdr[k].p_memsz : high;
    }
    if (place < low || place >= high) return 0;
    code_begin = low;
    code_end = high;
    return 1;
}

void begin_launch(const Launch& launch, void (*kernel)()) {
    if (!cells) {
        cells = static_cast<Cell*>(mmap(nullptr, SHADOW_BYTES, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    }
    const auto place = reinterpret_cast<uintptr_t>(kernel);
    if (place < code_begin || place >= code_end)
        dl_iterate_phdr(find_code, reinterpret_cast<void*>(kernel));
    regions.assign(launch.regions, launch.regions + launch.region_count);
    shadows.assign(regions.size(), nullptr);
    latest_region = regions.size();
    used_cells = ARENA;
    published.clear();
    blocks_before = -1;
    launch_phase = first_phase = ++phase;
}

void end_launch() {
    current = nullptr;
    if (used_cells * sizeof(Cell) > KEPT_SHADOW) madvise(cells, used_cells * sizeof(Cell), MADV_DONTNEED);
}

void begin_block() {
    first_phase = ++phase;
    acquired.clear();
    ++blocks_before;
    memset(owner, 0, owned);
    owned = 0;
}

void next_phase() { ++phase; }

// Before a change of a place in one step it publishes, behind one it acquires.
void fence() {
    current->fence_phase = phase;
    if (!current->observed_count) return;
    const std::vector<Published>& there = published[current->observed];
    acquired.assign(there.begin(), there.begin() + current->observed_count);
    acquired_phase = phase;
    acquired_by = linear(*current);
}

static void publish(uintptr_t place) {
    std::vector<Published>& there = published[place];
    current->observed = place;
    current->observed_count = there.size();
    if (current->fence_phase)
        there.push_back({first_phase, current->fence_phase, linear(*current)});
}

void own_shared(size_t begin, size_t bytes, int array) {
    memset(owner + begin, array + 1, bytes);
    owned = begin + bytes > owned ? begin + bytes : owned;
}

void lanes_met(unsigned first, unsigned mask) {
    uint32_t known[WARP_LANES] = {};
    for (unsigned k = 0; k < WARP_LANES; ++k) {
        if (!(mask >> k & 1)) continue;
        Thread& lane = threads[first + k];
        if (lane.known_phase != phase) {
            lane.known_phase = phase;
            lane.clock = 0;
            memset(lane.known, 0, sizeof lane.known);
        }
        lane.known[k] = ++lane.clock;
        if (lane.clock == MOST_CLOCK) fail("more than %u times __syncwarp in a row", MOST_CLOCK);
        for (unsigned j = 0; j < WARP_LANES; ++j)
            known[j] = lane.known[j] > known[j] ? lane.known[j] : known[j];
    }
    for (unsigned k = 0; k < WARP_LANES; ++k)
        if (mask >> k & 1) memcpy(threads[first + k].known, known, sizeof known);
}

// -- what the compiler calls -----------------------------------------------------------------------

#define PC __builtin_return_address(0)

void check_read(const void* place, size_t bytes, const void* pc) {
    check(place, bytes, Kind::read, "reads", pc);
}
void read(void* to, const void* place, size_t bytes) {
    check_aligned(place, bytes);
    check(place, bytes, Kind::read, "reads", PC);
    memcpy(to, place, bytes);
}
void write(void* place, const void* from, size_t bytes) {
    check_aligned(place, bytes);
    check(place, bytes, Kind::write, "writes", PC);
    memcpy(place, from, bytes);
}
void put_any(void* place, const void* value, size_t bytes) {
    check(place, bytes, Kind::volatile_write, "writes", PC);
    memcpy(place, value, bytes);
}
void changes(void* place, size_t bytes) {
    check(place, bytes, Kind::change, "changes", PC);
    publish(reinterpret_cast<uintptr_t>(place));
}

}  // namespace shim

using shim::Kind;
using shim::check;

#define ACCESS(name, argument, bytes, kind, what) \
    extern "C" void __tsan_##name argument { check(place, bytes, Kind::kind, what, PC); }
#define ACCESSES(bytes)                                                                  \
    ACCESS(read##bytes, (void* place), bytes, read, "reads")                             \
    ACCESS(write##bytes, (void* place), bytes, write, "writes")                          \
    ACCESS(unaligned_read##bytes, (void* place), bytes, read, "reads")                   \
    ACCESS(unaligned_write##bytes, (void* place), bytes, write, "writes")                \
    ACCESS(volatile_read##bytes, (void* place), bytes, volatile_read, "reads")                    \
    ACCESS(volatile_write##bytes, (void* place), bytes, volatile_write, "writes")                \
    ACCESS(unaligned_volatile_read##bytes, (void* place), bytes, volatile_read, "reads")          \
    ACCESS(unaligned_volatile_write##bytes, (void* place), bytes, volatile_write, "writes")
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
ACCESS(read_range, (void* place, size_t bytes), bytes, read, "reads")
ACCESS(write_range, (void* place, size_t bytes), bytes, write, "writes")

// Those of -fsanitize=bounds,shift,integer-divide-by-zero.
#define UNDEFINED(name, text, ...)                                                     \
    extern "C" void __ubsan_handle_##name(__VA_ARGS__) {                               \
        shim::fail("{%x} it " text, shim::code_of(PC));                                \
    }
UNDEFINED(out_of_bounds, "asks for an element that its own array does not have", void*, void*)
UNDEFINED(shift_out_of_bounds, "shifts by more bits than there are", void*, void*, void*)
UNDEFINED(divrem_overflow, "divides by 0", void*, void*, void*)

extern "C" void __tsan_init() {}
extern "C" void __tsan_vptr_update(void**, void*) {}
