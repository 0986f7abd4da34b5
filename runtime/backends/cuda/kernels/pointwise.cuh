// What the kernels of formulas are made of: vectors of operands, and where an element of the result
// finds its operands when those are broadcast or lie in memory with gaps.
#pragma once
#include "maths.cuh"
#include "memory.cuh"

#define BLOCK 256

// One dimension of the result: its size, as a divisor, and each operand's step along it.
template <int OPERANDS>
struct Dimension {
    uint32 size, magic;
    uint32 shift, unused;
    int64 step[OPERANDS];

    // n / size, by a product. Source: Granlund and Montgomery, Division by invariant integers, 1994.
    __device__ uint32 quotient(uint32 n) const {
        return uint32((uint64(__umulhi(n, magic)) + n) >> shift);
    }
};

// The dimensions from the innermost on; `offset` gets where each operand has element `index`.
template <int DIMENSIONS, int OPERANDS>
struct Places {
    Dimension<OPERANDS> dimension[DIMENSIONS];

    __device__ void find(uint32 index, int64 (&offset)[OPERANDS]) const {
#pragma unroll
        for (int o = 0; o < OPERANDS; ++o) offset[o] = 0;
#pragma unroll
        for (int d = 0; d < DIMENSIONS; ++d) {
            const uint32 rest = d + 1 < DIMENSIONS ? dimension[d].quotient(index) : 0;
            const int64 at = index - rest * dimension[d].size;
            index = rest;
#pragma unroll
            for (int o = 0; o < OPERANDS; ++o) offset[o] += at * dimension[d].step[o];
        }
    }
};
