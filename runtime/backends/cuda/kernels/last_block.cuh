// The last of several blocks that work on parts of one result puts the parts together, in their own
// order: one launch instead of two.
#pragma once
#include "block.cuh"

// Whether all blocks with this blockIdx.x, `gridDim.y` of them, have come here but this one; then its
// threads see what the others wrote before. Every thread must call it. `counters` has a number for
// each blockIdx.x, which is 0 before and afterwards.
INLINE bool comes_last(uint32* counters) {
    SHARED_ARRAY(bool, is_last, 1);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();  // what all threads of this block have written comes before the counter,
        is_last[0] = atomicAdd(counters + blockIdx.x, 1u) == gridDim.y - 1;
        __threadfence();  // and what they read from now on comes after it
        if (is_last[0]) atomicExch(counters + blockIdx.x, 0u);
    }
    __syncthreads();
    return is_last[0];
}
