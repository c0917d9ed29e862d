# SPDX-License-Identifier: MIT
# Fetches from Debian's archive without touching the machine: sourced, never run.
# Everything comes through the mirror that this machine already uses and with apt's own signature
# checks, in an apt root of our own. A script sources this when it has the lock.

# What is fetched stays here until the script ends.
work=$BUILD/fetch
rm -rf "$work"
trap 'rm -rf "$work"' EXIT

# Makes the apt root for "TYPE SUITE" pairs, in place of an earlier one.
archive() {    # "deb trixie", "deb-src sid"...
    local apt=$work/apt keyring mirror entry
    # Debian's main archive, not the security one and not a third party's.
    mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        | grep -E '/debian(/[0-9TZ]+)?/?$' | sort -u | head -n 1)}
    [ -n "$mirror" ] \
        || die "no Debian mirror in apt's configuration: name one with DEBIAN_MIRROR=URL"
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [ -e "$keyring" ] && break
    done
    rm -rf "$apt"
    mkdir -p "$apt"/{lists/partial,cache/archives/partial}
    touch "$apt/status"
    for entry in "$@"; do
        echo "${entry% *} [signed-by=$keyring] $mirror ${entry#* } main"
    done >"$apt/sources.list"
    # An index of unstable is valid for a week, and a mirror may be older than that.
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
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
CONF
    export APT_CONFIG=$apt/apt.conf
    quietly apt-get -qq update -o APT::Update::Error-Mode=any
}

# Unpacks source packages, each into $work/NAME-VERSION.
unpack_sources() {    # packages...
    (cd "$work" && quietly apt-get -qq source "$@")
}

# Unpacks binary packages, without what their maintainers' scripts would do, below a folder.
unpack_packages() {    # folder, packages...
    local folder=$1 package
    shift
    (cd "$work" && rm -f ./*.deb && quietly apt-get -qq download "$@")
    for package in "$work"/*.deb; do
        quietly dpkg-deb -x "$package" "$folder"
    done
}

# Debian's source package of MicroPython made into a tree that builds as its makers' does.
# Debian links the unix port with the system's mbedtls. Boards use MicroPython's own configuration
# of it (DER certificates only, few ciphers, small buffers), so the tests must too: take that
# change back, put the source in.
restore_micropython() {    # tree, tree of mbedtls
    quietly patch -d "$1" -R -p1 \
        -i "$1"/debian/patches/*-extmod-Use-system-mbedtls.patch
    rm -rf "$1/lib/mbedtls"
    cp -R "$2" "$1/lib/mbedtls"
    # Debian comments a check out in a way that leaves half of it to the shell.
    sed -i '/^\t#\$(Q)test -e/d' "$1/py/mkrules.mk"
}
