# SPDX-License-Identifier: MIT
"""ESP-IDF's non-volatile storage, entry by entry: every program and erase is a numbered operation.

    page    4096 bytes: header 32 (u32 state, u32 sequence, u8 version, 19 unused, u32 CRC of what
            follows the state), 2 bits for each entry (3 empty, 2 written, 0 erased), 126 entries
    entry   32 bytes: namespace, type, span, chunk, u32 CRC, key[16], data[8]; a blob's bytes fill
            the `span` - 1 entries behind its own

A value is written behind the newest entry, then marked, then the old one's mark is taken away; a
full page's living entries move to a free page before it is erased. One page always stays free.
What a cut leaves is put right by `load`, at each boot, and by nothing else. Weak where the real
one is: it takes an entry whose first word reads 0xFFFFFFFF for free.

Sources: ESP-IDF 5.x components/nvs_flash/src, nvs_page.cpp, nvs_pagemanager.cpp, nvs_storage.cpp.
Espressif's esp-idf-nvs-partition-gen writes what this reads (test_esp32_nvs_judged.py).
"""

import binascii
import struct

from sim.flash import SECTOR

NOT_INITIALIZED = 0x1101
NOT_FOUND = 0x1102
NOT_ENOUGH_SPACE = 0x1105
INVALID_NAME = 0x1106
KEY_TOO_LONG = 0x1109
INVALID_LENGTH = 0x110C
NO_FREE_PAGES = 0x110D
VALUE_TOO_LONG = 0x110E
NEW_VERSION_FOUND = 0x1110
NAMES = {
    NOT_INITIALIZED: "ESP_ERR_NVS_NOT_INITIALIZED",
    NOT_FOUND: "ESP_ERR_NVS_NOT_FOUND",
    NOT_ENOUGH_SPACE: "ESP_ERR_NVS_NOT_ENOUGH_SPACE",
    INVALID_NAME: "ESP_ERR_NVS_INVALID_NAME",
    KEY_TOO_LONG: "ESP_ERR_NVS_KEY_TOO_LONG",
    INVALID_LENGTH: "ESP_ERR_NVS_INVALID_LENGTH",
    VALUE_TOO_LONG: "ESP_ERR_NVS_VALUE_TOO_LONG",
}

_UNINITIALIZED = 0xFFFFFFFF
_ACTIVE = 0xFFFFFFFE
_FULL = 0xFFFFFFFC
_FREEING = 0xFFFFFFF8
_CORRUPT = 0
_VERSION = 0xFE

_EMPTY = 3
_WRITTEN = 2
_ERASED = 0

_U8 = 0x01
_I32 = 0x14
_STRING = 0x21
_BLOB_DATA = 0x42
_BLOB_INDEX = 0x48
_ANY_CHUNK = 0xFF
_LONG = (_STRING, 0x41, _BLOB_DATA)

_COUNT = 126
_ENTRY = 32
_TABLE = 32  # offset of the marks in a page
_FIRST = 64
_CHUNK_MAX = _ENTRY * (_COUNT - 1)
_LONGEST_NAME = 15


class Error(Exception):
    """An esp_err_t, as its only argument."""


def _crc(data):
    return binascii.crc32(data, 0xFFFFFFFF) & 0xFFFFFFFF


class _Item:
    """One entry: namespace, type, number of entries, chunk, key, and its 8 bytes of data."""

    def __init__(self, raw):
        self.raw = raw
        self.space, self.kind, self.span, self.chunk = raw[:4]
        self.key = raw[8:24].rstrip(b"\x00")
        self.data = raw[24:]
        self.whole = struct.unpack_from("<I", raw, 4)[0] == _crc(raw[:4] + raw[8:])


def _entry(space, kind, span, chunk, key, data):
    head = bytes((space, kind, span, chunk))
    rest = key + bytes(16 - len(key)) + data + b"\xff" * (8 - len(data))
    return head + struct.pack("<I", _crc(head + rest)) + rest


