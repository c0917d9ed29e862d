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
    .if \i
    movs r0, #0
    movs r1, #0
    column 0, \t0, \t1
    .else                   // nothing to be added yet
    ldr r3, [r2]
    umull \t0, r0, r12, r3
    umull \t1, r1, lr, r3
    .endif
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

// Goes on with a carry or borrow of r0, of which there seldom is one. If it gets to the top, it
// comes in again as 38, and r0 is now too far from its end for another.
    .macro run_on next, again, if
    mov lr, r0
    movs r0, #0
    \next r1, r0
    \next r2, r0
    \next r3, r0
    \next r4, r0
    \next r5, r0
    \next r6, r0
    \next r7, r0
    mov r0, lr
    it \if
    \again\if r0, #38
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
    movs r6, #0
    movs r7, #0
    mov r8, r6
    mov r9, r6
    mov r10, r6
    mov r11, r6
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

// Adds lr to r0-r7.
fold:
    adds r0, lr
    bcc finish
    run_on adcs, add, cs
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
    run_on sbcs, sub, cc
    b finish

#endif

#ifdef __linux__ // where this file is empty, and would be taken to want an executable stack
    .section .note.GNU-stack, "", %progbits
#endif
