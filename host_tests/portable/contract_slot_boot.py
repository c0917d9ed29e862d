# SPDX-License-Identifier: MIT
"""What every Slot and Boot must do (`ota.ports`), whatever the board.

A board's test file makes a subclass of SlotBootContract and unittest.TestCase with

    start()             make a device that runs image 1, confirmed, with nothing in its spare slot
    hard_reset()        reset it, or give it power again; set `self.boot` to a new Boot
    image(n)            bytes of a good image, different for each n, that fits the spare slot now
    identity_of(data)   what `Boot.identity` has to answer for them
    operations()        flash operations done so far
    cut_at(n, tear)     let power fail in operation n from now on (None: never)
    TEARS, PowerCut     the ways to tear, and what a cut raises
"""

from ota.errors import ImageError, StateError


class SlotBootContract:
    def setUp(self):
        self.start()

    def write_spare(self, data):
        """Put an image into the spare slot, the way an install does: block 0 last."""
        spare = self.boot.spare
        size = spare.block_size
        blocks = (len(data) + size - 1) // size
        for block in list(range(1, blocks)) + [0]:
            spare.erase(block)
            spare.program(block, data[block * size : (block + 1) * size])

    def install(self, number):
        """Install image `number`, reset, and return its identity: it now runs on trial."""
        data = self.image(number)
        self.write_spare(data)
        self.boot.try_next(self.boot.spare)
        self.hard_reset()
        return self.identity_of(data)

    def running_identity(self):
        return self.boot.identity(self.boot.running)

    def assertSpareClosed(self):
        spare = self.boot.spare
        before = self.operations()
        self.assertRaises(StateError, spare.erase, 0)
        self.assertRaises(StateError, spare.program, 1, b"x")
        self.assertEqual(self.operations(), before)

    # Slots

    def test_sizes(self):
        for slot in (self.boot.running, self.boot.spare):
            self.assertEqual(slot.block_size, 4096)
            self.assertEqual(slot.size % slot.block_size, 0)
            self.assertTrue(slot.size > 0)

    def test_erase_program_read(self):
        spare = self.boot.spare
        spare.erase(2)
        spare.program(2, b"\x5a" * 4096)
        spare.erase(3)
        spare.program(3, b"abc")
        buf = bytearray(4096)
        spare.readinto(2, buf)
        self.assertEqual(bytes(buf), b"\x5a" * 4096)
        spare.readinto(3, buf)
        self.assertEqual(bytes(buf), b"abc" + b"\xff" * 4093)
        spare.erase(2)
        short = bytearray(1)
        spare.readinto(2, short)
        self.assertEqual(bytes(short), b"\xff")
        spare.readinto(3, memoryview(buf)[:3])
        self.assertEqual(bytes(buf[:3]), b"abc")

    def test_read_at_an_offset_and_on_into_the_next_block(self):
        spare = self.boot.spare
        for block in (1, 2):
            spare.erase(block)
            spare.program(block, bytes(range(256)) * 15 + bytes([block]) * 256)
        buf = bytearray(5)
        for block, offset, expected in (
            (1, 3, b"\3\4\5\6\7"),
            (1, 4093, b"\1\1\1\0\1"),
            (0, 4096 + 3837, b"\xfd\xfe\xff\1\1"),
            (2, 4091, b"\2\2\2\2\2"),
        ):
            spare.readinto(block, buf, offset)
            self.assertEqual(bytes(buf), expected)
        last = spare.size // 4096 - 1
        spare.readinto(last, buf, 4091)
        for block, offset in ((last, 4092), (0, -1), (0, spare.size), (1, 1 << 31), (-1, 5000)):
            self.assertRaises(ValueError, spare.readinto, block, buf, offset)

    def test_program_never_erases(self):
        spare = self.boot.spare
        spare.erase(1)
        spare.program(1, b"\x0f" * 4096)
        spare.program(1, b"\xf1" * 4096)
        buf = bytearray(4096)
        spare.readinto(1, buf)
        self.assertEqual(bytes(buf), b"\x01" * 4096)

    def test_last_block_and_the_ones_outside(self):
        for slot in (self.boot.spare, self.boot.running):
            last = slot.size // slot.block_size - 1
            slot.readinto(last, bytearray(4096))
            for block in (-1, last + 1, 1 << 20, 1 << 31):
                self.assertRaises(ValueError, slot.readinto, block, bytearray(1))
                self.assertRaises(ValueError, slot.erase, block)
                self.assertRaises(ValueError, slot.program, block, b"x")
        self.boot.spare.erase(self.boot.spare.size // 4096 - 1)

    def test_more_than_a_block(self):
        self.assertRaises(ValueError, self.boot.spare.program, 0, bytes(4097))
        self.assertRaises(ValueError, self.boot.spare.readinto, 0, bytearray(4097))

    def test_running_slot_is_never_written(self):
        before = self.operations()
        self.assertRaises(StateError, self.boot.running.erase, 0)
        self.assertRaises(StateError, self.boot.running.program, 0, b"x")
        self.assertEqual(self.operations(), before)

    # Identity and the check of an image

    def test_identity_is_read_from_the_slot(self):
        self.assertEqual(self.running_identity(), self.identity_of(self.image_running))
        self.assertIsNone(self.boot.identity(self.boot.spare))
        data = self.image(2)
        self.write_spare(data)
        self.assertEqual(self.boot.identity(self.boot.spare), self.identity_of(data))
        self.boot.spare.erase(0)
        self.assertIsNone(self.boot.identity(self.boot.spare))

    def test_check_image_takes_a_good_one(self):
        data = self.image(2)
        self.boot.check_image(data[:4096], len(data))
        self.boot.check_image(memoryview(data)[:4096], self.boot.spare.size)

    def test_check_image_refuses_what_cannot_run(self):
        data = self.image(2)
        before = self.operations()
        for head, length in (
            (data[:4096], self.boot.spare.size + 1),
            (b"", 0),
            (data[:16], 16),
            (bytes(4096), 4096),
            (b"\xff" * 4096, 4096),
            (b"\xe9" * 4096, 4096),
        ):
            self.assertRaises(ImageError, self.boot.check_image, head, length)
        self.assertEqual(self.operations(), before)

    # The switch

    def test_confirmed_and_quiet(self):
        self.assertFalse(self.boot.on_trial)
        self.assertFalse(self.boot.switch_pending)
        before = self.operations()
        self.boot.confirm()
        self.assertRaises(StateError, self.boot.revert)
        self.assertEqual(self.operations(), before)

    def test_switch_trial_confirm(self):
        identity = self.install(2)
        self.assertEqual(self.running_identity(), identity)
        self.assertTrue(self.boot.on_trial)
        self.assertFalse(self.boot.switch_pending)
        self.boot.confirm()
        self.assertFalse(self.boot.on_trial)
        for _ in range(3):
            self.hard_reset()
            self.assertEqual(self.running_identity(), identity)
            self.assertFalse(self.boot.on_trial)

    def test_updates_go_on_and_on(self):
        for number in range(2, 6):
            identity = self.install(number)
            self.boot.confirm()
            self.assertEqual(self.running_identity(), identity)

    def test_unconfirmed_image_is_left_at_the_next_reset(self):
        old = self.running_identity()
        self.install(2)
        for _ in range(3):
            self.hard_reset()
            self.assertEqual(self.running_identity(), old)
            self.assertFalse(self.boot.on_trial)
            self.assertFalse(self.boot.switch_pending)

    def test_revert(self):
        old = self.running_identity()
        self.install(2)
        self.boot.revert()
        self.assertTrue(self.boot.switch_pending)
        self.assertRaises(StateError, self.boot.confirm)
        self.assertSpareClosed()
        self.assertRaises(StateError, self.boot.try_next, self.boot.spare)
        self.hard_reset()
        self.assertEqual(self.running_identity(), old)
        self.assertFalse(self.boot.on_trial)

    def test_after_a_revert_the_next_install_works(self):
        for _ in range(3):
            self.install(2)
            self.boot.revert()
            self.hard_reset()
        identity = self.install(3)
        self.boot.confirm()
        self.hard_reset()
        self.assertEqual(self.running_identity(), identity)

    def test_the_same_image_can_be_tried_again(self):
        identity = self.install(2)
        self.hard_reset()
        self.boot.try_next(self.boot.spare)
        self.hard_reset()
        self.assertEqual(self.running_identity(), identity)
        self.assertTrue(self.boot.on_trial)

    def test_try_next_is_idempotent(self):
        old = self.running_identity()
        self.write_spare(self.image(2))
        self.boot.try_next(self.boot.spare)
        before = self.operations()
        self.boot.try_next(self.boot.spare)
        self.boot.try_next(self.boot.spare)
        self.assertEqual(self.operations(), before)
        self.hard_reset()
        self.hard_reset()
        self.assertEqual(self.running_identity(), old)

    def test_nothing_is_allowed_while_a_switch_waits(self):
        self.write_spare(self.image(2))
        self.boot.try_next(self.boot.spare)
        self.assertTrue(self.boot.switch_pending)
        self.assertSpareClosed()
        self.assertRaises(StateError, self.boot.confirm)
        self.assertRaises(StateError, self.boot.revert)
        self.hard_reset()
        self.assertTrue(self.boot.on_trial)

    def test_nothing_is_written_on_trial(self):
        self.install(2)
        self.assertSpareClosed()
        self.assertRaises(StateError, self.boot.try_next, self.boot.spare)

    def test_running_slot_is_never_made_next(self):
        before = self.operations()
        self.assertRaises(ValueError, self.boot.try_next, self.boot.running)
        self.assertEqual(self.operations(), before)

    def test_bad_image_is_not_made_next(self):
        old = self.running_identity()
        data = bytearray(self.image(2))
        data[len(data) // 2] ^= 1
        self.write_spare(bytes(data))
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.boot.spare.erase(0)
        self.assertRaises(ImageError, self.boot.try_next, self.boot.spare)
        self.assertFalse(self.boot.switch_pending)
        self.hard_reset()
        self.assertEqual(self.running_identity(), old)

    # Power cuts

    def sweep(self, prepare, act, judge):
        """Cut `act` in every one of its operations and in every way, and the boot after it too."""
        number = 0
        while True:
            done = False
            for tear in self.TEARS:
                for second in (None, 0, 1, 2, 3):
                    self.start()
                    prepare()
                    self.cut_at(number, tear)
                    try:
                        act()
                        done = True
                    except self.PowerCut:
                        pass
                    self.cut_at(second, tear)
                    try:
                        self.hard_reset()
                    except self.PowerCut:
                        self.cut_at(None)
                        self.hard_reset()
                    self.cut_at(None)
                    judge()
            number += 1
            if done:
                return number

    def test_cut_in_try_next(self):
        def prepare():
            self.old = self.running_identity()
            self.write_spare(self.image(2))
            self.new = self.boot.identity(self.boot.spare)

        def judge():
            self.assertFalse(self.boot.switch_pending)
            if self.running_identity() == self.old:
                self.assertFalse(self.boot.on_trial)
                self.boot.try_next(self.boot.spare)
                self.hard_reset()
            self.assertEqual(self.running_identity(), self.new)
            self.assertTrue(self.boot.on_trial)
            self.hard_reset()
            self.assertEqual(self.running_identity(), self.old)

        def act():
            self.boot.try_next(self.boot.spare)

        self.assertTrue(self.sweep(prepare, act, judge) > 1)

    def test_cut_in_confirm(self):
        def prepare():
            self.old = self.running_identity()
            self.new = self.install(2)

        def judge():
            runs = self.running_identity()
            self.assertIn(runs, (self.old, self.new))
            self.assertFalse(self.boot.on_trial)
            self.assertFalse(self.boot.switch_pending)
            for _ in range(2):  # settled: it stays what it is
                self.hard_reset()
                self.assertEqual(self.running_identity(), runs)
            self.install(3)
            self.hard_reset()
            self.assertEqual(self.running_identity(), runs)

        def act():
            self.boot.confirm()

        self.assertTrue(self.sweep(prepare, act, judge) > 1)

    def test_cut_in_erase_and_program_stays_in_its_block(self):
        def prepare():
            self.old = self.running_identity()
            self.write_spare(self.image(2))
            self.boot.spare.erase(0)
            self.before = bytearray(4096)
            self.boot.spare.readinto(2, self.before)

        def act():
            self.boot.spare.erase(1)
            self.boot.spare.program(1, bytes(4096))

        def judge():
            after = bytearray(4096)
            self.boot.spare.readinto(2, after)
            self.assertEqual(after, self.before)
            self.assertEqual(self.running_identity(), self.old)
            self.assertFalse(self.boot.on_trial)

        self.assertTrue(self.sweep(prepare, act, judge) > 2)
