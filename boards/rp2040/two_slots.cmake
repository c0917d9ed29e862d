# SPDX-License-Identifier: MIT
# One compile, two links: firmware.elf for slot A and firmware_b.elf for slot B.
#
# Code runs from flash where it lies, at a fixed address, so there is an image for each slot. A
# board's mpconfigboard.cmake includes this file and finds firmware-a.bin and firmware-b.bin in
# its build folder, which `mpota release` takes. The flash map is the 2 MB one; the board variant
# FLASH_4M has the other.
#
# The linker scripts are the port's own with four changes, made when CMake configures. A port whose
# script no longer reads as expected stops the build here rather than making an image that does
# not boot. Tried with MicroPython 1.25.0 and 1.26.1.

cmake_minimum_required(VERSION 3.19)

set(OTA_RP2040_DIR ${CMAKE_CURRENT_LIST_DIR})

if(MICROPY_BOARD_VARIANT STREQUAL FLASH_4M)
    set(OTA_FLASH_MAP 4mb)
else()
    set(OTA_FLASH_MAP 2mb)
endif()

# The numbers of the flash map, as CMake variables and for C.
find_program(OTA_PYTHON NAMES python3 python REQUIRED)
execute_process(
    COMMAND ${OTA_PYTHON} ${OTA_RP2040_DIR}/boot/flash_map.py ${OTA_FLASH_MAP}
    OUTPUT_VARIABLE OTA_NUMBERS
    RESULT_VARIABLE OTA_FAILED
)
if(OTA_FAILED)
    message(FATAL_ERROR "${OTA_RP2040_DIR}/boot/flash_map.py ${OTA_FLASH_MAP} failed")
endif()
string(REPLACE "\n" ";" OTA_NUMBERS "${OTA_NUMBERS}")
foreach(number ${OTA_NUMBERS})
    if(number MATCHES "^(OTA_[A-Z_]+)=(0x[0-9a-f]+)$")
        set(${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
    endif()
endforeach()

# rp2.Flash() reaches all that Python may have to write: records, floors, slots, file system. Which
# part of it may be written when is the business of ota_rp2.py.
math(EXPR OTA_STORAGE_SIZE "${OTA_FLASH_SIZE} - ${OTA_RECORD_A}")
list(APPEND MICROPY_DEF_BOARD
    PICO_FLASH_SIZE_BYTES=${OTA_FLASH_SIZE}
    OTA_STORAGE_BASE=${OTA_RECORD_A}
    OTA_STORAGE_SIZE=${OTA_STORAGE_SIZE}
)
set(PICO_FLASH_SIZE_BYTES ${OTA_FLASH_SIZE})

# The verifier of lib/ed25519, and what has to survive a lost file system.
list(APPEND USER_C_MODULES ${OTA_RP2040_DIR}/../../lib/ed25519/micropython.cmake)
set(MICROPY_FROZEN_MANIFEST ${OTA_RP2040_DIR}/manifest.py)

# Without picotool, which the SDK would fetch from the network to make a .uf2 that nobody wants.
set(PICO_NO_PICOTOOL 1)

# Replace what matches the regular expression `from`, which has to be there exactly once.
function(ota_replace text from to)
    string(REGEX MATCHALL "${from}" found "${${text}}")
    list(LENGTH found count)
    if(NOT count EQUAL 1)
        message(FATAL_ERROR "the port's linker script has changed: ${count} times '${from}'")
    endif()
    string(REGEX REPLACE "${from}" "${to}" changed "${${text}}")
    set(${text} "${changed}" PARENT_SCOPE)
endfunction()

# Write the port's linker script, changed for the slot at `slot`, to `path`.
function(ota_linker_script slot path)
    set(port ${MICROPY_PORT_DIR}/memmap_mp_rp2040.ld)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${port})
    file(READ ${port} script)
    string(REPLACE ";" "\r" script "${script}")  # CMake would take it for a list
    # The slot without its image header. ld itself then reports an image that is too large.
    math(EXPR origin "0x10000000 + ${slot} + ${OTA_HEADER_SIZE}" OUTPUT_FORMAT HEXADECIMAL)
    math(EXPR length "${OTA_SLOT_SIZE} - ${OTA_HEADER_SIZE}" OUTPUT_FORMAT HEXADECIMAL)
    ota_replace(script "ORIGIN = 0x10000000, LENGTH = [^\n]*\n"
        "ORIGIN = ${origin}, LENGTH = ${length}\n")
    # The second stage belongs to the bootloader; vectors begin the image instead.
    ota_replace(script "    \\.boot2 : [^}]*} > FLASH\n" "    /DISCARD/ : { *(.boot2) }\n")
    ota_replace(script "ASSERT\\(__boot2_end__ [^)]*\\)"
        "ASSERT(__logical_binary_start == ${origin} && __logical_binary_start % 256 == 0,\n\
        \"ERROR: vectors must begin the image of the slot, aligned to 256 bytes\")")
    string(REPLACE "\r" ";" script "${script}")
    file(WRITE ${path}.new "${script}")
    file(COPY_FILE ${path}.new ${path} ONLY_IF_DIFFERENT)
endfunction()

# Runs when the port's CMakeLists.txt is through and the target `firmware` is complete.
function(ota_two_slots)
    set(script_a ${CMAKE_BINARY_DIR}/slot_a.ld)
    set(script_b ${CMAKE_BINARY_DIR}/slot_b.ld)
    ota_linker_script(${OTA_SLOT_A} ${script_a})
    ota_linker_script(${OTA_SLOT_B} ${script_b})

    pico_set_linker_script(firmware ${script_a})
    set_property(TARGET firmware APPEND PROPERTY LINK_DEPENDS ${script_a})

    # The same objects again. Options of the first link that name its script must not come along.
    file(WRITE ${CMAKE_BINARY_DIR}/nothing.c "")
    add_executable(firmware_b ${CMAKE_BINARY_DIR}/nothing.c $<TARGET_OBJECTS:firmware>)
    set(options $<TARGET_PROPERTY:firmware,LINK_OPTIONS>)
    target_link_options(firmware_b PRIVATE
        $<FILTER:${options},EXCLUDE,--script=>
        LINKER:--script=${script_b}
        LINKER:-Map=$<TARGET_FILE:firmware_b>.map
    )
    set_target_properties(firmware_b PROPERTIES
        LINKER_LANGUAGE CXX
        SUFFIX .elf
        LINK_DEPENDS ${script_b}
    )
    add_custom_command(TARGET firmware POST_BUILD
        COMMAND ${CMAKE_OBJCOPY} -O binary firmware.elf firmware-a.bin VERBATIM)
    add_custom_command(TARGET firmware_b POST_BUILD
        COMMAND ${CMAKE_OBJCOPY} -O binary firmware_b.elf firmware-b.bin VERBATIM)
endfunction()
cmake_language(DEFER CALL ota_two_slots)
