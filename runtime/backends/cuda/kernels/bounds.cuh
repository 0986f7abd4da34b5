// Notes of numbers that are not where they should be, in memory of the CPU that is looked at later:
// looking at once would have the CPU wait for the GPU.
#pragma once
#include "types.cuh"

// Where to note, and the number of the check; nowhere if `fault` is null.
struct Note {
    int64* fault;
    int64 check;

    __device__ void outside(int64 number) const {
        if (!fault) return;
        put_any(fault + 1, number);
        __threadfence_system();
        put_any(fault, check);
    }
};
