# SPDX-License-Identifier: MIT
"""Make a slot hold exactly the image of a block list, whatever it held before.

Progress is what the slot holds: `scan` hashes every block and finds what is missing, after a cut,
a crash, or a change of mind to another release. No progress file can lie, for there is none.

Order of writing (DESIGN 5). Block 0 carries the header without which no bootloader boots a slot:

    block 0 not blank   the spare image may still boot: fetch block 0, check that the new image can
                        run here, and only then erase it
    the other blocks    those that the running slot holds too, then those that have to be fetched:
                        each checked in RAM, erased, programmed, read back
    block 0             programmed last, read back

so a slot boots either what it held before the first erase or the whole new image. Every flash
block is erased once; a cut costs the block that was being written, nothing else.
"""

from ota.errors import ImageError, SlotError


class Install:
    room = None  # a slot takes nothing of the file system

    def __init__(self, slot, blocks, buf, check_image, running=None):
        """`buf`: a writable memoryview of one block. `check_image(head, length)`: see ports.Boot.
        `running`: a slot whose image may have blocks in common; it is only read.

        Raises ImageError, before anything is touched, when the image is longer than the slot.
        """
        if blocks.length > slot.size or blocks.block_size != slot.block_size:
            raise ImageError("image does not fit the slot", blocks.length, slot.size)
        self.left = blocks.count  # blocks that the slot does not hold yet, as far as is known
        self._slot = slot
        self._blocks = blocks
        self._buf = buf
        self._check_image = check_image
        self._missing = bytearray((slot.size // slot.block_size + 7) // 8)
        self._opened = False  # block 0 is blank: nothing in the slot can boot
        self._running = running

    def scan(self):
        """Generator: hash what the slot holds, a few blocks for each step."""
        self.left = 0
        for block in range(self._blocks.count):
            self._slot.readinto(block, self._buf)
            if block == 0:
                self._opened = _is_blank(self._buf)
            if not self._blocks.matches(block, self._buf):
                self._missing[block >> 3] |= 1 << (block & 7)
                self.left += 1
            if not block & 3:
                yield
        if self.left and not self._opened and not self._is_missing(0):
            # The header is right and something behind it is not.
            self._slot.readinto(0, self._buf)
            self._open()

    def fill(self):
        """Generator: write what the running slot holds at the same place, a block for each step.

        Does nothing before block 0 is blank, and nothing a second time.
        """
        running = self._running
        if not running or not self._opened:
            return
        self._running = None
        for block in range(1, min(self._blocks.count, running.size // running.block_size)):
            if self._is_missing(block):
                running.readinto(block, self._buf)
                if self._blocks.matches(block, self._buf):
                    self.put(block)
                yield

    def next_run(self):
        """Return (first, stop): the blocks to `put` next, in this order. None: all is there."""
        if not self.left:
            return None
        if not self._opened:
            return 0, 1
        first = 1
        while first < self._blocks.count and not self._is_missing(first):
            first += 1
        if first == self._blocks.count:
            return 0, 1
        stop = first + 1
        while stop < self._blocks.count and self._is_missing(stop):
            stop += 1
        return first, stop

    def put(self, block):
        """Write `block`, whose content is in the buffer, if that is what was signed.

        Raises ImageError (wrong bytes; flash untouched) or SlotError (flash does not hold them).
        """
        buf = self._buf
        for at in range(self._blocks.content(block), len(buf)):
            buf[at] = 0xFF
        if not self._blocks.matches(block, buf):
            raise ImageError("block is not what was signed", block)
        if block == 0:
            if not self._opened:
                self._open()
                if self.left > 1:
                    return
            else:
                self._check_image(buf, self._blocks.length)
        else:
            self._slot.erase(block)
        self._slot.program(block, buf)
        self._slot.readinto(block, buf)
        if not self._blocks.matches(block, buf):
            raise SlotError("flash does not hold what was written", block)
        self._missing[block >> 3] &= ~(1 << (block & 7))
        self.left -= 1

    def _open(self):
        """Give up what the slot held; the buffer holds the new image's block 0, checked."""
        self._check_image(self._buf, self._blocks.length)
        self._slot.erase(0)
        self._opened = True
        if not self._is_missing(0):
            self._missing[0] |= 1
            self.left += 1

    def _is_missing(self, block):
        return self._missing[block >> 3] >> (block & 7) & 1


def _is_blank(buf):
    # Compared in pieces: a whole blank block to compare with would be a second block buffer.
    piece = b"\xff" * 64
    for at in range(0, len(buf), 64):
        if buf[at : at + 64] != piece:
            return False
    return True
