// The last of several blocks that work on parts of one result puts the parts together, in their own
// order: one launch instead of two.
#pragma once
#include "block.cuh"

// Whether all blocks with this blockIdx.x, `gridDim.y` of them, have come here but this one; then its
// threads see what the others wrote before. Every thread must call it. `counters` has a number for
// each blockIdx.x, which is 0 before and afterwards.
INLINE bool comes_last(uint32* counters) {
    SHARED_ARRAY(uint32, before, 1);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        before[0] = atomicAdd(counters + blockIdx.x, 1u);
        if (before[0] == gridDim.y - 1) atomicExch(counters + blockIdx.x, 0u);
    }
    __syncthreads();
    __threadfence();
    const bool is_last = before[0] == gridDim.y - 1;
#ifdef HOST_SHIM
    if (is_last) shim::after_other_blocks();
#endif
    return is_last;
}
