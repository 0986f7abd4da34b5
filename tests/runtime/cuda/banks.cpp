// How many turns a warp's accesses to shared memory take: 32 banks of 4 bytes give one word each in a
// turn, the same word to any number of lanes. Of 8 bytes half a warp has its turn, of 16 a quarter.
#include <algorithm>
#include <map>
#include <set>

#include "machine_state.h"

namespace shim {

constexpr unsigned BANKS = 32, BANK_BYTES = 4;

struct Place { unsigned lane; size_t begin, bytes; };

// The accesses of one instruction: of each lane the n-th ones belong together.
static std::map<std::pair<uint32_t, unsigned>, unsigned> met;  // by code and thread
static std::map<std::tuple<uint32_t, unsigned, unsigned>, std::vector<Place>> together;

extern "C" {
int is_counting;  // set by banks.py
}

void count_access(uint32_t code, size_t begin, size_t bytes) {
    if (!is_counting) return;
    const unsigned thread = linear(*current), nth = met[{code, thread}]++;
    together[{code, thread / WARP_LANES, nth}].push_back({thread % WARP_LANES, begin, bytes});
}

static unsigned turns_of(const std::vector<Place>& places) {
    const size_t widest = std::max_element(places.begin(), places.end(), [](auto& a, auto& b) {
        return a.bytes < b.bytes;
    })->bytes;
    const unsigned at_once = widest <= 4 ? 32 : widest <= 8 ? 16 : 8;
    unsigned turns = 0;
    for (unsigned first = 0; first < WARP_LANES; first += at_once) {
        std::set<size_t> words[BANKS];
        for (const Place& place : places)
            if (place.lane / at_once == first / at_once)
                for (size_t w = place.begin / BANK_BYTES;
                     w <= (place.begin + place.bytes - 1) / BANK_BYTES; ++w)
                    words[w % BANKS].insert(w);
        size_t most = 0;
        for (const auto& bank : words) most = std::max(most, bank.size());
        turns += most;
    }
    return turns;
}

// One line of code: its place, how often a warp came there, and turns that it took and had to take.
struct Counted { uint32_t code; unsigned times, turns, least; };

extern "C" long long counted(Counted* out, long long most) {
    std::map<uint32_t, Counted> lines;
    for (const auto& [key, places] : together) {
        Counted& line = lines[std::get<0>(key)];
        line.code = std::get<0>(key);
        ++line.times;
        line.turns += turns_of(places);
        std::set<size_t> words;
        for (const Place& place : places)
            for (size_t w = place.begin / BANK_BYTES;
                 w <= (place.begin + place.bytes - 1) / BANK_BYTES; ++w)
                words.insert(w);
        line.least += (words.size() + BANKS - 1) / BANKS;
    }
    long long count = 0;
    for (const auto& [code, line] : lines)
        if (count < most) out[count++] = line;
    met.clear();
    together.clear();
    return count;
}

}  // namespace shim
