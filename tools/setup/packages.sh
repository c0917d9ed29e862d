#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes sure that the machine has the Debian packages that the set-up and the tests need.
# Looks first and asks for nothing that is there. This is the only place that may need root.
#   (no GROUP)  what every target needs
#   chips       compilers for the chips of the boards, and machines to run the result on
#   node        Node.js, for the emulated RP2040
# Usage: packages.sh STAMP [GROUP]

. "$(dirname "$0")/lib.sh"
stamp=$1
group=${2:-all}
lock
fresh "$stamp" && exit 0

missing=()
has() { command -v "$1" >/dev/null; }
want() { missing+=("$1"); }

compiles() {    # flags...
    echo '#include <stdio.h>
int main(void) { return 0; }' | gcc "$@" -x c - -o /dev/null 2>/dev/null
}

"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
    || die "Python 3.10 or later is needed as python3, or name one: make PYTHON=/path/to/python3"

every_target() {
    compiles || want gcc
    compiles || want libc6-dev
    has make || want make
    has patch || want patch
    has xz || want xz-utils
    PATH=$PATH:/usr/sbin has nginx || want nginx-light    # the server that tests speak to
    has openssl || want openssl
    "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || want python3-venv
    if [ -z "${MICROPYTHON:-}" ] && [ -z "${MPY_DIR:-}" ]; then
        has dpkg-source || want dpkg-dev
        ls /usr/share/keyrings/debian-archive-keyring.* >/dev/null 2>&1 \
            || want debian-archive-keyring
    fi
    if [ -z "${MICROPYTHON:-}" ] && [ "$(uname -m)" = x86_64 ]; then
        compiles -m32 || want gcc-multilib      # for micropython32
    fi
}

chips() {
    local package
    for package in \
        gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib \
        gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf \
        qemu-system-arm qemu-system-misc \
        cmake g++; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed \
            || want "$package"
    done
}

node() {
    has node || want nodejs
    has npm || want npm
}

if is_debian; then
    case $group in
        all) every_target ;;
        chips) chips ;;
        node) node ;;
        *) die "no group $group" ;;
    esac
fi

if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ]; then
        as_root=(env)
    elif has sudo && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    elif [ "$group" = all ]; then
        die "packages are missing, run as root: apt-get install ${missing[*]}"
    else
        lacking "${missing[*]}" "cannot be installed, run as root: apt-get install" "$stamp"
    fi
    say "installing ${missing[*]}"
    # A broken third-party source of the machine must not stop us: the install below tells what
    # matters.
    "${as_root[@]}" apt-get -qq update </dev/null >/dev/null \
        || say "apt-get update had errors, going on"
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
touch "$stamp"
