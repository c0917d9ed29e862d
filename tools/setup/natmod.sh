#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the native module ota_ed25519 for one architecture, build/natmod/ARCH/ota_ed25519.mpy, and
# beside it compiler.txt, which names what the bytes depend on besides the source.
# Usage: natmod.sh ARCH

. "$(dirname "$0")/lib.sh"
arch=$1
folder=$BUILD/natmod/$arch
out=$folder/ota_ed25519.mpy
mpy=$BUILD/src/micropython
PATH=$BUILD/venv/bin:$PATH
[ -e "$BUILD/clang/clang" ] && PATH=$ROOT/tools/setup/xtensa:$PATH
lock

[ -e "$mpy/py/dynruntime.mk" ] || lacking "natmod $arch" "needs MicroPython's source" "$out"
case $arch in
    x64) cc=gcc ;;
    arm*) cc=arm-none-eabi-gcc ;;
    rv32*) cc=riscv64-unknown-elf-gcc ;;
    xtensawin) cc=xtensa-esp32-elf-gcc ;;
    *) die "no architecture $arch" ;;
esac
case $arch-$(uname -m) in
    x64-x86_64 | x64-amd64) ;;
    x64-*) lacking "natmod $arch" "is built on x86-64 only" "$out" ;;
esac
version=$("$cc" --version 2>/dev/null | head -n 1) && [ -n "$version" ] \
    || lacking "natmod $arch" "needs $cc" "$out"

say "building natmod $arch"
rm -rf "$folder"
mkdir -p "$folder"
quietly env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$ROOT/lib/ed25519/natmod" \
    ARCH="$arch" MPY_DIR="$mpy" BUILD="$folder" OUT="$out"
number() { sed -n "s/^#define MICROPY_VERSION_$1 *(*\([0-9]*\))*/\1/p" "$mpy/py/mpconfig.h"; }
echo "$version; mpy_ld of MicroPython $(number MAJOR).$(number MINOR).$(number MICRO)" \
    >"$folder/compiler.txt"
