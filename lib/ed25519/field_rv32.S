// SPDX-License-Identifier: MIT
// Field arithmetic for RV32 with multiplication (ESP32-C3, C6): see field.h.
//
// A product grows in a window of 8 words, W0 to W7. A row adds A times the 8 words of B to it and
// moves it on by one word: what leaves at the bottom, in WX, is a word of the product; the carry
// enters at the top. Multiplication runs 8 rows, one for each word of a.
//
// Squaring takes a row's square and the doubled products with the words above, which stand in B
// as 2a, so row i enters at word i, and completes the words 2i and 2i + 1 of the product. 36 of
// the 64 products remain. 2a needs a < 2^255: bit 255 comes in again as 19 beforehand.
//
// Reduction is one more row, for 2^256 = 38: 38 times the upper half is added to the lower half.
//
// The code may lie anywhere, and refers to nothing outside of it: MicroPython's linker for modules
// takes it as the usual one does.

#include "field.h"

#ifdef OTA_FIELD_RV32

// Small immediates and x8 to x15 (s0, s1, a0 to a5) make short instructions.
#define A s0
#define B0 a6
#define B1 a7
#define B2 s2
#define B3 s1
#define B4 a3
#define B5 a4
#define B6 a5
#define B7 a2 // the pointer to b, until it is loaded

#define WX t1
#define W0 t2
#define W1 t3
#define W2 t4
#define W3 s3
#define W4 s4
#define W5 s5
#define W6 s6
#define W7 s7

#define LO t5
#define T t6
#define C s8 // carry
#define AT s9 // where the next word of the product goes
#define END t0

#define FRAME 112 // 16 words of a product, 11 registers

#ifdef __riscv_compressed
#define CALL c.jal
#else
#define CALL jal
#endif

    .option norelax
    .text

// (\carry, \out) = \in + A * \b + C, which is below 2^64
.macro multiply_add out, in, b, carry=C
    mul LO, A, \b
    add LO, LO, C
    sltu T, LO, C
    add \out, \in, LO
    sltu LO, \out, LO
    mulhu \carry, A, \b
    add \carry, \carry, T
    add \carry, \carry, LO
.endm

// Row \i of a square, 0 < \i < 7: A is word \i, which takes its own place in 2a; the word after it
// has to be 2 * a word alone, without the bit that comes from below.
.macro square_row i, b, next, out, out2
    lw A, 4 * \i(a1)
    mv \b, A
    andi \next, \next, -2
    li C, 0
    CALL .Lword\i
    sw \out, 8 * \i(sp)
    sw \out2, 8 * \i + 4(sp)
.endm

.macro double word, below
    slt T, \below, zero
    add \word, \word, \word
    add \word, \word, T
.endm

    .globl fe_sqr
    .type fe_sqr, @function
fe_sqr:
    lw B7, 28(a1)
    lw B0, 0(a1)
    srai T, B7, 31
    andi T, T, 19
    add B0, B0, T
    bgeu B0, T, .Lsquare
    // The 19 carries on into word 1, one time in 2^27. A product does not mind.
    mv a2, a1
    .size fe_sqr, . - fe_sqr

    .globl fe_mul
    .type fe_mul, @function
fe_mul:
    jal t0, .Lenter
    lw B0, 0(a2)
    lw B1, 4(a2)
    lw B2, 8(a2)
    lw B3, 12(a2)
    lw B4, 16(a2)
    lw B5, 20(a2)
    lw B6, 24(a2)
    lw B7, 28(a2)
    mv AT, sp
    addi END, sp, 32
    CALL .Lnext // a row returns to the line below
    sw WX, 0(AT)
    addi AT, AT, 4
    beq AT, END, .Lreduce
.Lnext:
    lw A, 0(a1)
    addi a1, a1, 4

.Lword0: // entered without a carry
    mul LO, A, B0
    add WX, W0, LO
    sltu T, WX, LO
    mulhu C, A, B0
    add C, C, T
.Lword1:
    multiply_add W0, W1, B1
.Lword2:
    multiply_add W1, W2, B2
.Lword3:
    multiply_add W2, W3, B3
.Lword4:
    multiply_add W3, W4, B4
.Lword5:
    multiply_add W4, W5, B5
.Lword6:
    multiply_add W5, W6, B6
.Lword7:
    multiply_add W6, W7, B7, W7
    ret

