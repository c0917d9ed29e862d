# SPDX-License-Identifier: MIT
"""NVS of the simulated ESP32, and the floors that the adapter keeps in it."""

import unittest

from sim import image, table
from sim.chip import Board, esp32
from sim.flash import TEARS, Flash, PowerCut

IMAGE = image.build()
NVS = esp32.NVS
START, SIZE = 0x9000, 0x4000


def fill():
    """Fill NVS to its last entry; return how many numbers, key0 and on, are in it."""
    nvs = NVS("other")
    for number in range(3):
        nvs.set_blob("blob%d" % number, bytes(3000))
    number = 0
    while True:
        try:
            nvs.set_i32("key%d" % number, number)
        except OSError:
            return number
        number += 1


class _Case(unittest.TestCase):
    rows = table.SMALL

    def setUp(self):
        self.board = Board(Flash(table.SMALL_SIZE))
        self.board.format(self.rows, IMAGE)
        self.board.power_on()
        self.board.install()
        self.addCleanup(self.board.uninstall)

    def fails(self, code, name, function, *args):
        with self.assertRaises(OSError) as caught:
            function(*args)
        self.assertEqual(caught.exception.args, (-code, "ESP_ERR_NVS_" + name))

    def boot(self):
        from ota_esp32 import Boot

        return Boot()


