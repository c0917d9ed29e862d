# SPDX-License-Identifier: MIT
"""Bytes of .mpy of the device library: its cost in flash, or in RAM where it is not frozen."""

import ast
import subprocess
import tempfile
from functools import cache
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
BOARD = "boards/esp32/ota_esp32.py"

# Contracts in words; nothing imports them on a device.
CONTRACTS = "lib/ota/ports.py"
# A board with the native verifier needs none of this, nor what only this imports.
PURE_VERIFIER = "lib/ota/trust/ed25519.py"


@cache
def _device_files() -> tuple[str, ...]:
    """Every Python file that a board may hold, relative to the root."""
    found = [path for folder in ("lib", "boards") for path in (REPO / folder).rglob("*.py")]
    return tuple(sorted(path.relative_to(REPO).as_posix() for path in found))


@cache
def _compile(file: str) -> bytes:
    """The .mpy, with the name that tracebacks on a device show: the path below lib/."""
    name = file.split("/", 1)[1] if file.startswith("lib/") else Path(file).name
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.mpy")
        command = [REPO / "build/bin/mpy-cross", "-s", name, "-o", out, REPO / file]
        subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL)
        return out.read_bytes()


@cache
def _imported(file: str, files: tuple[str, ...]) -> set[str]:
    """Files of the library that a file imports, at the top or inside a function."""
    package = file.split("/")[1:-1]
    names = set()
    for node in ast.walk(ast.parse((REPO / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names |= {".".join(base)} | {".".join([*base, alias.name]) for alias in node.names}
    return {f"lib/{name.replace('.', '/')}.py" for name in names} & set(files)


def modules() -> dict[str, float]:
    """File -> bytes of its .mpy."""
    return {file: len(_compile(file)) for file in _device_files()}


def needed_on_esp32() -> list[str]:
    """Every module an ESP32 with the native verifier holds."""
    files = tuple(f for f in _device_files() if f.startswith("lib/ota/") or f == BOARD)
    left_out = {CONTRACTS, PURE_VERIFIER}
    missing = left_out - set(files)
    if missing:
        raise FileNotFoundError(f"not there, say what took its place: {missing}")
    importers = {
        file: {other for other in files if file in _imported(other, files)} for file in files
    }
    for file in files:
        if importers[file] and importers[file] <= {PURE_VERIFIER}:
            left_out.add(file)
    return [file for file in files if file not in left_out]


def figures() -> dict[str, float]:
    sizes = modules()
    return {
        "mpy_bytes_esp32": sum(sizes[file] for file in needed_on_esp32()),
        "mpy_bytes_pure_verifier": sum(sizes.values())
        - sum(sizes[file] for file in needed_on_esp32())
        - sizes[CONTRACTS],
    }
