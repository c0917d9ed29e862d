# SPDX-License-Identifier: MIT
"""The simulated ESP32 does what was seen on real firmware, entry by entry, its traps included."""

import struct
import unittest

from sim import image, table
from sim.chip import (
    ABORTED,
    DEEPSLEEP_RESET,
    INVALID,
    NEW,
    PENDING,
    UNDEFINED,
    VALID,
    Board,
    BootLoop,
    DeepSleep,
    HardReset,
    Panic,
    crc_of,
    entry,
    esp32,
    machine,
)
from sim.flash import TEARS, Flash, PowerCut

P = esp32.Partition
V1 = image.build(version="1", modules={"main.py": "print(1)"})
V2 = image.build(version="2", length=8192)
TABLE = table.build(table.SMALL)


class _Case(unittest.TestCase):
    rows = table.SMALL

    def setUp(self):
        self.board = Board(Flash(table.SMALL_SIZE))
        self.board.format(self.rows)
        for row in self.rows:
            if row[0] == table.APP:
                self.board.put(row[4], V1)
        self.board.install()

    def tearDown(self):
        self.board.uninstall()

    def boots(self, label, *otadata):
        self.board.reset()
        self.assertEqual(self.board.running[4], label)
        if otadata:
            self.assertEqual(self.board.otadata(), list(otadata))

    def fails(self, code, name, function, *args):
        with self.assertRaises(OSError) as caught:
            function(*args)
        self.assertEqual(caught.exception.args, (code, name) if name else (code,))


class TestFlash(unittest.TestCase):
    def test_programming_only_clears_bits(self):
        flash = Flash(8192)
        flash.program(0, b"\xf0\x0f\xaa\xff")
        flash.program(0, b"\x3c\xff\x55\x00")
        buf = bytearray(5)
        flash.read(0, buf)
        self.assertEqual(bytes(buf), b"\x30\x0f\x00\x00\xff")
        self.assertEqual(flash.bad_programs, 1)

    def test_strict_flash_refuses_what_a_part_does_silently(self):
        flash = Flash(8192)
        flash.strict = True
        flash.program(0, b"\x0f")
        with self.assertRaises(AssertionError):
            flash.program(0, b"\xf0")

    def test_erase_is_one_sector_and_counted(self):
        flash = Flash(8192)
        flash.program(0, b"a")
        flash.program(4096, b"b")
        flash.erase(0)
        buf = bytearray(1)
        flash.read(0, buf)
        self.assertEqual(bytes(buf), b"\xff")
        flash.read(4096, buf)
        self.assertEqual(bytes(buf), b"b")
        self.assertEqual(flash.erases, [1, 0])
        self.assertEqual(flash.ops, 3)

    def _cut(self, tear, erasing, seed=0):
        flash = Flash(4096, seed=seed)
        old = bytes(range(256)) * 16 if erasing else b"\xff" * 4096
        new = b"\xff" * 4096 if erasing else bytes(range(256)) * 16
        flash.write(0, old)
        flash.cut_at = 0
        flash.tear = tear
        with self.assertRaises(PowerCut):
            flash.erase(0) if erasing else flash.program(0, new)
        buf = bytearray(4096)
        with self.assertRaises(PowerCut):
            flash.read(0, buf)
        flash.power_on()
        flash.read(0, buf)
        return old, bytes(buf), new

    def test_torn_operations_leave_something_between(self):
        for tear in TEARS:
            for erasing in (True, False):
                old, left, new = self._cut(tear, erasing)
                if tear == "before":
                    self.assertEqual(left, old)
                elif tear == "after":
                    self.assertEqual(left, new)
                else:
                    self.assertNotEqual(left, old)
                    self.assertNotEqual(left, new)
                if not erasing:  # what was to stay 1 is 1, what was 0 stays 0
                    stayed = [left[at] & new[at] for at in range(len(new))]
                    self.assertEqual(bytes(stayed), new)

    def test_a_cut_can_be_repeated(self):
        self.assertEqual(self._cut("bits", True), self._cut("bits", True))
        self.assertNotEqual(self._cut("bits", True), self._cut("bits", True, seed=1))


