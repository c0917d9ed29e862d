#!/bin/bash
# SPDX-License-Identifier: MIT
# Makes build/venv: exactly the packages of requirements.lock (versions and digests), and this
# project, editable.
# Usage: venv.sh STAMP

. "$(dirname "$0")/lib.sh"
stamp=$1
lock
fresh "$stamp" "$ROOT/requirements.lock" "$ROOT/pyproject.toml" && exit 0

venv=$BUILD/venv
which='import sys, venv; print(sys.base_prefix, sys.version_info[:2])'
# A venv of another interpreter, or one that was cut while it was made, is made again.
wanted=$("${PYTHON:-python3}" -c "$which")
if [ "$("$venv/bin/python" -c "import pip; $which" 2>/dev/null)" != "$wanted" ]; then
    say "making build/venv"
    quietly "${PYTHON:-python3}" -m venv --clear "$venv"
fi
say "installing Python packages of requirements.lock"
pip() { quietly "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
pip install --require-hashes -r "$ROOT/requirements.lock"
pip install --no-deps --no-build-isolation --no-index -e "$ROOT"
touch "$stamp"
