# SPDX-License-Identifier: MIT
get_filename_component(OTA_PROJECT ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)  # CHANGE: this project

# 2 MB of flash; the board variant FLASH_4M is for 4 MB. Its second stage has to be the Pico's.
set(PICO_BOARD pico)  # CHANGE, if the SDK knows your board
set(PICO_PLATFORM rp2040)
include(${OTA_PROJECT}/boards/rp2040/two_slots.cmake)
set(MICROPY_FROZEN_MANIFEST ${CMAKE_CURRENT_LIST_DIR}/manifest.py)
