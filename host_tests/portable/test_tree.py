# SPDX-License-Identifier: MIT
"""FileList and TreeInstall: the list's rules, and that a tree comes to hold what a list says."""

import io
import unittest
from hashlib import sha256

from ota.errors import ImageError, StoreError
from ota.image.tree import LIST, Content, FileList, TreeInstall

BLOCK = 4096


def entry(path, data, digest=32, size=None):
    """One entry of a file list, as SPEC 7 has it."""
    path = path if isinstance(path, bytes) else path.encode()
    out = bytes((len(path),)) + path
    out += (len(data) if size is None else size).to_bytes(4, "little")
    for at in range(0, len(data), BLOCK):
        out += sha256(data[at : at + BLOCK]).digest()[:digest]
    return out


def listed(files, digest=32):
    return b"".join([entry(path, files[path], digest) for path in sorted(files)])


def image(files):
    return b"".join([files[path] for path in sorted(files)])


def parse(files, digest=32):
    return FileList(io.BytesIO(listed(files, digest)), None, BLOCK, digest)


def parse_paths(*paths):
    return FileList(io.BytesIO(b"".join([entry(path, b"x") for path in paths])))


def noise(count, seed=1):
    out = b""
    while len(out) < count:
        out += sha256(b"%d %d" % (seed, len(out))).digest()
    return out[:count]


FILES = {
    "assets/empty": b"",
    "assets/picture.bin": noise(3 * BLOCK + 5),
    "boot.cfg": b"cfg",
    "empty": b"",
    "lib/a.py": b"a = 1\n",
    "lib/a/b.mpy": noise(BLOCK),
    "lib/ota/x.py": noise(2 * BLOCK, 2),
    "main.py": b"print(1)\n",
}


class MemoryTree:
    """A Tree in RAM. Its file system has folders, and says so when one is missing."""

    size = 1 << 20

    def __init__(self, files=None, folders=(), free=1 << 20):
        self.files = {}
        self.folders = set(folders)
        self.free = free
        self.log = []  # what was changed: ("erase",), ("remove", path), ("write", path, at)
        for path, data in (files or {}).items():
            self.put(path, data)

    def put(self, path, data):
        steps = path.split("/")
        for end in range(1, len(steps)):
            assert "/".join(steps[:end]) not in self.files, path
            self.folders.add("/".join(steps[:end]))
        assert path not in self.folders, path
        self.files[path] = bytearray(data)

    def seal(self, digest=32):
        self.files[LIST] = bytearray(listed(self.files, digest))
        return self

    def space(self):
        return BLOCK, self.free

    def identity(self):
        if LIST not in self.files:
            return None
        return "".join(["%02x" % c for c in sha256(self.files[LIST]).digest()])

    def length(self, path):
        if not path:
            return -2 if self.files else -1
        return -2 if path in self.folders else len(self.files[path]) if path in self.files else -1

    def names(self):
        for path in list(self.files):
            yield path, len(self.files[path])
        for path in sorted(self.folders, reverse=True):
            yield path, -2

    def readinto(self, path, at, buf):
        data = self.files.get(path, b"")[at : at + len(buf)]
        buf[: len(data)] = data
        return len(data)

    def write(self, path, at, data):
        self.log.append(("write", path, at))
        if not at:
            self.put(path, b"")
        assert at <= len(self.files[path]), "a hole"
        self.files[path][at : at + len(data)] = data

    def flush(self):
        pass

    def remove(self, path):
        self.log.append(("remove", path))
        if path in self.folders:
            assert not [p for p in self.files if p.startswith(path + "/")], path
            self.folders.remove(path)
        else:
            del self.files[path]

    def erase(self, block):
        self.log.append(("erase",))
        self.files.pop(LIST, None)

    def content(self):
        return {path: bytes(data) for path, data in self.files.items() if path != LIST}


