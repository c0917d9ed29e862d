# SPDX-License-Identifier: MIT
"""Bytes of .mpy of the device library: its cost in flash, or in RAM where it is not frozen."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
BOARD = "boards/esp32/ota_esp32.py"

# Contracts in words; nothing imports them on a device.
CONTRACTS = "lib/ota/ports.py"
# A board with the native verifier needs none of this: SHA-512 is in it, and the metadata that
# mpota makes has SHA-256 only.
PURE_VERIFIER = ("lib/ota/trust/ed25519.py", "lib/ota/trust/sha512.py")
# A source beside HTTP, for SD cards and tests: `wiring` does not import it.
FOLDER = "lib/ota/adapters/folder.py"
# Applications in trees of files: a board that updates its firmware alone needs none of them.
APPLICATIONS = (
    "lib/ota/adapters/appdir.py",
    "lib/ota/adapters/wdt_rp2.py",
    "lib/ota/image/tree.py",
    "lib/ota/running.py",
)
# Of packs, what takes the place of machine code, and of MicroPython's `deflate`.
PLAIN = ("lib/ota/image/pack_plain.py", "lib/ota/image/inflate_zlib.py")


@cache
def _device_files() -> tuple[str, ...]:
    """Every Python file that a board may hold, relative to the root."""
    found = [path for folder in ("lib", "boards") for path in (REPO / folder).rglob("*.py")]
    # `boot` is how a bootloader is built, a manifest what to freeze: such files run on the host.
    host = ("manifest.py", "partitions.py")
    found = [path for path in found if path.name not in host and path.parent.name != "boot"]
    return tuple(sorted(path.relative_to(REPO).as_posix() for path in found))


@cache
def _compile(file: str) -> bytes:
    """The .mpy as `mpota provision --mpy` makes it."""
    name = file.split("/", 1)[1] if file.startswith("lib/") else Path(file).name
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.mpy")
        command = [REPO / "build/bin/mpy-cross", "-O3", "-march=xtensawin", "-s", name, "-o", out]
        command.append(REPO / file)
        subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
        return out.read_bytes()


def modules() -> dict[str, float]:
    """File -> bytes of its .mpy."""
    return {file: len(_compile(file)) for file in _device_files()}


def needed_on_esp32() -> list[str]:
    """Every module that an ESP32 with the native verifier holds to update its firmware."""
    files = tuple(f for f in _device_files() if f.startswith("lib/ota/") or f == BOARD)
    left_out = {CONTRACTS, FOLDER, *APPLICATIONS, *PLAIN, *PURE_VERIFIER}
    missing = left_out - set(files)
    if missing:
        raise FileNotFoundError(f"not there, say what took its place: {missing}")
    return [file for file in files if file not in left_out]


def figures() -> dict[str, float]:
    sizes = modules()
    return {
        "mpy_bytes_esp32": sum(sizes[file] for file in needed_on_esp32()),
        "mpy_bytes_applications": sum(sizes[file] for file in APPLICATIONS),
        "mpy_bytes_pure_verifier": sum(sizes[file] for file in PURE_VERIFIER),
    }
