// SPDX-License-Identifier: MIT
#include "boards/ESP32_GENERIC/mpconfigboard.h"
#undef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME "ESP32 module, two slots"
