// Notes a number that is not where it should be, in memory of the CPU that is looked at later:
// looking at once would have the CPU wait for the GPU.
#pragma once
#include "types.cuh"

INLINE void note_fault(int64* fault, int64 check, int64 number) {
    fault[1] = number;
    __threadfence_system();
    fault[0] = check;
}
