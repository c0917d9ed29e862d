# SPDX-License-Identifier: MIT
"""Slot and Boot (`ota.ports`) on `esp32.Partition` and ESP-IDF's otadata.

`Partition` has none of ESP-IDF's guards and no way to ask for an image's state, so both are here.
otadata is two sectors with a record each: sequence number, state, CRC of the number. The valid
record with the larger number is *active* and names the slot that boots. The rules kept here:

 - Nothing is written to the spare slot while the running image is on trial or a switch waits, nor
   before the active record names the running image. The bootloader may run another image than the
   record says (it fell back from a corrupt one): then a record for what runs is written first,
   because the spare slot would become bootable, without a trial, with its last block.
 - `set_boot` is called once per switch and never for the running slot: a second call overwrites
   the record of the image that works.
 - An image is confirmed only when the active record names the running slot and is on trial, and
   never after `try_next`: `mark_app_valid_cancel_rollback` marks whatever is active.
 - `revert` writes nothing: the bootloader gives up an unconfirmed image at the next hard reset.
   `set_boot` of the good image would put that one on trial.
 - Slots are found by `get_next_update`: labels differ from board to board.
 - Floors lie in NVS, each in two places that take turns: NVS may lose the value that is written
   when power fails, never the other one.

Sources: ESP-IDF 5.x esp_ota_ops.c, bootloader_utility.c, esp_image_format.c, nvs_page.cpp.
"""

import binascii
import struct
import sys

import machine
from esp32 import NVS, Partition

import ota.adapters.wdt_esp32 as watchdog
from ota import const
from ota.errors import ImageError, SlotError, StateError

_BLOCK = const(4096)  # the sector that Partition erases; also the distance of otadata's records
_ERASE = const(6)  # ioctl
_FACTORY = const(0)  # subtypes
_OTA_0 = const(0x10)

# States of a record. NEW: boot it once; PENDING: it is that boot.
_NEW = const(0)
_PENDING = const(1)
_VALID = const(2)
_INVALID = const(3)
_ABORTED = const(4)
_NONE = const(0xFFFFFFFF)

# ESP_ERR_OTA_VALIDATE_FAILED and _SMALL_SEC_VER, as OSError has them.
_REFUSED = (-5379, -5380)
_SECURE_VERSION = const(36)  # u32 of the descriptor; 0 in firmware without anti-rollback
_DESCRIPTOR = b"\x32\x54\xcd\xab"  # every application has it at offset 32, no bootloader has
_CHIPS = {0: "", 2: "s2", 5: "c3", 9: "s3", 12: "c2", 13: "c6", 18: "p4", 23: "c5"}  # esp32...

_SPACE = "ota"  # namespace in NVS
_HIGHEST = const(0x7FFFFFFF)  # what NVS.set_i32 takes


class Slot:
    block_size = _BLOCK

    def __init__(self, boot, partition):
        self._boot = boot
        self.partition = partition
        _, self.subtype, self.address, self.size = partition.info()[:4]

    def readinto(self, block, buf, offset=0):
        self._check(block, buf, offset)
        _io(self.partition.readblocks, block, buf, offset)

    def erase(self, block):
        self._check(block, b"")
        self._boot._check_writable(self)
        _io(self.partition.ioctl, _ERASE, block)

    def program(self, block, data):
        self._check(block, data)
        self._boot._check_writable(self)
        # With an offset writeblocks programs only; without, it would erase first.
        _io(self.partition.writeblocks, block, data, 0)

    def _check(self, block, data, offset=0):
        end = block * _BLOCK + offset + (len(data) or 1)
        if block < 0 or offset < 0 or end > self.size or len(data) > _BLOCK:
            raise ValueError("block", block)


def _io(operation, *args):
    try:
        return operation(*args)
    except OSError as error:
        raise SlotError("flash", error)


