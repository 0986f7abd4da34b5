// The counter-based generator Philox4x32-10 (Salmon et al., SC 2011, doi 10.1145/2063384.2063405).
#pragma once
#include "types.cuh"

// Where a launch begins in the stream of its generator. `held` is null, or the seed and an offset in
// device memory, which replays of a CUDA graph set anew; `offset` counts from there.
struct Stream {
    uint64 seed, offset;
    const uint64* held;
};

INLINE void philox_round(uint32* word, uint32 key0, uint32 key1) {
    const uint64 first = uint64(0xD2511F53u) * word[0], second = uint64(0xCD9E8D57u) * word[2];
    word[0] = uint32(second >> 32) ^ word[1] ^ key0;
    word[1] = uint32(second);
    word[2] = uint32(first >> 32) ^ word[3] ^ key1;
    word[3] = uint32(first);
}

struct Words {
    uint32 at[4];
};

// The words of one sequence, four at a time. Offsets count single words, in multiples of four.
struct Philox {
    uint64 seed, sequence, counter;

    __device__ Philox(const Stream& stream, uint64 sequence)
        : seed(stream.held ? stream.held[0] : stream.seed),
          sequence(sequence),
          counter(((stream.held ? stream.held[1] : 0) + stream.offset) / 4) {}

    __device__ Words next() { return at(counter++); }

    __device__ Words at(uint64 counter) const {
        Words words = {{uint32(counter), uint32(counter >> 32), uint32(sequence),
                        uint32(sequence >> 32)}};
        uint32 key0 = uint32(seed), key1 = uint32(seed >> 32);
#pragma unroll
        for (int k = 0; k < 10; ++k) {
            philox_round(words.at, key0, key1);
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        return words;
    }
};

// Numbers in (0, 1] of one word or two, as cuRAND makes them.
INLINE float unit(uint32 word) { return word * 0x1p-32f + 0x1p-33f; }
INLINE double unit(uint32 low, uint32 high) {
    return (low ^ (uint64(high) << 21)) * 0x1p-53 + 0x1p-54;
}
