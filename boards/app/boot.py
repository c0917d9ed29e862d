# SPDX-License-Identifier: MIT
"""Starts the application: tree a or b of /ota-app, as the record in /ota-state says.

`mpota provision` writes this file once, no update ever does. The record is a tree's letter and
N (try it: it gets one hard reset), P (on trial: the next hard reset runs the other) or V (kept).
"""

import os
import sys
from binascii import crc32
from struct import pack, unpack

import machine
import micropython

RECORD = "/ota-state/tree.{}"  # two files that are written in turn (docs/SPEC.md, 5)


def load():
    """Return (number of its file, sequence, content) of the newest whole record."""
    newest = 1, 0, ""
    for number in (0, 1):
        try:
            with open(RECORD.format(number), "rb") as file:
                data = file.read(18)
            magic, seq, length, content, crc = unpack("<4sII2sI", data)
        except (OSError, ValueError):
            continue
        good = (magic, length, crc) == (b"OTA1", 2, crc32(data[:14]))
        if good and content in (b"aN", b"aP", b"aV", b"bN", b"bP", b"bV"):
            if not newest[2] or (seq - newest[1]) & 0xFFFFFFFF < 0x80000000:
                newest = number, seq, content.decode()
    return newest


def save(content):
    """Write the older file; return whether the record reads back."""
    number, seq, _ = load()
    name = RECORD.format(1 - number)
    data = pack("<4sII2s", b"OTA1", (seq + 1) & 0xFFFFFFFF, 2, content.encode())
    try:
        try:
            file = open(name, "r+b")  # in place: no space is lost to a cut, on FAT neither
        except OSError:
            file = open(name, "wb")
        with file:
            file.write(data + pack("<I", crc32(data)))
    except OSError as error:
        sys.print_exception(error)
    return load()[2] == content


def is_soft():
    """Tell whether the chip was not reset, only the interpreter: Ctrl-D, or mpremote."""
    if sys.platform == "rp2":
        # A register (SIO INTERP1_BASE2) that any reset of the chip clears, and nothing else.
        soft = machine.mem32[0xD00000D0] == 0x0A7A
        machine.mem32[0xD00000D0] = 0x0A7A
        return soft
    return sys.platform == "esp32" and machine.reset_cause() == machine.SOFT_RESET


def start(tree):
    path = "/ota-app/" + tree
    sys.path[:0] = [path, path + "/lib"]
    os.stat(path + "/.ota-list")  # written last, removed first: a tree without it is no whole one
    import ota

    ota.guard()


def boot():
    soft = is_soft()
    content = load()[2]
    tree, state = content[:1] or "a", content[1:]
    other = "b" if tree == "a" else "a"
    trial = state == "P" and soft
    if state == "N" and not soft:
        micropython.kbd_intr(-1)  # Ctrl-C must not end a trial before it has begun
        trial = save(tree + "P")
        if trial and sys.platform in ("esp32", "rp2"):
            machine.WDT(timeout=8000)  # until ota.guard() sets the time that the trial has
    if state in ("N", "P") and not trial:
        tree, other = other, tree
    loaded = list(sys.modules)
    for now in (tree, other):
        try:
            start(now)
        except Exception as error:  # noqa: BLE001
            sys.print_exception(error)
            if trial:
                machine.reset()
            del sys.path[:2]
            for name in [name for name in sys.modules if name not in loaded]:
                del sys.modules[name]
        else:
            if now == other or (state == "P" and not trial):
                save(now + "V")
            break
    micropython.kbd_intr(3)


boot()