class TestFileList(unittest.TestCase):
    def test_index(self):
        for digest in (16, 32):
            files = parse(FILES, digest)
            whole = image(FILES)
            self.assertEqual(files.length, len(whole))
            self.assertEqual(files.count, 10)
            self.assertEqual(files.identity, sha256(listed(FILES, digest)).digest().hex())
            at = 0
            for block in range(files.count):
                self.assertEqual(files.start(block), at)
                data = whole[at : at + files.content(block)]
                self.assertTrue(files.matches(block, data))
                self.assertFalse(files.matches(block, data + b"\xff"))
                self.assertFalse(files.matches(block, data[:-1]))
                at += len(data)
            self.assertEqual(at, len(whole))
            for number, path in enumerate(sorted(FILES)):
                self.assertEqual(files.path(number), path)
                self.assertEqual(files.size(number), len(FILES[path]))
                self.assertEqual(files.find(path), number)
                self.assertEqual(files.find(path + "!"), number + 1)

    def test_blocks_in_any_order(self):
        files = parse(FILES)
        whole = image(FILES)
        for block in list(range(9, -1, -1)) + [3, 4, 0, 9, 9, 5]:
            at = files.start(block)
            self.assertTrue(files.matches(block, whole[at : at + files.content(block)]))
            files.path(block % files.files)

    def test_file_of_each_byte(self):
        files = parse(FILES)
        names = [p for p in sorted(FILES) for _ in FILES[p]]
        for offset in range(0, len(names), 511):
            self.assertEqual(files.path(files.file_at(offset)), names[offset])

    def test_good_paths(self):
        for paths in (
            ("main.py",),
            ("A-b_c.1", "a/b/c/d/e/f/g/h"),
            ("lib/a", "lib/b", "lib2/a"),
            ("a-b", "a/b", "ab"),
            ("x" * 96,),
            (".hidden", "a/.x"),
        ):
            self.assertEqual(parse_paths(*paths).files, len(paths))

    def test_paths_that_leave_the_tree_or_hide(self):
        for path in (
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/.", "./a", "...",
            "a\\b", "a b", "a\0", "a\n", "a:b", "c:", "a%2e", "\u00e4", "a*", "~", "a.", "a./b",
            ".ota-list", "a/.ota-list", ".OTA-LIST", ".ota", ".Ota-x/y", "x" * 97,
            "a/b/c/d/e/f/g/h/i",
        ):  # fmt: skip
            with self.assertRaises(ImageError):
                parse_paths(path)

    def test_names_that_mean_the_same_on_fat(self):
        for paths in (
            ("A", "a"),
            ("a", "a/b"),
            ("A", "a/b"),
            ("A/b", "a/c"),
            ("A/b", "a"),
            ("lib/X/a", "lib/x/b"),
            ("A/a", "B/a", "a/b"),
        ):
            with self.assertRaises(ImageError):
                parse_paths(*paths)

    def test_order(self):
        for paths in (("b", "a"), ("a", "a"), ("a/b", "a-b"), ("b/a", "b/B")):
            with self.assertRaises(ImageError):
                parse_paths(*paths)

    def test_bounds(self):
        self.assertRaises(ImageError, FileList, io.BytesIO(b""))
        many = ["%04d" % n for n in range(1001)]
        with self.assertRaises(ImageError):
            FileList(io.BytesIO(b"".join([entry(path, b"") for path in many])))
        self.assertEqual(
            FileList(io.BytesIO(b"".join([entry(path, b"") for path in many[1:]]))).files, 1000
        )
        for size in ((1 << 24) + 1, 0xFFFFFFFF):
            with self.assertRaises(ImageError):
                FileList(io.BytesIO(entry("a", b"", size=size) + bytes(64)))
        with self.assertRaises(ImageError):  # 64 KiB of list
            FileList(io.BytesIO(entry("a", b"", size=2050 * BLOCK) + bytes(64)))
        for digest in (0, 15, 33):
            with self.assertRaises(ImageError):
                FileList(io.BytesIO(entry("a", b"x")), 1, BLOCK, digest)

    def test_length_of_the_image(self):
        good = listed(FILES)
        length = len(image(FILES))
        FileList(io.BytesIO(good), length)
        for wrong in (0, length - 1, length + 1):
            self.assertRaises(ImageError, FileList, io.BytesIO(good), wrong)

    def test_cut_short(self):
        good = listed(FILES)
        ends = set()
        for path in sorted(FILES):
            ends.add(len(listed({p: FILES[p] for p in FILES if p <= path})))
        for length in range(len(good)):
            if length not in ends:
                self.assertRaises(ImageError, FileList, io.BytesIO(good[:length]))

    def test_hostile_bytes(self):
        good = listed({"lib/a.py": b"a", "main.py": b"m"}, 16)
        for at in range(len(good)):
            for value in (0, 1, 0x2E, 0x2F, 0x5C, 0x7F, 0x80, 0xFF, good[at] ^ 0x20):
                data = bytearray(good)
                data[at] = value
                try:
                    files = FileList(io.BytesIO(data), None, BLOCK, 16)
                except ImageError:
                    continue
                for number in range(files.files):
                    for step in files.path(number).split("/"):
                        self.assertTrue(step.strip("."))
                        self.assertFalse(step.lower().startswith(".ota"))
        seed = b"list"
        for _ in range(300):
            seed = sha256(seed).digest()
            with self.assertRaises(ImageError):
                FileList(io.BytesIO(seed * 9))


