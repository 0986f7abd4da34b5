// The threads of a block are fibers, which take turns.
//
// Blocks run one after the other. A thread runs until it waits at a barrier or for its warp; the
// threads take turns from first to last or from last to first. Shared memory holds NaN at first.
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

#include "machine_state.h"

namespace shim {

constexpr unsigned char UNWRITTEN = 0xff;  // NaN as float and double, -1 as an integer

Thread threads[MOST_THREADS];
Thread* current;
unsigned count;
uint3 block;
unsigned char *arena, *stacks;
char message[600];

static uint3 blocks, size_of_block;
static jmp_buf turn, launch_start;
static bool is_turn;  // whether a thread runs
static void (*body)();
static const unsigned char* words;
static size_t dynamic_bytes;

uint3 thread_index() { return current->index; }
uint3 block_index() { return block; }
uint3 block_size() { return size_of_block; }
uint3 grid_size() { return blocks; }
const unsigned char* parameters() { return words; }

const char* where() {
    static char text[80];
    snprintf(text, sizeof text, "block (%u, %u, %u), thread %u: ", block.x, block.y, block.z,
             current ? current->index.x : 0);
    return text;
}

void stop() { _longjmp(is_turn ? turn : launch_start, 2); }

static void wait(State state) {
    Thread* self = current;
    self->state = state;
    if (!_setjmp(self->here)) _longjmp(turn, 1);
}

// -- barriers and warps ----------------------------------------------------------------------------

Votes barrier(int line, bool holds) {
    current->line = line;
    current->holds = holds;
    wait(State::at_barrier);
    return current->votes;
}

static void release_barrier() {
    Votes votes = {false, true};
    const Thread* first = nullptr;
    for (unsigned k = 0; k < count; ++k) {
        Thread& thread = threads[k];
        if (thread.state != State::at_barrier) continue;
        if (!first) first = &thread;
        current = &thread;
        if (thread.line != first->line)
            fail("it waits at the barrier of line %d, thread %u at that of line %d", thread.line,
                 linear(*first), first->line);
        votes.any |= thread.holds;
        votes.all &= thread.holds;
    }
    for (unsigned k = 0; k < count; ++k)
        if (threads[k].state == State::at_barrier) {
            threads[k].state = State::ready;
            threads[k].votes = votes;
        }
    next_phase();
}

void exchange(Deed deed, unsigned mask, const void* mine, size_t bytes) {
    Thread& self = *current;
    const unsigned first = linear(self) / WARP_LANES * WARP_LANES, lane = linear(self) - first;
    if (!(mask >> lane & 1)) fail("it is not in its own mask %08x", mask);
    self.mask = mask;
    self.deed = deed;
    self.posted_bytes = bytes;
    memcpy(self.posted, mine, bytes);
    const State before = self.state;
    self.state = State::in_warp;
    for (unsigned k = 0; k < WARP_LANES; ++k) {
        if (!(mask >> k & 1)) continue;
        if (first + k >= count) fail("mask %08x has lanes that the block does not have", mask);
        const Thread& other = threads[first + k];
        if (other.state == State::gone) fail("lane %u of mask %08x has left", k, mask);
        if (other.state != State::in_warp || other.mask != mask) return wait(State::in_warp);
        if (other.deed != deed) fail("lane %u of mask %08x does something else", k, mask);
    }
    self.state = before;
    for (unsigned k = 0; k < WARP_LANES; ++k)
        if (mask >> k & 1) {
            Thread& other = threads[first + k];
            memcpy(other.told, other.posted, other.posted_bytes);
            other.state = State::ready;
        }
    if (deed == Deed::sync) lanes_met(first, mask);
}

void told_by(unsigned lane, void* value, size_t bytes) {
    if (!(current->mask >> lane & 1)) fail("it asks lane %u, not of mask %08x", lane, current->mask);
    memcpy(value, threads[linear(*current) / WARP_LANES * WARP_LANES + lane].told, bytes);
}

unsigned present_lanes() {
    const unsigned first = linear(*current) / WARP_LANES * WARP_LANES;
    unsigned mask = 0;
    for (unsigned k = 0; k < WARP_LANES && first + k < count; ++k)
        if (threads[first + k].state != State::gone) mask |= 1u << k;
    return mask;
}

// -- memory ----------------------------------------------------------------------------------------

struct Array { const void* tag; size_t begin, bytes; };
static Array arrays[64];
static int array_count;
static size_t arena_used, static_bytes;

static void* add_array(const void* tag, size_t bytes) {
    const size_t begin = arena_used / 128 * 128 + FENCE + ALIGNMENT;
    if (array_count == 64 || begin + bytes + 256 > ARENA) fail("too many shared arrays");
    arrays[array_count] = {tag, begin, bytes};
    own_shared(begin, bytes, array_count++);
    arena_used = begin + bytes + 128;
    return arena + begin;
}

void* shared_array(const void* tag, size_t bytes) {
    for (int k = 0; k < array_count; ++k)
        if (arrays[k].tag == tag) return arena + arrays[k].begin;
    static_bytes += bytes;
    if (static_bytes > MOST_STATIC_SHARED || static_bytes + dynamic_bytes > MOST_SHARED)
        fail("%zu static and %zu dynamic bytes of shared memory; at most %zu, and %zu together",
             static_bytes, dynamic_bytes, MOST_STATIC_SHARED, MOST_SHARED);
    return add_array(tag, bytes);
}

void* dynamic_shared() { return arena + arrays[0].begin; }

void check_aligned(const void* place, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(place) % bytes)
        fail("%zu bytes at %p, which is no multiple of it", bytes, place);
}

