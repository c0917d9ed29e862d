# SPDX-License-Identifier: MIT
# Raspberry Pi Pico W with two slots: as the port's own board, without Bluetooth, which would not
# leave room for both. Written beside OTA_PICO and not built by this project's tests: the driver of
# its radio is in no package.
include(${MICROPY_PORT_DIR}/boards/RPI_PICO_W/mpconfigboard.cmake)
set(MICROPY_PY_BLUETOOTH OFF)
set(MICROPY_BLUETOOTH_BTSTACK OFF)
set(MICROPY_PY_BLUETOOTH_CYW43 OFF)
set(MICROPY_BOARD_PINS ${MICROPY_PORT_DIR}/boards/RPI_PICO_W/pins.csv)
include(${CMAKE_CURRENT_LIST_DIR}/../two_slots.cmake)
set(MICROPY_FROZEN_MANIFEST ${CMAKE_CURRENT_LIST_DIR}/manifest.py)
