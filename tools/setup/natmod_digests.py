# SPDX-License-Identifier: MIT
"""Writes the SHA-256 of the native modules in git into lib/ed25519/ota_ed25519_get.py."""

import hashlib
import re
from pathlib import Path

ED25519 = Path(__file__).resolve().parents[2] / "lib" / "ed25519"


def main() -> None:
    lines = [
        f'    "{path.parent.name.partition("_")[0]}": '
        f'"{hashlib.sha256(path.read_bytes()).hexdigest()}",\n'
        for path in sorted(ED25519.glob("*_6.3/ota_ed25519.mpy"))
    ]
    get = ED25519 / "ota_ed25519_get.py"
    text = get.read_text()
    new, found = re.subn(r"(?<=^_SHA256 = \{\n)[^}]*", "".join(lines), text, flags=re.MULTILINE)
    assert found == 1
    if new != text:
        get.write_text(new)


if __name__ == "__main__":
    main()
