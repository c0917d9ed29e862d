# SPDX-License-Identifier: MIT
"""The device library, as it travels inside an application: lib/ota, an adapter, the verifier.

`ota` is what this Python would import; the rest is in this package, or in the checkout that this
package is part of.
"""

from __future__ import annotations

import importlib.util
import re
from contextlib import suppress
from pathlib import Path

from mpota import mpycross
from mpota.errors import MpotaError

_HERE = Path(__file__).resolve().parent
_ESP32 = "ota_esp32.py"
_VERIFIER = "ota_ed25519.mpy"
_VERSION = re.compile(rb'^__version__ = "([^"]{1,32})"', re.MULTILINE)


def sources(*, esp32: bool) -> dict[str, Path]:
    """Return the library's files: path below `lib` on the device -> file."""
    spec = importlib.util.find_spec("ota")
    folders = list(spec.submodule_search_locations or []) if spec else []
    package = next((Path(f) for f in folders if (Path(f) / "errors.py").is_file()), None)
    if package is None:
        raise MpotaError("the device library is not installed", _HERE, "install mpota again")
    found = {f"ota/{p.relative_to(package).as_posix()}": p for p in sorted(package.rglob("*.py"))}
    del found["ota/ports.py"]  # contracts in words, which nothing imports
    del found["ota/image/inflate_zlib.py"]  # what CPython has in place of a device's own
    if esp32:
        board = _beside(_ESP32, f"boards/esp32/{_ESP32}")
        if board is None:
            raise MpotaError("the device library is not installed", _HERE, "install mpota again")
        found[_ESP32] = board
    return found


def verifier(arch: str) -> Path | None:
    """Return the native verifier of an architecture, or None: there is none for it."""
    folder = f"{arch}_{mpycross.VERSION}"
    return _beside(f"ed25519/{folder}/{_VERIFIER}", f"lib/ed25519/{folder}/{_VERIFIER}")


def _beside(packed: str, checkout: str) -> Path | None:
    paths = (_HERE / "_device" / packed, _HERE.parents[1] / checkout)
    return next((path for path in paths if path.is_file()), None)


def version_of(init: bytes) -> str | None:
    """Return the version that lib/ota/__init__.py states."""
    found = _VERSION.search(init)
    return found[1].decode("ascii", "replace") if found else None


def build(arch: str, *, esp32: bool) -> tuple[dict[str, bytes], str | None]:
    """Return the library for a tree: path below its root -> content; and its version.

    Compiled to .mpy if there is an mpy-cross, because a device would do that at every start. The
    verifier is the one for `arch`; without one the library checks signatures in Python.
    """
    command = mpycross.find()
    found: dict[str, bytes] = {}
    for name, path in sources(esp32=esp32).items():
        data = path.read_bytes()
        code = None
        if command is not None:
            with suppress(mpycross.Unsupported):  # code for a chip that is not known: a device can
                code = mpycross.translate(command, data, name, arch=arch, optimize=3)
        if code is None:
            found[f"lib/{name}"] = data
        else:
            found[f"lib/{name.removesuffix('.py')}.mpy"] = code
    native = verifier(arch) if arch else None
    if native is not None:
        found[f"lib/{_VERIFIER}"] = native.read_bytes()
    init = sources(esp32=False)["ota/__init__.py"]
    return found, version_of(init.read_bytes())
