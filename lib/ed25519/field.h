// SPDX-License-Identifier: MIT
// Arithmetic modulo p = 2^255 - 19: the part of the verifier that is written per instruction set.
//
// A field element is any 256-bit number: 8 words of 32 bits, least significant first, which on
// the little-endian machines that this runs on are also 32 bytes, least significant first. Each
// operation takes any 256-bit numbers and gives some 256-bit number congruent to its result; only
// fe_canonical() gives the one below p. So nothing ever has to be "reduced first", and nothing
// overflows.
//
// Results may lie where operands lie. All operands are public: time may depend on them.
//
// Every implementation is checked against field_portable.c. OTA_ED25519_PORTABLE selects that one.

#ifndef OTA_FIELD_H
#define OTA_FIELD_H

#include <stdint.h>

typedef struct {
    uint32_t w[8];
} __attribute__((aligned(8))) fe;

void fe_mul(fe *r, const fe *a, const fe *b);
void fe_sqr(fe *r, const fe *a);
void fe_add(fe *r, const fe *a, const fe *b);
void fe_sub(fe *r, const fe *a, const fe *b);

// a becomes the number below p that it is congruent to.
void fe_canonical(fe *a);

#endif
