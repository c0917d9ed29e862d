# SPDX-License-Identifier: MIT
"""Installs into a tree of which a power cut left a folder with names that are none, on real FAT.

A folder of FAT that is full gets another cluster: first it is linked, then it is cleared. A cut in
between leaves whatever was there before: the content of some old file, read as entries of the
folder. Some of them have names; what such an entry calls its content belongs to others.
On CPython, which has no FAT, this module has no tests.
"""

import os
import unittest
from struct import pack

from test_tree import BLOCK, image, listed, noise, parse

from ota.adapters.appdir import Boot
from ota.adapters.store import Store
from ota.image.tree import LIST, TreeInstall

try:
    import vfs
except ImportError:
    vfs = None

_SECTOR = 512
_DEAD = -1
_EIO = 5
_ZEROS = bytes(_SECTOR)
_TOP = "/fat"
_FOLDER = "lib/many"
_RUNNING = {"main.py": noise(3 * BLOCK, 7), "lib/x.py": b"x"}
_OLD = {_FOLDER + "/a%02d" % n: b"%d" % n for n in range(13)}
_OLD["main.py"] = b"old"
_NEW = dict(_RUNNING, **{_FOLDER + "/b%02d" % n: b"%d" % n for n in range(30)})


class PowerCut(BaseException):
    pass


class _Card:
    """Sectors of 512 bytes; the power goes at write `cut_at`, of which nothing happens."""

    def __init__(self, data, cut_at=None):
        self.data = data
        self.writes = 0
        self.cut_at = cut_at

    def readblocks(self, n, buf, off=0):
        at = n * _SECTOR + off
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        if self.writes == _DEAD:
            return  # what is closed or collected later
        if self.writes == self.cut_at:
            self.writes = _DEAD
            raise PowerCut
        self.writes += 1
        self.data[n * _SECTOR : n * _SECTOR + len(buf)] = buf

    def ioctl(self, op, arg):
        return len(self.data) // _SECTOR if op == 4 else _SECTOR if op == 5 else 0


