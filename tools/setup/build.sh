#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds one program of the test bench into build/bin:
#   mpy-cross              the compiler to .mpy
#   micropython            unix port, 64-bit
#   micropython32          the same for 32-bit: objects and heap figures like a board's
#   micropython32-frozen   the same with this checkout's device library frozen in, as on a board
#   micropython-usermod    the 64-bit one with lib/ed25519 compiled in as a user C module
#   micropython-ARCH       for an emulated chip that runs native modules of ARCH: armv6m,
#                          armv7emsp (and with it armv7m) or rv32imc; host_tests/qemu.py starts it
# Those of the unix port have asyncio and ssl frozen in, as boards do, and no ffi, which boards do
# not have; those for chips have nothing frozen in.
# Usage: build.sh PROGRAM

. "$(dirname "$0")/lib.sh"
program=$1
here=$ROOT/tools/setup
mpy=$BUILD/src/micropython
out=$BUILD/bin/$program
lock

# A binary of the user's own: the rest of the bench does without what is not named.
if [ -n "${MICROPYTHON:-}" ]; then
    case $program in
        micropython) given=$MICROPYTHON ;;
        micropython32) given=${MICROPYTHON32:-} ;;
        mpy-cross) given=${MPY_CROSS:-$(command -v mpy-cross || true)} ;;
        *) given= ;;
    esac
    [ -n "$given" ] || lacking "$program" "is not given (MICROPYTHON32=, MPY_CROSS=)" "$out"
    [ -x "$given" ] || die "$program: $given is no program"
    ln -sf "$(realpath "$given")" "$out"
    exit 0
fi
case $program in
    micropython32*)
        [ "$(uname -m)" = x86_64 ] || lacking "$program" "is built on x86-64 only" "$out"
        ;;
esac

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
build() {    # folder, objects, make arguments...
    local dir=$1 objects=$BUILD/obj/$2
    shift 2
    mkdir -p "$objects"
    # MAKEFLAGS would hand our own make's job server and variables down to MicroPython's.
    # Its assertions about warnings are for its developers' compilers, hence -Wno-error.
    quietly env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
        make -s -C "$mpy/$dir" -j"$jobs" BUILD="$objects" \
        PYTHON="${PYTHON:-python3}" CFLAGS_EXTRA=-Wno-error "$@"
}
unix() {    # objects, manifest, make arguments...
    local objects=$1 manifest=$2
    shift 2
    export MICROPY_MPYCROSS=$BUILD/bin/mpy-cross
    build ports/unix "$objects" VARIANT=standard \
        MICROPY_PY_FFI=0 MICROPY_PY_BTREE=0 MICROPY_SSL_MBEDTLS=1 \
        FROZEN_MANIFEST="$here/$manifest" "$@"
    put "$BUILD/obj/$objects/micropython"
}
qemu() {    # board, compiler, make arguments...
    local board=$1 compiler=$2
    shift 2
    command -v "$compiler" >/dev/null || lacking "$program" "needs $compiler" "$out"
    export MICROPY_MPYCROSS=$BUILD/bin/mpy-cross
    build ports/qemu "$program" BOARD="$board" FROZEN_MANIFEST="$here/manifest_none.py" "$@"
    put "$BUILD/obj/$program/firmware.elf"
}
put() {    # by rename, so that a running test never meets half a program
    cp "$1" "$out.new"
    mv "$out.new" "$out"
}

say "building $program"
case $program in
    mpy-cross)
        build mpy-cross mpy-cross
        put "$BUILD/obj/mpy-cross/mpy-cross"
        ;;
    micropython) unix unix64 manifest.py ;;
    micropython32) unix unix32 manifest.py MICROPY_FORCE_32BIT=1 ;;
    micropython32-frozen)
        # The machine code of viper is frozen for what runs it.
        unix unix32-frozen manifest_frozen.py MICROPY_FORCE_32BIT=1 MPY_CROSS_FLAGS=-march=x86
        ;;
    micropython-usermod)
        unix unix64-usermod manifest.py USER_C_MODULES="$ROOT/lib" ;;
    # The port means its M0 for bytecode alone.
    micropython-armv6m)
        qemu MICROBIT arm-none-eabi-gcc CFLAGS_EXTRA="-Wno-error -DMICROPY_EMIT_THUMB=1 \
            -DMICROPY_EMIT_THUMB_ARMV7M=0 -DMICROPY_EMIT_INLINE_THUMB=0" ;;
    micropython-armv7emsp)
        qemu MPS2_AN386 arm-none-eabi-gcc BOARD_DIR="$here/qemu/MPS2_AN386" ;;
    # The compiler has no libraries for the port's rv32imac_zicsr: the linker takes those of its
    # base.
    micropython-rv32imc) qemu VIRT_RV32 riscv64-unknown-elf-gcc LIBS=-march=rv32imac ;;
    *) die "no rule for $program" ;;
esac
