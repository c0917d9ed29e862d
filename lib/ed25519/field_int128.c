// SPDX-License-Identifier: MIT
// Field arithmetic for 64-bit machines: 64 by 64 bits at a time.

#include "field.h"

#ifdef OTA_FIELD_INT128

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

static inline uint64_t word(const fe *a, unsigned i) {
    return a->w[2 * i] | (uint64_t)a->w[2 * i + 1] << 32;
}

// r = x + 38 n. A carry or borrow out of the top comes in again at the bottom, where there is room
// for it then.
static inline void fold(fe *r, const uint64_t x[4], int64_t n) {
    int128 sum = (int128)38 * n;
    uint64_t y[4];
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        sum += x[i];
        y[i] = (uint64_t)sum;
        sum >>= 64;
    }
    y[0] += 38 * (uint64_t)sum;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        r->w[2 * i] = (uint32_t)y[i];
        r->w[2 * i + 1] = (uint32_t)(y[i] >> 32);
    }
}

void fe_mul(fe *r, const fe *a, const fe *b) {
    uint64_t product[8] = {0};
    uint128 sum;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        sum = 0;
#pragma GCC unroll 4
        for (unsigned j = 0; j < 4; j++) {
            // (2^64 - 1)^2 + 2 (2^64 - 1) = 2^128 - 1
            sum += (uint128)word(a, i) * word(b, j) + product[i + j];
            product[i + j] = (uint64_t)sum;
            sum >>= 64;
        }
        product[i + 4] = (uint64_t)sum;
    }
    sum = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        sum += (uint128)38 * product[i + 4] + product[i];
        product[i] = (uint64_t)sum;
        sum >>= 64;
    }
    fold(r, product, (int64_t)sum);
}

void fe_sqr(fe *r, const fe *a) {
    fe_mul(r, a, a);
}

void fe_add(fe *r, const fe *a, const fe *b) {
    uint64_t x[4];
    uint128 sum = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        sum += (uint128)word(a, i) + word(b, i);
        x[i] = (uint64_t)sum;
        sum >>= 64;
    }
    fold(r, x, (int64_t)sum);
}

void fe_sub(fe *r, const fe *a, const fe *b) {
    uint64_t x[4];
    int128 sum = 0;
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; i++) {
        sum += (int128)word(a, i) - word(b, i);
        x[i] = (uint64_t)sum;
        sum >>= 64;
    }
    fold(r, x, (int64_t)sum);
}

#endif
