# SPDX-License-Identifier: MIT
"""Fetcher over a directory: an SD card, an `mpremote mount`, or a repository on the host.

The directory has the layout of docs/SPEC.md, 1. Nothing in it is trusted, and no path leads out of
it. A file that is absent from a readable directory has status 404; a directory that cannot be read
(no card) has none, so that the caller tries again later.
"""

import os
from errno import ENOENT

from ota.adapters import check_request
from ota.errors import FetchError


class Folder:
    needs_clock = False

    def __init__(self, path):
        self._path = path

    async def open(self, path, start=0, end=None):
        check_request(path, start, end)
        try:
            f = open(self._path + "/" + path, "rb")
            size = f.seek(0, 2)
            f.seek(start)
        except OSError as e:
            raise FetchError("open", e.errno, status=self._status(e.errno))
        if end is None:
            end = size
        if end > size or 0 < start >= end:
            f.close()
            raise FetchError("range", start, end, size)
        return _Body(f, end - start)

    def skip(self):
        return False

    async def close(self):
        pass

    def _status(self, errno):
        try:
            os.stat(self._path)
        except OSError:
            return None
        return 404 if errno == ENOENT else None


class _Body:
    def __init__(self, file, length):
        self.length = self._left = length
        self._file = file

    async def readinto(self, buf):
        buf = memoryview(buf)[: self._left]
        done = 0
        try:
            while done < len(buf):
                n = self._file.readinto(buf[done:])
                if not n:
                    raise FetchError("shorter than announced", self.length, self._left - done)
                done += n
        except OSError as e:
            raise FetchError("read", e.errno)
        self._left -= done
        return done

    async def close(self):
        try:
            self._file.close()
        except OSError:
            # A card that is gone: nothing was written, so nothing is lost.
            pass
