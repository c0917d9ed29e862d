// SPDX-License-Identifier: MIT
// The rounds of SHA-512 for ARMv6-M (Cortex-M0, M0+). Eight working variables of 64 bits are four
// times the registers that there are, and compilers spend most of their time with moving them.
//
//      ota_sha512_block(hash, round_constants)      the block is in hash->block
//
// The variables a to h lie in memory, 64 bytes at r7. A round would move each to the next place;
// instead r7 moves 8 bytes down, so that b to h are where a to g were, and a' goes below. The
// window of 24 places on the stack has room for 16 rounds; then the eight move up again.
//
// Words are pairs of registers, the low half first, as in memory. r0, r1 is the sum.
//
//      r7   a to h                     r8   hash->block, behind hash->state
//      r9   next round constant        r10  byte of hash->block that this round uses: 0, 8 ... 120
//      r12  end of the constants

#include "field.h"

#ifdef OTA_FIELD_ARMV6M

    .syntax unified
    .cpu cortex-m0plus
    .thumb

// \d ^= the low half of \high:\low rotated right by \n. With \low and \high swapped it is the high
// half, or the low half of a rotation by \n + 32.
    .macro rotated d, low, high, n
    lsrs r6, \low, \n
    eors \d, r6
    lsls r6, \high, 32 - \n
    eors \d, r6
    .endm

// The same, as the first of several.
    .macro rotated_first d, low, high, n
    lsrs \d, \low, \n
    lsls r6, \high, 32 - \n
    eors \d, r6
    .endm

    .macro add_pair low, high
    adds r0, \low
    adcs r1, \high
    .endm

// r2, r3 = the word \n places on in the block, which is a ring; r6 = its address + 8.
    .macro word n
    mov r6, r10
    .if \n
    adds r6, 8 * \n
    lsls r6, 25
    lsrs r6, 25
    .endif
    add r6, r8
    ldmia r6!, {r2, r3}
    .endm

    .text
    .global ota_sha512_block
    .type ota_sha512_block, %function
    .thumb_func
ota_sha512_block:
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    push {r4-r6}
    sub sp, 24 * 8
    mov r9, r1
    movs r2, 80 * 8 / 4
    lsls r2, 2
    add r1, r2
    mov r12, r1
    movs r1, 8 * 8
    add r1, r0
    mov r8, r1
    movs r1, 0
    mov r10, r1
    mov r7, sp

// Sixteen rounds from the variables at r0, which first move to the top of the window.
.Lrounds:
    adds r7, 16 * 8
    mov r1, r7
    .rept 4
    ldmia r0!, {r2-r5}
    stmia r1!, {r2-r5}
    .endr
    mov r0, r12
    cmp r0, r9
    bne .Lround
    b .Llast

.Lround:
    ldr r0, [r7, 56]            // h
    ldr r1, [r7, 60]
    mov r6, r9                  // + constant
    ldmia r6!, {r2, r3}
    mov r9, r6
    add_pair r2, r3
    ldr r2, [r7, 32]            // + e rotated by 14 ^ 18 ^ 41
    ldr r3, [r7, 36]
    rotated_first r4, r2, r3, 14
    rotated r4, r2, r3, 18
    rotated r4, r3, r2, 9
    rotated_first r5, r3, r2, 14
    rotated r5, r3, r2, 18
    rotated r5, r2, r3, 9
    add_pair r4, r5
    ldr r4, [r7, 40]            // + (g ^ (e & (f ^ g)))
    ldr r6, [r7, 48]
    eors r4, r6
    ands r4, r2
    eors r4, r6
    ldr r5, [r7, 44]
    ldr r6, [r7, 52]
    eors r5, r6
    ands r5, r3
    eors r5, r6
    add_pair r4, r5
    word 0                      // + word
    add_pair r2, r3
    ldr r2, [r7, 24]            // d += all that
    ldr r3, [r7, 28]
    adds r2, r0
    adcs r3, r1
    str r2, [r7, 24]
    str r3, [r7, 28]
    ldr r2, [r7, 0]             // + a rotated by 28 ^ 34 ^ 39
    ldr r3, [r7, 4]
    rotated_first r4, r2, r3, 28
    rotated r4, r3, r2, 2
    rotated r4, r3, r2, 7
    rotated_first r5, r3, r2, 28
    rotated r5, r2, r3, 2
    rotated r5, r2, r3, 7
    add_pair r4, r5
    ldr r4, [r7, 8]             // + (a & (b | c) | b & c)
    ldr r5, [r7, 16]
    movs r6, r4
    orrs r6, r5
    ands r4, r5
    ands r6, r2
    orrs r4, r6
    ldr r5, [r7, 12]
    ldr r6, [r7, 20]
    movs r2, r5
    orrs r2, r6
    ands r5, r6
    ands r2, r3
    orrs r5, r2
    add_pair r4, r5
    subs r7, 8                  // is the new a
    str r0, [r7, 0]
    str r1, [r7, 4]

    // The word is used up: the one of 16 rounds later takes its place.
    word 1                      // rotated by 1 ^ 8, shifted by 7
    rotated_first r0, r2, r3, 1
    rotated r0, r2, r3, 8
    rotated r0, r2, r3, 7
    rotated_first r1, r3, r2, 1
    rotated r1, r3, r2, 8
    lsrs r3, 7
    eors r1, r3
    word 14                     // + rotated by 19 ^ 61, shifted by 6
    rotated_first r4, r2, r3, 19
    rotated r4, r3, r2, 29
    rotated r4, r2, r3, 6
    rotated_first r5, r3, r2, 19
    rotated r5, r2, r3, 29
    lsrs r3, 6
    eors r5, r3
    add_pair r4, r5
    word 9
    add_pair r2, r3
    word 0
    add_pair r2, r3
    subs r6, 8
    stmia r6!, {r0, r1}

    mov r6, r10
    adds r6, 8
    lsls r6, 25
    lsrs r6, 25
    mov r10, r6
    beq 1f
    b .Lround
1:  mov r0, r7
    b .Lrounds

.Llast:
    mov r6, r8
    subs r6, 8 * 8
1:  ldmia r7!, {r0, r1}
    ldmia r6!, {r2, r3}
    add_pair r2, r3
    subs r6, 8
    stmia r6!, {r0, r1}
    cmp r6, r8
    bne 1b
    add sp, 24 * 8
    pop {r4-r6}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    pop {r4-r7, pc}

#endif
