// SPDX-License-Identifier: MIT
// Field arithmetic in plain C, 32 by 32 bits at a time, and the part that all machines share.

#include "field.h"

// r = (a + n) mod 2^255 for a small n; returns (a + n) / 2^255.
static uint32_t add_small(fe *r, const fe *a, uint32_t n) {
    uint32_t last = 0;
    for (unsigned i = 0; i < 8; i++) {
        last = a->w[i] + n;
        n = last < n;
        r->w[i] = last;
    }
    r->w[7] &= 0x7fffffff;
    return n << 1 | last >> 31;
}

void fe_canonical(fe *a) {
    // a = 2^255 h + l = p h + (19 h + l), and 19 h + l < 2p contains p if adding 19 carries.
    fe sum;
    uint32_t quotient = add_small(&sum, a, 19 * ((a->w[7] >> 31) + 1));
    add_small(a, a, 19 * quotient);
}

#ifdef OTA_FIELD_PORTABLE

// Adds 38 n, which is what 2^256 n is congruent to. Carries and borrows out of the top come in
// again at the bottom; what is left after one of those is too far from the ends for another.
static void fold(fe *r, int64_t n) {
    while (n) {
        n *= 38;
        for (unsigned i = 0; i < 8; i++) {
            n += r->w[i];
            r->w[i] = (uint32_t)n;
            n >>= 32;
        }
    }
}

void fe_mul(fe *r, const fe *a, const fe *b) {
    uint32_t product[16] = {0};
    uint64_t sum;
    for (unsigned i = 0; i < 8; i++) {
        sum = 0;
        for (unsigned j = 0; j < 8; j++) {
            // (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1
            sum += (uint64_t)a->w[i] * b->w[j] + product[i + j];
            product[i + j] = (uint32_t)sum;
            sum >>= 32;
        }
        product[i + 8] = (uint32_t)sum;
    }
    sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        sum += (uint64_t)38 * product[i + 8] + product[i];
        r->w[i] = (uint32_t)sum;
        sum >>= 32;
    }
    fold(r, (int64_t)sum);
}

void fe_sqr(fe *r, const fe *a) {
    fe_mul(r, a, a);
}

void fe_add(fe *r, const fe *a, const fe *b) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        sum += (uint64_t)a->w[i] + b->w[i];
        r->w[i] = (uint32_t)sum;
        sum >>= 32;
    }
    fold(r, (int64_t)sum);
}

void fe_sub(fe *r, const fe *a, const fe *b) {
    int64_t sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        sum += (int64_t)a->w[i] - b->w[i];
        r->w[i] = (uint32_t)sum;
        sum >>= 32;
    }
    fold(r, sum);
}

#endif
