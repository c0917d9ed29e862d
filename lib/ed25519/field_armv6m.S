// SPDX-License-Identifier: MIT
// Field arithmetic for ARMv6-M (Cortex-M0, M0+), whose one multiply gives the low 32 bits.
//
// A product of two words thus takes four multiplies of halves, 17 cycles. Karatsuba's rule, used
// three times over (256, 128 and 64 bits), makes 27 of them do where rows would take 64. For
// a = a0 + a1 X and b = b0 + b1 X, with X = 2^128, 2^64 or 2^32, it says:
//
//      L = a0 b0, H = a1 b1, M = (a0 - a1) (b0 - b1)
//      a b = L + (L + H - M) X + H X^2
//
// The differences are multiplied as magnitudes. The sign of M is a mask, 0 or -1, and minus a
// number is (the number ^ -1) + 1, the one being a carry. The middle is added up in this way:
//
//      T = L1 + H0, and what it carries goes to H1, which is at most X - 2: no overflow
//      a b = L0 + (T + L0 - M0) X + (T + H1 - M1) X^2 + H1 X^3
//
// At 256 bits, X^2 is 38, so the last two terms times 38 are added to the first two. A square
// takes 27 squares of words, 10 cycles each: a product of operands that are one object is a square.
//
// Numbers are negated, and carries run on, by branches: all operands are public.

#include "field.h"

#ifdef OTA_FIELD_ARMV6M

    .syntax unified
    .cpu cortex-m0plus
    .thumb

    .macro function name
    .global \name
    .type \name, %function
    .thumb_func
\name:
    .endm

// \a, \b -> the high and the low word of their product; t, u, v are lost. 17 cycles.
    .macro mul32 a, b, t, u, v
    uxth \t, \a
    lsrs \a, #16
    lsrs \u, \b, #16
    uxth \b, \b
    mov \v, \b
    muls \b, \t             // low low
    muls \v, \a             // high low
    muls \a, \u             // high high
    muls \u, \t             // low high
    lsls \t, \v, #16
    lsrs \v, #16
    adds \b, \t
    adcs \a, \v
    lsls \t, \u, #16
    lsrs \u, #16
    adds \b, \t
    adcs \a, \u
    .endm

// \a squared -> \a, the high word, and \t, the low word; u, v are lost. 10 cycles.
    .macro sqr32 a, t, u, v
    uxth \t, \a
    lsrs \a, #16
    movs \u, \t
    muls \u, \a
    muls \t, \t
    muls \a, \a
    lsls \v, \u, #17
    lsrs \u, #15
    adds \t, \v
    adcs \a, \u
    .endm

// \a = |\b - \c|; \s is inverted if that was negative.
    .macro distance32 a, b, c, s
    subs \a, \b, \c
    bcs 1f
    negs \a, \a
    .ifnb \s
    mvns \s, \s
    .endif
1:
    .endm

// (\a, \b) -= (\c, \d), then its magnitude; \s is inverted if that was negative.
    .macro distance64 a, b, c, d, s
    subs \a, \c
    sbcs \b, \d
    bcs 1f
    mvns \b, \b
    negs \a, \a
    bcc 2f
    adds \b, #1
2:
    .ifnb \s
    mvns \s, \s
    .endif
1:
    .endm

    .section .text.field, "ax", %progbits
    .balign 4

// (r4, r5) * (r6, r7) -> r4-r7. Loses r0-r3, r8-r10. 79 cycles or so.
mul64:
    movs r2, #0
    distance32 r0, r4, r5, r2
    distance32 r1, r6, r7, r2
    mov r8, r2              // sign of M
    mov r9, r0
    mul32 r6, r4, r0, r2, r3
    mul32 r7, r5, r0, r2, r3
    mov r10, r4
    mov r0, r9
    mul32 r0, r1, r2, r3, r4
    mov r4, r10
    mov r2, r8
    eors r1, r2
    eors r0, r2
    movs r3, #0             // L = r4, r6   H = r5, r7   M = r1, r0
    adds r6, r5             // T
    adcs r7, r3
    adds r5, r6, r4
    adcs r6, r7
    adcs r7, r3
    negs r3, r2             // borrows if the mask is -1
    sbcs r5, r1
    sbcs r6, r0
    sbcs r7, r2
    bx lr

// (r6, r7) squared -> r4-r7. Loses r0-r3. 44 cycles.
sqr64:
    distance32 r0, r6, r7
    sqr32 r6, r4, r1, r2
    sqr32 r7, r5, r1, r2
    sqr32 r0, r1, r2, r3
    movs r3, #0             // L = r4, r6   H = r5, r7   M = r1, r0
    adds r6, r5             // T
    adcs r7, r3
    adds r5, r6, r4
    adcs r6, r7
    adcs r7, r3
    subs r5, r1
    sbcs r6, r0
    sbcs r7, r3
    bx lr

