# SPDX-License-Identifier: MIT
# ESP32 modules with 4 MB of flash and two slots; variant FLASH_8M for those with 8 MB or more.
include(${CMAKE_SOURCE_DIR}/boards/ESP32_GENERIC/mpconfigboard.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/../two_slots.cmake)
