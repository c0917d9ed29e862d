# SPDX-License-Identifier: MIT
"""An application whose releases differ in a few bytes, which tests patch in the built image.

It settles its trial, if it is on one, and leaves the REPL to the test, which has it update over
the serial line: a line that begins with \\x02 asks for bytes of the repository.
"""

import asyncio
import struct
import sys

import machine
import micropython

import ota
from ota.errors import FetchError, StateError

# The last byte: g good, i crashes when it is imported, h hangs, e its health check raises,
# s says nothing at all.
MARK = b"version 0000, does g"

if MARK[-1] == ord("i"):
    raise ImportError("as the test wants it")


class Serial:
    """Fetcher over standard input and output (see rp2040/pico.py, exec)."""

    needs_clock = False

    async def open(self, path, start=0, end=None):
        micropython.kbd_intr(-1)
        print("\x02" + path, start, -1 if end is None else end)
        status, length = struct.unpack("<HI", sys.stdin.buffer.read(6))
        if status != 200:
            raise FetchError("server", path, status=status)
        return _Body(length)

    def skip(self):
        return False

    async def close(self):
        micropython.kbd_intr(3)


class _Body:
    def __init__(self, length):
        self.length = self._left = length

    async def readinto(self, buf):
        buf = memoryview(buf)[: self._left]
        count = sys.stdin.buffer.readinto(buf)
        self._left -= count
        return count

    async def close(self):
        while self._left:
            self._left -= len(sys.stdin.buffer.read(min(self._left, 256)))


def updater():
    return ota.Updater.from_config(fetcher=Serial(), log=print)


def update():
    return asyncio.run(updater().update())


def healthy():
    if MARK[-1] == ord("e"):
        raise ValueError("as the test wants it")
    return True


def start():
    print(str(MARK, "ascii"))
    while MARK[-1] == ord("h"):
        pass
    if MARK[-1] == ord("s"):
        return
    try:
        if not asyncio.run(updater().settle(healthy, 5)):
            machine.reset()
        print("settled")
    except StateError as error:
        print(error)
