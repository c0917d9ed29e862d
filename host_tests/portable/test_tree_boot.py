# SPDX-License-Identifier: MIT
"""appdir.Tree and appdir.Boot on a real file system: the host's, under every interpreter.

`Device.hard_reset` does what boot.py promises (boards/app/boot.py itself runs in test_app_boot.py
and in the power cuts).
"""

import os
import sys
import unittest

from test_tree import BLOCK, FILES, image, listed, noise, parse

from ota.adapters.appdir import Boot
from ota.adapters.store import Store
from ota.errors import ImageError, StateError, StoreError
from ota.image.tree import LIST, TreeInstall


def remove(path):
    try:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    except OSError:
        try:
            os.remove(path)
        except OSError:
            pass


class Case(unittest.TestCase):
    def setUp(self):
        self.top = "build/trees-{}-{}".format(sys.implementation.name, _pid())
        remove(self.top)
        os.mkdir(self.top)
        os.mkdir(self.top + "/ota-state")
        self.write_tree("a", FILES)
        self.boot = self.new_boot()

    def tearDown(self):
        remove(self.top)

    def new_boot(self, letter=None):
        path = self.top + "/ota-app/" + (letter or "a")
        before = list(sys.path)
        if letter:
            sys.path.insert(0, path)
        try:
            return Boot(self.top + "/ota-app", self.top + "/ota-state")
        finally:
            sys.path[:] = before

    def hard_reset(self):
        store = Store(self.top + "/ota-state")
        record = store.load("tree") or b"aV"
        letter = chr(record[0])
        if record[1:] == b"N":
            store.save("tree", record[:1] + b"P")
        elif record[1:] == b"P":
            letter = "b" if letter == "a" else "a"
            store.save("tree", letter.encode() + b"V")
        self.boot = self.new_boot(letter)

    def write_tree(self, letter, files, digest=32):
        path = self.top + "/ota-app/" + letter
        remove(path)
        for name, data in list(files.items()) + [(LIST, listed(files, digest))]:
            at = path + "/" + name
            for end in range(len(self.top), len(at)):
                if at[end] == "/":
                    try:
                        os.mkdir(at[:end])
                    except OSError:
                        pass
            with open(at, "wb") as file:
                file.write(data)

    def content(self, letter):
        """Return path -> bytes of all files of a tree."""
        path = self.top + "/ota-app/" + letter
        found = {}
        folders = [""]
        for folder in folders:
            for name in os.listdir(path + "/" + folder):
                name = folder + name
                if os.stat(path + "/" + name)[0] & 0x4000:
                    folders.append(name + "/")
                else:
                    with open(path + "/" + name, "rb") as file:
                        found[name] = file.read()
        return found

    def install(self, files, digest=32):
        blocks = parse(files, digest)
        buf = memoryview(bytearray(BLOCK))
        install = TreeInstall(self.boot.spare, blocks, buf, self.boot.running)
        whole = image(files)
        fetched = 0
        for _ in install.scan():
            pass
        while True:
            run = install.next_run()
            if run is None:
                return fetched
            for block in range(*run):
                at, count = blocks.start(block), blocks.content(block)
                buf[:count] = whole[at : at + count]
                install.put(block)
                fetched += count

    def record(self):
        return Store(self.top + "/ota-state").load("tree")


NEW = dict(FILES, **{"main.py": b"print(2)\n", "lib/new.py": noise(5000, 3)})