class TestTreeInstall(unittest.TestCase):
    def install(self, tree, files, running=None, digest=32, stop_after=None):
        """Drive an install; return the bytes that were fetched. None: stopped on the way."""
        blocks = parse(files, digest)
        buf = memoryview(bytearray(BLOCK))
        install = TreeInstall(tree, blocks, buf, running or MemoryTree())
        whole = image(files)
        fetched = 0
        for _ in install.scan():
            pass
        while True:
            for _ in install.fill():
                pass
            run = install.next_run()
            if run is None:
                self.assertEqual(install.left, 0)
                return fetched
            for block in range(*run):
                if stop_after is not None and fetched >= stop_after:
                    return None
                at, count = blocks.start(block), blocks.content(block)
                buf[:count] = whole[at : at + count]
                install.put(block)
                fetched += count

    def check(self, tree, files, digest=32):
        self.assertEqual(tree.content(), files)
        self.assertEqual(bytes(tree.files[LIST]), listed(files, digest))
        wanted = set()
        for path in files:
            steps = path.split("/")
            wanted |= {"/".join(steps[:end]) for end in range(1, len(steps))}
        self.assertEqual(tree.folders, wanted)

    def test_into_nothing(self):
        for digest in (16, 32):
            tree = MemoryTree()
            self.assertEqual(self.install(tree, FILES, digest=digest), len(image(FILES)))
            self.check(tree, FILES, digest)

    def test_nothing_is_done_twice(self):
        tree = MemoryTree(FILES).seal()
        self.assertEqual(self.install(tree, FILES), 0)
        self.assertEqual(tree.log, [])

    def test_only_what_changed_is_fetched(self):
        running = MemoryTree(FILES).seal()
        new = dict(FILES, **{"lib/a.py": b"a = 2\n", "new": b"new"})
        changed = bytearray(FILES["assets/picture.bin"])
        changed[BLOCK] ^= 1
        new["assets/picture.bin"] = bytes(changed)
        before = running.content()
        tree = MemoryTree()
        self.assertEqual(self.install(tree, new, running), BLOCK + 6 + 3)
        self.check(tree, new)
        self.assertEqual(running.log, [])
        self.assertEqual(running.content(), before)

    def test_what_the_spare_tree_has_stays(self):
        tree = MemoryTree(FILES).seal()
        new = dict(FILES, **{"lib/a.py": b"a = 2\n"})
        self.assertEqual(self.install(tree, new), 6)
        self.check(tree, new)
        written = [what[1] for what in tree.log if what[0] == "write"]
        self.assertEqual(written, ["lib/a.py", LIST])
        self.assertEqual(tree.log[0], ("erase",))

    def test_stale_files_and_folders_go(self):
        old = {"lib/a.py/x": b"1", "old/deep/er/file": b"2", "main.py": b"3", "lib/ota/y": b"4"}
        tree = MemoryTree(old, folders=["void", "void/void", "empty"]).seal()
        self.install(tree, FILES)
        self.check(tree, FILES)

    def test_a_longer_file_is_begun_anew(self):
        tree = MemoryTree(dict(FILES, **{"lib/ota/x.py": FILES["lib/ota/x.py"] + b"#"}))
        self.install(tree, FILES)
        self.check(tree, FILES)

    def test_a_torn_file_is_continued(self):
        whole = FILES["assets/picture.bin"]
        torn = whole[: 2 * BLOCK] + b"torn"
        tree = MemoryTree({"assets/picture.bin": torn})
        self.assertEqual(self.install(tree, FILES), len(image(FILES)) - 2 * BLOCK)
        self.check(tree, FILES)
        at = [what[2] for what in tree.log if what[:2] == ("write", "assets/picture.bin")]
        self.assertEqual(at, [2 * BLOCK, 3 * BLOCK])

    def test_resume(self):
        whole = len(image(FILES))
        for stop in range(0, whole + BLOCK, BLOCK // 2):
            tree = MemoryTree()
            self.install(tree, FILES, stop_after=stop)
            held = sum([len(data) for data in tree.content().values()])
            self.assertEqual(self.install(tree, FILES), whole - held)
            self.check(tree, FILES)

    def test_wrong_bytes_are_not_written(self):
        tree = MemoryTree()
        buf = memoryview(bytearray(BLOCK))
        install = TreeInstall(tree, parse(FILES), buf, MemoryTree())
        for _ in install.scan():
            pass
        first, _ = install.next_run()
        tree.log = []
        for wrong in (bytes(BLOCK), FILES["assets/picture.bin"][BLOCK : 2 * BLOCK]):
            buf[:] = wrong
            self.assertRaises(ImageError, install.put, first)
        self.assertRaises(ValueError, install.put, first + 1)
        self.assertEqual(tree.log, [])
        buf[:] = FILES["assets/picture.bin"][:BLOCK]
        install.put(first)

    def test_unbootable_before_anything_else(self):
        tree = MemoryTree({"main.py": b"old", "x": b""}).seal()
        self.install(tree, FILES)
        self.assertEqual(tree.log[0], ("erase",))
        self.assertEqual(tree.log[-1], ("write", LIST, 0))

    def test_space_is_checked_first(self):
        for free in (0, 3 * BLOCK):
            tree = MemoryTree({"main.py": b"old"}, free=free).seal()
            with self.assertRaises(StoreError) as caught:
                self.install(tree, FILES)
            error = caught.exception
            self.assertEqual(error.args[0], "no space")
            self.assertTrue(error.args[1] > error.args[2])
            self.assertEqual(tree.log, [])
        # What is there already, and what will go, needs no space.
        tree = MemoryTree(dict(FILES, **{"lib/a.py": b"other"}), free=15 * BLOCK).seal()
        self.install(tree, FILES)
        # What began with little more than enough goes on with a little less after a power cut.
        for free, sealed in ((9, True), (9, False)):
            tree = MemoryTree(dict(FILES, **{"lib/a.py": b"other"}), free=free * BLOCK)
            if sealed:
                self.assertRaises(StoreError, self.install, tree.seal(), FILES)
            else:
                self.install(tree, FILES)
        tree = MemoryTree({"stale": bytes(46 * BLOCK)}, free=0).seal()
        self.install(tree, FILES)

    def test_what_reads_back_differently(self):
        class Liar(MemoryTree):
            def write(self, path, at, data):
                MemoryTree.write(self, path, at, b"?" + bytes(data)[1:])

        for files in (FILES, {"empty": b"", "x": b"x"}):
            self.assertRaises(StoreError, self.install, Liar(), files)

        class Loser(MemoryTree):
            def write(self, path, at, data):
                if path != "lib/a.py":
                    MemoryTree.write(self, path, at, data)

        tree = Loser()
        self.assertRaises(StoreError, self.install, tree, FILES)
        self.assertIsNone(tree.identity())

    def test_running_tree_that_changes_meanwhile(self):
        running = MemoryTree(FILES).seal()
        tree = MemoryTree()
        install = TreeInstall(tree, parse(FILES), memoryview(bytearray(BLOCK)), running)
        for _ in install.scan():
            pass
        running.files["main.py"] = bytearray(b"evil")
        self.assertRaises(StoreError, install.next_run)
        self.assertIsNone(tree.identity())
        self.assertFalse(b"evil" in list(tree.content().values()))

    def test_too_long_for_the_file_system(self):
        tree = MemoryTree()
        tree.size = len(image(FILES)) - 1
        self.assertRaises(ImageError, self.install, tree, FILES)


class TestContent(unittest.TestCase):
    def test_reads_across_files(self):
        whole = image(FILES)
        content = Content(MemoryTree(FILES), parse(FILES))
        self.assertEqual(content.length, len(whole))
        for offset in range(0, len(whole), 777):
            for count in (0, 1, 5000):
                count = min(count, len(whole) - offset)
                buf = bytearray(count)
                content.readinto(offset, buf)
                self.assertEqual(bytes(buf), whole[offset : offset + count])

    def test_beyond_the_end(self):
        content = Content(MemoryTree(FILES), parse(FILES))
        for offset, count in ((-1, 1), (content.length, 1), (0, content.length + 1)):
            self.assertRaises(ImageError, content.readinto, offset, bytearray(count))

    def test_a_file_is_gone(self):
        tree = MemoryTree(FILES)
        del tree.files["main.py"]
        content = Content(tree, parse(FILES))
        self.assertRaises(ImageError, content.readinto, content.length - 1, bytearray(1))


if __name__ == "__main__":
    unittest.main()
