# SPDX-License-Identifier: MIT
"""Slot and Boot (`ota.ports`) on an RP2040 with two slots and the bootloader of boards/rp2040.

Code runs from flash where it lies, so each slot takes only an image that was linked for it. The
bootloader chooses by two records, one for each slot, in sectors of their own (boot/record.h): what
an install says about its image, and marks that only ever lose bits: tried, confirmed, aborted. The
bootloader never erases, and an install never erases the record of the image that runs.

The port's Flash reaches everything behind the bootloader and checks no block number, so all bounds
are here. The rules kept:

 - Nothing is written to the running slot, to its record nothing but marks and what it holds, to
   the spare slot or its record nothing while the running image is on trial, a switch waits, or no
   record says what runs.
 - The record of the spare slot is erased before the first byte of the slot is, and written last,
   so the bootloader never meets a record beside an image that it does not describe.
 - What a program leaves that is cut at its very end reads as it should, and perhaps otherwise
   tomorrow. So what a kept image depends on is programmed twice, the second time in a life that
   began with it: its pages before its trial, its record when it is confirmed.
 - Where the slots are is read from the info page of the bootloader that is installed, which slot
   runs from the reset vector: no build-time number can disagree with the device.
 - A watchdog is fed before each erase, the longest time that Python is away.

Sources: RP2040 datasheet 2.8, 4.7; pico-sdk 2.1 hardware_flash; MicroPython ports/rp2.
"""

import binascii
import struct

import machine
import uctypes
from _rp2 import Flash  # rp2.Flash is what _boot.py makes of it for applications

import ota.adapters.wdt_rp2 as watchdog
from ota import const
from ota.errors import ImageError, SlotError, StateError

try:
    import ota_ed25519
except ImportError:
    pass  # firmware that is not ours: `info` says what that means

_XIP = const(0x10000000)  # where flash is mapped
_RAM_START = const(0x20000000)
_RAM_END = const(0x20042000)
_VTOR = const(0xE000ED08)
_BLOCK = const(4096)  # sector: the unit of erasing
_PAGE = const(256)  # the unit of programming
_BLOCK_COUNT = const(4)  # ioctls
_ERASE = const(6)
_NONE = const(0xFFFFFFFF)

_INFO = const(0x10001F00)  # boot/info.h
_INFO_MAGIC = const(0x4941544F)
_INFO_VERSION = const(1)
_KEYS = const(64)

_RECORD_MAGIC = const(0x5241544F)  # boot/record.h
_MARKS = const(256)
_TRIED = const(0)
_CONFIRMED = const(1)
_ABORTED = const(2)
_FIRM = const(3)
_MARK_COUNT = const(4)

_FLOOR_MAGIC = const(0x4641544F)

_IMAGE_MAGIC = const(0x96F3B83D)  # boot/image.h
_HEADER = const(0x100)
_VECTORS = const(0xC0)
_PROTECTED_LEAST = const(12)  # a block with a security counter
_FIXED_ADDRESS = const(0x100)  # flag: the header says where the image has to lie
_TLVS = const(0x6907)
_PROTECTED_TLVS = const(0x6908)
_COUNTER = const(0x50)
_DIGEST = const(0x12)
_SIGNATURE = const(0x24)
_PLACES = {  # type: (length, magic of the block that it belongs in)
    _COUNTER: (4, _PROTECTED_TLVS),
    _DIGEST: (64, _TLVS),
    _SIGNATURE: (64, _TLVS),
    0x01: (64, _TLVS),  # digest of the key: a hint for tools
}