class TestTree(Case):
    def test_install(self):
        for digest, fetched in ((32, 9 + 5000), (16, 0)):
            self.assertEqual(self.install(NEW, digest), fetched)
            self.assertEqual(self.content("b"), dict(NEW, **{LIST: listed(NEW, digest)}))
            self.assertEqual(self.install(NEW, digest), 0)
        self.assertEqual(self.content("a"), dict(FILES, **{LIST: listed(FILES)}))

    def test_install_over_another(self):
        old = {"main.py": b"old" * 3000, "lib/ota/x.py/y": b"1", "old/x": b"2", "lib/a": b""}
        self.write_tree("b", old)
        os.mkdir(self.top + "/ota-app/b/void")
        self.install(NEW)
        self.assertEqual(self.content("b"), dict(NEW, **{LIST: listed(NEW)}))
        self.assertFalse("void" in os.listdir(self.top + "/ota-app/b"))
        self.assertFalse("old" in os.listdir(self.top + "/ota-app/b"))

    def test_lengths(self):
        tree = self.boot.running
        self.assertEqual(tree.length("main.py"), 9)
        self.assertEqual(tree.length("assets/empty"), 0)
        self.assertEqual(tree.length("lib"), -2)
        self.assertEqual(tree.length("nothing"), -1)
        self.assertEqual(tree.length("main.py/x"), -1)

    def test_read(self):
        tree = self.boot.running
        buf = bytearray(4)
        self.assertEqual(tree.readinto("main.py", 6, buf), 3)
        self.assertEqual(bytes(buf[:3]), b"1)\n")
        self.assertEqual(tree.readinto("main.py", 9, buf), 0)
        self.assertEqual(tree.readinto("nothing", 0, buf), 0)

    def test_write_and_read_the_same_file(self):
        tree = self.boot.spare
        tree.write("x/y/z", 0, b"abc")
        tree.write("x/y/z", 3, b"def")
        buf = bytearray(9)
        self.assertEqual(tree.readinto("x/y/z", 0, buf), 6)
        tree.write("x/y/z", 2, b"C!")
        self.assertEqual(tree.length("x/y/z"), 6)
        self.assertEqual(tree.readinto("x/y/z", 0, buf), 6)
        self.assertEqual(bytes(buf[:6]), b"abC!ef")
        tree.write("x/y/z", 0, b"new")
        self.assertEqual(tree.length("x/y/z"), 3)

    def test_content_of_the_running_tree(self):
        for digest in (16, 32):
            self.write_tree("a", FILES, digest)
            content = self.boot.running.content()
            whole = image(FILES)
            buf = bytearray(len(whole))
            content.readinto(0, buf)
            self.assertEqual(bytes(buf), whole)
        self.assertIsNone(self.boot.spare.content())

    def test_running_tree_is_never_written(self):
        before = self.content("a")
        tree = self.boot.running
        self.assertRaises(StateError, tree.write, "main.py", 0, b"x")
        self.assertRaises(StateError, tree.write, "main.py", 3, b"x")
        self.assertRaises(StateError, tree.remove, "main.py")
        self.assertRaises(StateError, tree.erase, 0)
        self.assertEqual(self.content("a"), before)

    def test_a_folder_that_is_not_empty_stays(self):
        self.boot.spare.write("x/y", 0, b"")
        self.assertRaises(StoreError, self.boot.spare.remove, "x")

    def test_space(self):
        unit, free = self.boot.spare.space()
        self.assertTrue(unit > 0 and free > 0)
        self.assertTrue(0 < self.boot.spare.size <= 1 << 24)


