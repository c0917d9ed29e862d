# SPDX-License-Identifier: MIT
"""The signed block list of an image: one digest for each block (SPEC 3).

One signature vouches for the list, the list for every block, so each block can be checked in RAM,
alone and in any order, before flash is touched. The digests stay in their document and are read
one at a time: heap does not grow with the image.
"""

from hashlib import sha256

from ota.errors import ImageError


class BlockList:
    def __init__(self, file, length, block_size, digest_size=32):
        """Read digests from `file` (seek, readinto), a document that was checked as a whole.

        `length` is the image's, in bytes. `count` is the number of its blocks.
        """
        if length < 1 or not 16 <= digest_size <= 32:
            raise ImageError("block list of an impossible image", length, digest_size)
        self.length = length
        self.block_size = block_size
        self.count = (length + block_size - 1) // block_size
        self._file = file
        self._want = bytearray(digest_size)
        self._block = -1  # whose digest is in `_want`; the next one's is where the file stands

    def close(self):
        self._file.close()

    def start(self, block):
        """Return where `block` begins in the image."""
        return block * self.block_size

    def content(self, block):
        """Return how many bytes of `block` belong to the image."""
        return min(self.block_size, self.length - block * self.block_size)

    def matches(self, block, buf):
        """Tell whether `buf` (a whole block, 0xFF behind the image) is what was signed.

        Raises ImageError when the document ends before this block's digest.
        """
        want = self._want
        if block != self._block:
            if block != self._block + 1:
                self._file.seek(block * len(want))
            self._block = -2  # unless the read succeeds nobody knows where the file stands
            if self._file.readinto(want) != len(want):
                raise ImageError("block list too short", block)
            self._block = block
        return sha256(buf).digest()[: len(want)] == want
