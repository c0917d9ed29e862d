# SPDX-License-Identifier: MIT
# Raspberry Pi Pico with two slots; variant FLASH_4M for boards like it with 4 MB of flash.
include(${MICROPY_PORT_DIR}/boards/RPI_PICO/mpconfigboard.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../two_slots.cmake)
