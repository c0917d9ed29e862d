# SPDX-License-Identifier: MIT
"""Store on real LittleFS and FAT, with the power cut at every write and erase of the medium.

The block devices are in RAM and die at operation `cut_at`, which they do only in part; from then
on nothing reaches them. After each cut the file system is mounted anew from what the medium holds.
On CPython, which has neither file system, this module has no tests.
"""

import os
import unittest

from ota.adapters.store import Store
from ota.errors import StoreError

try:
    import vfs
except ImportError:
    vfs = None


class PowerCut(BaseException):
    pass


class _Medium:
    """Bytes that are written and erased in part when the power goes at operation `cut_at`."""

    def __init__(self, data, cut_at=None, tear=0):
        self.data = data
        self.operations = 0
        self.dead = False
        self._cut_at = cut_at
        self._tear = tear

    def _write(self, at, new):
        if self.dead:
            return 0  # dead: what is closed or collected from here on reaches nothing
        self.operations += 1
        if self.operations == self._cut_at:
            self.dead = True
            self.torn(at, new)
            raise PowerCut
        self.data[at : at + len(new)] = new
        return 0

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // self.block
        if op == 5:
            return self.block
        if op == 6:
            return self._write(arg * self.block, b"\xff" * self.block) if self.erases else 0
        return 0

    def readblocks(self, n, buf, off=0):
        at = n * self.block + off
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        return self._write(n * self.block + off, buf)


class _Flash(_Medium):
    """NOR flash: a torn operation leaves some bytes old, some new, and one half done."""

    block = 512
    erases = True

    def torn(self, at, new):
        n = len(new) * self._tear // 3
        self.data[at : at + n] = new[:n]
        if n < len(new):
            self.data[at + n] ^= 0x5A & ~new[n]


class _Card(_Medium):
    """An SD card: of the sectors of one write some are new, one perhaps in its first part only."""

    block = 512
    erases = False

    def torn(self, at, new):
        n = len(new) * self._tear // 3
        self.data[at : at + n] = new[:n]


_CONTENTS = (b"a" * 40, b"bb" * 500, b"c", b"dd" * 700, b"ee" * 680, b"f" * 90, b"g" * 1300)
_OTHER = b"another record" * 9
_DOCUMENT = b"a document" * 70


def _save(content):
    return lambda store: store.save("trust", content)


if vfs:

    class _Cuts:
        tears = (0, 1, 2, 3)

        def mount(self, medium):
            return self.file_system(medium)

        def run_device(self, medium, act):
            """Boot with `medium`, run `act(store)`, and pull the plug in any case."""
            vfs.mount(self.mount(medium), "/t")
            try:
                return act(Store("/t/ota-state"))
            except (PowerCut, StoreError):
                # LittleFS, which reads back what it writes, may complain about a dead medium.
                if not medium.dead:
                    raise
            finally:
                vfs.umount("/t")

        def prepared(self, saved):
            """A medium that holds another record, a document, and the first `saved` contents."""
            device = self.medium(bytearray(64 * 512))
            self.file_system.mkfs(device)

            def act(store):
                os.mkdir("/t/ota-state")
                store.save("other", _OTHER)
                f = store.create("document")
                f.write(_DOCUMENT)
                f.close()
                for content in _CONTENTS[:saved]:
                    store.save("trust", content)

            self.run_device(device, act)
            return device.data

        def check(self, *expected):
            """An act that finds one of the expected records, and all else untouched."""

            def act(store):
                got = store.load("trust")
                self.assertIn(got, expected)
                self.assertEqual(store.load("other"), _OTHER)
                f = store.open("document")
                buf = bytearray(len(_DOCUMENT) + 1)
                self.assertEqual(buf[: f.readinto(buf)], _DOCUMENT)
                f.close()
                return got

            return act

        def every_cut(self, data, act):
            """Yield each medium that a cut of `act` can leave, until `act` survives."""
            for tear in self.tears:
                cut_at = 1
                while True:
                    device = self.medium(bytearray(data), cut_at, tear)
                    self.run_device(device, act)
                    if not device.dead:
                        break
                    yield device.data
                    cut_at += 1

        def test_a_cut_save_leaves_the_old_or_the_new_record(self):
            for i in range(len(_CONTENTS)):
                old = _CONTENTS[i - 1] if i else None
                new = _CONTENTS[i]
                seen = set()
                for data in self.every_cut(self.prepared(i), _save(new)):
                    device = self.medium(data)
                    seen.add(self.run_device(device, self.check(old, new)))
                    # The next save works, and so does the one after: both files heal.
                    for content in (b"next" * 30, b"next but one" * 20):
                        self.run_device(device, _save(content))
                        self.run_device(device, self.check(content))
                self.assertEqual(seen, {old, new})

        def test_a_second_cut_while_saving_again(self):
            old, new = _CONTENTS[2], _CONTENTS[3]
            n = 0
            for data in self.every_cut(self.prepared(3), _save(new)):
                n += 1
                if n % 3:  # the first cut at a third of the places, the second one at all
                    continue
                for data2 in self.every_cut(data, _save(new)):
                    device = self.medium(data2)
                    self.run_device(device, self.check(old, new))
                    self.run_device(device, _save(b"next"))
                    self.run_device(device, self.check(b"next"))

        def test_many_cuts_do_not_eat_the_space(self):
            data = self.prepared(2)
            for i in range(150):
                content = (_CONTENTS[1], _CONTENTS[3])[i & 1]
                device = self.medium(data, 1 + i % 6, i % 4)
                self.run_device(device, _save(content))
            device = self.medium(data)
            self.run_device(device, _save(_CONTENTS[6]))
            self.run_device(device, self.check(_CONTENTS[6]))

    class TestLittleFS(_Cuts, unittest.TestCase):
        medium = _Flash
        file_system = vfs.VfsLfs2

    class TestFat(_Cuts, unittest.TestCase):
        medium = _Card
        file_system = vfs.VfsFat


if __name__ == "__main__":
    unittest.main()
