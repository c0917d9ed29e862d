#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts what MicroPython's rp2 port needs besides build/.source in place: the SDK of the chip's
# maker and the USB stack, and a second, newer MicroPython to build the same board with.
#   build/src/micropython          as source.sh left it, now with lib/pico-sdk and lib/tinyusb
#   build/src/micropython-newer    complete too
# NEWER are tried in turn. They change their version at any time, and one day it will be too new
# for our board. So nothing depends on them but what tests the second version, which says so if it
# is missing; MPY_DIR_NEWER names a checkout instead.
# Usage: rp2.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
SUITE=trixie
NEWER=(sid forky)

lock
fresh "$stamp" "$ROOT/tools/setup/debian.sh" "$BUILD/.source" && exit 0
src=$BUILD/src
newer=$src/micropython-newer

# The board needs a port that takes a linker script from it and has one script per chip: those of
# 1.26 to 1.28.
builds_our_board() {    # tree
    grep -q MICROPY_BOARD_LINKER_SCRIPT "$1/ports/rp2/CMakeLists.txt" \
        && [ -e "$1/ports/rp2/memmap_mp_rp2040.ld" ]
}

# The SDK and the USB stack, where MicroPython's own build looks for them.
put_libraries() {    # tree
    local library
    for library in pico-sdk tinyusb; do
        rm -rf "$1/lib/$library"
        ln -s "../../$library" "$1/lib/$library"
    done
    touch "$1/lib/micropython-lib/README.md"        # "are the submodules there?"
}

# Since 1.26 a board may name its linker script. Before, the port sets its own, and this is the
# change of 1.26.
let_board_choose_linker_script() {    # tree
    local lists=$1/ports/rp2/CMakeLists.txt own='${CMAKE_CURRENT_LIST_DIR}/memmap_mp_rp2040.ld'
    grep -q MICROPY_BOARD_LINKER_SCRIPT "$lists" && return
    sed -i "s|^\( *\)pico_set_linker_script(\(.*\) $own)|\1if(NOT MICROPY_BOARD_LINKER_SCRIPT)\n\
\1    set(MICROPY_BOARD_LINKER_SCRIPT $own)\n\
\1endif()\n\
\1pico_set_linker_script(\2 \${MICROPY_BOARD_LINKER_SCRIPT})|" "$lists"
    builds_our_board "$1" || die "$lists: sets its linker script in an unknown way"
}

if [ -n "${MICROPYTHON:-}" ] || [ -n "${MPY_DIR:-}" ]; then
    # A checkout of the user's own has its submodules or has not: the build of the firmware says.
    rm -rf "$newer"
    [ -z "${MPY_DIR_NEWER:-}" ] || ln -s "$(cd "$MPY_DIR_NEWER" && pwd)" "$newer"
    touch "$stamp"
    exit 0
fi

. "$(dirname "$0")/debian.sh"
say "fetching the RP2040's SDK from Debian $SUITE, a newer MicroPython from Debian ${NEWER[*]}"
archive "deb $SUITE"
unpack_packages "$work/sdk" pico-sdk-source tinyusb-source
for library in pico-sdk tinyusb; do
    rm -rf "${src:?}/$library"
    cp -RL "$work/sdk/usr/src/$library" "$src/$library"
    touch "$src/$library/README.md"
done
put_libraries "$src/micropython"
let_board_choose_linker_script "$src/micropython"

rm -rf "$newer"
if [ -n "${MPY_DIR_NEWER:-}" ]; then
    ln -s "$(cd "$MPY_DIR_NEWER" && pwd)" "$newer"
    touch "$stamp"
    exit 0
fi
fetch_newer() (    # suite
    archive "deb-src $1"
    unpack_sources micropython
    tree=$(echo "$work"/micropython-*/)
    builds_our_board "$tree" || die "MicroPython of Debian $1 is too new for boards/rp2040"
    restore_micropython "$tree" "$src/micropython/lib/mbedtls"
    put_libraries "$tree"
    mv "$tree" "$newer"
)
for suite in "${NEWER[@]}"; do
    fetch_newer "$suite" && break
    rm -rf "$work"/micropython*
done
[ -e "$newer" ] || say "no second MicroPython (Debian ${NEWER[*]}): name one with MPY_DIR_NEWER=/path"
touch "$stamp"