class TestRecords(_Case):
    def test_crc_covers_the_sequence_number_only(self):
        self.assertEqual([crc_of(n) for n in (1, 2, 3)], [0x4743989A, 0x55F63774, 0xED4A5011])

    def test_fresh_device_gets_a_valid_record(self):
        self.boots("ota_0", (1, VALID), None)

    def test_fresh_device_with_an_image_in_the_second_slot_only(self):
        self.board.flash.wipe(0x10000, 0x10000)
        self.boots("ota_1", (2, VALID), None)

    def test_undefined_needs_no_confirmation(self):
        self.board.set_otadata(entry(1, VALID), entry(2, UNDEFINED))
        self.boots("ota_1", (1, VALID), (2, UNDEFINED))
        self.boots("ota_1", (1, VALID), (2, UNDEFINED))

    def test_bad_crc_is_ignored(self):
        self.board.set_otadata(entry(1, VALID), entry(7, VALID, crc=0))
        self.boots("ota_0", (1, VALID), (7, VALID, "bad crc"))

    def test_equal_numbers_first_counts(self):
        self.board.set_otadata(entry(2, VALID), entry(2, NEW))
        self.boots("ota_1", (2, VALID), (2, NEW))

    def test_invalid_and_aborted_do_not_count(self):
        self.board.set_otadata(entry(1, VALID), entry(2, INVALID))
        self.boots("ota_0")
        self.board.set_otadata(entry(3, ABORTED), entry(2, VALID))
        self.boots("ota_1")

    def test_both_aborted_runs_the_first_slot_and_rewrites_nothing(self):
        self.board.set_otadata(entry(3, ABORTED), entry(2, ABORTED))
        before = self.board.flash.ops
        self.boots("ota_0", (3, ABORTED), (2, ABORTED))
        self.assertEqual(self.board.flash.ops, before)
        self.fails(1, "ESP_FAIL", P.mark_app_valid_cancel_rollback)

    def test_pending_is_aborted_whatever_its_crc(self):
        self.board.set_otadata(entry(1, VALID), entry(2, PENDING, crc=0))
        self.boots("ota_0", (1, VALID), (2, ABORTED, "bad crc"))

    def test_unconfirmed_image_gets_one_boot(self):
        self.board.set_otadata(entry(1, VALID), entry(2, NEW))
        self.boots("ota_1", (1, VALID), (2, PENDING))
        self.boots("ota_0", (1, VALID), (2, ABORTED))
        self.boots("ota_0", (1, VALID), (2, ABORTED))

    def test_pending_survives_deep_sleep(self):
        self.board.set_otadata(entry(1, VALID), entry(2, NEW))
        self.boots("ota_1")
        self.board.reset(DEEPSLEEP_RESET)
        self.assertEqual(self.board.running[4], "ota_1")
        self.assertEqual(self.board.otadata(), [(1, VALID), (2, PENDING)])

    def test_corrupt_selected_slot_falls_back_with_the_record_pending(self):
        self.board.set_otadata(entry(1, VALID), entry(2, NEW))
        self.board.flash.wipe(0x20000, 4096)
        self.boots("ota_0", (1, VALID), (2, PENDING))
        self.assertIn("OTA app partition slot 1 is not bootable", self.board.log[-1])
        self.assertEqual(P(P.BOOT).info()[4], "ota_1")
        self.assertEqual(P(P.RUNNING).info()[4], "ota_0")
        P.mark_app_valid_cancel_rollback()
        self.boots("ota_0", (1, VALID), (2, VALID))  # the record of the broken slot

    def test_new_becomes_pending_before_the_image_is_looked_at(self):
        self.board.set_otadata(entry(1, VALID), entry(2, NEW))
        self.board.flash.wipe(0x10000, 0x20000)
        with self.assertRaises(BootLoop):
            self.board.reset()
        self.assertEqual(self.board.otadata(), [(1, VALID), (2, PENDING)])

    def test_bad_crc_in_the_only_record_tries_the_slots_from_the_first(self):
        self.board.set_otadata(entry(2, VALID, crc=0), None)
        self.boots("ota_0", (2, VALID, "bad crc"), None)

    def test_cut_while_the_bootloader_writes_loses_the_active_record_only(self):
        for number in (0, 1):
            for tear in TEARS:
                self.board.set_otadata(entry(1, VALID), entry(2, NEW))
                self.board.flash.cut_at = self.board.flash.ops + number
                self.board.flash.tear = tear
                with self.assertRaises(PowerCut):
                    self.board.reset()
                self.board.power_on()
                self.assertIn(self.board.running[4], ("ota_0", "ota_1"))
                self.assertEqual(self.board.otadata()[0], (1, VALID))


