// SPDX-License-Identifier: MIT
// What happens between reset and the first instruction of MicroPython.

#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include <stdint.h>

// Boots one of the images in `flash`, or goes to USB mode.
_Noreturn void boot(const uint8_t *flash);

#endif