class _Page:
    def __init__(self, flash, address):
        self._flash = flash
        self._address = address
        self._clear()

    def _clear(self):
        self.state = _UNINITIALIZED
        self.seq = None
        self.next = 0  # the entry to write next
        self._marks = bytearray(b"\xff" * 32)

    def _read(self, offset, length):
        buf = bytearray(length)
        self._flash.read(self._address + offset, buf)
        return bytes(buf)

    def _program(self, offset, data):
        self._flash.program(self._address + offset, data)

    def mark(self, index):
        return self._marks[index >> 2] >> 2 * (index & 3) & 3

    def used(self):
        return sum([self.mark(index) == _WRITTEN for index in range(_COUNT)])

    def item(self, index):
        return _Item(self._read(_FIRST + index * _ENTRY, _ENTRY))

    def items(self):
        """Return (index, item) of every whole written item; what is not whole is erased."""
        found = []
        index = 0
        while index < min(self.next, _COUNT):
            step = 1
            if self.mark(index) == _WRITTEN:
                item = self.item(index)
                if not item.whole:
                    self.erase_item(index)
                else:
                    found.append((index, item))
                    step = item.span if item.kind in _LONG else 1
            index += step
        return found

    def content(self, index, item):
        length, crc = struct.unpack("<H2xI", item.data)
        data = self._read(_FIRST + (index + 1) * _ENTRY, length)
        return data if _crc(data) == crc else None

    def load(self):
        self._clear()
        head = self._read(0, 32)
        state, self.seq, version = struct.unpack("<IIB", head[:9])
        if state == _UNINITIALIZED:
            self.seq = None
            if self._read(0, SECTOR) != b"\xff" * SECTOR:
                self.state = _CORRUPT
            return
        if struct.unpack("<I", head[28:])[0] != _crc(head[4:28]):
            state = _CORRUPT
        if state not in (_ACTIVE, _FULL, _FREEING):
            self.state = _CORRUPT
            self.seq = None
            return
        if version < _VERSION:
            raise Error(NEW_VERSION_FOUND)
        self.state = state
        self._marks = bytearray(self._read(_TABLE, 32))
        if state == _ACTIVE:
            self._find_end()
        else:
            self.next = _COUNT
        seen = {}
        for index, item in self.items():
            if item.kind in _LONG and any(
                [self.mark(at) != _WRITTEN for at in range(index, min(index + item.span, _COUNT))]
            ):
                self.erase_item(index)
                continue
            key = (item.space, item.key, item.chunk)
            if state == _ACTIVE and key in seen:
                self.erase_item(seen[key])
            seen[key] = index

    def _find_end(self):
        while self.next < _COUNT and self.mark(self.next) != _EMPTY:
            self.next += 1
        # An entry may have been written, wholly or not, before it was marked.
        while self.next < _COUNT:
            if self._read(_FIRST + self.next * _ENTRY, 4) == b"\xff" * 4:
                return
            self._set_marks(self.next, 1, _ERASED)
            self.next += 1

    def activate(self, seq):
        if self.state == _CORRUPT:
            self.erase()
        self.seq = seq

    def erase(self):
        self._flash.erase(self._address)
        self._clear()

    def set_state(self, state):
        self._program(0, struct.pack("<I", state))
        self.state = state

    def _begin(self):
        if self.state == _UNINITIALIZED:
            rest = struct.pack("<IB", self.seq, _VERSION) + b"\xff" * 19
            self._program(0, struct.pack("<I", _ACTIVE) + rest + struct.pack("<I", _crc(rest)))
            self.state = _ACTIVE

    def room(self):
        """Return for how many bytes of a blob there is room."""
        if self.state == _FULL:
            return 0
        return max(0, (_COUNT - self.next - 1) * _ENTRY)

    def write(self, entry, content=b""):
        """Write an item; return False if the page is full."""
        self._begin()
        span = 1 + (len(content) + _ENTRY - 1) // _ENTRY
        if self.state == _FULL or self.next + span > _COUNT:
            return False
        self._append(entry)
        whole = len(content) // _ENTRY * _ENTRY
        if whole:
            self._program(_FIRST + self.next * _ENTRY, content[:whole])
            self._set_marks(self.next, whole // _ENTRY, _WRITTEN)
            self.next += whole // _ENTRY
        if content[whole:]:
            self._append(content[whole:] + b"\xff" * (_ENTRY - len(content) + whole))
        return True

    def _append(self, entry):
        self._program(_FIRST + self.next * _ENTRY, entry)
        self._set_marks(self.next, 1, _WRITTEN)
        self.next += 1

    def copy_to(self, other):
        other._begin()
        for index, item in self.items():
            other._append(item.raw)
            for at in range(index + 1, index + (item.span if item.kind in _LONG else 1)):
                other._append(self.item(at).raw)

    def erase_item(self, index):
        item = self.item(index)
        self._set_marks(index, item.span if item.whole else 1, _ERASED)

    def _set_marks(self, first, count, mark):
        """Change marks, and program the words that hold them, the last one first."""
        for index in range(first, first + count):
            shift = 2 * (index & 3)
            byte = self._marks[index >> 2]
            self._marks[index >> 2] = byte & ~(3 << shift) & 0xFF | mark << shift
        for word in range((first + count - 1) >> 4, (first >> 4) - 1, -1):
            self._program(_TABLE + 4 * word, bytes(self._marks[4 * word : 4 * word + 4]))


class Storage:
    """One NVS partition. `load` first; everything may raise Error, and PowerCut."""

    def __init__(self, flash, address, size):
        self._flash = flash
        self._address = address
        self._size = size

    def load(self):
        """What nvs_flash_init does, and its caller in MicroPython when that says "start anew"."""
        try:
            self._load()
        except Error:
            for at in range(self._address, self._address + self._size, SECTOR):
                self._flash.erase(at)
            self._load()

    def _load(self):
        pages = [_Page(self._flash, self._address + at) for at in range(0, self._size, SECTOR)]
        for page in pages:
            page.load()
        self._pages = sorted([p for p in pages if p.seq is not None], key=lambda p: p.seq)
        self._free = [page for page in pages if page.seq is None]
        if not self._pages:
            self._seq = 0
            self._activate()
            return
        self._seq = self._pages[-1].seq + 1
        # The newest entry may have an older twin in another page.
        newest = [item for _, item in self._pages[-1].items()][-1:]
        for item in newest:
            for page in self._pages[:-1]:
                if page.state != _FREEING and self._erase_in(page, item):
                    break
        self._finish_freeing()
        if not self._free:
            raise Error(NO_FREE_PAGES)
        self._erase_orphans()

    def _erase_in(self, page, wanted):
        for index, item in page.items():
            if (item.space, item.kind, item.key) == (wanted.space, wanted.kind, wanted.key):
                if item.kind != _BLOB_DATA or item.chunk == wanted.chunk:
                    page.erase_item(index)
                    return True
        return False

    def _finish_freeing(self):
        for page in self._pages:
            if page.state == _FREEING:
                last = self._pages[-1]
                if last.state == _ACTIVE:
                    last.erase()
                    self._pages.remove(last)
                    self._free.append(last)
                self._move(page)
                return

    def _erase_orphans(self):
        """Erase chunks that no index names: the index is written last."""
        ranges = []
        for _page, _, item in self._all():
            if item.kind == _BLOB_INDEX:
                count, start = item.data[4:6]
                ranges.append((item.space, item.key, start, start + count))
        for page, index, item in self._all():
            if item.kind == _BLOB_DATA and not [
                1
                for space, key, start, stop in ranges
                if (space, key) == (item.space, item.key) and start <= item.chunk < stop
            ]:
                page.erase_item(index)

    def _activate(self):
        if not self._free:
            raise Error(NOT_ENOUGH_SPACE)
        page = self._free.pop(0)
        page.activate(self._seq)
        self._seq += 1
        self._pages.append(page)

    def _move(self, page):
        """Put what `page` holds into a free one, and erase it."""
        self._activate()
        page.copy_to(self._pages[-1])
        page.erase()
        self._pages.remove(page)
        self._free.append(page)

    def _new_page(self):
        if self._pages[-1].state != _FULL:
            self._pages[-1].set_state(_FULL)
        if len(self._free) >= 2:
            self._activate()
            return
        page = min(self._pages, key=lambda page: page.used())
        if page.used() == _COUNT:
            raise Error(NOT_ENOUGH_SPACE)
        page.set_state(_FREEING)
        self._move(page)

    def _all(self):
        return [(page, index, item) for page in self._pages for index, item in page.items()]

    def _find(self, space, kind, key, chunk=_ANY_CHUNK):
        """Return (page, index, item) of the oldest match, or raise Error."""
        for page, index, item in self._all():
            if (item.space, item.kind, item.key) == (space, kind, key):
                if kind != _BLOB_DATA or item.chunk == chunk:
                    return page, index, item
        raise Error(NOT_FOUND)

    def _has(self, space, kind, key):
        try:
            return self._find(space, kind, key)[2]
        except Error:
            return None

    def _write(self, space, kind, key, data, content=b"", chunk=_ANY_CHUNK):
        span = 1 + (len(content) + _ENTRY - 1) // _ENTRY
        entry = _entry(space, kind, span, chunk, key, data)
        if not self._pages[-1].write(entry, content):
            self._new_page()
            if not self._pages[-1].write(entry, content):
                raise Error(NOT_ENOUGH_SPACE)

    def _set(self, space, kind, key, data):
        old = self._has(space, kind, key)
        if old and old.data[: len(data)] == data:
            return
        self._write(space, kind, key, data)
        if old:
            page, index, _ = self._find(space, kind, key)  # the one before is found first
            page.erase_item(index)

    def open(self, name):
        """Return the index of a namespace, which is made if it is absent."""
        key = _name(name)
        taken = []
        for _page, _, item in self._all():
            if item.space == 0 and item.kind == _U8:
                if item.key == key:
                    return item.data[0]
                taken.append(item.data[0])
        number = 1
        while number in taken:
            number += 1
        self._write(0, _U8, key, bytes((number,)))
        return number

    def get_i32(self, space, key):
        return struct.unpack("<i", self._find(space, _I32, _name(key))[2].data[:4])[0]

    def set_i32(self, space, key, value):
        self._set(space, _I32, _name(key), struct.pack("<i", value))

    def get_blob(self, space, key):
        key = _name(key)
        length, count, start = struct.unpack(
            "<IBB", self._find(space, _BLOB_INDEX, key)[2].data[:6]
        )
        data = b""
        for chunk in range(start, start + count):
            page, index, item = self._find(space, _BLOB_DATA, key, chunk)
            content = page.content(index, item)
            if content is None:
                raise Error(NOT_FOUND)
            data += content
        if len(data) != length:
            raise Error(NOT_FOUND)
        return data

    def set_blob(self, space, key, data):
        key = _name(key)
        if len(data) > _CHUNK_MAX * (self._size // SECTOR - 1):
            raise Error(VALUE_TOO_LONG)
        old = self._has(space, _BLOB_INDEX, key)
        if old and self._same_blob(space, key, data):
            return
        start = 128 if old and old.data[5] == 0 else 0
        count = 0
        left = data
        while True:
            room = self._pages[-1].room()
            if not room or (count == 0 and room < len(data) and room < _CHUNK_MAX // 10):
                self._new_page()
                room = self._pages[-1].room()
                if not room:
                    raise Error(NOT_ENOUGH_SPACE)
            chunk, left = left[:room], left[room:]
            info = struct.pack("<HHI", len(chunk), 0xFFFF, _crc(chunk))
            self._write(space, _BLOB_DATA, key, info, chunk, start + count)
            count += 1
            if not left:
                break
        self._write(space, _BLOB_INDEX, key, struct.pack("<IBB", len(data), count, start))
        if old:
            self._erase_blob(space, key, old)

    def _same_blob(self, space, key, data):
        try:
            return self.get_blob(space, key.decode()) == data
        except Error:
            return False

    def _erase_blob(self, space, key, old):
        page, index, _ = self._find(space, _BLOB_INDEX, key)
        page.erase_item(index)
        for chunk in range(old.data[5], old.data[5] + old.data[4]):
            page, index, _ = self._find(space, _BLOB_DATA, key, chunk)
            page.erase_item(index)

    def erase_key(self, space, key):
        key = _name(key)
        for page, index, item in self._all():
            if (item.space, item.key) == (space, key):
                if item.kind == _BLOB_INDEX:
                    self._erase_blob(space, key, item)
                else:
                    page.erase_item(index)
                return
        raise Error(NOT_FOUND)


def _name(name):
    name = name.encode()
    if not name:
        raise Error(INVALID_NAME)
    if len(name) > _LONGEST_NAME:
        raise Error(KEY_TOO_LONG)
    return name