.Lsquare:
    jal t0, .Lenter
    lw B1, 4(a1)
    lw B2, 8(a1)
    lw B3, 12(a1)
    lw B4, 16(a1)
    lw B5, 20(a1)
    lw B6, 24(a1)
    double B7, B6
    double B6, B5
    double B5, B4
    double B4, B3
    double B3, B2
    double B2, B1
    add B1, B1, B1
    mv A, B0
    CALL .Lword0
    sw WX, 0(sp)
    sw W0, 4(sp)
    square_row 1, B1, B2, W0, W1
    square_row 2, B2, B3, W1, W2
    square_row 3, B3, B4, W2, W3
    square_row 4, B4, B5, W3, W4
    square_row 5, B5, B6, W4, W5
    square_row 6, B6, B7, W5, W6
    lw A, 28(a1)
    slli A, A, 1
    srli A, A, 1
    mv B7, A
    li C, 0
    CALL .Lword7
    mv B6, W6
    mv B7, W7
    lw B0, 32(sp)
    lw B1, 36(sp)
    lw B2, 40(sp)
    lw B3, 44(sp)
    lw B4, 48(sp)
    lw B5, 52(sp)
    j .Lreduce_b

.Lreduce:
    mv B0, W0
    mv B1, W1
    mv B2, W2
    mv B3, W3
    mv B4, W4
    mv B5, W5
    mv B6, W6
    mv B7, W7
.Lreduce_b:
    lw W0, 0(sp)
    lw W1, 4(sp)
    lw W2, 8(sp)
    lw W3, 12(sp)
    lw W4, 16(sp)
    lw W5, 20(sp)
    lw W6, 24(sp)
    lw W7, 28(sp)
    li A, 38
    CALL .Lword0
    mul a2, W7, A // at most 38 * 38
    sw WX, 0(a0)
    sw W0, 4(a0)
    sw W1, 8(a0)
    sw W2, 12(a0)
    sw W3, 16(a0)
    sw W4, 20(a0)
    sw W5, 24(a0)
    sw W6, 28(a0)
    lw ra, 64(sp)
    lw s0, 68(sp)
    lw s1, 72(sp)
    lw s2, 76(sp)
    lw s3, 80(sp)
    lw s4, 84(sp)
    lw s5, 88(sp)
    lw s6, 92(sp)
    lw s7, 96(sp)
    lw s8, 100(sp)
    lw s9, 104(sp)
    addi sp, sp, FRAME
    addi a0, a0, 32
    li a4, 1
    j .Ladd_small
    .size fe_mul, . - fe_mul

// Make a frame and an empty window.
.Lenter:
    addi sp, sp, -FRAME
    sw ra, 64(sp)
    sw s0, 68(sp)
    sw s1, 72(sp)
    sw s2, 76(sp)
    sw s3, 80(sp)
    sw s4, 84(sp)
    sw s5, 88(sp)
    sw s6, 92(sp)
    sw s7, 96(sp)
    sw s8, 100(sp)
    sw s9, 104(sp)
    li W0, 0
    li W1, 0
    li W2, 0
    li W3, 0
    li W4, 0
    li W5, 0
    li W6, 0
    li W7, 0
    jr t0

// a - b = a + (2^256 - 1 - b) + 1 - 2^256: for both, a6 is what b is xored with, and a4 the carry.

    .globl fe_sub
    .type fe_sub, @function
fe_sub:
    li a4, 1
    j .Ladd
    .size fe_sub, . - fe_sub

    .globl fe_add
    .type fe_add, @function
fe_add:
    li a4, 0
.Ladd:
    neg a6, a4
    addi a7, a0, 32
.Ladd_words:
    .irp at, 0, 4, 8, 12
    lw a5, \at(a1)
    lw a3, \at(a2)
    xor a3, a3, a6
    add a3, a3, a4
    sltu a4, a3, a4
    add a5, a5, a3
    sltu a3, a5, a3
    add a4, a4, a3
    sw a5, \at(a0)
    .endr
    addi a0, a0, 16
    addi a1, a1, 16
    addi a2, a2, 16
    bne a0, a7, .Ladd_words
    add a4, a4, a6
    beqz a4, .Lreturn

// The number that ends at a0 lacks a4 * 2^256, a4 = 1 or -1: add 38 times that. The carry rarely
// leaves word 0, and out of word 7 it comes in again.
.Lcarry:
    li a2, 38
    mul a2, a2, a4
.Ladd_small: // add a2, which is of the sign of a4
    addi a1, a0, -32
    lw a3, 0(a1)
    add a5, a3, a2
    sw a5, 0(a1)
    sltu a5, a5, a3
    srli a3, a4, 31
    beq a5, a3, .Lreturn
    srai a3, a4, 1 // what a word becomes when it carries: 0 from adding 1, -1 from adding -1
.Lripple:
    addi a1, a1, 4
    beq a1, a0, .Lcarry
    lw a5, 0(a1)
    add a5, a5, a4
    sw a5, 0(a1)
    beq a5, a3, .Lripple
.Lreturn:
    ret
    .size fe_add, . - fe_add

#endif

#ifdef __linux__ // where this file is empty, and would be taken to want an executable stack
    .section .note.GNU-stack, "", %progbits
#endif
