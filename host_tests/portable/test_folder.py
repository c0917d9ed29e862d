# SPDX-License-Identifier: MIT
"""Folder: ranges, absent files, paths that would leave the directory, a file that changes."""

import asyncio
import os
import unittest

from ota.adapters.folder import Folder
from ota.errors import FetchError

try:
    import tempfile

    vfs = None
except ImportError:
    import vfs

_CONTENT = bytes(range(256)) * 20


class _Ram:
    def __init__(self):
        self._data = bytearray(128 * 512)

    def readblocks(self, n, buf, off=0):
        at = n * 512 + off
        buf[:] = self._data[at : at + len(buf)]

    def writeblocks(self, n, buf, off=0):
        at = n * 512 + off
        self._data[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        return {4: 128, 5: 512}.get(op, 0)


class TestFolder(unittest.TestCase):
    def setUp(self):
        if vfs:
            device = _Ram()
            vfs.VfsLfs2.mkfs(device)
            vfs.mount(vfs.VfsLfs2(device), "/t")
            self.root = "/t"
        else:
            self._temporary = tempfile.TemporaryDirectory()
            self.root = self._temporary.name
        os.mkdir(self.root + "/card")
        os.mkdir(self.root + "/card/fw")
        self.put("card/fw/image.bin", _CONTENT)
        self.put("card/empty", b"")
        self.put("secret", b"outside")
        self.folder = Folder(self.root + "/card")

    def tearDown(self):
        if vfs:
            vfs.umount("/t")
        else:
            self._temporary.cleanup()

    def put(self, file, data):
        with open(self.root + "/" + file, "wb") as f:
            f.write(data)

    def fetch(self, *args, size=100):
        async def run():
            body = await self.folder.open(*args)
            got = b""
            buf = bytearray(size)
            while True:
                n = await body.readinto(buf)
                if not n:
                    break
                got += buf[:n]
                self.assertTrue(n == size or len(got) == body.length)
            await body.close()
            await body.close()
            self.assertEqual(len(got), body.length)
            return got

        return asyncio.run(run())

    def refused(self, error, *args):
        with self.assertRaises(error) as caught:
            asyncio.run(self.folder.open(*args))
        return caught.exception

    def test_whole_file(self):
        self.assertEqual(self.fetch("fw/image.bin"), _CONTENT)
        self.assertEqual(self.fetch("empty"), b"")

    def test_ranges(self):
        n = len(_CONTENT)
        for start, end in ((0, 1), (0, n), (5, 5000), (4096, n), (n - 1, n), (7, 8)):
            self.assertEqual(self.fetch("fw/image.bin", start, end), _CONTENT[start:end])
        self.assertEqual(self.fetch("fw/image.bin", 4096), _CONTENT[4096:])

    def test_range_outside_the_file(self):
        n = len(_CONTENT)
        for args in ((0, n + 1), (n,), (n + 5,), (n, n + 1)):
            self.assertIsNone(self.refused(FetchError, "fw/image.bin", *args).status)

    def test_range_that_is_none(self):
        for args in ((-1,), (0, 0), (5, 5), (5, 4), (-3, -1)):
            self.refused(ValueError, "fw/image.bin", *args)

    def test_absent_file_is_404(self):
        self.assertEqual(self.refused(FetchError, "fw/none").status, 404)
        self.assertEqual(self.refused(FetchError, "none/none").status, 404)

    def test_absent_folder_is_no_404(self):
        self.folder = Folder(self.root + "/no-card")
        self.assertIsNone(self.refused(FetchError, "fw/image.bin").status)

    def test_paths_that_would_leave_the_folder(self):
        for path in (
            "../secret", "fw/../../secret", "..", ".", "", "/etc/passwd", "fw//image.bin", "fw/",
            "./empty", "...", "..\\secret", "fw\\image.bin", "em\npty", "em pty", "empty\0", "é",
            "\x7f",
        ):  # fmt: skip
            self.refused(ValueError, path)

    def test_dots_inside_a_name_are_fine(self):
        self.put("card/1..x.json", b"{}")
        self.assertEqual(self.fetch("1..x.json"), b"{}")

    def test_file_that_shrinks_while_it_is_read(self):
        async def run():
            body = await self.folder.open("fw/image.bin")
            self.assertEqual(await body.readinto(bytearray(16)), 16)
            body._file.close()
            self.put("card/fw/image.bin", b"x" * 40)
            body._file = open(self.root + "/card/fw/image.bin", "rb")
            with self.assertRaises(FetchError):
                await body.readinto(bytearray(100))
            await body.close()

        asyncio.run(run())

    def test_close_never_raises(self):
        asyncio.run(self.folder.close())
        asyncio.run(self.folder.close())


if __name__ == "__main__":
    unittest.main()
