// SPDX-License-Identifier: MIT
// What C needs on a bare Xtensa, for emulated_xtensa.py: exception vectors, a loop that makes the
// calls of a list, and muluh.
//
// QEMU's core dc233c has all that the ESP32's have and that compilers use, windowed calls
// included, but for muluh. That traps, and is done here.
//
// A trap must not write to a register in which a caller's value still is, and a muluh may be the
// first to use some of its function's. So the first exception returns to an instruction that uses
// the last register of the window, which makes the processor save whatever callers have there, and
// to an illegal one behind it. That second exception does the work.

#define SIMCALL .byte 0x00, 0x51, 0x00
#define RFE .byte 0x00, 0x30, 0x00
#define ILL .byte 0x00, 0x00, 0x00
#define RSR_EPC1(a) .byte a << 4, 0xb1, 0x03
#define WSR_EPC1(a) .byte a << 4, 0xb1, 0x13
#define RSR_EXCSAVE1(a) .byte a << 4, 0xd1, 0x03
#define WSR_EXCSAVE1(a) .byte a << 4, 0xd1, 0x13
#define RSR_EXCCAUSE(a) .byte a << 4, 0xe8, 0x03
#define RSR_CCOUNT(a) .byte a << 4, 0xea, 0x03

// Where the handler keeps 16 registers, the number of muluh so far, the address of the present one
#define SAVED 0x400
#define COUNT 64
#define AT 68

    .text
vectors: // overflow and underflow of the window, by 4 and by 8 registers
    s32e a0, a5, -16
    s32e a1, a5, -12
    s32e a2, a5, -8
    s32e a3, a5, -4
    rfwo

    .org 0x040
    l32e a0, a5, -16
    l32e a1, a5, -12
    l32e a2, a5, -8
    l32e a3, a5, -4
    rfwu

    .org 0x080
    s32e a0, a9, -16
    l32e a0, a1, -12
    s32e a1, a9, -12
    s32e a2, a9, -8
    s32e a3, a9, -4
    s32e a4, a0, -32
    s32e a5, a0, -28
    s32e a6, a0, -24
    s32e a7, a0, -20
    rfwo

    .org 0x0c0
    l32e a0, a9, -16
    l32e a1, a9, -12
    l32e a2, a9, -8
    l32e a7, a1, -12
    l32e a3, a9, -4
    l32e a4, a7, -32
    l32e a5, a7, -28
    l32e a6, a7, -24
    l32e a7, a7, -20
    rfwu

    .org 0x300 // exceptions of the kernel, as which all of this runs
    j exception
    .org 0x340 // of a user
    j fatal
    .org 0x3c0 // within an exception
    j fatal

    .org 0x400
    j start

    .p2align 2
stack_top:
    .long STACK_TOP
calls:
    .long CALLS
memory:
    .long MEMORY
output_name:
    .long output
trap_address:
    .long trap
output:
    .asciz "memory.bin"

    .p2align 2
start:
    movi a2, 0
    wsr a2, windowbase
    rsync
    movi a2, 1
    wsr a2, windowstart
    rsync
    slli a2, a2, 18 // PS.WOE
    wsr a2, ps
    rsync
    movi a0, 0
    l32r a1, stack_top
    addi a2, a1, -16 // the stack pointer of this function's own caller, for its a4 to a7
    addi a3, a1, 64
    s32i a3, a2, 4
    l32r a2, calls
    l32i a3, a2, 0 // their number
    addi a2, a2, 16
next_call:
    beqz a3, done
    l32i a8, a2, 0
    l32i a10, a2, 4
    l32i a11, a2, 8
    l32i a12, a2, 12
    l32i a13, a2, 16
    l32i a14, a2, 20
    l32i a15, a2, 24
    movi a4, SAVED
    l32i a5, a4, COUNT
    RSR_CCOUNT(6)
    callx8 a8
    RSR_CCOUNT(7)
    s32i a10, a2, 28
    sub a7, a7, a6
    s32i a7, a2, 32
    l32i a6, a4, COUNT
    sub a6, a6, a5
    s32i a6, a2, 36
    addi a2, a2, 48
    addi a3, a3, -1
    j next_call

done: // open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600); write(.., memory, its size); exit(0)
    movi a2, 5
    l32r a3, output_name
    movi a4, 0x241
    movi a5, 0x180
    SIMCALL
    mov a3, a2
    movi a2, 4
    l32r a4, memory
    l32r a5, calls
    l32i a5, a5, 4
    SIMCALL
    movi a2, 1
    movi a3, 0
    SIMCALL

    or a15, a15, a15
trap:
    ILL

exception:
    WSR_EXCSAVE1(2)
    movi a2, SAVED
    s32i a3, a2, 12
    s32i a4, a2, 16
    RSR_EXCCAUSE(3)
    bnez a3, fatal
    RSR_EPC1(3)
    l32r a4, trap_address
    beq a3, a4, muluh
    s32i a3, a2, AT
    addi a4, a4, -3
    WSR_EPC1(4)
    l32i a3, a2, 12
    l32i a4, a2, 16
    RSR_EXCSAVE1(2)
    RFE

fatal:
    RSR_EXCCAUSE(3)
    movi a2, 1
    addi a3, a3, 64
    SIMCALL

muluh:
    .irp n, 0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    s32i a\n, a2, 4 * \n
    .endr
    RSR_EXCSAVE1(3)
    s32i a3, a2, 8
    l32i a3, a2, AT
    l8ui a4, a3, 0
    l8ui a5, a3, 1
    l8ui a6, a3, 2
    addi a3, a3, 3
    WSR_EPC1(3)
    movi a7, 0xa2
    bne a6, a7, fatal
    extui a6, a4, 0, 4
    bnez a6, fatal
    extui a6, a5, 4, 4
    addx4 a6, a6, a2 // the result
    extui a7, a5, 0, 4
    addx4 a7, a7, a2
    l32i a7, a7, 0
    extui a8, a4, 4, 4
    addx4 a8, a8, a2
    l32i a8, a8, 0
    extui a9, a7, 0, 16
    extui a7, a7, 16, 16
    extui a10, a8, 0, 16
    extui a8, a8, 16, 16
    mull a11, a9, a10 // low * low
    extui a11, a11, 16, 16
    mull a9, a9, a8 // low * high, which has room for 16 bits more
    add a11, a11, a9
    extui a9, a11, 16, 16
    extui a11, a11, 0, 16
    mull a10, a7, a10 // high * low
    add a11, a11, a10
    extui a11, a11, 16, 16
    mull a7, a7, a8 // high * high
    add a7, a7, a9
    add a7, a7, a11
    s32i a7, a6, 0
    l32i a7, a2, COUNT
    addi a7, a7, 1
    s32i a7, a2, COUNT
    .irp n, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 2
    l32i a\n, a2, 4 * \n
    .endr
    RFE
