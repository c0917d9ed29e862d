// SPDX-License-Identifier: MIT
// Arithmetic modulo p = 2^255 - 19: the part of the verifier that is written per instruction set.
//
// A field element is any 256-bit number: 8 words of 32 bits, least significant first, which on
// the little-endian machines that this runs on are also 32 bytes, least significant first. Each
// operation takes any 256-bit numbers and gives some 256-bit number congruent to its result; only
// fe_canonical() gives the one below p. So nothing ever has to be "reduced first", and nothing
// overflows. What has 256 bits already comes out as it is: fe_mul() of a 125-bit and a 131-bit
// number is their product.
//
// Results may lie where operands lie. All operands are public: time may depend on them.
//
// Every file of this folder is always compiled; what is not for the machine at hand is empty. This
// is the choice. OTA_ED25519_PORTABLE takes plain C, which all others are checked against.

#ifndef OTA_FIELD_H
#define OTA_FIELD_H

#if defined(OTA_ED25519_PORTABLE)
#define OTA_FIELD_PORTABLE
#elif defined(__ARM_ARCH_6M__)
#define OTA_FIELD_ARMV6M // field_armv6m.S: Cortex-M0, M0+
#elif defined(__thumb2__) && defined(__ARM_FEATURE_DSP)
#define OTA_FIELD_ARMV7EM // field_armv7em.S: Cortex-M4, M7, M33
#elif defined(__riscv_mul) && __riscv_xlen == 32
#define OTA_FIELD_RV32
#elif defined(__XTENSA_WINDOWED_ABI__)
#define OTA_FIELD_XTENSA // ESP32, S2, S3; an ESP8266 has no windows and cannot multiply so wide
#elif defined(__SIZEOF_INT128__)
#define OTA_FIELD_INT128 // field_int128.c: 64-bit machines
#else
#define OTA_FIELD_PORTABLE // field_portable.c
#endif

#ifndef __ASSEMBLER__

#include <stdint.h>

typedef struct {
    uint32_t w[8];
} __attribute__((aligned(8))) fe;

void fe_mul(fe *r, const fe *a, const fe *b);
void fe_sqr(fe *r, const fe *a);
void fe_add(fe *r, const fe *a, const fe *b);
void fe_sub(fe *r, const fe *a, const fe *b);

// a becomes the number below p that it is congruent to. The same C for every machine.
void fe_canonical(fe *a);

#endif
#endif
