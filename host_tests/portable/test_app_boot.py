# SPDX-License-Identifier: MIT
"""boards/app/boot.py, the real file, on real LittleFS and FAT: every way through it.

Each test makes a device with two trees whose `ota` only tells what was called, then boots it. The
chip is a few lines here; the whole of an ESP32 and of an RP2040 run it elsewhere (test_app_device,
test_app_rp2040), and every power cut in app_power_cuts. On CPython, which has neither file system,
this module has no tests.
"""

import os
import sys
import unittest
from binascii import crc32
from struct import pack

from ota.adapters.store import Store

try:
    import vfs
except ImportError:
    vfs = None

_SOFT_RESET = 5
_MARK = 0xD00000D0

OTA = """
import events
events.started("{0}")
def guard():
    events.guarded("{0}")
"""


class Reset(BaseException):
    pass


class Medium:
    """512 blocks of 512 bytes. `broken`: writing fails; `deaf`: it is ignored in silence."""

    def __init__(self, erases):
        self.data = bytearray(512 * 512)
        self.erases = erases
        self.writes = 0
        self.broken = self.deaf = False

    def _write(self, at, data):
        if self.broken:
            return -5
        self.writes += 1
        if not self.deaf:
            self.data[at : at + len(data)] = data
        return 0

    def readblocks(self, block, buf, offset=0):
        at = block * 512 + offset
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        return self._write(block * 512 + offset, buf)

    def ioctl(self, op, arg):
        if op == 6:
            return self._write(arg * 512, b"\xff" * 512) if self.erases else 0
        return {4: 512, 5: 512}.get(op, 0)


class Machine:
    """The modules `machine`, `micropython` and `time`."""

    SOFT_RESET = _SOFT_RESET
    DEEPSLEEP_RESET = 4

    def __init__(self):
        self.cause = 1
        self.mem32 = {_MARK: 0}
        self.watchdog = None
        self.interrupt = 3
        self.slept = None
        self.hurried = False

    def reset_cause(self):
        return self.cause

    def reset(self):
        raise Reset

    def WDT(self, timeout):
        self.watchdog = timeout

    def kbd_intr(self, char):
        self.interrupt = char

    def sleep(self, seconds):
        self.slept = seconds
        if self.hurried:
            raise KeyboardInterrupt


class Sys:
    def __init__(self, platform):
        for name in dir(sys):
            if not name.startswith("__"):
                setattr(self, name, getattr(sys, name))
        self.platform = platform
        self.print_exception = lambda error, *file: None


def record(content, sequence=1):
    data = pack("<4sII", b"OTA1", sequence, len(content)) + content
    return data + pack("<I", crc32(data))


