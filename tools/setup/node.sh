#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts the emulator of the RP2040 at build/node_modules: exactly the packages of
# host_tests/rp2040/package-lock.json (versions and digests), whose scripts are not run.
# Usage: node.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
listed=$ROOT/host_tests/rp2040
lock
fresh "$stamp" "$listed/package.json" "$listed/package-lock.json" && exit 0
command -v npm >/dev/null || lacking "the emulated RP2040" "needs Node.js with npm" "$stamp"

say "installing the packages of host_tests/rp2040/package-lock.json"
cp "$listed/package.json" "$listed/package-lock.json" "$BUILD/"
quietly npm ci --prefix "$BUILD" --ignore-scripts --no-audit --no-fund --no-update-notifier
touch "$stamp"