class Boot:
    """See `ota.ports.Boot`. `lacks`: why there is no spare slot, in words; None where there is."""

    image_name = "firmware.bin"
    slot = None
    counter = 0
    boot_keys = None
    lacks = None

    def __init__(self):
        running = Partition(Partition.RUNNING)
        self.running = Slot(self, running)
        self.spare = None
        self.device_id = machine.unique_id()
        self._reverting = False
        self._chip_id = self._header(self.running)[2]
        self.chip = "esp32" + _CHIPS.get(self._chip_id, "-{}".format(self._chip_id))
        otadata = Partition.find(Partition.TYPE_DATA, subtype=0)
        self._otadata = otadata[0] if otadata else None
        self._count = 0
        while self._count < 16 and Partition.find(subtype=_OTA_0 + self._count):
            self._count += 1
        if not self._otadata or not self._count:
            self.lacks = "no OTA slots in the partition table: see boards/esp32/README.md"
        elif self.running.subtype >= _OTA_0 + self._count:
            # A slot that no record of otadata can name can neither be kept nor left.
            self.lacks = "what runs is not in a slot"
        elif "Arduino Nano ESP32" in getattr(sys.implementation, "_machine", ""):
            # Its board_init.c confirms a trial before Python runs: a bad image would stay.
            self.lacks = "this board's own firmware keeps any image: see boards/esp32/README.md"
        else:
            spare = Slot(self, running.get_next_update())
            if spare.address != self.running.address:  # the only OTA slot is its own next one
                self.spare = spare
            else:
                self.lacks = "a single OTA slot: see boards/esp32/README.md"

    # otadata

    def _active(self):
        """Return (slot subtype, state, number of the record, sequence) of what is active.

        All four are None when no record is valid.
        """
        best = (None, None, None, None)
        if self._otadata and self._count:
            record = bytearray(32)
            for number in (0, 1):
                _io(self._otadata.readblocks, number, record)
                seq, state, crc = struct.unpack("<I20xII", record)
                if seq == _NONE or state in (_INVALID, _ABORTED) or crc != _crc(record):
                    continue
                if best[3] is None or seq > best[3]:  # of equal ones the first counts
                    best = (_OTA_0 + (seq - 1 & _NONE) % self._count, state, number, seq)
        return best

    @property
    def on_trial(self):
        return self._active()[:2] == (self.running.subtype, _PENDING)

    @property
    def switch_pending(self):
        # A record that names another slot but is not NEW is no pending switch: the bootloader
        # has tried that slot and fell back to the one that runs.
        return self._reverting or self._active()[1] == _NEW

    def _check_writable(self, slot):
        if slot is not self.spare:
            raise StateError("running slot")
        self._check_settled()

    def _check_settled(self):
        """Raise StateError on trial or before a switch; then make what runs the active record."""
        subtype, state, number, seq = self._active()
        if state == _NEW:
            raise StateError("switch pending")
        mine = self.running.subtype
        if subtype == mine:
            if state == _PENDING:  # also after revert
                raise StateError("on trial")
        elif mine == _FACTORY:
            if subtype is not None:
                # This erases otadata: without records the factory image boots.
                _io(self.running.partition.set_boot)
        elif self._count:
            # Take the sector that is not active: a cut leaves things as they were.
            if seq is None:
                number = seq = 0
            mine -= _OTA_0
            seq += 1 + (mine - seq) % self._count
            if seq >= _NONE:
                raise SlotError("otadata: sequence numbers used up")
            record = bytearray(b"\xff" * 32)
            struct.pack_into("<I", record, 0, seq)
            struct.pack_into("<II", record, 24, _VALID, _crc(record))
            _io(self._otadata.ioctl, _ERASE, 1 - number)
            _io(self._otadata.writeblocks, 1 - number, record, 0)

    def try_next(self, slot):
        if slot is not self.spare:
            raise ValueError("not the spare slot")
        if self._active()[:2] == (slot.subtype, _NEW):
            return
        self._check_settled()
        head = bytearray(40)
        slot.readinto(0, head)
        self.check_image(head, slot.size)
        try:
            slot.partition.set_boot()
        except OSError as error:
            if error.args[0] in _REFUSED:
                raise ImageError("the bootloader would refuse this image")
            raise SlotError("set_boot", error)
        if self._active()[:2] != (slot.subtype, _NEW):
            raise SlotError("otadata does not hold the switch")

    def confirm(self):
        if self.switch_pending:
            raise StateError("switch pending")
        subtype = self._active()[0]
        if subtype not in (None, self.running.subtype):
            raise StateError("another slot is active")
        if self.on_trial:
            _io(Partition.mark_app_valid_cancel_rollback)

    def revert(self):
        if not self.on_trial:
            raise StateError("not on trial")
        self._reverting = True

    # Floors. An NVS that is full or damaged keeps none, and stops no update: the file system has
    # them too.

    @property
    def root_floor(self):
        return max(_kept("root"))

    def raise_root_floor(self, version):
        _keep("root", version)

    @property
    def seq_floor(self):
        return max(_kept("seq"))

    def raise_seq_floor(self, seq):
        _keep("seq", seq)

    # Images

    def _header(self, slot):
        """Return magic, number of segments, chip id and hash flag of the slot's image header."""
        head = bytearray(24)
        slot.readinto(0, head)
        return struct.unpack("<BB10xH9xB", head)

    def identity(self, slot):
        """The SHA-256 that esptool appends to an image. None also for an image without it."""
        magic, segments, _, hashed = self._header(slot)
        if magic != 0xE9 or not 0 < segments <= 16 or hashed != 1:
            return None
        buf = bytearray(32)
        at = 24
        for _ in range(segments):
            if at + 8 > slot.size:
                return None
            _io(slot.partition.readblocks, 0, memoryview(buf)[:8], at)
            at += 8 + struct.unpack_from("<I", buf, 4)[0]
        at += 16 - at % 16  # padding; its last byte is a checksum, so there is at least one
        if at + 32 > slot.size:
            return None
        _io(slot.partition.readblocks, 0, buf, at)
        return binascii.hexlify(buf).decode()

    def check_image(self, head, length):
        if len(head) < 40 or head[0] != 0xE9 or not 0 < head[1] <= 16:
            raise ImageError("not an ESP32 image")
        chip = head[12] | head[13] << 8
        if chip != self._chip_id:
            raise ImageError("image for another chip", chip, self._chip_id)
        if bytes(head[32:36]) != _DESCRIPTOR:
            # A combined firmware.bin begins with a bootloader; set_boot would take it.
            raise ImageError("not an app image: take micropython.bin or .app-bin")
        if head[23] != 1:
            raise ImageError("image without appended digest")
        if self.spare is None or length > self.spare.size:
            raise ImageError("image longer than the slot", length)
        mine = bytearray(4)
        self.running.readinto(0, mine, _SECURE_VERSION)
        (mine,) = struct.unpack("<I", mine)
        (version,) = struct.unpack_from("<I", head, _SECURE_VERSION)
        if version < mine:
            # With anti-rollback on, set_boot would erase it instead of booting it.
            raise ImageError("image of a lower secure version", version, mine)

    # Watchdog

    def arm(self, ms):
        watchdog.arm(ms)

    def disarm(self):
        watchdog.disarm()


def _kept(name):
    """Return what the two places of a floor hold, 0 for nothing."""
    values = []
    for place in "01":
        try:
            values.append(NVS(_SPACE).get_i32(name + place))
        except OSError:
            values.append(0)
    return values


def _keep(name, value):
    values = _kept(name)
    value = min(value, _HIGHEST)
    if value > max(values):
        place = "01"[values[0] > values[1]]
        try:
            nvs = NVS(_SPACE)
            nvs.set_i32(name + place, value)
            nvs.commit()
        except OSError:
            pass


def _crc(record):
    return binascii.crc32(memoryview(record)[:4], _NONE) & _NONE
