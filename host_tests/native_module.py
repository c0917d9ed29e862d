# SPDX-License-Identifier: MIT
"""Tries ota_ed25519 on a device that answers a raw REPL, emulated or real."""

import hashlib
from pathlib import Path

import ed25519_cases
from vectors.ed25519_known import RFC_8032

SCRIPT = Path(__file__).parent / "mp" / "natmod_device.py"
KNOWN = [
    ed25519_cases.Case("RFC 8032", True, *map(bytes.fromhex, (key, message, signature)))
    for key, signature, message in RFC_8032
]
CASES = [*KNOWN, *ed25519_cases.read()]
LENGTHS = (0, 1, 111, 112, 113, 127, 128, 129, 239, 240, 241, 256, 1000)


class Device:
    """The functions of mp/natmod_device.py.

    run(source) runs source on the device and gives what it printed.
    """

    def __init__(self, run):
        self.run = run
        self.run(SCRIPT.read_text())

    def put(self, module):
        for start in range(0, len(module), 512):
            self.run(f"put(NAME + '.mpy', bytes.fromhex({module[start : start + 512].hex()!r}))")

    def judge(self, cases, function="verdicts", at_once=8):
        letters = ""
        for start in range(0, len(cases), at_once):
            lines = [
                " ".join(part.hex() for part in (case.key, case.message, case.signature))
                for case in cases[start : start + at_once]
            ]
            letters += self.run(function + "({!r})".format("\n".join(lines))).strip()
        return letters


def expected(cases):
    return "".join("Y" if case.good else "n" for case in cases)


def try_everything(device, cases=CASES):
    """Judges `cases` (fewer, for a slow device), hashes, and is called wrongly."""
    try_results(device, cases)
    assert device.run("misuse()").split("\n") == ["", ""]


def try_results(device, cases):
    assert device.judge(cases) == expected(cases)
    some = cases[-10:] + cases[:2]
    assert device.judge(some, "together", len(some)) == expected(some)
    assert device.run(f"sha512s({LENGTHS})").split() == [
        hashlib.sha512(bytes(index & 255 for index in range(length))).hexdigest()
        for length in LENGTHS
    ]
