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
from errno import EEXIST, ENOENT

from ota.errors import StoreError

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_HEAD = const("<4sII")  # magic, sequence, length of the content; the CRC-32 follows the content
_HEAD_SIZE = const(12)
_MAGIC = const(b"OTA1")
_RECORD_MAX = const(16384)  # a length beyond this is garbage, whatever its CRC says
_PIECE = const(128)  # records are scanned through a buffer of this size, never as a whole
_NAME_MAX = const(24)


class Store:
    def __init__(self, folder):
        self._folder = folder

    def load(self, name):
        return _do(name, _load, self._path(name))

    def save(self, name, data):
        if len(data) > _RECORD_MAX:
            raise ValueError("record too long")
        if not _do(name, _save, self._path(name), memoryview(data)):
            raise StoreError("record reads back differently", name)

    def open(self, name):
        f = _do(name, _open, self._path(name), "rb")
        return f and _Document(name, f)

    def create(self, name):
        return _Document(name, _do(name, _create, self._path(name)))

    def remove(self, name):
        _do(name, _remove, self._path(name))

    def _path(self, name):
        if not 0 < len(name) <= _NAME_MAX:
            raise ValueError("name")
        for c in name:
            if not ("a" <= c <= "z" or "0" <= c <= "9" or c in "-_"):
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


def _load(path):
    newest = _newest(path, None)
    if newest is None:
        return None
    path, _, length, _ = newest
    with open(path, "rb") as f:
        f.seek(_HEAD_SIZE)
        return f.read(length)


def _save(path, data):
    """Write the record that is not the newest; return whether it reads back as written."""
    newest = _newest(path, data)
    if newest is None:
        target, sequence = path + ".0", 1
    elif newest[3]:
        return True  # flash that is not written does not wear
    else:
        target = path + (".0" if newest[0][-1] == "1" else ".1")
        sequence = (newest[1] + 1) & 0xFFFFFFFF
    head = struct.pack(_HEAD, _MAGIC, sequence, len(data))
    crc = binascii.crc32(data, binascii.crc32(head))
    with _open(target, "r+b") or _create(target) as f:
        f.write(head)
        f.write(data)
        f.write(struct.pack("<I", crc))
        f.flush()
        if hasattr(os, "fsync"):  # MicroPython has none: there flush() reaches the medium
            os.fsync(f.fileno())
    return _scan(target, data) == (sequence, len(data), True)


def _open(path, mode):
    try:
        return open(path, mode)
    except OSError as e:
        if e.errno != ENOENT:
            raise


def _create(path):
    try:
        os.mkdir(path[: path.rindex("/")])
    except OSError as e:
        if e.errno != EEXIST:
            raise
    return open(path, "wb")


def _remove(path):
    try:
        os.remove(path)
    except OSError as e:
        if e.errno != ENOENT:
            raise


def _newest(path, data):
    """Return (file, sequence, length, same as `data`) of the newest whole record, or None."""
    newest = None
    for file in (path + ".0", path + ".1"):
        found = _scan(file, data)
        # The distance is taken modulo 2^32, so a sequence that wraps stays newer.
        if found and (newest is None or (found[0] - newest[1]) & 0xFFFFFFFF < 0x80000000):
            newest = (file,) + found
    return newest


def _scan(path, data):
    """Return (sequence, length, same as `data`) of the record in a file, None if it is not whole.

    An unreadable file raises OSError and does not count as absent: going on with the older record,
    or as if there were none, would hide newer state that may be readable again tomorrow.
    """
    f = _open(path, "rb")
    if f is None:
        return None
    with f:
        buf = memoryview(bytearray(_PIECE))
        piece = buf[:_HEAD_SIZE]
        if f.readinto(piece) != _HEAD_SIZE:
            return None
        magic, sequence, length = struct.unpack(_HEAD, piece)
        if magic != _MAGIC or length > _RECORD_MAX:
            return None
        same = data is not None and len(data) == length
        crc = binascii.crc32(piece)
        offset = 0
        while offset < length:
            piece = buf[: min(_PIECE, length - offset)]
            if f.readinto(piece) != len(piece):
                return None
            crc = binascii.crc32(piece, crc)
            same = same and piece == data[offset : offset + len(piece)]
            offset += len(piece)
        if f.readinto(buf[:4]) != 4 or struct.unpack_from("<I", buf)[0] != crc:
            return None
        return sequence, length, same
