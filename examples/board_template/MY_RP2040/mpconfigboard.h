// SPDX-License-Identifier: MIT
#define MICROPY_HW_BOARD_NAME "My RP2040 board"  // CHANGE
#include "../../../boards/rp2040/ota_board.h"    // CHANGE: this project
