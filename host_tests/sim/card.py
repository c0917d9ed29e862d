# SPDX-License-Identifier: MIT
"""An SD card: sectors of 512 bytes, each of which a power cut leaves old or new, never torn.

What FAT needs of a medium (lib/ota/adapters/store.py). Every write of a sector is one operation
with a number; the attributes and the way to cut are those of sim.flash.Flash. `tear` "before"
leaves the sector old, everything else leaves it new. MicroPython and CPython.
"""

from sim.flash import PowerCut

SECTOR = 512
TEARS = ("before", "after")
_EIO = 5


class Card:
    def __init__(self, size):
        self.size = size
        self.ops = 0
        self.cut_at = None
        self.tear = "before"
        self.lives = 0
        self.powered = True
        self.written = 0  # bytes
        self._sectors = {}

    def power_on(self):
        self.lives += 1
        self.powered = True

    def snapshot(self):
        return dict(self._sectors)

    def restore(self, content):
        self._sectors = dict(content)

    def read(self, sector):
        if not self.powered:
            raise PowerCut("no power")
        return self._sectors.get(sector, b"\xff" * SECTOR)

    def write(self, sector, data):
        if not self.powered:
            raise PowerCut("no power")
        cut = self.ops == self.cut_at
        self.ops += 1
        self.written += SECTOR
        if not cut or self.tear != "before":
            self._sectors[sector] = bytes(data)
        if cut:
            self.powered = False
            raise PowerCut(self.ops - 1, self.tear)


class Disk:
    """The card as a block device of one life; in a later one it answers EIO."""

    def __init__(self, card):
        self._card = card
        self._life = card.lives

    def readblocks(self, block, buf, offset=0):
        if self._card.lives != self._life:
            return -_EIO
        for at in range(0, len(buf), SECTOR):
            buf[at : at + SECTOR] = self._card.read(block + at // SECTOR)
        return 0

    def writeblocks(self, block, buf, offset=0):
        if self._card.lives != self._life:
            return -_EIO
        for at in range(0, len(buf), SECTOR):
            self._card.write(block + at // SECTOR, buf[at : at + SECTOR])
        return 0

    def ioctl(self, op, arg):
        if op == 4:
            return self._card.size // SECTOR
        if op == 5:
            return SECTOR
        return 0
