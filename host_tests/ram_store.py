# SPDX-License-Identifier: MIT
"""A Store (ota.ports) in RAM for tests: strict about its contract, and its power can be cut.

`cut` counts down the operations that write; the one that makes it zero is torn and raises
PowerCut: a record is then the old one or, with `late`, the new one; a document has lost its old
content and holds a part of the write. What is in `records` and `documents` is what a reboot finds.
"""


class PowerCut(BaseException):
    pass


class RamStore:
    def __init__(self):
        self.records = {}
        self.documents = {}
        self.writes = 0  # operations that wrote so far
        self.cut = 0
        self.late = False

    def load(self, name):
        return self.records.get(_name(name))

    def save(self, name, data):
        assert len(data) <= 16384
        is_cut = self._is_cut()
        if not is_cut or self.late:
            self.records[_name(name)] = bytes(data)
        if is_cut:
            raise PowerCut

    def open(self, name):
        data = self.documents.get(_name(name))
        return None if data is None else _Document(self, name, False)

    def create(self, name):
        is_cut = self._is_cut()
        self.documents[_name(name)] = bytearray(b"torn" if is_cut else b"")
        if is_cut:
            raise PowerCut
        return _Document(self, name, True)

    def remove(self, name):
        if self._is_cut():
            raise PowerCut
        self.documents.pop(_name(name), None)

    def _is_cut(self):
        self.writes += 1
        self.cut -= 1
        return self.cut == 0


class _Document:
    def __init__(self, store, name, writable):
        self._store = store
        self._data = store.documents[name]
        self._writable = writable
        self._offset = 0
        self._closed = False

    def readinto(self, buf):
        assert not self._closed and not self._writable
        piece = self._data[self._offset : self._offset + len(buf)]
        buf[: len(piece)] = piece
        self._offset += len(piece)
        return len(piece)

    def seek(self, offset):
        assert not self._closed and not self._writable
        self._offset = offset

    def write(self, data):
        assert not self._closed and self._writable
        is_cut = self._store._is_cut()
        self._data.extend(data[: len(data) // 2] if is_cut else data)
        if is_cut:
            raise PowerCut
        return len(data)

    def close(self):
        self._closed = True


def _name(name):
    assert 1 <= len(name) <= 24 and all(
        c in "abcdefghijklmnopqrstuvwxyz0123456789-_" for c in name
    )
    return name