class TestBoot(Case):
    def switch(self, files=NEW):
        self.install(files)
        self.boot.try_next(self.boot.spare)
        self.hard_reset()

    def assertSpareClosed(self):
        before = self.content(self.boot.spare.letter)
        self.assertRaises(StateError, self.boot.spare.erase, 0)
        self.assertRaises(StateError, self.boot.spare.write, "main.py", 0, b"x")
        self.assertRaises(StateError, self.boot.spare.remove, "main.py")
        self.assertEqual(self.content(self.boot.spare.letter), before)

    def test_fresh_device(self):
        self.assertEqual(self.boot.running.letter, "a")
        self.assertFalse(self.boot.on_trial)
        self.assertFalse(self.boot.switch_pending)
        self.assertEqual(self.boot.identity(self.boot.running), parse(FILES).identity)
        self.assertIsNone(self.boot.identity(self.boot.spare))
        self.boot.confirm()
        self.assertIsNone(self.record())
        self.assertRaises(StateError, self.boot.revert)

    def test_what_runs_is_said_before_the_other_can_start(self):
        """Without a record boot.py starts tree a: it must not do so when b runs."""
        self.write_tree("b", FILES)
        self.boot = self.new_boot("b")
        self.boot.spare.erase(0)
        self.assertEqual(self.record(), b"bV")

    def test_switch_trial_confirm(self):
        self.switch()
        self.assertEqual(self.boot.running.letter, "b")
        self.assertEqual(self.boot.identity(self.boot.running), parse(NEW).identity)
        self.assertTrue(self.boot.on_trial)
        self.assertFalse(self.boot.switch_pending)
        self.boot.confirm()
        for _ in range(2):
            self.assertFalse(self.boot.on_trial)
            self.assertEqual(self.record(), b"bV")
            self.hard_reset()
        self.assertEqual(self.boot.running.letter, "b")

    def test_updates_go_on_and_on(self):
        for number in range(4):
            files = dict(FILES, **{"main.py": b"%d" % number})
            self.switch(files)
            self.boot.confirm()
            self.assertEqual(self.boot.identity(self.boot.running), parse(files).identity)

    def test_unconfirmed_application_is_left_at_the_next_reset(self):
        self.switch()
        for _ in range(2):
            self.hard_reset()
            self.assertEqual(self.boot.running.letter, "a")
            self.assertFalse(self.boot.on_trial)
            self.assertFalse(self.boot.switch_pending)

    def test_revert(self):
        self.switch()
        self.boot.revert()
        self.assertTrue(self.boot.switch_pending)
        self.assertFalse(self.boot.on_trial)
        self.assertRaises(StateError, self.boot.confirm)
        self.assertRaises(StateError, self.boot.revert)
        self.assertRaises(StateError, self.boot.try_next, self.boot.spare)
        self.assertSpareClosed()
        self.hard_reset()
        self.assertEqual(self.boot.running.letter, "a")
        self.assertFalse(self.boot.on_trial)
        self.switch()
        self.assertTrue(self.boot.on_trial)

    def test_try_next_is_idempotent(self):
        self.install(NEW)
        for _ in range(3):
            self.boot.try_next(self.boot.spare)
        self.assertEqual(self.record(), b"bN")

    def test_nothing_is_allowed_while_a_switch_waits(self):
        self.install(NEW)
        self.boot.try_next(self.boot.spare)
        self.assertTrue(self.boot.switch_pending)
        self.assertSpareClosed()
        self.assertRaises(StateError, self.boot.confirm)
        self.assertRaises(StateError, self.boot.revert)
        self.assertRaises(StateError, self.boot.fall_back)

    def test_nothing_is_written_on_trial(self):
        self.switch()
        self.assertSpareClosed()
        self.assertRaises(StateError, self.boot.try_next, self.boot.spare)
        self.assertRaises(StateError, self.boot.fall_back)

    def test_running_tree_is_never_made_next(self):
        self.assertRaises(ValueError, self.boot.try_next, self.boot.running)
        self.assertIsNone(self.record())

    def test_bad_application_is_not_made_next(self):
        for name, data in (
            ("lib/new.py", noise(5000, 3)[:-1] + b"?"),
            ("lib/new.py", noise(4999, 3)),
            ("main.py", b""),
            (LIST, b""),
            (LIST, listed(NEW)[:-1]),
            (LIST, listed(FILES)),
        ):
            self.write_tree("b", NEW)
            with open(self.boot.spare.path + "/" + name, "wb") as file:
                file.write(data)
            self.assertFalse(self.boot.is_whole(self.boot.spare))
            self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.write_tree("b", NEW)
        self.assertTrue(self.boot.is_whole(self.boot.spare))
        self.boot.spare.erase(0)
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.record(), b"aV")

    def test_fall_back(self):
        self.assertRaises(StateError, self.boot.fall_back)
        self.switch()
        self.boot.confirm()
        self.boot.fall_back()
        self.assertTrue(self.boot.switch_pending)
        self.hard_reset()
        self.assertEqual(self.boot.running.letter, "a")
        self.assertFalse(self.boot.on_trial)

    def test_records_that_mean_nothing_count_as_none(self):
        for record in (b"", b"a", b"cV", b"aX", b"aVV", b"\xff\xfe", b"NA"):
            Store(self.top + "/ota-state").save("tree", record)
            self.boot = self.new_boot("a")
            self.assertFalse(self.boot.on_trial)
            self.assertFalse(self.boot.switch_pending)
            self.boot.spare.erase(0)
            self.assertEqual(self.record(), b"aV")

    def test_a_try_that_could_not_be_written_down_is_over(self):
        Store(self.top + "/ota-state").save("tree", b"bP")
        self.boot = self.new_boot("a")
        self.assertFalse(self.boot.on_trial)
        self.assertFalse(self.boot.switch_pending)
        self.boot.spare.erase(0)
        self.assertEqual(self.record(), b"aV")

    def test_without_boot_py_the_record_says_what_runs(self):
        for record, letter in ((b"aV", "a"), (b"bV", "b"), (b"bN", "a"), (b"aP", "a")):
            Store(self.top + "/ota-state").save("tree", record)
            self.assertEqual(self.new_boot().running.letter, letter)

    def test_slots_of_the_board_keep_what_is_theirs(self):
        class Board:
            root_floor = 3
            device_id = b"id"
            armed = None

            def raise_root_floor(self, version):
                self.root_floor = version

            def arm(self, ms):
                self.armed = ms

            def disarm(self):
                self.armed = None

        board = Board()
        boot = Boot(self.top + "/ota-app", self.top + "/ota-state", board)
        self.assertEqual(boot.device_id, b"id")
        boot.raise_root_floor(boot.root_floor + 1)
        self.assertEqual(board.root_floor, 4)
        boot.arm(5)
        self.assertEqual(board.armed, 5)
        boot.disarm()
        self.assertIsNone(board.armed)

    def test_check_image(self):
        self.boot.check_image(b"", 1)
        self.assertRaises(ImageError, self.boot.check_image, b"", self.boot.spare.size + 1)


def _pid():
    return os.getpid() if hasattr(os, "getpid") else sys.implementation._mpy ^ sys.maxsize >> 16


if __name__ == "__main__":
    unittest.main()
