// What the scheduler and the checker of the machine share.
#pragma once
#include <csetjmp>
#include <cstdio>
#include <ucontext.h>
#include <vector>

#include "machine.h"

namespace shim {

enum class State { ready, at_barrier, in_warp, gone };

struct Copy { void* to; const void* from; size_t bytes; int group; const void* pc; };

struct Thread {
    uint3 index;
    State state;
    bool has_stack;
    int line;          // of the barrier at which it waits
    bool holds;        // what it says there
    Votes votes;       // what the barrier found
    unsigned mask;     // the lanes that it waits for,
    Deed deed;         // to do what,
    unsigned char posted[MOST_TOLD], told[MOST_TOLD];  // what it tells them, and what it told last
    size_t posted_bytes;
    uint32_t clock;                // how often it met other lanes since the last barrier,
    uint32_t known[WARP_LANES];    // and of each of them, up to where what they did is known
    uint32_t known_phase;          // when that was
    uint32_t fence_phase;          // when it last stood at a fence,
    uintptr_t observed;            // the place that it last changed in one step,
    size_t observed_count;         // and how many blocks had published something there
    int groups;                    // of asynchronous copies
    std::vector<Copy> copies;      // that are under way
    ucontext_t start;
    jmp_buf here;
};

extern Thread threads[MOST_THREADS];
extern Thread* current;
extern unsigned count;
extern uint3 block;
extern unsigned char *arena, *stacks;

inline unsigned linear(const Thread& t) { return unsigned(&t - threads); }

[[noreturn]] void stop();  // the launch, for the reason in `message`
extern char message[600];
const char* where();

template <typename... A>
[[noreturn]] void fail(const char* text, A... values) {
    int n = snprintf(message, sizeof message, "%s", where());
    snprintf(message + n, sizeof message - n, text, values...);
    stop();
}

// -- the checker -----------------------------------------------------------------------------------

void begin_launch(const Launch& launch, void (*kernel)());
void end_launch();
void begin_block();
void next_phase();                         // all threads met at a barrier
void lanes_met(unsigned first, unsigned mask);  // at a __syncwarp
void own_shared(size_t begin, size_t bytes, int array);
void count_access(uint32_t code, size_t begin, size_t bytes);  // to shared memory, for banks.py
void check_read(const void* place, size_t bytes, const void* pc);
void issue_copy(const Copy& copy);
void finish_copy(const Copy& copy);

}  // namespace shim
