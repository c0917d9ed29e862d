# SPDX-License-Identifier: MIT
"""A simulated ESP32: flash, bootloader, `esp32` and `machine`, with their traps.

flash       strict NOR with torn operations and numbered cuts
table       partition tables as bytes
image       application images that esptool and the bootloader accept
nvs         non-volatile storage in it, entry by entry
chip        Board: bootloader, esp32.Partition, esp32.NVS, machine
device      a process of MicroPython that is a board
supervisor  its power supply, watchdog and console
"""
