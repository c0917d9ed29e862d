// SPDX-License-Identifier: MIT
// Field arithmetic for ARMv7E-M and ARMv8-M with the DSP extension (Cortex-M4, M7, M33).
//
// umaal multiplies two words and adds two words to the product, which never overflows: one
// instruction for each of the 64 products. Two rows are made at once, a pair of words of a times
// all of b, so that each word of b is loaded four times and the sum stays in registers:
//
//      r4-r11    the sum from word i on, 8 words   r0, r1  what is carried along the two rows
//      r12, lr   two words of a, i and i + 1       r2, r3  b, and a word of it
//
// After two rows, the two lowest words of the sum are finished, and what is carried becomes the
// two highest, in their registers: the next rows have the registers rotated by two. After eight
// rows, they are where they began.

#include "field.h"

#ifdef OTA_FIELD_ARMV7EM

    .syntax unified
    .thumb

    .macro function name
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

// The stack, in words from sp.
    .equ LOW, 0             // words 0 to 7 of the product
    .equ R, 8
    .equ A, 9

    .macro rows i, t0, t1, t2, t3, t4, t5, t6, t7
    ldr r0, [sp, #4 * A]
    ldrd r12, lr, [r0, #4 * \i]
    movs r0, #0
    movs r1, #0
    column 0, \t0, \t1
    column 1, \t1, \t2
    column 2, \t2, \t3
    column 3, \t3, \t4
    column 4, \t4, \t5
    column 5, \t5, \t6
    column 6, \t6, \t7
    column 7, \t7, r0
    strd \t0, \t1, [sp, #4 * (LOW + \i)]
    mov \t0, r0
    mov \t1, r1
    .endm

    .macro column j, t, u
    ldr r3, [r2, #4 * \j]
    umaal \t, r0, r12, r3
    umaal \u, r1, lr, r3
    .endm

    .section .text.field, "ax", %progbits
    .balign 4

// void fe_sqr(fe *r, const fe *a)
    function fe_sqr
    mov r2, r1

// void fe_mul(fe *r, const fe *a, const fe *b)
    function fe_mul
    push {r0, r1, r4-r11, lr}
    sub sp, #4 * R
    movs r4, #0
    movs r5, #0
    movs r6, #0
    movs r7, #0
    mov r8, r4
    mov r9, r4
    mov r10, r4
    mov r11, r4
    rows 0, r4, r5, r6, r7, r8, r9, r10, r11
    rows 2, r6, r7, r8, r9, r10, r11, r4, r5
    rows 4, r8, r9, r10, r11, r4, r5, r6, r7
    rows 6, r10, r11, r4, r5, r6, r7, r8, r9

    // The low words plus 38 times the high ones.
    mov r12, #38
    mov lr, #0
    pop {r0-r3}
    umaal r0, lr, r12, r4
    umaal r1, lr, r12, r5
    umaal r2, lr, r12, r6
    umaal r3, lr, r12, r7
    pop {r4-r7}
    umaal r4, lr, r12, r8
    umaal r5, lr, r12, r9
    umaal r6, lr, r12, r10
    umaal r7, lr, r12, r11
    mul lr, lr, r12
    pop {r8, r9}            // r, and a, which is not needed any more

// Adds lr to r0-r7. Carries seldom run on; one out of the top comes in again as 38, after which
// r0 is too small for another.
fold:
    adds r0, lr
    bcc finish
    adcs r1, r1, #0
    adcs r2, r2, #0
    adcs r3, r3, #0
    adcs r4, r4, #0
    adcs r5, r5, #0
    adcs r6, r6, #0
    adcs r7, r7, #0
    it cs
    addcs r0, #38
finish:
    stm r8, {r0-r7}
    pop {r4-r11, pc}

    .macro both first, next
    push {r4-r11, lr}
    mov r8, r0
    mov r12, r1
    mov lr, r2
    ldm r12!, {r0-r3}
    ldm lr!, {r4-r7}
    \first r0, r4
    \next r1, r5
    \next r2, r6
    \next r3, r7
    ldm r12, {r4-r7}
    ldm lr, {r9-r12}
    \next r4, r9
    \next r5, r10
    \next r6, r11
    \next r7, r12
    .endm

// void fe_add(fe *r, const fe *a, const fe *b)
    function fe_add
    both adds, adcs
    mov lr, #38
    bcs fold
    b finish

// void fe_sub(fe *r, const fe *a, const fe *b)
    function fe_sub
    both subs, sbcs
    bcs finish
    subs r0, #38
    bcs finish
    sbcs r1, r1, #0
    sbcs r2, r2, #0
    sbcs r3, r3, #0
    sbcs r4, r4, #0
    sbcs r5, r5, #0
    sbcs r6, r6, #0
    sbcs r7, r7, #0
    it cc
    subcc r0, #38
    b finish

#endif

#ifdef __linux__ // where this file is empty, and would be taken to want an executable stack
    .section .note.GNU-stack, "", %progbits
#endif
