# SPDX-License-Identifier: MIT
# The verifier as a part of a firmware: make USER_C_MODULES=/path/to/lib/ed25519/micropython.cmake
add_library(usermod_ota_ed25519 INTERFACE)
file(GLOB OTA_ED25519_SOURCES ${CMAKE_CURRENT_LIST_DIR}/*.c ${CMAKE_CURRENT_LIST_DIR}/*.S)
target_sources(usermod_ota_ed25519 INTERFACE ${OTA_ED25519_SOURCES})
# Among the board's definitions, because MicroPython looks for names with these and no others.
list(APPEND MICROPY_DEF_BOARD OTA_ED25519_MODULE)
target_link_libraries(usermod INTERFACE usermod_ota_ed25519)
