# SPDX-License-Identifier: MIT
"""Raw deflate with MicroPython's `deflate`, record after record through one window.

An inflater takes 5.4 KB of heap, and cannot be reset. A new one for each record would leave holes
that a small heap does not have room for. So no record's stream is final: each ends with what
zlib calls a sync flush, of which the last four bytes, always the same, are left out of the pack.
To the inflater all of them are one endless stream.
"""

from io import BytesIO

from deflate import RAW, DeflateIO

from ota import const
from ota.errors import ImageError

_WBITS = const(12)
_FLUSH = b"\0\0\xff\xff"
_REST = const(16)  # more than the end of a stream takes: the end of its last block, and _FLUSH


class Inflater:
    def __init__(self):
        self._in = BytesIO()
        self._length = 0  # of what is in it now
        self._out = None
        self._one = bytearray(1)

    def start(self, data):
        """Begin with another stream. What was not read of the one before is dropped."""
        file = self._in
        rest = file.read(max(0, self._length - file.seek(0, 1)))
        if len(rest) > _REST:
            self._out = None
        if not self._out:
            rest = b""
        file.seek(0)
        file.write(rest)
        file.write(data)
        file.write(_FLUSH)
        self._length = file.seek(0, 1)
        file.seek(0)
        if not self._out:
            self._out = DeflateIO(file, RAW, _WBITS)

    def drop(self):
        """Forget the state: a stream that was not right may have left output behind."""
        self._out = None

    def readinto(self, out):
        """Fill `out`, which is not empty. Raises ImageError: the stream is damaged, or ends."""
        inflater = self._out
        self._out = None  # after an error its state is of no use
        try:
            count = inflater.readinto(out)
        except (OSError, EOFError):
            count = 0
        if count != len(out):
            raise ImageError("record does not inflate")
        self._out = inflater

    def byte(self):
        self.readinto(self._one)
        return self._one[0]
