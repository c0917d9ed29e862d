# SPDX-License-Identifier: MIT
"""The ESP32 adapter: the contract of every board, then each trap of ESP-IDF by name."""

import unittest

from contract_slot_boot import SlotBootContract

from ota.errors import ImageError, OtaError, SlotError, StateError
from sim import image, table
from sim.chip import (
    ABORTED,
    DEEPSLEEP_RESET,
    INVALID,
    NEW,
    PENDING,
    PWRON_RESET,
    UNDEFINED,
    VALID,
    Board,
    entry,
    esp32,
    machine,
)
from sim.flash import TEARS, Flash, PowerCut, random_bytes

IMAGES = [image.build(version=str(n), length=9216 + 1024 * n) for n in range(6)]
COMBINED = image.combined(IMAGES[2], table.build(table.SMALL))


class _Device(unittest.TestCase):
    """A board with image 1 in its first application partition, and a Boot of this life."""

    rows = table.SMALL
    encrypted = False

    def start(self):
        if not hasattr(self, "board"):
            self.board = Board(Flash(table.SMALL_SIZE), encrypted=self.encrypted)
            self.board.format(self.rows, IMAGES[1])
            self.board.power_on()
            self.ready = self.board.flash.snapshot()
            self.board.install()
        self.board.flash.restore(self.ready)
        self.image_running = IMAGES[1]
        self.cut_at(None)
        self.hard_reset()

    def setUp(self):
        self.start()

    def tearDown(self):
        self.assertEqual(self.board.flash.bad_programs, self.tolerated)
        self.board.uninstall()

    tolerated = 0

    def hard_reset(self, cause=PWRON_RESET):
        import ota.adapters.wdt_esp32 as watchdog
        from ota_esp32 import Boot

        watchdog._wdt = None  # RAM that a reset clears
        watchdog._is_armed = False
        self.board.power_on(cause)
        self.boot = Boot()

    def operations(self):
        return self.board.flash.ops

    def cut_at(self, number, tear="before"):
        flash = self.board.flash
        flash.cut_at = None if number is None else flash.ops + number
        flash.tear = tear

    def records(self, *records):
        """Boot with these records of otadata."""
        self.board.set_otadata(*records)
        self.hard_reset()

    def put(self, label, data):
        self.board.put(label, data)

    def write_spare(self, data):
        SlotBootContract.write_spare(self, data)

    def otadata(self):
        return self.board.otadata()

    def runs(self, label):
        self.assertEqual(self.board.running[4], label)


class TestContract(SlotBootContract, _Device):
    TEARS = TEARS
    PowerCut = PowerCut

    def image(self, number):
        return IMAGES[number]

    def identity_of(self, data):
        return image.identity(data)

    def setUp(self):
        self.start()

    def test_program_never_erases(self):
        self.tolerated = 1
        super().test_program_never_erases()


class TestContractWithFactory(TestContract):
    """The device runs from a factory partition, as after its first flashing."""

    rows = table.SMALL_FACTORY


class TestContractWithFlashEncryption(TestContract):
    """What is erased reads as noise then, and writes come in units of 16 bytes."""

    encrypted = True

    def test_erase_program_read(self):
        spare = self.boot.spare
        self.assertTrue(spare.partition.info()[5])
        content = random_bytes(1, 2, 4096)
        spare.erase(2)
        spare.program(2, content)
        buf = bytearray(4096)
        spare.readinto(2, buf)
        self.assertEqual(bytes(buf), content)
        raw = bytearray(4096)
        self.board.flash.read(spare.address + 8192, raw)
        self.assertNotEqual(bytes(raw), content)
        spare.erase(2)
        spare.readinto(2, buf)
        self.assertNotEqual(bytes(buf), b"\xff" * 4096)
        self.assertRaises(SlotError, spare.program, 2, b"fifteen bytes..")

    def test_program_never_erases(self):
        """Not with encryption: there, ANDed bits are noise."""