void copy_unchecked(void* to, const void* from, size_t bytes) { memcpy(to, from, bytes); }

void copy_later(void* to, const void* from, size_t bytes) {
    check_aligned(to, bytes);
    check_aligned(from, bytes);
    current->copies.push_back({to, from, bytes, current->groups, __builtin_return_address(0)});
    issue_copy(current->copies.back());
}

void end_group() { ++current->groups; }

void await_groups(int but_for) {
    std::vector<Copy>& copies = current->copies;
    size_t left = 0;
    for (const Copy& copy : copies) {
        if (copy.group < current->groups - but_for) {
            if (copy.from) memcpy(copy.to, copy.from, copy.bytes);
            else memset(copy.to, 0, copy.bytes);
            finish_copy(copy);
        } else {
            copies[left++] = copy;
        }
    }
    copies.resize(left);
}

// -- faults that are made on purpose ---------------------------------------------------------------

extern "C" {
int mutant;
char reached[MOST_MUTANTS];
}

bool is_mutant(int number) {
    reached[number] = 1;
    return mutant == number;
}

// -- the run ---------------------------------------------------------------------------------------

static void fiber() {
    for (;;) {
        body();
        if (!current->copies.empty()) fail("it left before its copies to shared memory were there");
        wait(State::gone);
    }
}

// Have the thread go on; whether nothing is wrong.
static bool resume(Thread& thread) {
    current = &thread;
    is_turn = true;
    const int why = _setjmp(turn);
    if (!why) {
        if (thread.has_stack) _longjmp(thread.here, 1);
        thread.has_stack = true;
        setcontext(&thread.start);
    }
    is_turn = false;
    return why == 1;
}

static void prepare(Thread& thread, unsigned k) {
    thread.index = {k, 0, 0};
    thread.state = State::ready;
    thread.fence_phase = 0;
    thread.observed_count = 0;
    thread.groups = 0;
    thread.copies.clear();
    if (thread.has_stack) return;
    getcontext(&thread.start);
    thread.start.uc_stack.ss_sp = stacks + STACK * k;
    thread.start.uc_stack.ss_size = STACK;
    makecontext(&thread.start, fiber, 0);
}

static bool run_block(bool backwards) {
    memset(arena, UNWRITTEN, arena_used);
    array_count = 0;
    arena_used = static_bytes = 0;
    current = nullptr;
    begin_block();
    add_array(nullptr, dynamic_bytes);
    for (unsigned k = 0; k < count; ++k) prepare(threads[k], k);
    for (;;) {
        bool moved = false;
        for (unsigned k = 0; k < count; ++k) {
            Thread& thread = threads[backwards ? count - 1 - k : k];
            if (thread.state != State::ready) continue;
            if (!resume(thread)) return false;
            moved = true;
        }
        unsigned here = 0, waiting = 0;
        for (unsigned k = 0; k < count; ++k) {
            here += threads[k].state != State::gone;
            waiting += threads[k].state == State::at_barrier;
        }
        if (!here) return true;
        if (waiting == here) {
            release_barrier();
        } else if (!moved) {
            fail("some threads wait at a barrier or for their warp, and others never come");
        }
    }
}

static bool run_blocks(bool backwards) {
    if (_setjmp(launch_start)) return false;  // what fails between the turns of threads
    const unsigned long total = (unsigned long)blocks.x * blocks.y * blocks.z;
    for (unsigned long k = 0; k < total; ++k) {
        const unsigned long b = backwards ? total - 1 - k : k;
        block = {unsigned(b % blocks.x), unsigned(b / blocks.x % blocks.y),
                 unsigned(b / blocks.x / blocks.y)};
        if (!run_block(backwards)) return false;
    }
    return true;
}

const char* run(const Launch& launch, void (*kernel)()) {
    if (!arena) {
        const int how = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        const size_t bytes = ARENA + STACK * MOST_THREADS;
        arena = static_cast<unsigned char*>(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, how, -1, 0));
        stacks = arena + ARENA;
        arena_used = ARENA;
    }
    blocks = {unsigned(launch.grid[0]), unsigned(launch.grid[1]), unsigned(launch.grid[2])};
    size_of_block = {unsigned(launch.threads), 1, 1};
    count = unsigned(launch.threads);
    dynamic_bytes = size_t(launch.shared);
    body = kernel;
    words = launch.words;
    const long long most = launch.bound < MOST_THREADS ? launch.bound : MOST_THREADS;
    if (launch.threads < 1 || launch.threads > most || dynamic_bytes > MOST_SHARED) {
        snprintf(message, sizeof message,
                 "a block of %lld threads and %zu bytes; at most %lld, and %zu", launch.threads,
                 dynamic_bytes, most, MOST_SHARED);
        return message;
    }
    begin_launch(launch, kernel);
    const bool is_right = run_blocks(launch.is_backwards);
    end_launch();
    if (is_right) return nullptr;
    arena_used = ARENA;
    for (Thread& thread : threads) thread.has_stack = false;
    return message;
}

}  // namespace shim
