# SPDX-License-Identifier: MIT
"""Raw deflate with CPython's zlib, in place of `ota.image.inflate`. No device needs it."""

import zlib

from ota.errors import ImageError

_WBITS = 12


class Inflater:
    def start(self, data):
        """Begin with another stream. What was not read of the one before is dropped."""
        self._zlib = zlib.decompressobj(-_WBITS)
        self._data = bytes(data)

    def drop(self):
        """Do nothing: each stream has a state of its own."""

    def readinto(self, out):
        """Fill `out`, which is not empty. Raises ImageError: the stream is damaged, or ends."""
        try:
            found = self._zlib.decompress(self._data, len(out))
        except zlib.error:
            found = b""
        self._data = self._zlib.unconsumed_tail
        if len(found) != len(out):
            raise ImageError("record does not inflate")
        out[:] = found

    def byte(self):
        one = bytearray(1)
        self.readinto(one)
        return one[0]
