// SPDX-License-Identifier: MIT
// Field arithmetic for 64-bit machines: 64 by 64 bits at a time.

#include "field.h"

#ifdef OTA_FIELD_INT128

__extension__ typedef unsigned __int128 uint128;
// Two words of an element: on these machines a number of 64 bits has its halves there.
typedef uint64_t __attribute__((may_alias)) limb;

#define INLINE static inline __attribute__((always_inline))

// Products are added up by columns.
typedef struct {
    uint64_t low, middle, high;
} column;

INLINE void add(column *sum, uint128 product) {
    uint64_t low = (uint64_t)product;
    uint64_t high = (uint64_t)(product >> 64);
#ifdef __x86_64__
    // In C it takes gcc 12 twice the instructions.
    __asm__("addq %3, %0\n\tadcq %4, %1\n\tadcq $0, %2"
            : "+&r"(sum->low), "+&r"(sum->middle), "+&r"(sum->high)
            : "r"(low), "r"(high)
            : "cc");
#else
    sum->low += low;
    high += sum->low < low; // a product's high word is below 2^64 - 1
    sum->middle += high;
    sum->high += sum->middle < high;
#endif
}

// Returns the word that is done and goes on to the next column.
INLINE uint64_t next(column *sum) {
    uint64_t word = sum->low;
    sum->low = sum->middle;
    sum->middle = sum->high;
    sum->high = 0;
    return word;
}

// r = t + 38 n, for a small n. A carry is rare; if one goes all the way through, 2^256 is 38 once
// more, and there is room for it.
INLINE void fold(fe *r, const uint64_t t[4], uint64_t n) {
    limb *z = (limb *)r;
    z[0] = t[0] + 38 * n;
    z[1] = t[1];
    z[2] = t[2];
    z[3] = t[3];
    if (z[0] < t[0] && ++z[1] == 0 && ++z[2] == 0 && ++z[3] == 0) {
        z[0] += 38;
    }
}

// r = t[0..3] + 2^256 t[4..7]
INLINE void reduce(fe *r, uint64_t t[8]) {
    uint128 sum = (uint128)38 * t[4] + t[0];
    t[0] = (uint64_t)sum;
    sum = (uint128)38 * t[5] + t[1] + (sum >> 64);
    t[1] = (uint64_t)sum;
    sum = (uint128)38 * t[6] + t[2] + (sum >> 64);
    t[2] = (uint64_t)sum;
    sum = (uint128)38 * t[7] + t[3] + (sum >> 64);
    t[3] = (uint64_t)sum;
    fold(r, t, (uint64_t)(sum >> 64));
}

void fe_mul(fe *r, const fe *a, const fe *b) {
    const limb *x = (const limb *)a;
    const limb *y = (const limb *)b;
    column sum = {0, 0, 0};
    uint64_t t[8];
    add(&sum, (uint128)x[0] * y[0]);
    t[0] = next(&sum);
    add(&sum, (uint128)x[0] * y[1]);
    add(&sum, (uint128)x[1] * y[0]);
    t[1] = next(&sum);
    add(&sum, (uint128)x[0] * y[2]);
    add(&sum, (uint128)x[1] * y[1]);
    add(&sum, (uint128)x[2] * y[0]);
    t[2] = next(&sum);
    add(&sum, (uint128)x[0] * y[3]);
    add(&sum, (uint128)x[1] * y[2]);
    add(&sum, (uint128)x[2] * y[1]);
    add(&sum, (uint128)x[3] * y[0]);
    t[3] = next(&sum);
    add(&sum, (uint128)x[1] * y[3]);
    add(&sum, (uint128)x[2] * y[2]);
    add(&sum, (uint128)x[3] * y[1]);
    t[4] = next(&sum);
    add(&sum, (uint128)x[2] * y[3]);
    add(&sum, (uint128)x[3] * y[2]);
    t[5] = next(&sum);
    add(&sum, (uint128)x[3] * y[3]);
    t[6] = next(&sum);
    t[7] = next(&sum);
    reduce(r, t);
}

INLINE void add_twice(column *sum, uint128 product) {
    add(sum, product);
    add(sum, product);
}

void fe_sqr(fe *r, const fe *a) {
    const limb *x = (const limb *)a;
    column sum = {0, 0, 0};
    uint64_t t[8];
    add(&sum, (uint128)x[0] * x[0]);
    t[0] = next(&sum);
    add_twice(&sum, (uint128)x[0] * x[1]);
    t[1] = next(&sum);
    add_twice(&sum, (uint128)x[0] * x[2]);
    add(&sum, (uint128)x[1] * x[1]);
    t[2] = next(&sum);
    add_twice(&sum, (uint128)x[0] * x[3]);
    add_twice(&sum, (uint128)x[1] * x[2]);
    t[3] = next(&sum);
    add_twice(&sum, (uint128)x[1] * x[3]);
    add(&sum, (uint128)x[2] * x[2]);
    t[4] = next(&sum);
    add_twice(&sum, (uint128)x[2] * x[3]);
    t[5] = next(&sum);
    add(&sum, (uint128)x[3] * x[3]);
    t[6] = next(&sum);
    t[7] = next(&sum);
    reduce(r, t);
}

// *sum = x + y + carry; returns the next carry.
INLINE uint64_t add_word(uint64_t *sum, uint64_t x, uint64_t y, uint64_t carry) {
    x += carry;
    carry = x < carry;
    *sum = x + y;
    return carry + (*sum < y);
}

void fe_add(fe *r, const fe *a, const fe *b) {
    const limb *x = (const limb *)a;
    const limb *y = (const limb *)b;
    uint64_t t[4];
    uint64_t carry = add_word(&t[0], x[0], y[0], 0);
    carry = add_word(&t[1], x[1], y[1], carry);
    carry = add_word(&t[2], x[2], y[2], carry);
    carry = add_word(&t[3], x[3], y[3], carry);
    fold(r, t, carry);
}

void fe_sub(fe *r, const fe *a, const fe *b) {
    // a + (2^256 - 1 - b) + 1 carries if there is no borrow.
    const limb *x = (const limb *)a;
    const limb *y = (const limb *)b;
    limb *z = (limb *)r;
    uint64_t t[4];
    uint64_t carry = add_word(&t[0], x[0], ~y[0], 1);
    carry = add_word(&t[1], x[1], ~y[1], carry);
    carry = add_word(&t[2], x[2], ~y[2], carry);
    carry = add_word(&t[3], x[3], ~y[3], carry);
    z[0] = t[0] - (carry ? 0 : 38);
    z[1] = t[1];
    z[2] = t[2];
    z[3] = t[3];
    if (z[0] > t[0] && z[1]-- == 0 && z[2]-- == 0 && z[3]-- == 0) {
        z[0] -= 38;
    }
}

#endif
