// SPDX-License-Identifier: MIT
#include "chip.h"

#include <stddef.h>

#include "boot.h"
#include "flash_map.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define SET 0x2000u // added to a peripheral's address: set these bits, clear these bits
#define CLEAR 0x3000u

#define RESETS_RESET 0x4000c000u
#define RESETS_DONE 0x4000c008u
#define RESETS_PLL_SYS (1u << 12)

#define XOSC_CTRL 0x40024000u
#define XOSC_STATUS 0x40024004u
#define XOSC_STARTUP 0x4002400cu
#define XOSC_RANGE_1_15MHZ 0xaa0u
#define XOSC_ENABLE 0xfab000u
#define XOSC_STABLE (1u << 31)

#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_REF_XOSC 2u
#define CLK_SYS_CTRL 0x4000803cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_SYS_REF 0u
#define CLK_SYS_PLL 1u // the auxiliary source
#define CLK_SYS_AUX_PLL 0u // and this is which
#define CLK_SRC 3u

#define PLL_CS 0x40028000u
#define PLL_PWR 0x40028004u
#define PLL_FBDIV 0x40028008u
#define PLL_PRIM 0x4002800cu
#define PLL_LOCK (1u << 31)
#define PLL_PWR_PD (1u << 0)
#define PLL_PWR_POSTDIVPD (1u << 3)
#define PLL_PWR_VCOPD (1u << 5)

#define PSM_WDSEL 0x40010008u
#define PSM_ALL_BUT_OSCILLATORS 0x1fffcu
#define WATCHDOG_CTRL 0x40058000u
#define WATCHDOG_LOAD 0x40058004u
#define WATCHDOG_SCRATCH4 0x4005801cu
#define WATCHDOG_TICK 0x4005802cu
#define WATCHDOG_ENABLE (1u << 30)
#define WATCHDOG_TICK_ENABLE (1u << 9)

#define SYSTICK_CSR 0xe000e010u
#define NVIC_ICER 0xe000e180u
#define NVIC_ICPR 0xe000e280u
#define VTOR 0xe000ed08u

#define CRYSTAL_MHZ 12u
#define TRIAL_MS 8300u // the counter ends at 8,388

static void wait_for(uint32_t address, uint32_t bits) {
    while ((REG(address) & bits) != bits) {
    }
}

// Both clocks that are switched here change over without a glitch and show their source as 1 <<
// number when they have. Not so the auxiliary sources, whose number is in the same register: it
// has to stay while one of them may be in use.
static void select_clock(uint32_t ctrl, uint32_t source) {
    REG(ctrl + CLEAR) = CLK_SRC & ~source;
    REG(ctrl + SET) = source;
    wait_for(ctrl + (CLK_SYS_SELECTED - CLK_SYS_CTRL), 1u << source);
}

void chip_start(void) {
    // After a debugger's reset a watchdog may be armed, and the PLL in use, as before.
    REG(WATCHDOG_CTRL + CLEAR) = WATCHDOG_ENABLE;
    select_clock(CLK_SYS_CTRL, CLK_SYS_REF);
    REG(CLK_SYS_CTRL) = CLK_SYS_AUX_PLL;

    REG(XOSC_CTRL) = XOSC_RANGE_1_15MHZ;
    // The crystal counts as stable after so many x 256 cycles. A Pico's needs 1 ms, others of the
    // boards that the SDK knows up to 64 times that. This code is never updated, so all wait 64 ms.
    REG(XOSC_STARTUP) = 47 * 64;
    REG(XOSC_CTRL + SET) = XOSC_ENABLE;
    wait_for(XOSC_STATUS, XOSC_STABLE);
    select_clock(CLK_REF_CTRL, CLK_REF_XOSC);

    // 12 MHz x 125 = 1.5 GHz, / 6 / 2 = 125 MHz. Dividers before the oscillator that they set,
    // outputs after it has locked.
    REG(RESETS_RESET + SET) = RESETS_PLL_SYS;
    REG(RESETS_RESET + CLEAR) = RESETS_PLL_SYS;
    wait_for(RESETS_DONE, RESETS_PLL_SYS);
    REG(PLL_CS) = 1;
    REG(PLL_FBDIV) = 125;
    REG(PLL_PWR + CLEAR) = PLL_PWR_PD | PLL_PWR_VCOPD;
    wait_for(PLL_CS, PLL_LOCK);
    REG(PLL_PRIM) = 6u << 16 | 2u << 12;
    REG(PLL_PWR + CLEAR) = PLL_PWR_POSTDIVPD;
    select_clock(CLK_SYS_CTRL, CLK_SYS_PLL);
}

