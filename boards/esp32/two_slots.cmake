# SPDX-License-Identifier: MIT
# What every board with two slots adds to one of MicroPython's: partition table, options of ESP-IDF,
# the verifier, and what is frozen. A board's mpconfigboard.cmake includes this file last.
#
#   OTA_FLASH    flash size: 4MB (default) or 8MB, which the board variant FLASH_8M sets
#   OTA_TABLE    path of the partition table; default: the one of this folder for OTA_FLASH
#   OTA_OPTIONS  names of further files sdkconfig.NAME, for instance anti_rollback

set(OTA_ESP32_DIR ${CMAKE_CURRENT_LIST_DIR})

if(NOT OTA_FLASH)
    if(MICROPY_BOARD_VARIANT STREQUAL FLASH_8M)
        set(OTA_FLASH 8MB)
    else()
        set(OTA_FLASH 4MB)
    endif()
endif()
if(NOT OTA_TABLE)
    string(REGEX REPLACE "MB$" "m" OTA_TABLE ${OTA_FLASH})
    set(OTA_TABLE ${OTA_ESP32_DIR}/partitions-${OTA_TABLE}.csv)
endif()
if(NOT EXISTS ${OTA_TABLE})
    message(FATAL_ERROR "no partition table ${OTA_TABLE}: set OTA_TABLE")
endif()

# The path of the table is known only here. It begins with a line's end, which the port's files,
# put together in one, might lack.
file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.table
    "\n# ${OTA_FLASH}, two slots\n"
    "CONFIG_ESPTOOLPY_FLASHSIZE_${OTA_FLASH}=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${OTA_TABLE}\"\n"
)
list(APPEND SDKCONFIG_DEFAULTS ${CMAKE_BINARY_DIR}/sdkconfig.table ${OTA_ESP32_DIR}/sdkconfig.ota)
if(OTA_FLASH STREQUAL 4MB)
    list(APPEND SDKCONFIG_DEFAULTS ${OTA_ESP32_DIR}/sdkconfig.small)
endif()
foreach(option ${OTA_OPTIONS})
    if(NOT EXISTS ${OTA_ESP32_DIR}/sdkconfig.${option})
        message(FATAL_ERROR "OTA_OPTIONS: no ${OTA_ESP32_DIR}/sdkconfig.${option}")
    endif()
    list(APPEND SDKCONFIG_DEFAULTS ${OTA_ESP32_DIR}/sdkconfig.${option})
endforeach()

list(APPEND USER_C_MODULES ${OTA_ESP32_DIR}/../../lib/ed25519/micropython.cmake)
set(MICROPY_FROZEN_MANIFEST ${OTA_ESP32_DIR}/manifest.py)
