// SPDX-License-Identifier: MIT
#include "boards/RPI_PICO_W/mpconfigboard.h"
#undef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME "Raspberry Pi Pico W, two slots"
#include "../ota_board.h"
