# SPDX-License-Identifier: MIT
"""Block list and order of writing, over simulated flash that loses power at any operation."""

import unittest
from hashlib import sha256
from io import BytesIO

from flash_slot import FlashSlot

from ota.errors import ImageError, SlotError
from ota.image.blocks import BlockList
from ota.image.install import Install
from sim.flash import SECTOR, TEARS, Flash, PowerCut

SLOT = 16 * SECTOR


def image(seed, length):
    out = b""
    while len(out) < length:
        out += sha256(b"%d %d" % (seed, len(out))).digest()
    return out[:length]


def block_list(content, digest_size=32):
    out = b""
    for at in range(0, len(content), SECTOR):
        block = content[at : at + SECTOR]
        block += b"\xff" * (SECTOR - len(block))
        out += sha256(block).digest()[:digest_size]
    return out


def accept(head, length):
    pass


class Bench:
    """One flash with one slot; installs and counts what was fetched."""

    def __init__(self, content, digest_size=32, held=b""):
        self.flash = Flash(SLOT)
        self.flash.strict = True
        self.slot = FlashSlot(self.flash, 0, SLOT)
        self.flash.write(0, held)
        self.content = content
        self.digests = block_list(content, digest_size)
        self.digest_size = digest_size
        self.fetched = 0
        self.checked = 0

    def check_image(self, head, length):
        self.checked += 1

    def install(self, check_image=None, running=None):
        blocks = BlockList(BytesIO(self.digests), len(self.content), SECTOR, self.digest_size)
        buf = memoryview(bytearray(SECTOR))
        install = Install(self.slot, blocks, buf, check_image or self.check_image, running)
        for _ in install.scan():
            pass
        while True:
            for _ in install.fill():
                pass
            run = install.next_run()
            if run is None:
                break
            for block in range(run[0], run[1]):
                piece = self.content[block * SECTOR : (block + 1) * SECTOR]
                self.fetched += len(piece)
                buf[: len(piece)] = piece
                install.put(block)
        return install

    def held(self):
        buf = bytearray(SLOT)
        self.flash.read(0, buf)
        return bytes(buf)

    def is_installed(self):
        return self.held()[: len(self.content)] == self.content


