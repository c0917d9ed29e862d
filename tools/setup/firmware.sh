#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the firmware of a board of boards/rp2040, linked for both slots:
#   FOLDER/firmware-a.bin, firmware-b.bin
# FOLDER is below build/rp2040, and one compile is kept in FOLDER.objects for the next time.
#   newer       in the folder's name: from build/src/micropython-newer
#   FLASH_4M    in it: for 4 MB of flash
# OTA_FACTORY names a folder with the ota_factory.py to freeze, MANIFEST what to freeze instead of
# the board's own manifest (boards/rp2040/README.md).
# Usage: firmware.sh FOLDER BOARD [MANIFEST]

. "$(dirname "$0")/lib.sh"
out=$1
board=$2
manifest=${3:-}
factory=
[ -d "$ROOT/boards/rp2040/$board" ] || die "no board $board in boards/rp2040"
if [ -n "${OTA_FACTORY:-}" ]; then
    factory=$(realpath -m "$OTA_FACTORY")
    [ -e "$factory/ota_factory.py" ] \
        || die "OTA_FACTORY=$OTA_FACTORY: no ota_factory.py in it, make one: mpota provision --frozen"
fi
lock

case $out in
    *newer*) mpy=$BUILD/src/micropython-newer ;;
    *) mpy=$BUILD/src/micropython ;;
esac
name=${out##*/}
lacks() { lacking "$name" "$1" "$ROOT/$out/firmware-a.bin" "$ROOT/$out/firmware-b.bin"; }
[ -e "$mpy/lib/pico-sdk/pico_sdk_init.cmake" ] || lacks "has no source: $mpy with its SDK"
command -v arm-none-eabi-gcc >/dev/null || lacks "needs arm-none-eabi-gcc"
command -v cmake >/dev/null || lacks "needs cmake"
case $board in
    *_W) [ -e "$mpy/lib/cyw43-driver/src/cyw43.h" ] \
        || die "$board: the driver of its radio is in no Debian package, name a checkout of" \
            "MicroPython with its submodules: MPY_DIR=/path" ;;
esac

say "building $name (a minute)"
objects=$ROOT/$out.objects
options=(
    -DMICROPY_BOARD="$board" -DMICROPY_BOARD_DIR="$ROOT/boards/rp2040/$board"
    -DPICO_BUILD_DOCS=0 -DOTA_FACTORY="$factory"
)
[ -z "$manifest" ] || options+=(-DMICROPY_FROZEN_MANIFEST="$(realpath -m "$manifest")")
case $out in *FLASH_4M*) options+=(-DMICROPY_BOARD_VARIANT=FLASH_4M) ;; esac
# Objects of other sources, or of another list of them, would look up to date.
if ! [ "$(cat "$objects/.options" 2>/dev/null)" = "${options[*]}" ] \
    || [ "$BUILD/.rp2" -nt "$objects/.options" ] \
    || [ "$ROOT/boards/rp2040/two_slots.cmake" -nt "$objects/.options" ]; then
    rm -rf "$objects"
fi
export MICROPY_MPYCROSS=$BUILD/bin/mpy-cross
mkdir -p "$objects"
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL bash -c '
    source "$0"
    objects=$1 port=$2 jobs=$3
    shift 3
    quietly cmake -S "$port" -B "$objects" "$@"
    quietly make -s -C "$objects" -j"$jobs"
' "$ROOT/tools/setup/lib.sh" "$objects" "$mpy/ports/rp2" "$(getconf _NPROCESSORS_ONLN || echo 2)" \
    "${options[@]}"
echo "${options[*]}" >"$objects/.options"
mkdir -p "$ROOT/$out"
for slot in a b; do
    cp "$objects/firmware-$slot.bin" "$ROOT/$out/firmware-$slot.bin.new"
done
mv "$ROOT/$out/firmware-a.bin.new" "$ROOT/$out/firmware-a.bin"
mv "$ROOT/$out/firmware-b.bin.new" "$ROOT/$out/firmware-b.bin"
