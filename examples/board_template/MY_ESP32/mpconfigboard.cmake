# SPDX-License-Identifier: MIT
get_filename_component(OTA_PROJECT ${CMAKE_CURRENT_LIST_DIR}/../../.. ABSOLUTE)  # CHANGE: this project

# CHANGE: chip and options, as a board of MicroPython's with your chip has them (ports/esp32/boards).
set(IDF_TARGET esp32s3)
set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/sdkconfig.usb
    boards/sdkconfig.ble
    boards/sdkconfig.spiram_sx
    boards/sdkconfig.240mhz
    boards/sdkconfig.spiram_oct
)
set(OTA_FLASH 16MB)  # CHANGE, with partitions.csv
set(OTA_TABLE ${CMAKE_CURRENT_LIST_DIR}/partitions.csv)
include(${OTA_PROJECT}/boards/esp32/two_slots.cmake)
set(MICROPY_FROZEN_MANIFEST ${CMAKE_CURRENT_LIST_DIR}/manifest.py)