class TestSetBoot(_Case):
    def start(self, label, *records):
        self.board.set_otadata(*records)
        self.boots(label)

    def test_switch_goes_to_the_other_record(self):
        self.start("ota_0")
        P("ota_1").set_boot()
        self.assertEqual(self.board.otadata(), [(1, VALID), (2, NEW)])

    def test_no_record_writes_the_first(self):
        self.start("ota_0", entry(3, ABORTED), entry(2, ABORTED))
        P("ota_1").set_boot()
        self.assertEqual(self.board.otadata(), [(2, NEW), (2, ABORTED)])

    def test_trap_confirm_after_set_boot_makes_the_untried_image_valid(self):
        self.start("ota_1", entry(1, VALID), entry(2, VALID))
        P("ota_0").set_boot()
        P.mark_app_valid_cancel_rollback()
        self.assertEqual(self.board.otadata(), [(3, VALID), (2, VALID)])

    def test_trap_set_boot_of_the_running_slot_loses_the_other_record(self):
        self.start("ota_0", entry(3, VALID), entry(2, VALID))
        P("ota_0").set_boot()
        self.assertEqual(self.board.otadata(), [(3, VALID), (3, NEW)])
        self.boots("ota_0", (3, VALID), (3, NEW))

    def test_trap_set_boot_twice_loses_the_working_image(self):
        self.start("ota_1", entry(1, VALID), entry(2, VALID))
        P("ota_0").set_boot()
        self.assertEqual(self.board.otadata(), [(3, NEW), (2, VALID)])
        P("ota_0").set_boot()
        self.assertEqual(self.board.otadata(), [(3, NEW), (3, NEW)])
        self.boots("ota_0", (3, PENDING), (3, NEW))
        self.boots("ota_0", (3, ABORTED), (3, PENDING))
        self.boots("ota_0", (3, ABORTED), (3, ABORTED))

    def test_trap_cancelling_puts_the_running_image_on_trial(self):
        self.start("ota_1", entry(1, VALID), entry(2, VALID))
        P("ota_0").set_boot()
        P("ota_1").set_boot()
        self.assertEqual(self.board.otadata(), [(3, NEW), (4, NEW)])
        self.boots("ota_1", (3, NEW), (4, PENDING))
        self.boots("ota_0", (3, PENDING), (4, ABORTED))

    def test_trap_update_on_trial(self):
        self.start("ota_1", entry(1, VALID), entry(2, NEW))
        P("ota_0").set_boot()
        self.assertEqual(self.board.otadata(), [(3, NEW), (2, PENDING)])
        self.boots("ota_0", (3, PENDING), (2, ABORTED))
        self.boots("ota_0", (3, ABORTED), (2, ABORTED))

    def test_trap_update_on_trial_cut_early_keeps_the_unconfirmed_image_for_ever(self):
        self.start("ota_1", entry(1, VALID), entry(2, NEW))
        P("ota_0").ioctl(6, 0)
        self.boots("ota_1", (1, VALID), (2, ABORTED))
        self.boots("ota_1", (1, VALID), (2, ABORTED))

    def test_trap_combined_firmware_is_accepted_but_never_booted(self):
        self.start("ota_0")
        combined = image.combined(V1[:4096], TABLE)[:60000]
        self.board.put("ota_1", combined)
        P("ota_1").set_boot()
        self.boots("ota_0", (1, VALID), (2, PENDING))
        self.assertIn("overlaps bootloader data", self.board.log[-1])

    def test_confirm(self):
        self.start("ota_1", entry(1, VALID), entry(2, NEW))
        self.assertIsNone(P.mark_app_valid_cancel_rollback())
        self.assertEqual(self.board.otadata(), [(1, VALID), (2, VALID)])
        before = self.board.flash.ops
        P.mark_app_valid_cancel_rollback()
        self.assertEqual(self.board.flash.ops, before)

    def test_refused_image_leaves_the_records(self):
        self.start("ota_0")
        self.board.flash.wipe(0x20000, 4096)
        self.fails(-5379, "ESP_ERR_OTA_VALIDATE_FAILED", P("ota_1").set_boot)
        self.assertEqual(self.board.otadata(), [(1, VALID), None])

    def test_data_partition_fails_as_an_image(self):
        self.start("ota_0")
        self.fails(-5379, "ESP_ERR_OTA_VALIDATE_FAILED", P("nvs").set_boot)

    def test_cut_between_erase_and_write_boots_the_old_image(self):
        for number in (0, 1):
            for tear in TEARS[:3]:
                self.start("ota_1", entry(1, VALID), entry(2, VALID))
                self.board.flash.cut_at = self.board.flash.ops + number
                self.board.flash.tear = tear
                with self.assertRaises(PowerCut):
                    P("ota_0").set_boot()
                self.board.power_on()
                whole = number == 1 and tear == "after"
                self.assertEqual(self.board.running[4], "ota_0" if whole else "ota_1")


