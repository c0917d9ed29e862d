// SPDX-License-Identifier: MIT
// What a run of the verifier reached, for gcc's -fsanitize-coverage=trace-pc,trace-cmp: how often
// each edge between blocks was taken, and how close compared values came to each other. The
// compiler puts the calls below into the verifier; this file is compiled without.

#include "coverage.h"

#include <stdint.h>

#define MAP 65536

static uint8_t hits[MAP];       // of this run
static uint8_t seen[MAP];       // of all runs, a bit per bucket
static unsigned touched[MAP];   // indexes of hits that are not 0
static unsigned count;
static uintptr_t previous;

static void hit(uintptr_t feature) {
    unsigned i = (unsigned)(((uint64_t)feature * 0x9e3779b97f4a7c15) >> 48);
    if (hits[i] == 0) {
        touched[count++] = i;
    }
    if (hits[i] < 255) {
        hits[i]++;
    }
}

// The edge of a loop taken 5 or 6 times is the same to us, 5 or 9 times is not.
static uint8_t bucket(uint8_t n) {
    static const uint8_t limits[] = {1, 2, 3, 7, 15, 31, 127};
    unsigned i = 0;
    while (i < sizeof limits && n > limits[i]) {
        i++;
    }
    return (uint8_t)(1 << i);
}

int coverage_is_new(void) {
    int is_new = 0;
    while (count) {
        unsigned i = touched[--count];
        uint8_t bit = bucket(hits[i]);
        is_new |= !(seen[i] & bit);
        seen[i] |= bit;
        hits[i] = 0;
    }
    previous = 0;
    return is_new;
}

void __sanitizer_cov_trace_pc(void) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    hit(here ^ previous << 1);
    previous = here;
}

// Of two values that were compared: the length of what differs, in four bits.
static inline void compared(uintptr_t here, uint64_t a, uint64_t b) {
    unsigned length = a == b ? 0 : 64 - (unsigned)__builtin_clzll(a ^ b);
    hit(here << 8 | 0x80 | (length + 3) / 4);
}

#define TRACE(name, type)                                       \
    void name(type a, type b);                                  \
    void name(type a, type b) {                                 \
        compared((uintptr_t)__builtin_return_address(0), a, b); \
    }
TRACE(__sanitizer_cov_trace_cmp1, uint8_t)
TRACE(__sanitizer_cov_trace_cmp2, uint16_t)
TRACE(__sanitizer_cov_trace_cmp4, uint32_t)
TRACE(__sanitizer_cov_trace_cmp8, uint64_t)
TRACE(__sanitizer_cov_trace_const_cmp1, uint8_t)
TRACE(__sanitizer_cov_trace_const_cmp2, uint16_t)
TRACE(__sanitizer_cov_trace_const_cmp4, uint32_t)
TRACE(__sanitizer_cov_trace_const_cmp8, uint64_t)

void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases) {
    (void)value;    // each case is an edge
    (void)cases;
}
