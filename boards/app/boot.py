# SPDX-License-Identifier: MIT
"""Starts the application: tree a or b of /ota-app, as the record in /ota-state says.

`mpota provision` writes this file once, no update ever does. The record is a tree's letter and
N (try it: it gets one hard reset), P (on trial: the next hard reset runs the other) or V (kept).
"""

import os
import sys
import time
from binascii import crc32
from struct import pack, unpack

import machine
import micropython


def load():
    """Return (sequence, number of its file, content) of the newest whole record."""
    newest = 0, 1, ""
    for number in (0, 1):
        try:
            with open("/ota-state/tree.%d" % number, "rb") as file:
                data = file.read(18)
            magic, seq, length, content, crc = unpack("<4sII2sI", data)
        except (OSError, ValueError):
            continue
        whole = (magic, length, crc) == (b"OTA1", 2, crc32(data[:14]))
        newer = not newest[2] or (seq - newest[0]) & 0xFFFFFFFF < 0x80000000
        if whole and newer and content in b"aN bN aP bP aV bV".split():
            newest = seq, number, content.decode()
    return newest


def save(content):
    """Write the other one of the two files; return whether the record reads back."""
    seq, number, _ = load()
    data = pack("<4sII2s", b"OTA1", (seq + 1) & 0xFFFFFFFF, 2, content.encode())
    name = "/ota-state/tree.%d" % (1 - number)
    try:
        try:
            file = open(name, "r+b")
        except OSError:
            file = open(name, "wb")
        with file:
            file.write(data + pack("<I", crc32(data)))
    except OSError as error:
        sys.print_exception(error)
    return load()[2] == content


def boot():
    if sys.platform == "rp2":  # SIO INTERP1_BASE2: any reset of the chip clears it, nothing else
        soft = machine.mem32[0xD00000D0] == 0x0A7A
        machine.mem32[0xD00000D0] = 0x0A7A
    else:
        soft = sys.platform == "esp32" and machine.reset_cause() == machine.SOFT_RESET
    content = load()[2]
    tree, state = content[:1] or "a", content[1:]
    other = "b" if tree == "a" else "a"
    trial = state == "P" and soft
    if state == "N" and not soft:
        if sys.platform == "esp32" and machine.reset_cause() == machine.DEEPSLEEP_RESET:
            machine.reset()  # to wake from a sleep ends a trial: this one begins with a reset
        micropython.kbd_intr(-1)  # from here to main.py: Ctrl-C must not end what has not begun
        trial = save(tree + "P")
        if trial and sys.platform in ("esp32", "rp2"):
            machine.WDT(timeout=8000)  # until ota.guard() sets the time that the trial has
    if state in ("N", "P") and not trial:
        tree, other = other, tree
    loaded = list(sys.modules)
    for now in (tree, other):
        path = "/ota-app/" + now
        sys.path[:0] = [path, path + "/lib"]
        try:
            os.stat(path + "/.ota-list")  # removed first, written last: only a whole tree has it
            import ota

            ota.guard()
            if now == other or (state == "P" and not trial):
                save(now + "V")
            return
        except Exception as error:  # noqa: BLE001
            sys.print_exception(error)
        if trial:
            machine.reset()
        del sys.path[:2]
        for name in [name for name in sys.modules if name not in loaded]:
            del sys.modules[name]
    micropython.kbd_intr(3)
    if not soft:
        print("no application starts: reset in a minute, Ctrl-C stays here")  # noqa: T201
        time.sleep(60)  # a card may be back then, and a firmware on trial is left
        machine.reset()


boot()