def info():
    """Return the installed bootloader's map, as a tuple of 13 words, and its public keys.

    The words: magic, version, size of flash; records A, B; floors A, B; slots A, B; size of a
    slot; offset and size of the file system; number of keys.
    """
    page = bytes(uctypes.bytearray_at(_INFO, _PAGE))
    words = struct.unpack_from("<13I", page)
    (crc,) = struct.unpack_from("<I", page, _PAGE - 4)
    if words[:2] != (_INFO_MAGIC, _INFO_VERSION) or crc != binascii.crc32(page[: _PAGE - 4]):
        raise StateError(
            "no bootloader for two slots: only application updates are possible on this firmware"
        )
    # A smaller chip shows its beginning again behind its end, where slot B would overwrite it.
    if bytes(uctypes.bytearray_at(_INFO + words[2] // 2, _PAGE)) == page:
        raise StateError("flash is smaller than the bootloader's map: take the UF2 of this board")
    return words, [page[at : at + 32] for at in range(_KEYS, _KEYS + 32 * words[12], 32)]


def flash(words, offset, size):
    """Return the part of flash at `offset` as a block device."""
    # Flash() begins behind the bootloader, where the first record is, and ends with the chip.
    base = words[3]
    if base + Flash().ioctl(_BLOCK_COUNT, 0) * _BLOCK != words[2]:
        raise StateError("firmware built for another flash map")
    return Flash(start=offset - base, len=size)


class Slot:
    block_size = _BLOCK

    def __init__(self, boot, number, words):
        self._boot = boot
        self.number = number  # 0 is slot A
        self.offset = words[7 + number]
        self.size = words[9]
        self.flash = flash(words, self.offset, self.size)

    def readinto(self, block, buf, offset=0):
        self._check(block, buf, offset)
        self.flash.readblocks(block, buf, offset)

    def erase(self, block):
        self._check(block, b"")
        self._boot._check_writable(self)
        watchdog.feed()
        self.flash.ioctl(_ERASE, block)

    def program(self, block, data):
        self._check(block, data)
        self._boot._check_writable(self)
        # Through a page of RAM: `data` may lie in flash, which cannot be read meanwhile, and
        # interrupts are off for a page at a time and not for a block.
        page = bytearray(_PAGE)
        data = memoryview(data)
        for at in range(0, len(data), _PAGE):
            piece = data[at : at + _PAGE]
            page[: len(piece)] = piece
            for i in range(len(piece), _PAGE):
                page[i] = 0xFF
            self.flash.writeblocks(block, page, at)

    def _check(self, block, data, offset=0):
        end = block * _BLOCK + offset + (len(data) or 1)
        if block < 0 or offset < 0 or end > self.size or len(data) > _BLOCK:
            raise ValueError("block", block)

    def read(self, at, length):
        """Return `length` bytes at `at`; fewer at the end of the slot."""
        buf = bytearray(max(0, min(length, self.size - at)))
        if buf:
            self.flash.readblocks(0, buf, at)
        return buf


class Boot:
    chip = "rp2040"

    def __init__(self):
        words, keys = info()
        self.boot_keys = len(keys)
        self.device_id = machine.unique_id()
        self._keys = keys
        self._records = flash(words, words[3], 2 * _BLOCK)
        self._floors = flash(words, words[5], 2 * _BLOCK)
        self._record_erased = False
        slots = [Slot(self, 0, words), Slot(self, 1, words)]
        # The vector table was copied to RAM, but what it points to has stayed.
        entry = machine.mem32[machine.mem32[_VTOR] + 4] - _XIP
        number = 1 if entry >= slots[1].offset else 0
        self.running = slots[number]
        self.spare = slots[1 - number]
        if not 0 < entry - self.running.offset < self.running.size:
            raise StateError("what runs is in neither slot")
        self.slot = "ba"[number]
        self.image_name = "firmware-{}.bin".format(self.slot)

    # Records

    def _record(self, slot):
        """Return (sequence, security counter, marks as booleans) or None: no record."""
        buf = bytearray(28)
        self._records.readblocks(slot.number, buf)
        magic, seq, offset, length, _, counter, crc = struct.unpack("<7I", buf)
        if magic != _RECORD_MAGIC or offset != slot.offset or length > slot.size:
            return None
        if crc != binascii.crc32(memoryview(buf)[:24]):
            return None
        self._records.readblocks(slot.number, memoryview(buf)[: 4 * _MARK_COUNT], _MARKS)
        marks = struct.unpack_from("<4I", buf)
        return seq, counter, [mark != _NONE for mark in marks]

    def _mark(self, which):
        """Set a mark of the running image, and again those that it has. Programs from 1 to 0 only:
        a cut harms nothing else."""
        page = bytearray(b"\xff" * _PAGE)
        for mark, is_set in enumerate(self._record(self.running)[2]):
            if is_set or mark == which:
                page[4 * mark : 4 * mark + 4] = b"\0\0\0\0"
        self._records.writeblocks(self.running.number, page, _MARKS)
        self._records.readblocks(self.running.number, page, _MARKS)
        if page[4 * which : 4 * which + 4] != b"\0\0\0\0":
            raise SlotError("flash does not hold a mark", which)

    @property
    def counter(self):
        """Security counter below which `try_next` takes no image."""
        record = self._record(self.running)
        return record[1] if record else 0

    @property
    def on_trial(self):
        record = self._record(self.running)
        return record is not None and record[2][_TRIED] and not record[2][_CONFIRMED]

    @property
    def switch_pending(self):
        running = self._record(self.running)
        if running and running[2][_ABORTED]:
            return True
        spare = self._record(self.spare)
        if not spare or True in spare[2]:
            return False
        return running is None or 0 < (spare[0] - running[0] & _NONE) < 0x80000000

    def _check_settled(self):
        record = self._record(self.running)
        if not record:
            raise StateError("no record of what runs")
        if self.switch_pending:  # or aborted
            raise StateError("switch pending")
        if not record[2][_CONFIRMED]:
            raise StateError("running image is on trial")

    def _check_writable(self, slot):
        if slot is not self.spare:
            raise StateError("slot is running")
        self._check_settled()
        self._erase_record()

    def _erase_record(self):
        """Forget the spare image. Once for each install, also when the record reads as blank: an
        erase that was cut leaves cells that may read otherwise tomorrow.

        From here on nothing but the running image's record boots the board, so that one is firm
        before. Zeros first: an erase that is cut may take the marks and leave what they mark.
        """
        if not self._record_erased:
            self._keep()
            watchdog.feed()
            self._records.writeblocks(self.spare.number, bytearray(_PAGE), 0)
            self._records.ioctl(_ERASE, self.spare.number)
            self._record_erased = True

    def _keep(self):
        """Confirm the running image for good, however the cells of its record came about."""
        marks = self._record(self.running)[2]
        if marks[_FIRM]:
            return
        page = bytearray(_PAGE)
        self._records.readblocks(self.running.number, page, 0)
        self._records.writeblocks(self.running.number, page, 0)
        if not marks[_CONFIRMED]:
            self._mark(_CONFIRMED)
        self._mark(_FIRM)

    def try_next(self, slot):
        if slot is not self.spare:
            raise ValueError("not the spare slot")
        if not self.on_trial and self.switch_pending:
            return
        self._check_settled()
        length, counter, digest, signature, signed = self._image(slot)
        seq, floor, _ = self._record(self.running)
        if counter < floor:
            raise ImageError("security counter below the running image's", counter, floor)
        if self._keys and not self._is_signed(digest, signature):
            raise ImageError("not signed by a key of the bootloader")
        crc = _firm_image(slot, length, signed, digest)
        record = struct.pack(
            "<6I", _RECORD_MAGIC, seq + 1 & _NONE, slot.offset, length, crc, counter
        )
        page = bytearray(b"\xff" * _PAGE)
        page[:24] = record
        struct.pack_into("<I", page, 24, binascii.crc32(record))
        self._erase_record()
        self._record_erased = False  # the next install erases it again
        watchdog.forget()  # the deadline of a trial before the one that this begins
        self._records.writeblocks(slot.number, page, 0)
        if not self.switch_pending:
            raise SlotError("flash does not hold the record")

    def _is_signed(self, digest, signature):
        for key in self._keys:
            try:
                if ota_ed25519.verify(key, digest, signature):
                    return True
            except ValueError:
                pass  # no key, or no signature
        return False

    def confirm(self):
        if self.switch_pending:
            raise StateError("switch pending")
        if self.on_trial:
            self._keep()

    def revert(self):
        if not self.on_trial:
            raise StateError("not on trial")
        self._mark(_ABORTED)

    # Floors: what must not be lost with the file system. `minseq` is none of them, because the
    # bootloader holds it: the security counter of the image that was confirmed last.

    def _floor(self, number):
        """Return the floor in one of its two sectors, 0 if there is none."""
        buf = bytearray(12)
        self._floors.readblocks(number, buf)
        magic, value, crc = struct.unpack("<3I", buf)
        return value if (magic, crc) == (_FLOOR_MAGIC, binascii.crc32(buf[:8])) else 0

    @property
    def root_floor(self):
        return max(self._floor(0), self._floor(1))

    @property
    def seq_floor(self):
        return self.counter

    def raise_seq_floor(self, seq):
        """Nothing to do: the record of the image that was confirmed holds its `minseq`."""

    def raise_root_floor(self, version):
        """Keep a higher version. It replaces the lower of two, so a cut leaves the other one."""
        if version > self.root_floor:
            number = 0 if self._floor(0) < self._floor(1) else 1
            page = bytearray(b"\xff" * _PAGE)
            struct.pack_into("<2I", page, 0, _FLOOR_MAGIC, version)
            struct.pack_into("<I", page, 8, binascii.crc32(page[:8]))
            watchdog.feed()
            self._floors.ioctl(_ERASE, number)
            self._floors.writeblocks(number, page, 0)
            if self.root_floor != version:
                raise SlotError("flash does not hold the floor", version)

    # Images

    def check_image(self, head, length):
        if len(head) < _HEADER + 8:
            raise ImageError("not an image")
        code, protected = _parse(head, self.spare, self.running)
        if not _HEADER + code + protected < length <= self.spare.size:
            raise ImageError("image has a wrong length", length)
        stack, entry = struct.unpack_from("<II", head, _HEADER)
        _check_vectors(self.spare, stack, entry, code)

    def _image(self, slot):
        """Return (length, counter, digest, signature, signed length) of the image in a slot, as it
        claims them.

        Raises ImageError when there is none that the bootloader would understand.
        """
        code, protected = _parse(slot.read(0, 32), slot, None)
        _check_vectors(slot, *struct.unpack("<II", slot.read(_HEADER, 8)), code)
        at = _HEADER + code
        found = {}
        for magic in (_PROTECTED_TLVS, _TLVS):
            head = slot.read(at, 4)
            if len(head) < 4 or struct.unpack("<H", head)[0] != magic:
                raise ImageError("image without its TLVs")
            length = struct.unpack_from("<H", head, 2)[0]
            end = at + length
            if end > slot.size or (magic == _PROTECTED_TLVS and length != protected):
                raise ImageError("image with TLVs of an impossible length")
            at += 4
            while at < end:
                head = slot.read(at, 4)
                if len(head) < 4:
                    raise ImageError("image is cut short")
                kind, size = struct.unpack("<HH", head)
                at += 4 + size
                if kind in _PLACES:
                    if kind in found or _PLACES[kind] != (size, magic):
                        raise ImageError("image with a TLV that does not belong there", kind)
                    found[kind] = slot.read(at - size, size)
                elif magic == _TLVS:  # nobody vouches for it: these are not signed
                    raise ImageError("image with a TLV that is not known", kind)
            if at != end:
                raise ImageError("image with a damaged TLV")
        if _COUNTER not in found or _DIGEST not in found:
            raise ImageError("image without security counter or SHA-512")
        counter = struct.unpack("<I", found[_COUNTER])[0]
        signed = _HEADER + code + protected
        return at, counter, found[_DIGEST], found.get(_SIGNATURE, b""), signed

    def identity(self, slot):
        """The SHA-512 that `mpota release` appends to an image."""
        try:
            return binascii.hexlify(self._image(slot)[2]).decode()
        except ImageError:
            return None

    # Watchdog

    def arm(self, ms):
        """See `ota.ports.Boot.arm`. The bootloader has armed the watchdog; a timer feeds it."""
        watchdog.arm(ms)

    def disarm(self):
        watchdog.disarm()


def _firm_image(slot, length, signed, digest):
    """Program each page of an image again and return its CRC-32.

    Bits go from 0 to 0, so nothing changes but cells that only just read as they should: blocks
    that a cut install left, and the next one found right. Raises ImageError unless the digest is
    right.
    """
    crc = 0
    sha512 = ota_ed25519.sha512()
    page = bytearray(_PAGE)
    for at in range(0, length, _PAGE):
        if at % _BLOCK == 0:
            watchdog.feed()
        slot.flash.readblocks(0, page, at)
        slot.flash.writeblocks(0, page, at)
        crc = binascii.crc32(memoryview(page)[: length - at], crc)
        sha512.update(memoryview(page)[: max(0, signed - at)])
    if sha512.digest() != digest:
        raise ImageError("image is damaged")
    return crc


def _parse(head, slot, other):
    """Return (length of the code, length of its protected TLVs) as an image's header has them."""
    magic, address, header, protected, code, flags = struct.unpack_from("<IIHHII", head)
    if magic != _IMAGE_MAGIC:
        raise ImageError("not an image of mpota release: no MCUboot header")
    if other and address == _XIP + other.offset:
        raise ImageError("image linked for the other slot")
    if (address, header, flags) != (_XIP + slot.offset, _HEADER, _FIXED_ADDRESS):
        raise ImageError("image not linked for this slot", address)
    if code < _VECTORS or protected < _PROTECTED_LEAST or _HEADER + code + protected > slot.size:
        raise ImageError("image with an impossible length", code, protected)
    return code, protected


def _check_vectors(slot, stack, entry, code):
    entry -= _XIP + slot.offset + _HEADER
    if not _RAM_START < stack <= _RAM_END or stack % 8:
        raise ImageError("not a firmware: no stack", stack)
    if not _VECTORS <= entry < code or not entry & 1:
        raise ImageError("not a firmware: no entry point", entry)


info()  # firmware that is not ours says so when this is imported