class TestNvs(_Case):
    def test_values_outlive_a_reset(self):
        NVS("one").set_i32("key", -5)
        NVS("two").set_i32("key", 7)
        NVS("one").set_i32("other", 1)
        self.board.reset()
        self.assertEqual(NVS("one").get_i32("key"), -5)
        self.assertEqual(NVS("two").get_i32("key"), 7)
        self.assertEqual(NVS("one").get_i32("other"), 1)

    def test_commit_is_not_needed(self):
        NVS("ota").set_i32("key", 1)
        self.board.reset()
        self.assertEqual(NVS("ota").get_i32("key"), 1)
        self.assertIsNone(NVS("ota").commit())

    def test_errors(self):
        nvs = NVS("a" * 15)
        nvs.set_i32("k" * 15, 1)
        self.fails(0x1102, "NOT_FOUND", nvs.get_i32, "key")
        self.fails(0x1102, "NOT_FOUND", nvs.erase_key, "key")
        self.fails(0x1102, "NOT_FOUND", nvs.get_blob, "k" * 15, bytearray(9))
        self.fails(0x1109, "KEY_TOO_LONG", nvs.get_i32, "k" * 16)
        self.fails(0x1109, "KEY_TOO_LONG", nvs.set_i32, "k" * 16, 1)
        self.fails(0x1109, "KEY_TOO_LONG", NVS, "a" * 16)
        self.fails(0x1106, "INVALID_NAME", NVS, "")
        self.assertRaises(OverflowError, nvs.set_i32, "k", 1 << 31)
        nvs.set_blob("blob", b"12345678")
        self.fails(0x110C, "INVALID_LENGTH", nvs.get_blob, "blob", bytearray(7))

    def test_an_object_of_an_earlier_life_is_dead(self):
        nvs = NVS("ota")
        self.board.reset()
        self.assertRaises(PowerCut, nvs.get_i32, "key")

    def test_a_new_value_costs_three_programs_and_the_same_one_none(self):
        nvs = NVS("ota")
        nvs.set_i32("key", 1)
        self.board.flash.trace = trace = []
        nvs.set_i32("key", 2)
        # Entry 2 (behind the namespace and the old value), its mark, and the old one's.
        entry = START + 64 + 2 * 32
        marks = START + 32
        self.assertEqual(
            trace, [("program", entry, 32), ("program", marks, 4), ("program", marks, 4)]
        )
        del trace[:]
        nvs.set_i32("key", 2)
        self.assertEqual(trace, [])

    def test_full_pages_are_freed_and_nothing_is_lost(self):
        nvs = NVS("ota")
        nvs.set_i32("first", 42)
        for number in range(700):
            nvs.set_i32("key", number)
            if number % 90 == 0:
                self.board.reset()
                nvs = NVS("ota")
                self.assertEqual(nvs.get_i32("key"), number)
        self.board.reset()
        self.assertEqual(NVS("ota").get_i32("key"), 699)
        self.assertEqual(NVS("ota").get_i32("first"), 42)
        erases = self.board.flash.erases[START // 4096 : (START + SIZE) // 4096]
        self.assertEqual(sum(erases), 3)  # for pages 4 to 6: one of the four stays free

    def test_full(self):
        written = fill()
        self.fails(0x1105, "NOT_ENOUGH_SPACE", NVS("other").set_i32, "one more", 1)
        self.board.reset()
        self.assertTrue(written > 60)
        for number in range(written):
            self.assertEqual(NVS("other").get_i32("key%d" % number), number)
        # A change needs an entry too, besides that of the old value.
        self.fails(0x1105, "NOT_ENOUGH_SPACE", NVS("other").set_i32, "key0", 99)
        NVS("other").erase_key("key1")
        NVS("other").set_i32("key0", 99)
        self.assertEqual(NVS("other").get_i32("key0"), 99)

    def test_blobs(self):
        nvs = NVS("ota")
        contents = [bytes([n % 251 for n in range(length)]) for length in (0, 5, 32, 33, 4500)]
        for content in contents:
            nvs.set_blob("blob", content)
            nvs.set_blob("too", content + b"!")
            self.board.reset()
            nvs = NVS("ota")
            for key, expected in (("blob", content), ("too", content + b"!")):
                buf = bytearray(5000)
                self.assertEqual(nvs.get_blob(key, buf), len(expected))
                self.assertEqual(bytes(buf[: len(expected)]), expected)
        self.fails(0x110E, "VALUE_TOO_LONG", nvs.set_blob, "blob", bytes(3 * 4000 + 1))
        nvs.erase_key("blob")
        self.fails(0x1102, "NOT_FOUND", nvs.get_blob, "blob", bytearray(1))

    def test_garbage_is_started_anew(self):
        for content in (b"\x00" * 4096, b"\xfe" + b"\xff" * 3, bytes(range(256)) * 16):
            for page in range(4):
                self.board.flash.write(START + 4096 * page, content)
            self.board.reset()
            nvs = NVS("ota")
            nvs.set_i32("key", 3)
            self.board.reset()
            self.assertEqual(NVS("ota").get_i32("key"), 3)

    def _sweep(self, prepare, change, old, new):
        """Cut power in each operation of `change`: the old value is there, or the new one."""
        flash = self.board.flash
        prepare()
        before = flash.snapshot()
        for tear in TEARS:
            number = 0
            while True:
                flash.restore(before)
                self.board.reset()
                flash.cut_at = flash.ops + number
                flash.tear = tear
                try:
                    change()
                    flash.cut_at = None
                    break
                except PowerCut:
                    pass
                flash.cut_at = None
                self.board.power_on()
                self.assertIn(self.value(), (old, new))
                change()
                self.board.reset()
                # A torn entry whose first word is blank is written over: NVS loses the value.
                expected = (new,) if tear in ("before", "after", "head", "dirt") else (None, new)
                self.assertIn(self.value(), expected)
                number += 1
            self.assertTrue(number > 2)

    def value(self):
        try:
            return NVS("ota").get_i32("key")
        except OSError:
            return None

    def test_cut_while_a_value_is_written(self):
        def prepare():
            NVS("ota").set_i32("key", 1)

        self._sweep(prepare, lambda: NVS("ota").set_i32("key", 2), 1, 2)

    def test_cut_while_a_page_is_freed(self):
        def prepare():
            for number in range(3 * 126 - 3):
                NVS("ota").set_i32("key", number)

        count = 3 * 126 - 4
        self._sweep(prepare, lambda: NVS("ota").set_i32("key", 7000), count, 7000)


class TestFloors(_Case):
    def test_floors_outlive_the_file_system(self):
        boot = self.boot()
        self.assertEqual((boot.root_floor, boot.seq_floor), (0, 0))
        boot.raise_root_floor(3)
        boot.raise_seq_floor(40)
        self.board.flash.wipe(0x30000, 0x50000)
        self.board.reset()
        boot = self.boot()
        self.assertEqual((boot.root_floor, boot.seq_floor), (3, 40))

    def test_floors_only_rise(self):
        boot = self.boot()
        for version, floor in ((5, 5), (4, 5), (0, 5), (-1, 5), (6, 6), (1 << 40, 0x7FFFFFFF)):
            boot.raise_root_floor(version)
            self.assertEqual(boot.root_floor, floor)
        self.assertEqual(boot.seq_floor, 0)

    def test_the_same_floor_again_writes_nothing(self):
        boot = self.boot()
        boot.raise_root_floor(5)
        before = self.board.flash.ops
        boot.raise_root_floor(5)
        boot.raise_root_floor(4)
        self.assertEqual(self.board.flash.ops, before)

    def test_nonsense_of_another_hand_is_no_floor(self):
        NVS("ota").set_i32("root0", -7)
        NVS("ota").set_blob("root1", b"12345678")
        boot = self.boot()
        self.assertEqual(boot.root_floor, 0)
        boot.raise_root_floor(2)
        self.assertEqual(boot.root_floor, 2)

    def test_full_nvs_stops_nothing(self):
        fill()
        boot = self.boot()
        boot.raise_root_floor(2)
        self.assertEqual(boot.root_floor, 0)

    def test_every_cut_leaves_the_old_floor_or_the_new_one(self):
        # Also when the next raise is cut: a value that NVS loses is never the only one.
        flash = self.board.flash
        for start in (1, 2):
            flash.wipe(START, SIZE)
            self.board.reset()
            for version in range(1, start + 1):
                self.boot().raise_root_floor(version)
            before = flash.snapshot()
            for tear in TEARS:
                for first in range(5):
                    for second in range(0, 5, 2):
                        flash.restore(before)
                        for number in (first, second):
                            self.board.power_on()
                            flash.cut_at = flash.ops + number
                            flash.tear = tear
                            try:
                                self.boot().raise_root_floor(9)
                            except PowerCut:
                                pass
                            flash.cut_at = None
                            self.board.power_on()
                            self.assertIn(self.boot().root_floor, (start, 9))
                        self.boot().raise_root_floor(9)
                        self.boot().raise_root_floor(10)
                        self.assertIn(self.boot().root_floor, (9, 10))


class TestWithoutNvs(_Case):
    rows = table.SMALL_SINGLE

    def test_a_board_without_nvs_keeps_no_floor(self):
        self.fails(0x1101, "NOT_INITIALIZED", NVS, "ota")
        boot = self.boot()
        boot.raise_root_floor(3)
        boot.raise_seq_floor(3)
        self.assertEqual((boot.root_floor, boot.seq_floor), (0, 0))
