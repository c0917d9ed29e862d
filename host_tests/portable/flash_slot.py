# SPDX-License-Identifier: MIT
"""The plainest Slot there is: a range of simulated flash, strict about programming."""

from sim.flash import SECTOR


class FlashSlot:
    block_size = SECTOR

    def __init__(self, flash, start, size):
        self._flash = flash
        self._start = start
        self.size = size

    def readinto(self, block, buf, offset=0):
        at = self._at(block) + offset
        if not self._start <= at <= self._start + self.size - len(buf):
            raise ValueError("outside the slot", block, offset)
        self._flash.read(at, buf)

    def erase(self, block):
        self._flash.erase(self._at(block))

    def program(self, block, data):
        self._flash.program(self._at(block), data)

    def _at(self, block):
        if not 0 <= block < self.size // SECTOR:
            raise ValueError("block outside the slot", block)
        return self._start + block * SECTOR
