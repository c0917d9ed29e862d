# SPDX-License-Identifier: MIT
"""Store on plain files, for file systems that may lose power (`ports.Store`; docs/SPEC.md, 5).

A record is two files, `<name>.0` and `<name>.1`, and the whole one with the newer sequence counts.
`save` only ever writes the other one, in place, and reads it back: until the new record is whole
the old one is what `load` finds. Nothing relies on rename, on truncation, or on the order in which
a file system updates its directory.

What holds after a cut, torn writes included (host_tests/portable/test_store_cuts.py):

    LittleFS  every guarantee: it copies on write and commits a file when it is closed.
    FAT       every guarantee on a medium where a cut leaves old or new bytes, as SD cards promise
              for their sectors. Once both files have their full size a save writes their own data
              sectors and the time stamp of their directory entry, never the allocation table.
              That is why files are overwritten and not truncated (each cut would also lose space
              for good), and why bytes behind a record are ignored. Where a cut can leave erased
              sectors, as on bare flash, a directory and all below it can go: use LittleFS there.
"""

import binascii
import os
import struct
from errno import ENOENT

from ota import const
from ota.errors import StoreError

_HEAD = const("<4sII")  # magic, sequence, length of the content; the CRC-32 of all comes last
_HEAD_SIZE = const(12)
_MAGIC = const(b"OTA1")
_RECORD_MAX = const(16384)  # a length beyond this is garbage, and is not read
_PIECE = const(128)
_NAME_MAX = const(24)
_LETTERS = const("abcdefghijklmnopqrstuvwxyz0123456789-_")


class Store:
    """`folder` has to exist: on a device it is where config.json lies."""

    def __init__(self, folder):
        self._folder = folder

    def load(self, name):
        return _do(name, _load, self._path(name))

    def save(self, name, data):
        if len(data) > _RECORD_MAX:
            raise ValueError("record too long")
        if not _do(name, _save, self._path(name), data):
            raise StoreError("record reads back differently", name)

    def open(self, name):
        f = _do(name, _if_there, open, self._path(name), "rb")
        return f and _Document(name, f)

    def create(self, name):
        return _Document(name, _do(name, open, self._path(name), "wb"))

    def remove(self, name):
        _do(name, _if_there, os.remove, self._path(name))

    def _path(self, name):
        good = 0 < len(name) <= _NAME_MAX
        for c in name:
            good = good and c in _LETTERS
        if not good:
            raise ValueError("name")
        return self._folder + "/" + name


class _Document:
    """An open file whose OSError is a StoreError, also the "no space" of a late `close`."""

    def __init__(self, name, file):
        self._name = name
        self._file = file

    def readinto(self, buf):
        return _do(self._name, self._file.readinto, buf)

    def seek(self, offset):
        return _do(self._name, self._file.seek, offset)

    def write(self, data):
        return _do(self._name, self._file.write, data)

    def close(self):
        _do(self._name, self._file.close)


def _do(name, function, *args):
    try:
        return function(*args)
    except OSError as e:
        raise StoreError("file system", name, e.errno)


def _if_there(function, *args):
    """Return what the function returns, or None when there is no such file."""
    try:
        return function(*args)
    except OSError as e:
        if e.errno != ENOENT:
            raise


def _load(path):
    number, _, length, _ = _newest(path, b"")
    if length is None:
        return None
    with open("{}.{}".format(path, number), "rb") as f:
        f.seek(_HEAD_SIZE)
        return f.read(length)


def _save(path, data):
    """Write the record that is not the newest; return whether it reads back as written."""
    number, sequence, _, same = _newest(path, data)
    if same:
        return True  # flash that is not written does not wear
    path = "{}.{}".format(path, 1 - number)
    sequence = (sequence + 1) & 0xFFFFFFFF
    head = struct.pack(_HEAD, _MAGIC, sequence, len(data))
    crc = binascii.crc32(data, binascii.crc32(head))
    with _if_there(open, path, "r+b") or open(path, "wb") as f:
        f.write(head)
        f.write(data)
        f.write(struct.pack("<I", crc))
        f.flush()
        if hasattr(os, "fsync"):  # MicroPython has none: there flush() reaches the medium
            os.fsync(f.fileno())
    return _scan(path, data) == (sequence, len(data), True)


def _newest(path, data):
    """Return (number of its file, sequence, length, is it `data`) of the newest whole record.

    Without any, the length is None, and the first record will be number 0 with sequence 1.
    """
    newest = (1, 0, None, False)
    for number in (0, 1):
        found = _scan("{}.{}".format(path, number), data)
        # The distance is taken modulo 2^32, so a sequence that wraps stays newer.
        if found and (newest[2] is None or (found[0] - newest[1]) & 0xFFFFFFFF < 0x80000000):
            newest = (number,) + found
    return newest


def _scan(path, data):
    """Return (sequence, length, is it `data`) of the record in a file, None if it is not whole.

    In pieces: a heap that holds the new record may have no room for another one in one piece.
    An unreadable file raises OSError and does not count as absent: going on with the older record,
    or as if there were none, would hide newer state that may be readable again tomorrow.
    """
    f = _if_there(open, path, "rb")
    if not f:
        return None
    with f:
        head = f.read(_HEAD_SIZE)
        if len(head) < _HEAD_SIZE:
            return None
        magic, sequence, length = struct.unpack(_HEAD, head)
        if magic != _MAGIC or length > _RECORD_MAX:
            return None
        crc = binascii.crc32(head)
        same = len(data) == length
        done = 0
        while done < length:
            piece = f.read(min(_PIECE, length - done))
            if not piece:
                return None
            crc = binascii.crc32(piece, crc)
            same = same and piece == data[done : done + len(piece)]
            done += len(piece)
        if f.read(4) != struct.pack("<I", crc):
            return None
        return sequence, length, same
