// SPDX-License-Identifier: MIT
// All that touches the RP2040. Names and numbers of registers are those of its datasheet.

#ifndef BOOT_CHIP_H
#define BOOT_CHIP_H

#include <stdint.h>

#include "flash_map.h"

// Starts the crystal, which USB mode needs too, and runs the core at 125 MHz from it.
void chip_start(void);

// Programs the page at `offset` in flash. Never erases: bits only go from 1 to 0.
void chip_program(uint32_t offset, const uint8_t page[PAGE]);

// Resets the whole chip 8.3 s from now, which is about as late as it can, unless it is fed.
void chip_arm_watchdog(void);

// Goes where a vector table says, as after a reset.
_Noreturn void chip_jump(uint32_t vectors);

// Gives the chip to the ROM's USB mode: a drive that takes a UF2.
_Noreturn void chip_usb(void);

#endif