class TestImageChecks(_Case):
    def good(self, data):
        self.board.put("ota_1", data)
        P("ota_1").set_boot()
        self.board.set_otadata(entry(1, VALID))

    def bad(self, data):
        self.board.put("ota_1", data)
        self.fails(-5379, "ESP_ERR_OTA_VALIDATE_FAILED", P("ota_1").set_boot)

    def setUp(self):
        super().setUp()
        self.board.power_on()

    def flipped(self, at, bit=1):
        data = bytearray(V2)
        data[at] ^= bit
        return bytes(data)

    def test_each_flip_is_found(self):
        for at in (0, 1, 12, 24, 28, 32, 400, 5000, len(V2) - 33, len(V2) - 1):
            self.bad(self.flipped(at))

    def test_bytes_behind_the_image_are_not_looked_at(self):
        self.good(V2 + b"anything")

    def test_other_chip(self):
        self.bad(image.build(chip="esp32s3"))

    def test_revision(self):
        self.good(image.build(min_revision=300))
        self.bad(image.build(min_revision=301))
        self.bad(image.build(max_revision=299))
        self.good(image.build(max_revision=0))

    def test_without_digest_only_the_checksum_counts(self):
        data = bytearray(image.build(hashed=0))
        self.good(bytes(data))
        data[len(data) - 20] ^= 1
        self.bad(bytes(data))

    def test_version_and_downgrade_are_not_checked(self):
        self.good(image.build(version="0"))

    def test_image_that_ends_behind_the_partition(self):
        self.board.put("ota_1", image.build(length=65536))
        P("ota_1").set_boot()
        self.board.set_otadata(entry(1, VALID))
        longer = image.build(length=65536 + 16)
        self.board.flash.write(0x20000, longer)
        self.fails(-5379, "ESP_ERR_OTA_VALIDATE_FAILED", P("ota_1").set_boot)

    def test_mapped_segment_at_the_wrong_page_offset(self):
        data = bytearray(V2)
        struct.pack_into("<I", data, 24, 0x3F400024)
        import hashlib

        self.bad(bytes(data[:-32]) + hashlib.sha256(data[:-32]).digest())

    def test_built_image_has_the_length_asked_for(self):
        self.assertEqual(len(V2), 8192)
        self.assertRaises(ValueError, image.build, length=8200)
        self.assertEqual(image.verify(self.board.flash.read, 0x10000, 0x10000), len(V1))

    def test_frozen_python_comes_from_the_slot(self):
        files = image.frozen(self.board.flash.read, 0x10000)
        self.assertEqual(files, {"main.py": b"print(1)"})
        self.assertEqual(image.frozen(self.board.flash.read, 0x30000), {})


