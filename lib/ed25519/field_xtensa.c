// SPDX-License-Identifier: MIT
// Field arithmetic for the windowed Xtensa of ESP32, S2 and S3: see field.h.
//
// In C, because a function has too few registers there to hold a row of a product. But the
// processor has no carry flag, and compilers turn a compared sum into a number, at the cost of
// four instructions and a branch, where a branch around an increment does.

#include "field.h"

#ifdef OTA_FIELD_XTENSA

// sum += term; count += carry
#define ADD(sum, term, count)                                                                    \
    __asm__("add.n %0, %0, %2\n\t"                                                               \
            "bgeu %0, %2, 1f\n\t"                                                                \
            "addi.n %1, %1, 1\n"                                                                 \
            "1:"                                                                                 \
            : "+&r"(sum), "+&r"(count)                                                           \
            : "r"(term))

// *t = low word of *t + x * y + carry, which is below 2^64; returns the high word.
static inline uint32_t add_product(uint32_t *t, uint32_t x, uint32_t y, uint32_t carry) {
    uint32_t low = x * y;
    uint32_t high = (uint32_t)((uint64_t)x * y >> 32);
    uint32_t sum = *t;
    ADD(low, carry, high);
    ADD(sum, low, high);
    *t = sum;
    return high;
}

// t += x * b, 8 words of each; t[8] becomes the carry.
static void add_row(uint32_t *t, uint32_t x, const uint32_t *b) {
    uint32_t carry = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        carry = add_product(t + i, x, b[i], carry);
    }
    t[8] = carry;
}

// r += 38 n, which is what 2^256 n is congruent to. The carry rarely leaves word 0, and out of
// word 7 it comes in again; what is left then is too far from the ends for another.
static void fold(fe *r, int32_t n) {
    while (n) {
        n *= 38;
        for (unsigned i = 0; n && i < 8; i++) {
            int64_t sum = (int64_t)r->w[i] + n;
            r->w[i] = (uint32_t)sum;
            n = (int32_t)(sum >> 32);
        }
    }
}

void fe_mul(fe *r, const fe *a, const fe *b) {
    uint32_t product[17];
    for (unsigned i = 0; i < 8; i++) {
        product[i] = 0;
    }
    for (unsigned i = 0; i < 8; i++) {
        add_row(product + i, a->w[i], b->w);
    }
    add_row(product, 38, product + 8);
    for (unsigned i = 0; i < 8; i++) {
        r->w[i] = product[i];
    }
    fold(r, (int32_t)product[8]);
}

void fe_sqr(fe *r, const fe *a) {
    fe_mul(r, a, a);
}

// r = a + b, or a - b = a + (2^256 - 1 - b) + 1 - 2^256 if minus is all ones instead of 0
static void add(fe *r, const fe *a, const fe *b, uint32_t minus) {
    uint32_t carry = minus & 1;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t sum = a->w[i];
        uint32_t next = 0;
        ADD(sum, carry, next);
        ADD(sum, b->w[i] ^ minus, next);
        r->w[i] = sum;
        carry = next;
    }
    fold(r, (int32_t)(carry + minus));
}

void fe_add(fe *r, const fe *a, const fe *b) {
    add(r, a, b, 0);
}

void fe_sub(fe *r, const fe *a, const fe *b) {
    add(r, a, b, ~0u);
}

#endif