// Four words at r0 times four words at r1 -> eight words at r12, which moves on behind them, and
// the high four of them in r4-r7. Gives back r0 and r1. Loses r2, r3, r8-r11.
mul128:
    push {r0, r1, lr}
    cmp r0, r1
    beq sqr128
    ldm r1!, {r4-r7}
    movs r2, #0
    distance64 r6, r7, r4, r5, r2
    ldm r0, {r0, r1, r4, r5}
    distance64 r4, r5, r0, r1, r2
    mov r11, r2             // sign of M
    bl mul64
    mov r0, r11
    eors r4, r0
    eors r5, r0
    eors r6, r0
    eors r7, r0
    push {r4-r7}            // M
    ldr r0, [sp, #16]
    ldr r1, [sp, #20]
    ldm r0!, {r6, r7}
    ldm r1!, {r4, r5}
    bl mul64
    push {r4-r7}            // L
    ldr r0, [sp, #32]
    ldr r1, [sp, #36]
    ldr r6, [r0, #8]
    ldr r7, [r0, #12]
    ldr r4, [r1, #8]
    ldr r5, [r1, #12]
    bl mul64                // H
join128:
    pop {r0-r3}             // L
    adds r4, r2             // T
    adcs r5, r3
    movs r2, #0
    adcs r6, r2
    adcs r7, r2
    mov r3, r12
    stm r3!, {r0, r1}
    mov r12, r3
    adds r0, r4
    adcs r1, r5
    adcs r4, r6
    adcs r5, r7
    adcs r6, r2
    adcs r7, r2
    mov r2, r11
    negs r2, r2
    pop {r2, r3}            // M
    sbcs r0, r2
    sbcs r1, r3
    pop {r2, r3}
    sbcs r4, r2
    sbcs r5, r3
    mov r2, r11
    sbcs r6, r2
    sbcs r7, r2
    mov r3, r12
    stm r3!, {r0, r1, r4-r7}
    mov r12, r3
    pop {r0, r1, pc}

sqr128:
    ldm r0!, {r4-r7}
    distance64 r6, r7, r4, r5
    bl sqr64
    push {r4-r7}            // M
    movs r0, #0
    mov r11, r0             // which is never negative
    ldr r0, [sp, #16]
    ldm r0!, {r6, r7}
    bl sqr64
    push {r4-r7}            // L
    ldr r0, [sp, #32]
    ldr r6, [r0, #8]
    ldr r7, [r0, #12]
    bl sqr64                // H
    b join128

// Magnitude of (the four words at r1) - (the four behind them) -> four words at r0, which moves
// on behind them. r2 becomes the sign; r1, r3-r7 are lost.
distance128:
    ldm r1!, {r4-r7}
    ldm r1!, {r2, r3}
    subs r4, r2
    sbcs r5, r3
    ldm r1!, {r2, r3}
    sbcs r6, r2
    sbcs r7, r3
    sbcs r2, r2
    bcs 1f
    eors r4, r2
    eors r5, r2
    eors r6, r2
    eors r7, r2
    subs r4, r2
    sbcs r5, r2
    sbcs r6, r2
    sbcs r7, r2
1:  stm r0!, {r4-r7}
    bx lr

// void fe_sqr(fe *r, const fe *a)
    function fe_sqr
    mov r2, r1

// The stack of fe_mul, in bytes from sp.
    .equ SIGN, 0            // of minus M
    .equ M, 4
    .equ H, 36
    .equ L, 68
    .equ DIFFERENCES, 100   // their magnitudes
    .equ T, DIFFERENCES     // when they are used up
    .equ R, 132
    .equ A, 136
    .equ B, 140             // and then what belongs to the caller

// void fe_mul(fe *r, const fe *a, const fe *b)
    function fe_mul
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r0-r2, r4-r7}
    sub sp, #R
    mov r8, r2
    mov r9, r1
    add r0, sp, #DIFFERENCES
    bl distance128
    mov r1, r8
    mov r8, r2
    cmp r1, r9
    beq 1f                  // a square needs no second difference
    bl distance128
1:  mov r1, r8
    eors r2, r1
    mvns r2, r2
    str r2, [sp, #SIGN]
    add r1, sp, #M
    mov r12, r1
    mov r1, r0
    subs r1, #16
    add r0, sp, #DIFFERENCES
    bl mul128               // M
    ldr r0, [sp, #A]
    ldr r1, [sp, #B]
    adds r0, #16
    adds r1, #16
    bl mul128               // H
    subs r0, #16
    subs r1, #16
    bl mul128               // L

    add r0, sp, #H
    ldm r0!, {r1, r2}
    adds r4, r1
    adcs r5, r2
    ldm r0!, {r1, r2}
    adcs r6, r1
    adcs r7, r2             // T
    movs r1, #0
    adcs r1, r1
    mov r10, r1             // what T carries
    add r0, sp, #T
    stm r0!, {r4-r7}
    add r0, sp, #M
    mov r9, r0
    ldr r3, [sp, #SIGN]
    lsrs r3, r3, #31
    add r0, sp, #L
    bl middle_with_t
    add r0, sp, #L + 16
    stm r0!, {r4-r7}
    add r3, r10
    add r0, sp, #H + 16
    bl middle
    add r0, sp, #H
    stm r0!, {r4-r7}
    add r3, r10
    adds r3, r2             // to minus M, the sign is one more word
2:  ldr r1, [r0]            // the high half of H; the product ends with it, so this ends in it
    adds r1, r3
    stm r0!, {r1}
    movs r3, #1
    bcs 2b

    // Now the low 8 words of the product lie where L was, the high 8 where H was. The low ones plus
    // 38 times the high ones, two at a time.
    ldr r0, [sp, #R]
    add r1, sp, #H
    add r2, sp, #L
    mov r8, r2
    movs r7, #0             // carried on
3:  ldm r1!, {r3, r5}
    lsrs r4, r3, #16
    lsrs r6, r5, #16
    uxth r3, r3
    uxth r5, r5
    movs r2, #38
    muls r3, r2
    muls r4, r2
    muls r5, r2
    muls r6, r2
    adds r3, r7
    lsrs r7, r4, #16
    adds r5, r7
    lsls r4, r4, #16
    lsls r2, r6, #16
    lsrs r7, r6, #16
    adds r3, r4
    adcs r5, r2
    movs r2, #0
    adcs r7, r2
    ldr r4, [r1, #L - H - 8]
    ldr r6, [r1, #L - H - 4]
    adds r3, r4
    adcs r5, r6
    adcs r7, r2
    stm r0!, {r3, r5}
    cmp r1, r8
    bne 3b

    movs r3, #0
    add sp, #B + 4
    pop {r1, r2, r4, r5}
    mov r8, r1
    mov r9, r2
    mov r10, r4
    mov r11, r5

// The end of every operation: adds 38 r7 to the number that ends at r0, whose words are written
// as complements if r3 is -1.
fold:
    movs r2, #38
    mov r5, r0
1:  subs r0, #32
    muls r7, r2
2:  ldr r4, [r0]
    eors r4, r3
    adds r4, r7
    eors r4, r3
    stm r0!, {r4}
    bcc finish
    movs r7, #1
    cmp r0, r5
    bne 2b
    b 1b
finish:
    pop {r4-r7, pc}

// T + (four words at r0) + (four words at r9 ^ SIGN) + r3 -> r4-r7; r3 becomes what is carried,
// r2 is SIGN, r9 moves on. Loses r0, r1.
middle:
    add r1, sp, #T
    ldm r1!, {r4-r7}
middle_with_t:
    adds r4, r3
    movs r3, #0
    bcc 1f
    adcs r5, r3
    adcs r6, r3
    adcs r7, r3
    adcs r3, r3
1:  ldm r0!, {r1, r2}
    adds r4, r1
    adcs r5, r2
    ldm r0!, {r1, r2}
    adcs r6, r1
    adcs r7, r2
    movs r1, #0
    adcs r3, r1
    mov r0, r9
    ldr r2, [sp, #SIGN]
    ldm r0!, {r1}
    eors r1, r2
    adds r4, r1
    ldm r0!, {r1}
    eors r1, r2
    adcs r5, r1
    ldm r0!, {r1}
    eors r1, r2
    adcs r6, r1
    ldm r0!, {r1}
    eors r1, r2
    adcs r7, r1
    mov r9, r0
    movs r1, #0
    adcs r3, r1
    bx lr

// void fe_sub(fe *r, const fe *a, const fe *b)
//
// a - b = a + (the complement of b) + 1 - 2^256: carries if nothing is borrowed.
    function fe_sub
    movs r3, #0
    mvns r3, r3
    b 1f

// void fe_add(fe *r, const fe *a, const fe *b)
    function fe_add
    movs r3, #0
1:  push {r4-r7, lr}
    lsrs r4, r3, #1
    .rept 4
    ldm r1!, {r4, r5}
    ldm r2!, {r6, r7}
    eors r6, r3
    eors r7, r3
    adcs r4, r6
    adcs r5, r7
    stm r0!, {r4, r5}
    .endr
    movs r7, #0
    adcs r7, r7
    adds r7, r3
    beq finish
    muls r7, r7
    b fold

#endif

#ifdef __linux__ // where this file is empty, and would be taken to want an executable stack
    .section .note.GNU-stack, "", %progbits
#endif