class TestInstall(unittest.TestCase):
    def test_fresh_slot_gets_the_image(self):
        for length in (1, 4095, 4096, 4097, 5 * SECTOR, SLOT - 1, SLOT):
            bench = Bench(image(1, length))
            bench.install()
            self.assertTrue(bench.is_installed())
            self.assertEqual(bench.fetched, length)

    def test_every_block_is_erased_once_and_only_the_images_blocks(self):
        bench = Bench(image(1, 5 * SECTOR), held=image(2, SLOT))
        bench.install()
        self.assertEqual(list(bench.flash.erases), [1] * 5 + [0] * 11)

    def test_short_digests(self):
        bench = Bench(image(1, 3 * SECTOR + 5), digest_size=16)
        bench.install()
        self.assertTrue(bench.is_installed())

    def test_complete_slot_is_only_read(self):
        content = image(1, 6 * SECTOR + 7)
        bench = Bench(content)
        bench.install()
        operations = bench.flash.ops
        fetched = bench.fetched
        bench.install()
        self.assertEqual(bench.flash.ops, operations)
        self.assertEqual(bench.fetched, fetched)

    def test_damaged_block_is_found_and_mended(self):
        for block in (0, 1, 5):
            content = image(1, 6 * SECTOR)
            damaged = bytearray(content)
            damaged[block * SECTOR + 100] ^= 1
            bench = Bench(content, held=damaged)
            bench.install()
            self.assertTrue(bench.is_installed())

    def test_blocks_of_the_running_slot_are_copied(self):
        content = image(1, 6 * SECTOR + 9)
        other = bytearray(content + b"\xff" * (SLOT - len(content)))
        for block in (0, 2, 5):
            other[block * SECTOR + 7] ^= 1
        for held in (b"", image(2, SLOT), content[: 2 * SECTOR]):
            bench = Bench(content, held=held)
            running = FlashSlot(Flash(SLOT), 0, SLOT)
            running._flash.write(0, other)
            before = running._flash.ops
            bench.install(running=running)
            self.assertTrue(bench.is_installed())
            # Block 0 comes twice when another image is there that may boot.
            twice = held[:SECTOR] == image(2, SECTOR)
            self.assertEqual(bench.fetched, (4 if twice else 3) * SECTOR)
            self.assertEqual(running._flash.ops, before)

    def test_running_slot_that_is_shorter_than_the_image(self):
        content = image(1, 6 * SECTOR)
        flash = Flash(2 * SECTOR)
        flash.write(0, content[: 2 * SECTOR])
        bench = Bench(content)
        bench.install(running=FlashSlot(flash, 0, 2 * SECTOR))
        self.assertTrue(bench.is_installed())
        self.assertEqual(bench.fetched, 5 * SECTOR)

    def test_header_is_checked_before_the_first_erase(self):
        def refuse(head, length):
            raise ImageError("wrong chip")

        held = image(2, SLOT)
        for content in (image(1, 4 * SECTOR), held[:SECTOR] + image(1, SECTOR)):
            bench = Bench(content, held=held)
            self.assertRaises(ImageError, bench.install, refuse)
            self.assertEqual(bench.flash.ops, 0)

    def test_header_is_checked_before_it_is_written_when_the_slot_is_blank(self):
        def refuse(head, length):
            raise ImageError("wrong chip")

        bench = Bench(image(1, 4 * SECTOR))
        self.assertRaises(ImageError, bench.install, refuse)
        self.assertEqual(bench.held()[:SECTOR], b"\xff" * SECTOR)

    def test_wrong_bytes_never_reach_flash(self):
        content = image(1, 4 * SECTOR)
        for block in range(4):
            wrong = bytearray(content)
            wrong[block * SECTOR] ^= 0x80
            bench = Bench(content, held=image(2, SLOT))
            bench.content = bytes(wrong)
            self.assertRaises(ImageError, bench.install)
            held = bench.held()
            self.assertFalse(bytes(wrong[block * SECTOR : (block + 1) * SECTOR]) in held)
            if block == 0:
                self.assertEqual(bench.flash.ops, 0)
            else:
                self.assertEqual(held[:SECTOR], b"\xff" * SECTOR)

    def test_image_longer_than_the_slot(self):
        bench = Bench(image(1, SLOT + 1))
        self.assertRaises(ImageError, bench.install)
        self.assertEqual(bench.flash.ops, 0)

    def test_block_list_too_short(self):
        bench = Bench(image(1, 4 * SECTOR))
        bench.digests = bench.digests[:-1]
        self.assertRaises(ImageError, bench.install)
        self.assertEqual(bench.flash.ops, 0)

    def test_impossible_lengths(self):
        for length, digest_size in ((0, 32), (-1, 32), (1, 15), (1, 33)):
            self.assertRaises(ImageError, BlockList, BytesIO(), length, SECTOR, digest_size)

    def test_flash_that_does_not_hold_a_bit(self):
        class Worn(FlashSlot):
            def program(self, block, data):
                data = bytearray(data)
                if block == 2:
                    data[9] = 0
                FlashSlot.program(self, block, data)

        content = image(1, 2 * SECTOR) + b"\xff" * 2 * SECTOR
        bench = Bench(content, held=image(2, SLOT))
        bench.slot = Worn(bench.flash, 0, SLOT)
        self.assertRaises(SlotError, bench.install)
        self.assertEqual(bench.held()[:SECTOR], b"\xff" * SECTOR)


class TestPowerCut(unittest.TestCase):
    def lives(self, content, held):
        """Yield a bench for each operation of an install and each way to tear it."""
        full = Bench(content, held=held)
        full.install()
        for tear in TEARS:
            for cut in range(full.flash.ops):
                bench = Bench(content, held=held)
                bench.flash.tear = tear
                bench.flash.cut_at = cut
                self.assertRaises(PowerCut, bench.install)
                bench.flash.cut_at = None
                bench.flash.power_on()
                yield bench

    def test_slot_holds_the_old_header_none_or_all_of_the_new_image(self):
        content, held = image(1, 5 * SECTOR + 9), image(2, SLOT)
        for bench in self.lives(content, held):
            if bench.held()[:SECTOR] == held[:SECTOR]:
                self.assertEqual(bench.held(), held)
            elif bench.held()[:SECTOR] == content[:SECTOR]:
                self.assertTrue(bench.is_installed())

    def test_next_install_goes_on_and_costs_one_block(self):
        content, held = image(1, 5 * SECTOR + 9), image(2, SLOT)
        full = Bench(content, held=held)
        full.install()
        for bench in self.lives(content, held):
            bench.install()
            self.assertTrue(bench.is_installed())
            self.assertTrue(bench.fetched <= full.fetched + SECTOR)
            self.assertTrue(sum(bench.flash.erases) <= sum(full.flash.erases) + 1)

    def test_change_of_mind_after_a_cut(self):
        content, held = image(1, 5 * SECTOR + 9), image(2, SLOT)
        other = image(3, 7 * SECTOR)
        for bench in self.lives(content, held):
            bench.content = other
            bench.digests = block_list(other)
            bench.install()
            self.assertTrue(bench.is_installed())


if __name__ == "__main__":
    unittest.main()