class TestFacts(_Device):
    def test_attributes(self):
        self.assertEqual(self.boot.chip, "esp32")
        self.assertEqual(self.boot.image_name, "firmware.bin")
        self.assertEqual(self.boot.device_id, self.board.unique_id)

    def test_other_chips(self):
        for chip in image.CHIPS:
            board = Board(Flash(table.SMALL_SIZE), chip=chip)
            board.format(table.SMALL, image.build(chip=chip))
            board.install()
            self.addCleanup(board.uninstall)
            board.power_on()
            from ota_esp32 import Boot

            self.assertEqual(Boot().chip, chip)

    def test_slots_of_the_stock_tables(self):
        for rows, size, spare in (
            (table.OTA_4M, 4 << 20, "ota_1"),
            (table.OTA_4M_VFS, 4 << 20, "ota_1"),
            (table.OTA_8M, 8 << 20, "ota_1"),
            (table.ARDUINO_16M, 16 << 20, "app0"),
            (table.FACTORY_4M, 4 << 20, None),
            (table.SMALL_SINGLE, table.SMALL_SIZE, None),
            (table.SMALL_FACTORY, table.SMALL_SIZE, "ota_0"),
        ):
            board = Board(Flash(size))
            board.format(rows, IMAGES[1])
            board.install()
            board.power_on()
            from ota_esp32 import Boot

            boot = Boot()
            self.assertEqual(boot.spare and boot.spare.partition.info()[4], spare)
            self.assertFalse(boot.on_trial)
            self.assertFalse(boot.switch_pending)
            boot.confirm()
            self.assertRaises(StateError, boot.revert)
            board.uninstall()

    def test_a_board_without_a_spare_slot_says_why(self):
        from ota_esp32 import Boot

        self.assertIsNone(self.boot.lacks)
        for rows, why in (
            (table.FACTORY_4M, "no OTA slots"),
            (table.SMALL_SINGLE, "a single OTA slot"),
        ):
            board = Board(Flash(4 << 20))
            board.format(rows, IMAGES[1])
            board.install()
            self.addCleanup(board.uninstall)
            board.power_on()
            self.assertIn(why, Boot().lacks)

    def test_trap_firmware_that_confirms_itself_gets_no_updates(self):
        # Arduino Nano ESP32: every image is kept before Python runs, a bad one too.
        import ota_esp32

        real = ota_esp32.sys
        machine_name = "Arduino Nano ESP32 with ESP32S3"
        ota_esp32.sys = type("", (), {"implementation": type("", (), {"_machine": machine_name})})
        try:
            boot = ota_esp32.Boot()
        finally:
            ota_esp32.sys = real
        self.assertIsNone(boot.spare)
        self.assertIn("keeps any image", boot.lacks)

    def test_board_without_a_spare_slot_refuses(self):
        board = Board(Flash(4 << 20))
        board.format(table.FACTORY_4M, IMAGES[1])
        board.install()
        self.addCleanup(board.uninstall)
        board.power_on()
        from ota_esp32 import Boot

        boot = Boot()
        self.assertRaises(ImageError, boot.check_image, IMAGES[2][:4096], 4096)
        self.assertRaises(StateError, boot.running.erase, 0)
        self.assertRaises(ValueError, boot.try_next, boot.running)

    def test_third_slot_is_found_by_next_update(self):
        board = Board(Flash(table.SMALL_SIZE))
        board.format(table.SMALL_THREE, IMAGES[1])
        board.install()
        self.addCleanup(board.uninstall)
        for label, following in (("ota_0", "ota_1"), ("ota_1", "ota_2"), ("ota_2", "ota_0")):
            board.put(label, IMAGES[1])
            board.set_otadata(entry(4 + int(label[4]), VALID))
            board.power_on()
            from ota_esp32 import Boot

            boot = Boot()
            self.assertEqual(boot.spare.partition.info()[4], following)
            board.put(following, IMAGES[2])
            boot.try_next(boot.spare)
            board.reset()
            self.assertEqual(board.running[4], following)

    def test_flash_that_fails_is_a_slot_error(self):
        def broken(*_):
            raise OSError(-0x6001, "ESP_ERR_FLASH_OP_FAIL")

        partition = self.boot.spare.partition
        self.boot.spare.partition = type("Broken", (), {"ioctl": broken, "readblocks": broken})()
        self.assertRaises(SlotError, self.boot.spare.erase, 0)
        self.assertRaises(SlotError, self.boot.spare.readinto, 0, bytearray(1))
        self.boot.spare.partition = partition

    def test_watchdog(self):
        dog = self.board.watchdog
        self.boot.disarm()
        self.assertIsNone(dog.limit_ms)
        self.boot.arm(120000)
        self.assertEqual(dog.limit_ms, 120000)
        self.boot.arm(5000)
        self.assertEqual(dog.limit_ms, 5000)
        self.boot.disarm()
        self.assertEqual(dog.limit_ms, (1 << 30) - 1)
        self.boot.arm(1 << 40)
        self.assertEqual(dog.limit_ms, (1 << 30) - 1)

    def test_disarming_again_only_feeds(self):
        self.boot.arm(1000)
        self.boot.disarm()
        machine.WDT(0, 8000)  # the application's own
        fed = []
        self.board.watchdog.on_change = fed.append
        self.boot.disarm()
        self.assertEqual(fed, [8000])