// The ROM has a table of functions and one that looks them up. Both are found through 16-bit
// pointers at fixed places, whose addresses are in boot.ld.
extern const uint16_t rom_functions;
extern const uint16_t rom_lookup;

static void (*rom_function(char first, char second))(void) {
    typedef void (*(*lookup)(uintptr_t table, uint32_t code))(void);
    return ((lookup)(uintptr_t)rom_lookup)(
        rom_functions, (uint32_t)first | (uint32_t)second << 8);
}

struct flash_calls {
    void (*connect)(void);
    void (*exit_xip)(void);
    void (*program)(uint32_t offset, const uint8_t *bytes, size_t length);
    void (*flush_cache)(void); // also gives up the chip select that the others force
    void (*enter_xip)(void);
};

// Runs from RAM with all that it uses, because flash cannot be read before it is done. No
// interrupt can come in between: none was ever enabled.
__attribute__((section(".ram"), noinline, long_call)) static void program_from_ram(
    const struct flash_calls *calls, uint32_t offset, const uint8_t *page) {
    calls->connect();
    calls->exit_xip();
    calls->program(offset, page, PAGE);
    calls->flush_cache();
    calls->enter_xip();
}

void chip_program(uint32_t offset, const uint8_t page[PAGE]) {
    // The ROM's functions leave flash readable in a slow mode only. The second stage, the first
    // 256 bytes of this bootloader, sets up the quick one, if it is called from elsewhere.
    uint32_t boot2[PAGE / 4];
    for (uint32_t i = 0; i < PAGE / 4; i++) {
        boot2[i] = REG(XIP_BASE + 4 * i);
    }
    struct flash_calls calls = {
        .connect = rom_function('I', 'F'),
        .exit_xip = rom_function('E', 'X'),
        .program = (void (*)(uint32_t, const uint8_t *, size_t))rom_function('R', 'P'),
        .flush_cache = rom_function('F', 'C'),
        .enter_xip = (void (*)(void))((uintptr_t)boot2 | 1),
    };
    program_from_ram(&calls, offset, page);
}

void chip_arm_watchdog(void) {
    REG(WATCHDOG_SCRATCH4) = 0; // what the ROM would take for an address to jump to
    REG(PSM_WDSEL) = PSM_ALL_BUT_OSCILLATORS; // reset the chip: 0, as after power-on, is nothing
    REG(WATCHDOG_TICK) = WATCHDOG_TICK_ENABLE | CRYSTAL_MHZ; // 1 us
    REG(WATCHDOG_LOAD) = TRIAL_MS * 1000 * 2; // it counts down by two: erratum RP2040-E1
    REG(WATCHDOG_CTRL) = WATCHDOG_ENABLE; // also while a debugger holds the cores
}

_Noreturn void chip_jump(uint32_t vectors) {
    select_clock(CLK_SYS_CTRL, CLK_SYS_REF);
    REG(SYSTICK_CSR) = 0;
    REG(NVIC_ICER) = UINT32_MAX;
    REG(NVIC_ICPR) = UINT32_MAX;
    REG(VTOR) = vectors;
    __asm volatile("msr msp, %0\n"
                   "cpsie i\n"
                   "bx %1"
                   :
                   : "r"(REG(vectors)), "r"(REG(vectors + 4))
                   : "memory");
    __builtin_unreachable();
}

_Noreturn void chip_usb(void) {
    typedef void (*reset_usb_boot)(uint32_t activity_pins, uint32_t disabled_interfaces);
    ((reset_usb_boot)rom_function('U', 'B'))(0, 0);
    __builtin_unreachable();
}

extern uint32_t ram_start[], ram_end[], ram_in_flash[], stack_top[];

static _Noreturn void reset(void) {
    for (uint32_t i = 0; &ram_start[i] != ram_end; i++) {
        ram_start[i] = ram_in_flash[i];
    }
    chip_start();
    boot((const uint8_t *)XIP_BASE);
}

// Where the second stage goes. A fault can only come from a mistake in the bootloader; nothing
// boots then.
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void);
    void (*nmi)(void);
    void (*hard_fault)(void);
} vectors = {stack_top, reset, chip_usb, chip_usb};