if vfs:
    with open("boards/app/boot.py") as file:
        BOOT = file.read()

    class _Boots:
        platform = "esp32"

        def setUp(self):
            self.medium = Medium(self.file_system is vfs.VfsLfs2)
            self.file_system.mkfs(self.medium)
            self.machine = Machine()
            self.path = list(sys.path)
            self.modules = {}
            self.mount()
            os.mkdir("/ota-state")
            os.mkdir("/ota-app")
            for tree in "ab":
                self.write_tree(tree)

        def tearDown(self):
            vfs.umount("/")
            vfs.mount(vfs.VfsPosix(), "/")

        def mount(self):
            # Modules that tests need are loaded: the host's files are away from here on.
            vfs.umount("/")
            vfs.mount(self.file_system(self.medium), "/")

        def write(self, path, data):
            with open(path, "wb") as file:
                file.write(data)

        def write_tree(self, tree, ota=None):
            top = "/ota-app/" + tree
            for folder in (top, top + "/lib"):
                try:
                    os.mkdir(folder)
                except OSError:
                    pass
            self.write(top + "/lib/ota.py", (ota or OTA).format(tree).encode())
            self.write(top + "/.ota-list", b"list")

        def record(self):
            return Store("/ota-state").load("tree")

        def save(self, content):
            Store("/ota-state").save("tree", content)

        def started(self, tree):
            self.seen.append(tree)

        def guarded(self, tree):
            self.seen.append(tree.upper())
            self.interrupt_in_guard = self.machine.interrupt
            self.watchdog_in_guard = self.machine.watchdog

        def boot(self, soft=False):
            """Boot once; return what was called: "aA" for a tree that was started and guarded."""
            machine = self.machine
            machine.cause = _SOFT_RESET if soft else 1
            if not soft:
                self.mount()
                machine.mem32[_MARK] = 0
                machine.watchdog = None
            machine.interrupt = 3
            machine.slept = None
            self.seen = []
            self.ended = None
            ours = {
                "machine": machine,
                "micropython": machine,
                "time": machine,
                "events": self,
                "sys": Sys(self.platform),
            }
            before = {name: sys.modules.get(name) for name in ours}
            gone = [name for name in sys.modules if name == "ota" or name.startswith("ota.")]
            library = {name: sys.modules.pop(name) for name in gone}
            sys.modules.update(ours)
            sys.path[:] = ["", ".frozen", "/lib"]
            os.chdir("/")
            try:
                exec(compile(BOOT, "boot.py", "exec"), {"__name__": "__main__"})
            except Reset:
                self.ended = "reset"
            except (KeyboardInterrupt, SystemExit) as error:
                self.ended = type(error)
            finally:
                self.paths = list(sys.path)
                sys.path[:] = self.path
                for name in [name for name in sys.modules if name.split(".")[0] == "ota"]:
                    del sys.modules[name]
                sys.modules.update(library)
                for name, module in before.items():
                    if module is None:
                        del sys.modules[name]
                    else:
                        sys.modules[name] = module
            return "".join(self.seen)

        def assertQuiet(self, does, soft=False):
            """Booting does this and writes nothing."""
            before = self.medium.writes
            self.assertEqual(self.boot(soft), does)
            self.assertEqual(self.medium.writes, before)
            self.assertIsNone(self.ended)

        def assertFallsBack(self):
            """A trial of b that cannot be started ends with a reset, and a runs."""
            self.save(b"bN")
            self.boot()
            self.assertEqual(self.ended, "reset")
            self.assertEqual(self.boot(), "aA")
            self.assertEqual(self.record(), b"aV")
            self.assertQuiet("aA")

        # Records

        def test_without_a_record(self):
            self.assertQuiet("aA")
            self.assertEqual(self.paths[:2], ["/ota-app/a", "/ota-app/a/lib"])
            self.assertIsNone(self.machine.watchdog)

        def test_without_a_record_and_without_tree_a(self):
            os.remove("/ota-app/a/.ota-list")
            self.assertEqual(self.boot(), "bB")
            self.assertEqual(self.paths[:2], ["/ota-app/b", "/ota-app/b/lib"])
            self.assertEqual(self.record(), b"bV")
            self.assertQuiet("bB")

        def test_kept(self):
            for tree in "ab":
                self.save(tree.encode() + b"V")
                self.assertQuiet(tree + tree.upper())
                self.assertQuiet(tree + tree.upper(), soft=True)

        def test_a_try_is_given_once(self):
            self.save(b"bN")
            self.assertEqual(self.boot(), "bB")
            self.assertEqual(self.record(), b"bP")
            self.assertEqual(self.boot(), "aA")
            self.assertEqual(self.record(), b"aV")
            self.assertQuiet("aA")

        def test_trial_is_watched_before_its_code_runs(self):
            self.save(b"bN")
            self.boot()
            self.assertEqual(self.watchdog_in_guard, 8000)
            self.assertEqual(self.interrupt_in_guard, -1)
            self.save(b"bV")
            self.boot()
            self.assertIsNone(self.watchdog_in_guard)
            self.assertEqual(self.interrupt_in_guard, 3)

        def test_soft_reset_does_not_consume_a_try(self):
            self.assertQuiet("aA")
            self.save(b"bN")
            for _ in range(3):
                self.assertQuiet("aA", soft=True)
            self.assertEqual(self.record(), b"bN")
            self.assertEqual(self.boot(), "bB")
            for _ in range(3):
                self.assertQuiet("bB", soft=True)
            self.assertEqual(self.record(), b"bP")

        def test_soft_reset_after_the_trial_was_given_up(self):
            self.save(b"bN")
            self.boot()
            self.save(b"aV")
            self.assertQuiet("aA", soft=True)

        def test_the_newer_record_counts(self):
            for old, new in ((1, 2), (0xFFFFFFFF, 0), (0x7FFFFFFF, 0x80000000)):
                for number in (0, 1):
                    self.write("/ota-state/tree.%d" % number, record(b"aV", old))
                    self.write("/ota-state/tree.%d" % (1 - number), record(b"bV", new))
                    self.assertQuiet("bB")

        def test_a_damaged_record_does_not_count(self):
            good = record(b"bV", 7)
            damaged = [good[:length] for length in range(len(good))]
            damaged += [good[:at] + b"\x5a" + good[at + 1 :] for at in range(len(good))]
            damaged += [record(what, 7) for what in (b"", b"b", b"cV", b"bX", b"bVV", b"\xff\xff")]
            for data in damaged:
                self.write("/ota-state/tree.0", data)
                self.write("/ota-state/tree.1", b"")
                self.assertQuiet("aA")
                self.write("/ota-state/tree.1", record(b"bV", 6))
                self.assertQuiet("bB")

        def test_bytes_behind_a_record_are_ignored(self):
            self.write("/ota-state/tree.0", record(b"bV") + b"of a longer one")
            self.assertQuiet("bB")

        def test_its_records_are_those_of_the_store(self):
            for number in range(5):
                self.save(b"ba"[number & 1 :][:1] + b"N")
                self.boot()
                self.assertEqual(self.record(), b"ba"[number & 1 :][:1] + b"P")

        def test_no_state_folder(self):
            os.rmdir("/ota-state")
            self.assertQuiet("aA")

        # A file system that does not take the record

        # FatFs cannot even read any more, until the next reset, once a write has failed.
        if_writes_fail = "aA"

        def test_try_that_cannot_be_written_down_is_not_made(self):
            for trouble, does in (("broken", self.if_writes_fail), ("deaf", "aA")):
                self.save(b"bN")
                setattr(self.medium, trouble, True)
                for _ in range(2):
                    self.assertEqual(self.boot(), does)
                    self.assertEqual(self.machine.slept, None if does else 60)
                    self.assertIsNone(self.machine.watchdog)
                setattr(self.medium, trouble, False)
                self.mount()
                self.assertEqual(self.record(), b"bN")
                self.assertEqual(self.boot(), "bB")

        def test_trial_ends_even_if_that_cannot_be_written_down(self):
            self.save(b"bP")
            self.medium.broken = True
            for _ in range(2):
                self.assertEqual(self.boot(), "aA")
                self.assertIsNone(self.ended)

        # Trees that do not start

        def test_trial_without_a_whole_tree(self):
            os.remove("/ota-app/b/.ota-list")
            self.assertFallsBack()

        def test_trial_of_a_library_that_does_not_start(self):
            for source in (
                "1/0",
                "import no_such_module",
                "1 +",
                "def guard():\n raise OSError(5)",
                "def other():\n pass",
                "raise MemoryError",
            ):
                self.write_tree("b", source)
                self.assertFallsBack()

        def test_kept_tree_that_does_not_start(self):
            for source in ("1/0", "1 +", "import events\ndef guard():\n raise ValueError"):
                self.save(b"bV")
                self.write_tree("b", source)
                self.assertEqual(self.boot(), "aA")
                self.assertEqual(self.paths[:2], ["/ota-app/a", "/ota-app/a/lib"])
                self.assertFalse("/ota-app/b" in self.paths)
                self.assertEqual(self.record(), b"aV")
                self.assertQuiet("aA")

        def test_kept_tree_without_its_library(self):
            self.save(b"bV")
            os.remove("/ota-app/b/lib/ota.py")
            self.assertEqual(self.boot(), "aA")
            self.assertEqual(self.record(), b"aV")

        def test_what_a_failed_library_loaded_is_forgotten(self):
            self.save(b"bV")
            self.write("/ota-app/b/lib/part.py", b"TREE = 'b'")
            self.write("/ota-app/a/lib/part.py", b"TREE = 'a'")
            self.write_tree("b", "import part\n1/0")
            self.write_tree("a", "import part\n" + OTA + "\nassert part.TREE == 'a'")
            self.assertEqual(self.boot(), "aA")

        def test_trial_after_which_the_old_tree_does_not_start(self):
            self.save(b"bP")
            self.write_tree("a", "1/0")
            self.assertEqual(self.boot(), "bB")
            self.assertEqual(self.record(), b"bV")
            self.assertQuiet("bB")

        def test_no_tree_starts(self):
            for tree in "ab":
                self.write_tree(tree, "1/0")
            for content in (b"aV", b"bV", b"aP", None):
                if content:
                    self.save(content)
                self.assertNothingStarts()

        def assertNothingStarts(self):
            """It tries again in a minute, unless somebody types Ctrl-C; nothing wears."""
            before = self.medium.writes
            for self.machine.hurried, ended in ((False, "reset"), (True, KeyboardInterrupt)):
                self.assertEqual(self.boot(), "")
                self.assertEqual((self.ended, self.machine.slept), (ended, 60))
                self.assertEqual(self.paths, ["", ".frozen", "/lib"])
                self.assertEqual(self.machine.interrupt, 3)
            self.assertEqual(self.medium.writes, before)
            self.machine.hurried = False

        def test_no_trees(self):
            for tree in "ab":
                os.remove("/ota-app/" + tree + "/.ota-list")
                os.remove("/ota-app/" + tree + "/lib/ota.py")
                os.rmdir("/ota-app/" + tree + "/lib")
                os.rmdir("/ota-app/" + tree)
            self.assertNothingStarts()

        def test_no_tree_starts_after_a_soft_reset(self):
            """mpremote is at work: it gets its REPL at once."""
            self.boot()
            for tree in "ab":
                self.write_tree(tree, "1/0")
            self.assertQuiet("", soft=True)
            self.assertIsNone(self.machine.slept)

        # What is no failure

        def test_interrupt_and_exit_are_no_failures(self):
            for name in ("KeyboardInterrupt", "SystemExit"):
                for content, soft in ((b"bV", False), (b"bP", True)):
                    self.save(content)
                    self.write_tree("b", "def guard():\n raise " + name)
                    before = self.medium.writes
                    self.boot(soft=not soft)
                    self.boot(soft)
                    if content == b"bV":
                        self.assertEqual(self.medium.writes, before)
                        self.assertEqual(self.record(), b"bV")
                        self.assertEqual(self.ended.__name__, name)

        def test_interrupt_on_trial_keeps_it(self):
            self.save(b"bN")
            self.assertEqual(self.boot(), "bB")
            self.write_tree("b", "def guard():\n raise KeyboardInterrupt")
            before = self.medium.writes
            self.boot(soft=True)
            self.assertEqual(self.medium.writes, before)
            self.assertEqual(self.record(), b"bP")

        # Shadows

        def test_a_stale_library_shadows_nothing(self):
            os.mkdir("/lib")
            for path in ("/lib/ota.py", "/ota.py"):
                self.write(path, b"1/0")
            self.assertQuiet("aA")

        def test_a_tree_without_a_library_takes_the_device_s(self):
            os.mkdir("/lib")
            self.write("/lib/ota.py", OTA.format("l").encode())
            os.remove("/ota-app/a/lib/ota.py")
            self.assertQuiet("lL")

    class TestLittleFS(_Boots, unittest.TestCase):
        file_system = vfs.VfsLfs2

    class TestFat(_Boots, unittest.TestCase):
        file_system = vfs.VfsFat
        if_writes_fail = ""

    class TestRp2(_Boots, unittest.TestCase):
        file_system = vfs.VfsLfs2
        platform = "rp2"

    class TestElsewhere(_Boots, unittest.TestCase):
        """A port of which nobody knows how to tell a soft reset: every start is a hard one."""

        file_system = vfs.VfsLfs2
        platform = "samd"

        def test_soft_reset_does_not_consume_a_try(self):
            self.save(b"bN")
            self.assertEqual(self.boot(soft=True), "bB")

        def test_trial_is_watched_before_its_code_runs(self):
            self.save(b"bN")
            self.boot()
            self.assertIsNone(self.watchdog_in_guard)

        def test_interrupt_on_trial_keeps_it(self):
            pass

        def test_no_tree_starts_after_a_soft_reset(self):
            pass


if __name__ == "__main__":
    unittest.main()