class TestImages(_Device):
    def refused(self, head, length=4096):
        self.assertRaises(ImageError, self.boot.check_image, head, length)

    def changed(self, at, value):
        head = bytearray(IMAGES[2][:4096])
        head[at] = value
        return head

    def test_each_field(self):
        self.boot.check_image(self.changed(15, 1), 4096)  # revisions are the bootloader's affair
        self.refused(self.changed(0, 0xE8))
        self.refused(self.changed(1, 0))
        self.refused(self.changed(1, 17))
        self.refused(self.changed(12, 9))
        self.refused(self.changed(13, 1))
        self.refused(self.changed(23, 0))
        self.refused(self.changed(32, 0))
        self.refused(IMAGES[2][:35], 35)

    def test_combined_firmware_is_recognised(self):
        with self.assertRaises(ImageError) as caught:
            self.boot.check_image(COMBINED[:4096], len(COMBINED))
        self.assertIn("app image", caught.exception.args[0])

    def test_trap_combined_firmware_in_the_slot_is_not_made_next(self):
        self.put("ota_1", COMBINED[:60000])
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.otadata(), [(1, VALID), None])

    def test_identity_of_garbage(self):
        for number in range(40):
            data = bytearray(random_bytes(number, 0, 4096))
            data[0] = 0xE9
            data[1] = number % 18
            data[23] = 1
            self.put("ota_1", bytes(data))
            found = self.boot.identity(self.boot.spare)
            self.assertTrue(found is None or len(found) == 64)

    def test_identity_without_digest(self):
        self.put("ota_1", image.build(hashed=0))
        self.assertIsNone(self.boot.identity(self.boot.spare))

    def test_identity_that_would_lie_behind_the_slot(self):
        data = bytearray(image.build(length=65536))
        self.put("ota_1", bytes(data))
        self.assertEqual(self.boot.identity(self.boot.spare), image.identity(data))
        for length in (65536 - 32, 65536, 0xFFFFFFFC):
            data[28:32] = length.to_bytes(4, "little")
            self.put("ota_1", bytes(data))
            self.assertIsNone(self.boot.identity(self.boot.spare))


