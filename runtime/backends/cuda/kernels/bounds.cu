// Notes a number that is not where it should be.
#include "bounds.cuh"

template <typename T>
__global__ void __launch_bounds__(256)
note_outside(const T* numbers, const Note note, int64 count, int64 low, int64 high, int64 exempt) {
    const int64 step = int64(gridDim.x) * blockDim.x;
    for (int64 i = blockIdx.x * int64(blockDim.x) + threadIdx.x; i < count; i += step) {
        const int64 number = int64(numbers[i]);
        if ((number < low || number >= high) && number != exempt) note.outside(number);
    }
}
