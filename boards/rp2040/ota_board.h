// SPDX-License-Identifier: MIT
// rp2.Flash() of a board with two slots reaches everything behind the bootloader.
#undef MICROPY_HW_FLASH_STORAGE_BASE
#undef MICROPY_HW_FLASH_STORAGE_BYTES
#define MICROPY_HW_FLASH_STORAGE_BASE OTA_STORAGE_BASE
#define MICROPY_HW_FLASH_STORAGE_BYTES OTA_STORAGE_SIZE