class TestTraps(_Device):
    """What goes wrong with bare Partition calls, and does not with the adapter."""

    def trial(self):
        self.put("ota_1", IMAGES[2])
        self.records(entry(1, VALID), entry(2, NEW))
        self.runs("ota_1")
        self.assertTrue(self.boot.on_trial)

    def fallen_back(self, state):
        """Slot 1 is selected by a record with this state, corrupt, and slot 0 runs instead."""
        self.put("ota_1", IMAGES[2][:4096])
        self.records(entry(1, VALID), entry(2, state))
        self.runs("ota_0")

    def test_confirm_after_try_next(self):
        self.put("ota_1", IMAGES[2])
        self.boot.try_next(self.boot.spare)
        self.assertRaises(StateError, self.boot.confirm)
        self.assertEqual(self.otadata(), [(1, VALID), (2, NEW)])

    def test_confirm_after_try_next_of_an_earlier_life(self):
        # A soft reset makes a new Boot; otadata still knows.
        self.put("ota_1", IMAGES[2])
        self.boot.try_next(self.boot.spare)
        from ota_esp32 import Boot

        again = Boot()
        self.assertTrue(again.switch_pending)
        self.assertRaises(StateError, again.confirm)
        self.assertRaises(StateError, again.spare.erase, 0)
        again.try_next(again.spare)
        self.assertEqual(self.otadata(), [(1, VALID), (2, NEW)])

    def test_set_boot_twice(self):
        self.put("ota_1", IMAGES[2])
        for _ in range(3):
            self.boot.try_next(self.boot.spare)
        self.assertEqual(self.otadata(), [(1, VALID), (2, NEW)])

    def test_a_switch_costs_one_erase(self):
        self.put("ota_1", IMAGES[2])
        self.board.flash.trace = []
        self.boot.try_next(self.boot.spare)
        self.assertEqual(self.board.flash.trace, [("erase", 0xE000), ("program", 0xE000, 32)])

    def test_install_on_trial_is_refused(self):
        self.trial()
        self.assertRaises(StateError, self.boot.spare.erase, 0)
        self.assertRaises(StateError, self.boot.spare.program, 0, b"")
        self.assertRaises(StateError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.otadata(), [(1, VALID), (2, PENDING)])

    def test_revert_writes_nothing(self):
        self.trial()
        before = self.operations()
        self.boot.revert()
        self.assertEqual(self.operations(), before)
        self.hard_reset()
        self.runs("ota_0")
        self.assertEqual(self.otadata(), [(1, VALID), (2, ABORTED)])

    def test_soft_reset_after_revert_is_still_on_trial(self):
        self.trial()
        self.boot.revert()
        from ota_esp32 import Boot

        self.assertTrue(Boot().on_trial)

    def test_trial_goes_on_over_deep_sleep(self):
        self.trial()
        self.hard_reset(DEEPSLEEP_RESET)
        self.runs("ota_1")
        self.assertTrue(self.boot.on_trial)
        self.boot.confirm()
        self.assertEqual(self.otadata(), [(1, VALID), (2, VALID)])

    def test_fallback_never_confirms_the_broken_slot(self):
        for state in (NEW, VALID, UNDEFINED):
            self.fallen_back(state)
            before = self.operations()
            self.assertFalse(self.boot.on_trial)
            self.assertFalse(self.boot.switch_pending)
            self.assertRaises(StateError, self.boot.confirm)
            self.assertRaises(StateError, self.boot.revert)
            self.assertEqual(self.operations(), before)

    def test_install_after_a_fallback_is_on_trial_and_can_be_left(self):
        for state in (NEW, VALID, UNDEFINED):
            self.fallen_back(state)
            self.write_spare(IMAGES[3])
            self.boot.try_next(self.boot.spare)
            self.assertEqual(self.otadata(), [(3, VALID), (4, NEW)])
            self.hard_reset()
            self.runs("ota_1")
            self.assertTrue(self.boot.on_trial)
            self.hard_reset()
            self.runs("ota_0")

    def test_install_after_a_fallback_to_the_second_slot(self):
        # Here the bootloader's default would be the wrong slot.
        for state in (NEW, VALID, UNDEFINED):
            self.put("ota_0", IMAGES[1][:4096])
            self.put("ota_1", IMAGES[2])
            self.records(entry(3, state), entry(2, VALID))
            self.runs("ota_1")
            self.write_spare(IMAGES[3])
            self.boot.try_next(self.boot.spare)
            self.hard_reset()
            self.runs("ota_0")
            self.assertTrue(self.boot.on_trial)
            self.hard_reset()
            self.runs("ota_1")
            self.hard_reset()
            self.runs("ota_1")

    def test_whole_image_without_try_next_is_not_booted_after_a_fallback(self):
        for state in (NEW, VALID, UNDEFINED):
            self.fallen_back(state)
            self.write_spare(IMAGES[3])
            self.hard_reset()
            self.runs("ota_0")

    def test_whole_image_without_try_next_is_not_booted_by_default(self):
        # Both records given up and slot 0 corrupt: slot 1 runs, but the default is slot 0.
        for records in (
            (entry(3, ABORTED), entry(2, ABORTED)),
            (entry(3, INVALID), entry(9, VALID, crc=0)),
        ):
            self.put("ota_0", IMAGES[1][:4096])
            self.put("ota_1", IMAGES[2])
            self.records(*records)
            self.runs("ota_1")
            self.write_spare(IMAGES[3])
            self.hard_reset()
            self.runs("ota_1")
            self.boot.try_next(self.boot.spare)
            self.hard_reset()
            self.runs("ota_0")
            self.hard_reset()
            self.runs("ota_1")

    def test_cut_while_the_record_is_put_right(self):
        for state in (NEW, VALID, UNDEFINED):
            for number in (0, 1):
                for tear in TEARS:
                    self.fallen_back(state)
                    self.cut_at(number, tear)
                    self.assertRaises(PowerCut, self.boot.spare.erase, 0)
                    self.cut_at(None)
                    self.hard_reset()
                    self.runs("ota_0")
                    self.write_spare(IMAGES[3])
                    self.boot.try_next(self.boot.spare)
                    self.hard_reset()
                    self.runs("ota_1")
                    self.assertTrue(self.boot.on_trial)
                    self.hard_reset()
                    self.runs("ota_0")

    def test_foreign_set_boot_of_the_running_slot(self):
        self.records(entry(1, INVALID), entry(1, VALID))
        esp32.Partition(esp32.Partition.RUNNING).set_boot()  # (1, NEW) wins the tie
        self.assertTrue(self.boot.switch_pending)
        self.assertRaises(StateError, self.boot.spare.erase, 0)
        self.assertRaises(StateError, self.boot.confirm)
        self.hard_reset()
        self.assertTrue(self.boot.on_trial)
        self.boot.confirm()
        self.assertFalse(self.boot.on_trial)

    def test_undefined_state_is_as_good_as_confirmed(self):
        self.put("ota_1", IMAGES[2])
        self.records(entry(1, VALID), entry(2, UNDEFINED))
        self.assertFalse(self.boot.on_trial)
        before = self.operations()
        self.boot.confirm()
        self.assertEqual(self.operations(), before)
        self.write_spare(IMAGES[3])
        self.boot.try_next(self.boot.spare)
        self.assertEqual(self.otadata(), [(3, NEW), (2, UNDEFINED)])

    def test_a_lower_secure_version_is_refused_before_anything_is_erased(self):
        # set_boot would erase the whole slot, so a device would fetch the image for ever.
        self.put("ota_0", image.build(version="1", secure_version=2))
        self.board.fuses = 2
        self.hard_reset()
        good, bad = [image.build(version="2", secure_version=n) for n in (2, 1)]
        self.boot.check_image(good[:4096], len(good))
        self.assertRaises(ImageError, self.boot.check_image, bad[:4096], len(bad))
        self.put("ota_1", bad)
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.boot.identity(self.boot.spare), image.identity(bad))
        self.board.fuses = None

    def test_what_the_fuses_refuse_is_a_bad_image(self):
        # Burned by another image than the one that runs: only set_boot knows.
        self.put("ota_1", image.build(version="2", secure_version=1))
        self.board.fuses = 2
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.board.peek("ota_1", 64), b"\xff" * 64)
        self.board.fuses = None

    def test_confirming_burns_the_fuses(self):
        self.put("ota_1", image.build(version="2", secure_version=3))
        self.board.fuses = 0
        self.boot.try_next(self.boot.spare)
        self.hard_reset()
        self.assertEqual(self.board.fuses, 0)
        self.boot.confirm()
        self.assertEqual(self.board.fuses, 3)
        self.board.fuses = None

    def test_image_refused_by_the_bootloader(self):
        data = bytearray(IMAGES[2])
        data[100] ^= 1
        self.put("ota_1", bytes(data))
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertEqual(self.otadata(), [(1, VALID), None])


