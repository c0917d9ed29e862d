# SPDX-License-Identifier: MIT
"""Store: records and documents, foreign files, refusals. Power cuts are in test_store_cuts.py."""

import binascii
import os
import struct
import unittest

from ota.adapters.store import Store
from ota.errors import StoreError

try:
    import tempfile

    vfs = None
except ImportError:
    import vfs


class _Ram:
    """A block device in RAM for MicroPython's file systems."""

    def __init__(self, blocks):
        self._data = bytearray(blocks * 512)

    def readblocks(self, n, buf, off=0):
        at = n * 512 + off
        buf[:] = self._data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        at = n * 512 + off
        self._data[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self._data) // 512
        if op == 5:
            return 512
        return 0


class _OnFileSystem(unittest.TestCase):
    blocks = 256

    def setUp(self):
        if vfs:
            device = _Ram(self.blocks)
            vfs.VfsLfs2.mkfs(device)
            vfs.mount(vfs.VfsLfs2(device), "/t")
            self.root = "/t"
        else:
            self._temporary = tempfile.TemporaryDirectory()
            self.root = self._temporary.name
        self.folder = self.root + "/ota-state"
        os.mkdir(self.folder)
        self.store = Store(self.folder)

    def tearDown(self):
        if vfs:
            vfs.umount("/t")
        else:
            self._temporary.cleanup()

    def put(self, file, data):
        with open(self.folder + "/" + file, "wb") as f:
            f.write(data)

    def get(self, file):
        with open(self.folder + "/" + file, "rb") as f:
            return f.read()

    def record(self, sequence, content, magic=b"OTA1", length=None):
        length = len(content) if length is None else length
        data = struct.pack("<4sII", magic, sequence, length) + content
        return data + struct.pack("<I", binascii.crc32(data))

    def write_document(self, name, data):
        f = self.store.create(name)
        f.write(data)
        f.close()

    def read_document(self, name):
        f = self.store.open(name)
        buf = bytearray(64)
        n = f.readinto(buf)
        f.close()
        return bytes(buf[:n])