class TestPartition(_Case):
    def setUp(self):
        super().setUp()
        self.board.power_on()

    def test_constructor(self):
        self.assertRaises(ValueError, P, 2)
        self.fails(2, None, P, "nothing")
        self.assertRaises(TypeError, P, P.RUNNING, 4096, 1)
        self.assertRaises(TypeError, lambda: P(id=P.RUNNING))
        self.assertFalse(P("ota_0") == P("ota_0"))

    def test_info_and_repr(self):
        self.assertEqual(P("ota_1").info(), (0, 17, 0x20000, 0x10000, "ota_1", False))
        self.assertEqual(
            repr(P("ota_1")),
            "<Partition type=0, subtype=17, address=131072, size=65536, label=ota_1, encrypted=0>",
        )

    def test_find(self):
        self.assertEqual([p.info()[4] for p in P.find()], ["ota_0", "ota_1"])
        self.assertEqual(P.find(label="vfs"), [])
        self.assertEqual(P.find(P.TYPE_DATA, label="vfs")[0].info()[1], 0x81)
        self.assertEqual(P.find(P.TYPE_DATA, 0)[0].info()[4], "otadata")
        self.assertRaises(TypeError, lambda: P.find(name="x"))

    def test_ioctl(self):
        p = P("ota_1")
        self.assertEqual([p.ioctl(op, 0) for op in (1, 2, 3, 4, 5, 7)], [0, 0, 0, 16, 4096, None])
        self.assertEqual(p.ioctl(6, 0), 0)
        self.assertEqual(P("ota_1", 512).ioctl(6, 0), -22)

    def test_write_with_offset_programs_only(self):
        p = P("ota_1")
        p.ioctl(6, 0)
        p.writeblocks(0, b"\xf0\x0f\xaa\xff", 0)
        p.writeblocks(0, b"\x3c\xff\x55\x00", 0)
        buf = bytearray(4)
        p.readblocks(0, buf)
        self.assertEqual(bytes(buf), b"\x30\x0f\x00\x00")
        p.writeblocks(1, b"", 0)
        p.writeblocks(1, b"\x00", -4092)
        p.readblocks(0, buf, 4)
        self.assertEqual(bytes(buf), V1[5:5] + b"\x00\xff\xff\xff")

    def test_write_without_offset_erases_whole_sectors_or_nothing(self):
        p = P("ota_1")
        before = self.board.flash.ops
        self.fails(-260, "ESP_ERR_INVALID_SIZE", p.writeblocks, 0, b"abc")
        self.fails(-260, "ESP_ERR_INVALID_SIZE", p.writeblocks, 0, "abc")
        self.assertEqual(self.board.flash.ops, before)
        p.writeblocks(1, b"x" * 8192)
        self.assertEqual(self.board.peek("ota_1", 8193, 4096), b"x" * 8192 + b"\xff")

    def test_small_blocks_keep_their_neighbours(self):
        p = P("ota_1", 512)
        self.board.flash.write(0x20000, b"n" * 8192)
        p.writeblocks(7, b"w" * 1000)
        self.assertEqual(self.board.peek("ota_1", 8192), b"n" * 3584 + b"w" * 1000 + b"n" * 3608)

    def test_bounds(self):
        p = P("ota_1")
        buf = bytearray(16)
        self.fails(-258, "ESP_ERR_INVALID_ARG", p.readblocks, 17, buf)
        self.fails(-258, "ESP_ERR_INVALID_ARG", p.readblocks, -1, buf)
        self.fails(-260, "ESP_ERR_INVALID_SIZE", p.readblocks, 16, buf)
        self.fails(-260, "ESP_ERR_INVALID_SIZE", p.readblocks, 15, buf, 4090)
        self.fails(-260, "ESP_ERR_INVALID_SIZE", p.ioctl, 6, 16)

    def test_writing_what_runs_panics(self):
        for write in (
            lambda: P(P.RUNNING).ioctl(6, 0),
            lambda: P(P.RUNNING).writeblocks(3, b"a", 0),
            lambda: P(P.RUNNING).writeblocks(0, bytes(4096)),
        ):
            self.assertRaises(Panic, write)
        self.assertEqual(self.board.peek("ota_0", len(V1)), V1)

    def test_next_update(self):
        self.assertEqual(P("ota_0").get_next_update().info()[4], "ota_1")
        self.assertEqual(P("ota_1").get_next_update().info()[4], "ota_0")
        self.assertEqual(P("nvs").get_next_update().info()[4], "ota_0")

    def test_objects_die_with_their_life(self):
        p = P("ota_1")
        self.board.reset()
        self.assertRaises(PowerCut, p.ioctl, 6, 0)


