# SPDX-License-Identifier: MIT
"""Writes what `mpremote mip install` reads: package.json and mpy/, from the device library.

    package.json            the library as source
    mpy/package.json        the same as .mpy (machine code stays source: each device compiles it)
    mpy/compiler.txt        what the bytes depend on besides the source

Sources are relative, so that a fork, a tag and a local folder install what they hold themselves.
The native verifier has a package for each architecture of its own (lib/ed25519/*_6.3), and one
that chooses (lib/ed25519). Run with the MPY_CROSS of the set-up: `make packages`.
"""

import json
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tools"), str(REPO / "lib")]

import ota  # noqa: E402
from mpota import library, mpycross  # noqa: E402


def compiler() -> str:
    """Return the line by which mpy-cross names itself, without the date of its build."""
    command = [*mpycross.needed(), "--version"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return text.partition(" on ")[0] + "; " + text.rpartition("; ")[2]


def trees() -> dict[str, bytes]:
    """Return the files of both packages: path in this repository -> content."""
    command = mpycross.needed()
    source, compiled = [], []
    files = {}
    for name, path in library.sources(esp32=True).items():
        source.append([name, path.relative_to(REPO).as_posix()])
        data = path.read_bytes()
        try:
            data = mpycross.translate(command, data, name, optimize=3)
            name = name.removesuffix(".py") + ".mpy"
        except mpycross.Unsupported:
            pass  # machine code: a package for all chips has it as source
        files[f"mpy/{name}"] = data
        compiled.append([name, name])
    files["package.json"] = _package(source)
    files["mpy/package.json"] = _package(compiled)
    files["mpy/compiler.txt"] = compiler().encode()
    return files


def _package(urls: list[list[str]]) -> bytes:
    lines = ",\n".join("    " + json.dumps(pair) for pair in sorted(urls))
    text = f'{{\n  "urls": [\n{lines}\n  ],\n  "deps": [],\n  "version": "{ota.__version__}"\n}}\n'
    return text.encode()


def main() -> None:
    files = trees()
    for path in (REPO / "mpy").rglob("*.*py"):
        if path.relative_to(REPO).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = REPO / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
