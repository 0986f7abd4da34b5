// The memory of many arrays, handed to one launch by value: a record for each of them, or for each
// group of equal size. Elements are cut into chunks, one for each block.
#pragma once
#include "types.cuh"

constexpr int TABLE_WORDS = 448;  // 3.5 of the 4 KiB that a launch takes

struct Table {
    uint64 word[TABLE_WORDS];
};

// A record: the number of its first chunk, how many elements, where each array begins.
constexpr int FIRST_CHUNK = 0, SIZE = 1, PLACES = 2;

struct Chunk {
    const uint64* record;
    int64 begin, end;  // elements

    template <typename T>
    __device__ T* place(int array) const {
        return reinterpret_cast<T*>(record[PLACES + array]);
    }
};

// The chunk of this block, of up to `length` elements: in the last record that begins by then.
INLINE Chunk own_chunk(const Table& table, int arrays, int records, int64 length) {
    const int size = PLACES + arrays;
    int low = 0, high = records;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table.word[middle * size + FIRST_CHUNK] <= blockIdx.x) low = middle;
        else high = middle;
    }
    const uint64* record = table.word + low * size;
    const int64 begin = int64(blockIdx.x - record[FIRST_CHUNK]) * length;
    const int64 end = int64(record[SIZE]);
    return {record, begin, begin + length < end ? begin + length : end};
}
