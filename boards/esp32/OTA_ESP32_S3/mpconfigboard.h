// SPDX-License-Identifier: MIT
#include "boards/ESP32_GENERIC_S3/mpconfigboard.h"
#undef MICROPY_HW_BOARD_NAME
#define MICROPY_HW_BOARD_NAME "ESP32-S3 module, two slots"