class TestStore(_OnFileSystem):
    def test_absent_record_is_none(self):
        self.assertIsNone(self.store.load("trust"))

    def test_nothing_is_written_by_reading(self):
        self.store.load("trust")
        self.store.open("root")
        self.store.remove("root")
        self.assertEqual(os.listdir(self.folder), [])

    def test_newest_record_wins_and_outlives_the_object(self):
        for content in (b"", b"1", b"x" * 1000, b"22", b"y" * 16384, b"3"):
            self.store.save("trust", content)
            self.assertEqual(self.store.load("trust"), content)
            self.assertEqual(Store(self.folder).load("trust"), content)

    def test_records_do_not_mix(self):
        self.store.save("trust", b"a")
        self.store.save("update", b"b")
        self.store.save("trust", b"c")
        self.assertEqual(self.store.load("trust"), b"c")
        self.assertEqual(self.store.load("update"), b"b")

    def test_the_bytes_are_those_of_the_specification(self):
        self.store.save("trust", b"one")
        self.store.save("trust", b"three")
        self.assertEqual(self.get("trust.0"), self.record(1, b"one"))
        self.assertEqual(self.get("trust.1"), self.record(2, b"three"))

    def test_save_never_touches_the_newest_record(self):
        self.store.save("trust", b"one")
        for i in range(2, 6):
            newest = "trust.%d" % (i & 1)
            before = self.get(newest)
            self.store.save("trust", b"%d" % i)
            self.assertEqual(self.get(newest), before)

    def test_equal_content_is_not_written_again(self):
        self.store.save("trust", b"same")
        self.store.save("trust", b"same")
        self.assertEqual(sorted(os.listdir(self.folder)), ["trust.0"])

    def test_content_of_equal_length_is_written(self):
        self.store.save("trust", b"same")
        self.store.save("trust", b"sane")
        self.assertEqual(self.store.load("trust"), b"sane")

    def test_buffers_are_saved_like_bytes(self):
        self.store.save("trust", memoryview(bytearray(b"xabcx"))[1:4])
        self.assertEqual(self.store.load("trust"), b"abc")

    def test_a_flipped_bit_anywhere_falls_back_to_the_older_record(self):
        self.store.save("trust", b"old" * 50)
        self.store.save("trust", b"new" * 60)
        whole = self.get("trust.1")
        for i in range(len(whole)):
            broken = bytearray(whole)
            broken[i] ^= 0x10
            self.put("trust.1", broken)
            self.assertEqual(self.store.load("trust"), b"old" * 50)

    def test_a_record_truncated_anywhere_falls_back_to_the_older_record(self):
        self.store.save("trust", b"old")
        self.store.save("trust", b"new" * 60)
        whole = self.get("trust.1")
        for n in range(len(whole)):
            self.put("trust.1", whole[:n])
            self.assertEqual(self.store.load("trust"), b"old")

    def test_bytes_behind_a_record_are_ignored(self):
        self.store.save("trust", b"old")
        self.put("trust.1", self.record(2, b"new") + b"\xff" * 500)
        self.assertEqual(self.store.load("trust"), b"new")

    def test_garbage_of_any_size_is_no_record_and_is_replaced(self):
        self.store.save("other", b"")
        for garbage in (b"", b"\0", b"\xff" * 5000, b"OTA1" * 3000, b"{}" * 9):
            self.put("trust.0", garbage)
            self.put("trust.1", garbage)
            self.assertIsNone(self.store.load("trust"))
            self.store.save("trust", b"mine")
            self.assertEqual(self.store.load("trust"), b"mine")

    def test_absurd_length_with_a_correct_crc_is_no_record(self):
        self.store.save("trust", b"old")
        for length in (16385, 0x7FFFFFFF, 0xFFFFFFFF):
            self.put("trust.1", self.record(9, b"x" * 40, length=length))
            self.assertEqual(self.store.load("trust"), b"old")
        self.put("trust.1", self.record(9, b"x" * 16385))
        self.assertEqual(self.store.load("trust"), b"old")

    def test_another_magic_is_no_record(self):
        self.store.save("trust", b"old")
        self.put("trust.1", self.record(9, b"new", magic=b"OTA2"))
        self.assertEqual(self.store.load("trust"), b"old")

    def test_sequence_that_wraps_stays_newer(self):
        self.store.save("other", b"")
        self.put("trust.0", self.record(0xFFFFFFFE, b"old"))
        self.put("trust.1", self.record(0xFFFFFFFF, b"new"))
        for content in (b"newer", b"newest", b"still newer"):
            self.store.save("trust", content)
            self.assertEqual(self.store.load("trust"), content)

    def test_record_too_long_is_a_programming_error(self):
        self.assertRaises(ValueError, self.store.save, "trust", bytes(16385))
        self.assertIsNone(self.store.load("trust"))

    def test_names_that_are_refused(self):
        s = self.store
        for name in ("", "a" * 25, "..", "a/b", "a.0", "A", "a\0", "a b", "é", "a\n", "\\"):
            self.assertRaises(ValueError, s.load, name)
            self.assertRaises(ValueError, s.save, name, b"")
            self.assertRaises(ValueError, s.open, name)
            self.assertRaises(ValueError, s.create, name)
            self.assertRaises(ValueError, s.remove, name)

    def test_names_that_are_accepted(self):
        for name in ("a", "root-2_x", "a" * 24):
            self.store.save(name, b"1")
            self.assertEqual(self.store.load(name), b"1")

    def test_document(self):
        self.assertIsNone(self.store.open("root"))
        self.write_document("root", b"long content")
        self.write_document("root", b"short")
        self.assertEqual(self.read_document("root"), b"short")
        f = self.store.open("root")
        f.seek(2)
        buf = bytearray(2)
        self.assertEqual(f.readinto(buf), 2)
        self.assertEqual(bytes(buf), b"or")
        f.close()
        f.close()
        self.store.remove("root")
        self.store.remove("root")
        self.assertIsNone(self.store.open("root"))

    def test_document_and_record_of_one_name_do_not_meet(self):
        self.store.save("trust", b"record")
        self.write_document("trust", b"document")
        self.assertEqual(self.store.load("trust"), b"record")
        self.assertEqual(self.read_document("trust"), b"document")

    def test_unreadable_record_is_an_error_and_not_absent(self):
        # A directory stands for a medium that refuses: its error is not ENOENT.
        self.store.save("trust", b"old")
        os.mkdir(self.folder + "/trust.1")
        self.assertRaises(StoreError, self.store.load, "trust")
        self.assertRaises(StoreError, self.store.save, "trust", b"new")
        os.rmdir(self.folder + "/trust.1")
        self.assertEqual(self.store.load("trust"), b"old")

    def test_folder_that_is_absent(self):
        store = Store(self.root + "/absent/ota-state")
        with self.assertRaises(StoreError) as caught:
            store.save("trust", b"")
        self.assertEqual(caught.exception.args[1:], ("trust", 2))
        self.assertRaises(StoreError, store.create, "root")
        self.assertIsNone(store.load("trust"))
        self.assertIsNone(store.open("root"))


if vfs:

    class TestFullFileSystem(_OnFileSystem):
        """No space: StoreError, the old record stays, and all works again once there is space."""

        blocks = 64

        def fill(self):
            f = self.store.create("ballast")
            try:
                while True:
                    f.write(b"\x55" * 512)
            except StoreError as e:
                self.assertEqual(e.args[2], 28)  # ENOSPC
            f.close()
            with open(self.folder + "/more", "wb") as f:
                try:
                    while True:
                        f.write(b"\x55" * 64)
                        f.flush()
                except OSError as e:
                    self.assertEqual(e.errno, 28)

        def test_no_space(self):
            self.store.save("trust", b"old" * 300)
            self.fill()
            self.assertRaises(StoreError, self.store.save, "trust", b"new" * 3000)
            self.assertEqual(self.store.load("trust"), b"old" * 300)
            self.store.remove("ballast")
            os.remove(self.folder + "/more")
            self.store.save("trust", b"new" * 300)
            self.assertEqual(self.store.load("trust"), b"new" * 300)


if __name__ == "__main__":
    unittest.main()
