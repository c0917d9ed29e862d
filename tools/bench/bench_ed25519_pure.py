# SPDX-License-Identifier: MIT
"""Cost of the pure-Python Ed25519 verifier and SHA-512 on a 32-bit MicroPython.

Both run from .mpy in RAM, as on a board without frozen modules.

    python tools/bench/bench_ed25519_pure.py [MICROPYTHON [MPY_CROSS]]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent.parent
MODULES = ("ed25519", "sha512")

# RFC 8032, 7.1, TEST 3.
PROGRAM = """
import gc, time
from ota.trust.ed25519 import verify
key = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
signature = bytes.fromhex(
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)
assert verify(key, b"\\xaf\\x82", signature)
"""
TIMING = """
from ota.trust.sha512 import Sha512
def best(work):
    times = []
    for _ in range(20):
        gc.collect()
        start = time.ticks_us()
        work()
        times.append(time.ticks_diff(time.ticks_us(), start))
    return min(times)
print(best(lambda: verify(key, b"\\xaf\\x82", signature)))
data = bytes(1024)
print(best(lambda: Sha512(data).digest()))
"""


def _run(
    micropython: Path, path: str, program: str, heap: str | int
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [micropython, "-X", f"heapsize={heap}", "-c", program],
        cwd=path,
        env={"MICROPYPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )


def _smallest_heap(micropython: Path, path: str, program: str) -> int:
    """Return the smallest heap in bytes, to 256, in which `program` ends well."""
    low, high = 0, 512
    while high - low > 1:
        middle = (low + high) // 2
        if _run(micropython, path, program, middle * 256).returncode:
            low = middle
        else:
            high = middle
    return high * 256


def figures(
    micropython: Path = REPO / "build/bin/micropython32",
    mpy_cross: Path = REPO / "build/bin/mpy-cross",
) -> dict[str, float]:
    """Return name -> number: milliseconds, bytes of heap, bytes of .mpy."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "ota", "trust")
        target.mkdir(parents=True)
        for name in MODULES:
            source = REPO / "lib" / "ota" / "trust" / f"{name}.py"
            made = target / f"{name}.mpy"
            subprocess.run([mpy_cross, "-s", source.name, "-o", made, source], check=True)
            found[f"{name}_pure_mpy_bytes"] = made.stat().st_size
        result = _run(micropython, folder, PROGRAM + TIMING, "8m")
        result.check_returncode()
        verify_us, hash_us = map(int, result.stdout.split())
        found["ed25519_pure_ms"] = verify_us / 1000
        found["sha512_pure_ms_per_kib"] = hash_us / 1000
        # What is needed on top of an interpreter that has compiled the same program.
        idle = PROGRAM.replace("from ota.trust.ed25519 import verify", "verify = max")
        found["ed25519_pure_heap"] = _smallest_heap(micropython, folder, PROGRAM) - _smallest_heap(
            micropython, folder, idle
        )
    return found


if __name__ == "__main__":
    print(json.dumps(figures(*map(Path, sys.argv[1:])), indent=2))