class TestFactoryOnly(_Case):
    rows = (
        (table.APP, table.FACTORY, 0x10000, 0x10000, "factory"),
        (table.DATA, 2, 0x9000, 0x4000, "nvs"),
    )

    def test_as_seen_on_stock_firmware(self):
        self.boots("factory")
        self.fails(2, None, P, P.BOOT)
        self.fails(2, None, P(P.RUNNING).get_next_update)
        self.fails(-261, "ESP_ERR_NOT_FOUND", P.mark_app_valid_cancel_rollback)
        self.fails(-261, "ESP_ERR_NOT_FOUND", P(P.RUNNING).set_boot)

    def test_vfs_is_made_at_run_time(self):
        self.boots("factory")
        self.assertEqual(P("vfs").info(), (1, 0x81, 0x20000, 0x60000, "vfs", False))


class TestFactoryAndSlots(_Case):
    rows = table.SMALL_FACTORY

    def test_no_record_boots_factory_and_writes_nothing(self):
        self.boots("factory", None, None)
        self.assertEqual(self.board.flash.ops, 0)

    def test_set_boot_of_factory_erases_both_records(self):
        self.board.set_otadata(entry(1, VALID), entry(2, VALID))
        self.boots("ota_1")
        P("factory").set_boot()
        self.boots("factory", None, None)

    def test_corrupt_slot_goes_down_to_factory(self):
        self.board.set_otadata(entry(2, VALID))
        self.board.flash.wipe(0x20000, 0x20000)
        self.boots("factory", (2, VALID), None)


class TestSingleSlot(_Case):
    rows = table.SMALL_SINGLE

    def test_next_update_is_the_running_slot(self):
        self.boots("ota_0")
        self.assertEqual(P(P.RUNNING).get_next_update().info()[4], "ota_0")


class TestTable(unittest.TestCase):
    def test_round_trip(self):
        for rows in (
            table.OTA_4M,
            table.OTA_4M_VFS,
            table.OTA_8M,
            table.FACTORY_4M,
            table.ARDUINO_16M,
        ):
            self.assertEqual(table.parse(table.build(rows)), list(rows))

    def test_flipped_table_does_not_boot(self):
        board = Board(Flash(table.SMALL_SIZE))
        board.format(table.SMALL, V1)
        board.flash.write(0x8004, b"\x01")
        with self.assertRaises(BootLoop):
            board.power_on()


class TestMachine(_Case):
    def setUp(self):
        super().setUp()
        self.board.power_on()

    def test_resets_cannot_be_swallowed(self):
        for reset, kind in ((machine.reset, HardReset), (machine.deepsleep, DeepSleep)):
            try:
                reset()
            except Exception:  # noqa: BLE001 - what an application may write
                self.fail()
            except kind:
                pass

    def test_watchdog_cannot_be_stopped_but_made_again(self):
        self.assertRaises(ValueError, machine.WDT, 1)
        self.assertRaises(ValueError, machine.WDT, 0, 0)
        wdt = machine.WDT(timeout=1000)
        wdt.feed()
        self.assertEqual(self.board.watchdog.limit_ms, 1000)
        machine.WDT(0, (1 << 30) - 1)
        self.assertEqual(self.board.watchdog.limit_ms, (1 << 30) - 1)
        self.board.reset()
        self.assertIsNone(self.board.watchdog.limit_ms)

    def test_too_long_a_watchdog_wraps_around(self):
        machine.WDT(0, (1 << 30) + 5)
        self.assertEqual(self.board.watchdog.limit_ms, 5)

    def test_clock(self):
        rtc = machine.RTC()
        rtc.datetime((2026, 2, 28, 0, 23, 59, 58, 0))
        self.assertEqual(rtc.datetime()[:3], (2026, 2, 28))

    def test_life_ends_as_it_ended(self):
        self.assertEqual(self.board.live(lambda: None), "end")
        self.assertIs(self.board.live(machine.reset), HardReset)
        self.board.flash.cut_at = self.board.flash.ops
        self.assertEqual(self.board.live(lambda: P("ota_1").ioctl(6, 0)), "cut")


if __name__ == "__main__":
    unittest.main()
