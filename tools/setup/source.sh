#!/bin/bash
# SPDX-License-Identifier: MIT
# Puts MicroPython's source tree, ready to build, at build/src/micropython.
#
# Where it comes from: Debian's source packages of SUITE, through the mirror that this machine
# already uses and with apt's own signature checks, in an apt root of our own under build/, so that
# the machine's package lists are not touched. SUITE is a stable release on purpose: its
# MicroPython stays at one version for years, whereas unstable drops a version on the day the next
# one arrives and would break this set-up. Its 1.25 lies between the oldest version that the
# library supports and today's; to test with another one, MPY_DIR names a checkout of it.
# Usage: source.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
SUITE=trixie

lock
fresh "$stamp" && exit 0
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

# The mirror of this machine: Debian's main archive, not the security one and not a third party's.
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    | grep -E '/debian(/[0-9TZ]+)?/?$' | sort -u | head -n 1)}
[ -n "$mirror" ] || die "no Debian mirror in apt's configuration: name one with DEBIAN_MIRROR=URL"
for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    [ -e "$keyring" ] && break
done

apt=$BUILD/apt
rm -rf "$apt"
mkdir -p "$apt"/{lists/partial,cache/archives/partial}
touch "$apt/status"
echo "deb-src [signed-by=$keyring] $mirror $SUITE main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
CONF

say "fetching MicroPython's source from Debian $SUITE"
work=$(mktemp -d "$src/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
export APT_CONFIG=$apt/apt.conf
quietly apt-get -qq update -o APT::Update::Error-Mode=any
(cd "$work" && quietly apt-get -qq source micropython mbedtls)
tree=$(echo "$work"/micropython-*/)
crypto=$(echo "$work"/mbedtls-*/)

# Debian links the unix port with the system's mbedtls. Boards use MicroPython's own configuration
# of it (DER certificates only, few ciphers, small buffers), so the tests must too: take that
# change back, put the source in.
quietly patch -d "$tree" -R -p1 -i debian/patches/0006-extmod-Use-system-mbedtls.patch
rm -rf "${tree}lib/mbedtls"
mv "$crypto" "${tree}lib/mbedtls"
# Debian comments a check out in a way that leaves half of it to the shell.
sed -i '/^\t#\$(Q)test -e/d' "${tree}py/mkrules.mk"

# Files keep the dates of their makers, older than any object: objects of another tree would look
# up to date.
rm -rf "$src/micropython" "$BUILD/obj"
mv "$tree" "$src/micropython"
rm -rf "$apt"
touch "$stamp"
