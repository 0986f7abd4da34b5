// Notes a number that is not where it should be, in memory of the CPU that is looked at later:
// looking at once would have the CPU wait for the GPU.
#include "types.cuh"

template <typename T>
__global__ void __launch_bounds__(256)
note_outside(const T* numbers, volatile int64* fault, int64 count, int64 low, int64 high, int64 exempt,
             int64 check) {
    const int64 step = int64(gridDim.x) * blockDim.x;
    for (int64 i = blockIdx.x * int64(blockDim.x) + threadIdx.x; i < count; i += step) {
        const int64 number = int64(numbers[i]);
        if ((number >= low && number < high) || number == exempt) continue;
        fault[1] = number;
        __threadfence_system();
        fault[0] = check;
    }
}
