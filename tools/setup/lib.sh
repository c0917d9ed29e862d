# SPDX-License-Identifier: MIT
# Shared by the set-up scripts: sourced, never run. Sets ROOT and BUILD, offers small functions.

set -euo pipefail
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$ROOT/build
mkdir -p "$BUILD/bin"

say() { echo "setup: $*" >&2; }

die() {
    say "$*"
    exit 1
}

# What this machine cannot get is named here, and tests that need it are skipped by name; a CI run
# must have everything. Ends the script.
lacking() {    # what, why, files of it...
    local what=$1 why=$2
    shift 2
    rm -f "$@"
    [ "${CI:-}" = true ] && die "$what $why"
    say "$what $why: tests that need it will be skipped"
    exit 0
}

# Two `make` at once must not build in one folder: the second waits, then finds the work done.
# Without flock (not Linux) nothing is promised about two at once.
lock() {
    if command -v flock >/dev/null; then
        exec 9>"$BUILD/.lock"
        flock 9
    fi
}

# True when STAMP is there and nothing that decided it changed since: what a script asks after it
# got the lock.
fresh() {    # stamp, inputs...
    local stamp=$1 input
    shift
    [ -e "$stamp" ] || return 1
    for input in "$0" "${BASH_SOURCE[0]}" "$BUILD/.choice" "$@"; do
        [ -e "$input" ] && [ "$input" -nt "$stamp" ] && return 1
    done
    return 0
}

# Debian 12 or later; testing and unstable carry no number and are later.
is_debian() {
    [ -r /etc/os-release ] || return 1
    (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-99}" -ge 12 ])
}

# Runs a command quietly; shows its output only when it fails, because a build log of a thousand
# lines hides its error.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        die "failed: $*"
    fi
    rm -f "$log"
}
