#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts MicroPython's source tree, ready to build, at build/src/micropython.
#
# Where it comes from: Debian's source packages of SUITE, a stable release on purpose: its
# MicroPython stays at one version for years, whereas unstable drops a version on the day the next
# one arrives and would break this set-up. Its 1.25 lies between the oldest version that the
# library supports and today's; to test with another one, MPY_DIR names a checkout of it.
# Usage: source.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
SUITE=trixie

lock
fresh "$stamp" "$ROOT/tools/setup/debian.sh" && exit 0
src=$BUILD/src
mkdir -p "$src"

if [ -n "${MICROPYTHON:-}" ]; then
    say "using MICROPYTHON=$MICROPYTHON, nothing is built"
    touch "$stamp"
    exit 0
fi
if [ -n "${MPY_DIR:-}" ]; then
    [ -e "$MPY_DIR/py/mpconfig.h" ] || die "MPY_DIR=$MPY_DIR is no MicroPython checkout"
    [ -e "$MPY_DIR/lib/mbedtls/library/aes.c" ] \
        || die "its submodules are missing, run: make -C $MPY_DIR/ports/unix submodules"
    say "building from MPY_DIR=$MPY_DIR"
    rm -rf "$src/micropython" "$BUILD/obj"
    ln -s "$(cd "$MPY_DIR" && pwd)" "$src/micropython"
    touch "$stamp"
    exit 0
fi
is_debian || die "not Debian 12 or later: name a MicroPython checkout with MPY_DIR=/path," \
    "or a unix binary with MICROPYTHON=/path"

. "$(dirname "$0")/debian.sh"
say "fetching MicroPython's source from Debian $SUITE"
archive "deb-src $SUITE"
unpack_sources micropython mbedtls
tree=$(echo "$work"/micropython-*/)
restore_micropython "$tree" "$(echo "$work"/mbedtls-*/)"

# Files keep the dates of their makers, older than any object: objects of another tree would look
# up to date.
rm -rf "$src/micropython" "$BUILD/obj"
mv "$tree" "$src/micropython"
touch "$stamp"