class _BigCard(_Card):
    """Mostly zeros."""

    def __init__(self, size):
        super().__init__({})
        self._size = size

    def readblocks(self, n, buf, off=0):
        if self.writes == _DEAD:
            return -_EIO
        for at in range(0, len(buf), _SECTOR):
            buf[at : at + _SECTOR] = self.data.get(n + at // _SECTOR, _ZEROS)
        return 0

    def writeblocks(self, n, buf, off=0):
        if self.writes == _DEAD:
            return
        for at in range(0, len(buf), _SECTOR):
            if self.writes == self.cut_at:
                self.writes = _DEAD
                raise PowerCut
            self.writes += 1
            self.data[n + at // _SECTOR] = bytes(buf[at : at + _SECTOR])

    def ioctl(self, op, arg):
        return self._size // _SECTOR if op == 4 else _SECTOR if op == 5 else 0


def _entry(name, cluster, size, kind=0):
    return name + bytes((kind,)) + bytes(14) + pack("<HI", cluster, size)


if vfs:

    class TestFolderOfGarbage(unittest.TestCase):
        def tearDown(self):
            try:
                vfs.umount(_TOP)
            except OSError:
                pass

        def mount(self, data, cut_at=None):
            try:
                vfs.umount(_TOP)
            except OSError:
                pass
            self.card = _Card(data, cut_at)
            vfs.mount(vfs.VfsFat(self.card), _TOP)

        def write(self, path, data):
            at = path.find("/", len(_TOP) + 1)
            while at > 0:
                try:
                    os.mkdir(path[:at])
                except OSError:
                    pass
                at = path.find("/", at + 1)
            with open(path, "wb") as file:
                file.write(data)

        def write_tree(self, letter, files):
            for name in sorted(files):
                self.write(_TOP + "/ota-app/" + letter + "/" + name, files[name])
            self.write(_TOP + "/ota-app/" + letter + "/" + LIST, listed(files))

        def device(self, garbage):
            """A device whose free space had `garbage`; tree b has a folder that is full."""
            data = bytearray(_SECTOR * 400)
            vfs.VfsFat.mkfs(_Card(data))
            self.mount(data)
            try:
                self.write(_TOP + "/filler", garbage * (len(data) // len(garbage)))
            except OSError:
                pass
            os.remove(_TOP + "/filler")
            os.mkdir(_TOP + "/ota-state")
            self.write_tree("a", _RUNNING)
            self.write_tree("b", _OLD)
            Store(_TOP + "/ota-state").save("tree", b"aV")
            return data

        def damaged(self, garbage):
            """The same after the power failed as that folder grew."""
            before = self.device(garbage)
            more = _TOP + "/ota-app/b/" + _FOLDER
            is_damaged = False
            for cut_at in range(99):
                data = bytearray(before)
                self.mount(data, cut_at)
                try:
                    for n in range(3):
                        self.write(more + "/c%02d" % n, b"")
                except PowerCut:
                    pass
                self.mount(data)
                is_damaged = len(os.listdir(more.encode())) > len(_OLD) - 1 + 3
                if is_damaged:
                    break
            self.assertTrue(is_damaged)
            return data

        def install(self, files):
            path = _TOP + "/ota-app/a"
            boot = Boot(_TOP + "/ota-app", _TOP + "/ota-state")
            self.assertEqual(boot.running.path, path)
            blocks = parse(files)
            buf = memoryview(bytearray(BLOCK))
            install = TreeInstall(boot.spare, blocks, buf, boot.running)
            whole = image(files)
            for _ in install.scan():
                pass
            while True:
                run = install.next_run()
                if run is None:
                    break
                for block in range(*run):
                    at, count = blocks.start(block), blocks.content(block)
                    buf[:count] = whole[at : at + count]
                    install.put(block)
            self.assertTrue(boot.is_whole(boot.spare))
            self.assertTrue(boot.is_whole(boot.running))

        def exists(self, name):
            try:
                os.stat(_TOP + "/ota-app/b/" + name)
            except OSError:
                return False
            return True

        def free(self):
            return os.statvfs(_TOP)[3]

        def check(self, garbage):
            data = self.damaged(garbage)
            free = None
            for number in range(6):
                self.install(_NEW if number & 1 else _OLD)
                self.assertEqual(self.exists(_FOLDER + "/a00"), not number & 1)
                self.assertEqual(self.exists(_FOLDER + "/b00"), number & 1)
                self.mount(data)
                if number == 1:
                    free = self.free()
            self.assertEqual(self.free(), free)
            # The folder where the new release has a file, and the other way round.
            for _ in range(2):
                self.install(dict(_RUNNING, **{_FOLDER: b"a file"}))
                self.install(_NEW)
            self.assertTrue(self.free() >= free - 2)

        def test_text(self):
            self.check(b"import application\n\napplication.run('text')\n")

        def test_bytes_that_are_no_text(self):
            self.check(bytes(0x80 | c for c in noise(4096)))

        def test_noise(self):
            self.check(noise(1 << 14))

        def test_digits(self):
            self.check(b"0123456789ABCDEF")

        def test_names_that_fat_does_not_take(self):
            self.check(_entry(b'A"*?    TXT', 9, 100))

        def test_nothing_that_an_entry_points_to_is_given_up(self):
            """It may be the running application: its first clusters are among these."""
            for name, kind in ((b"A~%-9d", 0), (b"FOLDER~%-4d", 0x10)):
                self.check(b"".join([_entry(name % n, n, 100, kind) for n in range(2, 66)]))
            self.check(b"".join([_entry(b"BIG%-8d" % n, n, 1 << 29) for n in range(2, 66)]))

    class TestSpace(unittest.TestCase):
        def test_a_cut_of_a_file_that_grows_loses_one_block(self):
            """What FAT has given to a file is lost until it is noted where the file begins."""
            for size in (1 << 20, 1 << 26):
                card = _BigCard(size)
                vfs.VfsFat.mkfs(card)
                vfs.mount(vfs.VfsFat(card), _TOP)
                try:
                    for folder in ("/ota-state", "/ota-app", "/ota-app/b"):
                        os.mkdir(_TOP + folder)
                    Store(_TOP + "/ota-state").save("tree", b"aV")
                finally:
                    vfs.umount(_TOP)
                before = card.data
                lost = [self.lost(size, before, cut_at, 12) for cut_at in range(120)]
                self.assertTrue(0 < max(lost) <= BLOCK, lost)

        def lost(self, size, data, cut_at, blocks):
            data = dict(data)
            tree, free = self.live(size, data, cut_at)
            try:
                for block in range(blocks):
                    tree.write("file", block * BLOCK, bytes(BLOCK))
                tree.flush()
            except PowerCut:
                pass
            vfs.umount(_TOP)
            tree, _ = self.live(size, data)
            tree.remove("file")
            lost = free - tree.space()[1]
            vfs.umount(_TOP)
            return lost

        def live(self, size, data, cut_at=None):
            card = _BigCard(size)
            card.data, card.cut_at = data, cut_at
            vfs.mount(vfs.VfsFat(card), _TOP)
            tree = Boot(_TOP + "/ota-app", _TOP + "/ota-state").spare
            return tree, tree.space()[1]


if __name__ == "__main__":
    unittest.main()
