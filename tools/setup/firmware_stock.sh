#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the firmware of a Pico as the port has it, without `ota`: what a board has that takes
# application updates only. OUT is a file below build/rp2040.
# Usage: firmware_stock.sh OUT

. "$(dirname "$0")/lib.sh"
out=$1
lock
mpy=$BUILD/src/micropython
lacks() { lacking "stock firmware" "$1" "$ROOT/$out"; }
[ -e "$mpy/lib/pico-sdk/pico_sdk_init.cmake" ] || lacks "has no source: $mpy with its SDK"
command -v arm-none-eabi-gcc >/dev/null || lacks "needs arm-none-eabi-gcc"
command -v cmake >/dev/null || lacks "needs cmake"

say "building the stock firmware of a Pico (a minute)"
objects=$(dirname "$ROOT/$out").objects
export MICROPY_MPYCROSS=$BUILD/bin/mpy-cross
mkdir -p "$objects" "$(dirname "$ROOT/$out")"
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL bash -c '
    source "$0"
    quietly cmake -S "$2" -B "$1" -DMICROPY_BOARD=RPI_PICO -DPICO_NO_PICOTOOL=1 \
        -DPICO_BUILD_DOCS=0 -DMICROPY_FROZEN_MANIFEST="$3"
    quietly make -s -C "$1" -j"$4"
' "$ROOT/tools/setup/lib.sh" "$objects" "$mpy/ports/rp2" \
    "$ROOT/host_tests/rp2_firmware/manifest_stock.py" "$(getconf _NPROCESSORS_ONLN || echo 2)"
cp "$objects/firmware.bin" "$ROOT/$out.new"
mv "$ROOT/$out.new" "$ROOT/$out"
