// Instructions on matrices that a warp holds together, by the layouts of the PTX ISA, section 9.7.14:
// "Matrix fragments for mma.m16n8k16 with floating point type", the same for mma.m16n8k8, and
// "ldmatrix". Lane l has group l / 4, and is number l % 4 in it.
#include <cstring>

#include "machine_state.h"

namespace shim {

void load_matrices(uint32_t (&to)[4], const void* row, bool is_turned) {
    const void* pc = __builtin_return_address(0);
    check_aligned(row, 16);
    exchange(Deed::load_matrices, ~0u, &row, sizeof row);
    const unsigned lane = linear(*current) % WARP_LANES, group = lane / 4, number = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
        uint16_t pair[2];
        for (unsigned k = 0; k < 2; ++k) {
            const uint16_t* place;
            told_by(8 * i + (is_turned ? 2 * number + k : group), &place, sizeof place);
            place += is_turned ? group : 2 * number + k;
            check_read(place, sizeof *place, pc);
            pair[k] = *place;
        }
        to[i] = pair[0] | uint32_t(pair[1]) << 16;
    }
}

struct Halves {  // 16 x 8 x 16
    static int a_row(int group, int i) { return i < 2 || (4 <= i && i < 6) ? group : group + 8; }
    static int a_column(int number, int i) { return number * 2 + (i & 1) + (i < 4 ? 0 : 8); }
    static int b_row(int number, int i) { return number * 2 + (i & 1) + (i < 2 ? 0 : 8); }
};
struct Tf32s {  // 16 x 8 x 8
    static int a_row(int group, int i) { return i % 2 ? group + 8 : group; }
    static int a_column(int number, int i) { return i < 2 ? number : number + 4; }
    static int b_row(int number, int i) { return i ? number + 4 : number; }
};

// d (16 x 8) += a (16 x DEPTH) @ b (DEPTH x 8). A lane has of d the rows group and group + 8, at
// column 2 * number and the next. Sums are rounded once.
template <typename Layout, int DEPTH, int A_COUNT, int B_COUNT>
static void multiply(float (&d)[4], const float (&a)[A_COUNT], const float (&b)[B_COUNT]) {
    struct Held { float a[A_COUNT], b[B_COUNT]; } held;
    memcpy(held.a, a, sizeof a);
    memcpy(held.b, b, sizeof b);
    exchange(Deed::multiply, ~0u, &held, sizeof held);
    const int lane = linear(*current) % WARP_LANES, own_group = lane / 4, own_number = lane % 4;
    float left[16][DEPTH], right[DEPTH][8];
    for (int number = 0; number < 4; ++number) {
        told_by(own_group * 4 + number, &held, sizeof held);
        for (int i = 0; i < A_COUNT; ++i)
            left[Layout::a_row(own_group, i)][Layout::a_column(number, i)] = held.a[i];
        for (int column = own_number * 2; column < own_number * 2 + 2; ++column) {
            told_by(column * 4 + number, &held, sizeof held);
            for (int i = 0; i < B_COUNT; ++i) right[Layout::b_row(number, i)][column] = held.b[i];
        }
    }
    for (int i = 0; i < 4; ++i) {
        const int row = i < 2 ? own_group : own_group + 8, column = own_number * 2 + (i & 1);
        double sum = d[i];
        for (int k = 0; k < DEPTH; ++k) sum += double(left[row][k]) * right[k][column];
        d[i] = float(sum);
    }
}

void multiply_halves(float (&d)[4], const float (&a)[8], const float (&b)[4]) {
    multiply<Halves, 16>(d, a, b);
}

void multiply_tf32s(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
    multiply<Tf32s, 8>(d, a, b);
}

}  // namespace shim