class TestFactory(_Device):
    rows = table.SMALL_FACTORY

    def test_fallback_to_factory_then_install(self):
        self.put("ota_0", IMAGES[2][:4096])
        self.records(entry(1, VALID))
        self.runs("factory")
        self.assertRaises(StateError, self.boot.confirm)
        self.write_spare(IMAGES[3])
        self.hard_reset()
        self.runs("factory")
        self.boot.try_next(self.boot.spare)
        self.assertEqual(self.otadata(), [(1, NEW), None])
        self.hard_reset()
        self.runs("ota_0")
        self.assertTrue(self.boot.on_trial)
        self.hard_reset()
        self.runs("factory")


class TestRandomLives(_Device):
    """Whatever is called in whatever order, and wherever power fails: what runs was confirmed, or
    is on trial for this one boot."""

    lives = 250

    def act(self, number):
        """Do one thing; return whether what runs has been confirmed by it."""
        boot = self.boot
        if number == 0:
            self.write_spare(IMAGES[2 + self.count % 4])
        elif number == 1:
            boot.spare.erase(self.count % 3)
        elif number in (2, 3):
            if not boot.switch_pending and not boot.on_trial:
                self.tried = boot.identity(boot.spare)
            boot.try_next(boot.spare)
        elif number == 4:
            boot.confirm()
            return True
        elif number == 5:
            boot.revert()
        return False

    def test_random_lives(self):
        self.tried = None
        self.trials = 0
        kept = {self.boot.identity(self.boot.running)}
        for count in range(self.lives):
            self.count = count
            pick = random_bytes(self.count, 4, 10)
            self.cut_at(pick[0] % 16 if pick[1] & 1 else None, TEARS[pick[2] % 6])
            self.board.flash.seed = self.count
            try:
                for number in pick[4:]:
                    running = self.boot.identity(self.boot.running)
                    maybe = number % 7 == 4 and self.boot.on_trial and not self.boot.switch_pending
                    if maybe:
                        kept.add(running)
                    try:
                        if self.act(number % 7):
                            kept = {running}
                    except OtaError:
                        pass
            except PowerCut:
                pass
            self.cut_at(pick[0] % 5 if pick[3] & 1 else None, TEARS[pick[3] % 6])
            try:
                self.hard_reset()
            except PowerCut:
                self.cut_at(None)
                self.hard_reset()
            self.cut_at(None)
            running = self.boot.identity(self.boot.running)
            if self.boot.on_trial:
                self.trials += 1
                self.assertEqual(running, self.tried)
            else:
                self.assertIn(running, kept)
                kept = {running}
        self.assertTrue(self.trials > self.lives // 20)


class TestRandomLivesWithFactory(TestRandomLives):
    rows = table.SMALL_FACTORY


class TestRandomLivesWithThreeSlots(TestRandomLives):
    rows = table.SMALL_THREE


class TestGarbageInOtadata(_Device):
    """Whatever is in otadata: only our exceptions, never a write to what runs, and a way on."""

    def survive(self):
        before = self.board.peek(self.board.running[4], len(IMAGES[1]))
        boot = self.boot
        boot.identity(boot.running)
        steps = (
            lambda: boot.on_trial,
            lambda: boot.switch_pending,
            boot.confirm,
            boot.revert,
            lambda: self.write_spare(IMAGES[2]),
            lambda: boot.try_next(boot.spare),
            boot.confirm,
        )
        for step in steps:
            try:
                step()
            except OtaError:
                pass
        self.assertEqual(self.board.peek(self.board.running[4], len(IMAGES[1])), before)
        self.hard_reset()
        self.hard_reset()
        self.hard_reset()

    def _fresh(self):
        self.put("ota_0", IMAGES[1])
        self.put("ota_1", IMAGES[1])

    def test_random_bytes(self):
        for number in range(150):
            self._fresh()
            self.records(random_bytes(number, 1, 4096), random_bytes(number, 2, 4096))
            self.survive()

    def test_random_records_with_a_right_crc(self):
        states = (NEW, PENDING, VALID, INVALID, ABORTED, UNDEFINED, 5, 0x80000000)
        seqs = (0, 1, 2, 3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)
        for number in range(200):
            self._fresh()
            pick = random_bytes(number, 3, 4)
            self.records(
                entry(seqs[pick[0] % 10], states[pick[1] % 8]),
                entry(seqs[pick[2] % 10], states[pick[3] % 8]),
            )
            self.survive()

    def test_sequence_numbers_used_up(self):
        self.put("ota_1", b"corrupt")
        self.records(entry(0xFFFFFFFC, VALID), entry(0xFFFFFFFE, VALID))
        self.runs("ota_0")
        self.assertRaises(SlotError, self.boot.spare.erase, 0)
        self.survive()

    def test_last_sequence_number(self):
        # set_boot says nothing when the record it writes is an invalid one.
        self.put("ota_1", IMAGES[1])
        self.put("ota_0", IMAGES[2])
        self.records(None, entry(0xFFFFFFFE, VALID))
        self.runs("ota_1")
        self.assertRaises(SlotError, self.boot.try_next, self.boot.spare)

    def test_device_is_updatable_after_random_bytes(self):
        for number in range(50):
            self._fresh()
            self.records(random_bytes(number, 1, 4096), random_bytes(number, 2, 4096))
            running = self.board.running[4]
            self.write_spare(IMAGES[2])
            self.boot.try_next(self.boot.spare)
            self.hard_reset()
            self.assertTrue(self.boot.on_trial)
            self.assertEqual(self.boot.identity(self.boot.running), image.identity(IMAGES[2]))
            self.hard_reset()
            self.runs(running)


if __name__ == "__main__":
    unittest.main()
