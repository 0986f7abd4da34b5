// Elements as words of their size, for kernels that only move them; and where words lie in several
// arrays at once.
#pragma once
#include "memory.cuh"
#include "pointwise.cuh"

using Wide = Vector<uint64, 2>;  // 16 bytes

#define MOST_PATH_DIMENSIONS 6

// Where each of OPERANDS arrays has a number that counts through their dimensions, from the innermost
// on. Numbers have 31 bits.
template <int OPERANDS>
struct Paths {
    int64 dimensions;
    Dimension<OPERANDS> dimension[MOST_PATH_DIMENSIONS];

    __device__ void find(uint32 index, int64 (&offset)[OPERANDS]) const {
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) offset[o] = 0;
#pragma unroll 1
        for (int d = 0; d < dimensions; ++d) {
            const uint32 rest = d + 1 < dimensions ? dimension[d].quotient(index) : 0;
            const int64 at = index - rest * dimension[d].size;
            index = rest;
#pragma unroll
            for (int o = 0; o < OPERANDS; ++o) offset[o] += at * dimension[d].step[o];
        }
    }
};
