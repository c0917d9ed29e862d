// SPDX-License-Identifier: MIT
// CHANGE: names and pins of the board.
#define MICROPY_HW_BOARD_NAME "My ESP32-S3 board"
#define MICROPY_HW_MCU_NAME "ESP32S3"
#define MICROPY_HW_I2C0_SCL (9)
#define MICROPY_HW_I2C0_SDA (8)
