# SPDX-License-Identifier: MIT
"""A simulated ESP32 board: bootloader, `esp32.Partition` and `machine` over a Flash.

What ESP-IDF 5.x and MicroPython 1.23 to 1.29 do, traps included: the same selection of a slot and
the same order of erases and programs, each of which can be cut; the same exceptions; unsigned
offsets; abort() when the running slot is written; no check that a switch makes sense.

    board = Board(flash)
    board.power_on()             # the bootloader runs; board.running is the partition it chose
    with board:                  # `import esp32, machine` give the simulated modules
        ...                      # may raise a ChipReset or PowerCut, which are BaseException
    board.reset()                # the next life

The bootloader's rules: ESP-IDF bootloader_utility.c, bootloader_common.c; set_boot and confirm:
esp_ota_ops.c; Partition: ports/esp32/esp32_partition.c; NVS: esp32_nvs.c; what happens at start:
main.c; WDT: machine_wdt.c and task_wdt.c.
"""

import binascii
import hashlib
import struct
import sys
import time

from sim import image, nvs, table
from sim.flash import SECTOR, PowerCut

NEW = 0
PENDING = 1
VALID = 2
INVALID = 3
ABORTED = 4
UNDEFINED = 0xFFFFFFFF

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_FAIL = -1
_INVALID_ARG = 0x102
_INVALID_SIZE = 0x104
_NOT_FOUND = 0x105
_VALIDATE_FAILED = 0x1503
_SMALL_SEC_VER = 0x1504
_NAMES = {
    _FAIL: "ESP_FAIL",
    _INVALID_ARG: "ESP_ERR_INVALID_ARG",
    _INVALID_SIZE: "ESP_ERR_INVALID_SIZE",
    _NOT_FOUND: "ESP_ERR_NOT_FOUND",
    _VALIDATE_FAILED: "ESP_ERR_OTA_VALIDATE_FAILED",
    _SMALL_SEC_VER: "ESP_ERR_OTA_SMALL_SEC_VER",
}
_NAMES.update(nvs.NAMES)
_ENOENT = 2
_EINVAL = 22


class ChipReset(BaseException):
    """The chip stops executing and boots again; `cause` is machine.reset_cause() afterwards."""

    cause = HARD_RESET


class HardReset(ChipReset):
    """machine.reset()"""


class Panic(ChipReset):
    """abort() in C: written to the running slot, or below the end of the partition table."""


class WatchdogReset(ChipReset):
    cause = WDT_RESET


class DeepSleep(ChipReset):
    """machine.deepsleep(); waking boots the same partition without a look at otadata."""

    cause = DEEPSLEEP_RESET


class BootLoop(BaseException):
    """Nothing on the flash can be booted."""


_installed = None  # the Board that esp32 and machine speak to


def _current():
    if _installed is None:
        raise RuntimeError("no simulated board is installed")
    return _installed


def _esp_error(code):
    return OSError(-code, _NAMES[code])


class Entry:
    """One 32-byte record of otadata."""

    def __init__(self, data):
        self.seq, self.label, self.state, self.crc = struct.unpack("<I20sII", data)

    @property
    def crc_right(self):
        return self.crc == crc_of(self.seq)

    @property
    def invalid(self):
        return self.seq == 0xFFFFFFFF or self.state in (INVALID, ABORTED)

    def data(self):
        return struct.pack("<I20sII", self.seq, self.label, self.state, self.crc)


def crc_of(seq):
    return binascii.crc32(struct.pack("<I", seq), 0xFFFFFFFF) & 0xFFFFFFFF


def entry(seq, state, crc=None):
    """Return the bytes of a record of otadata."""
    crc = crc_of(seq) if crc is None else crc
    return struct.pack("<I20sII", seq, b"\xff" * 20, state, crc)


def _crypt(addr, data):
    """Encrypt or decrypt what lies at `addr`: no cipher, but as bound to its place as one."""
    start = addr & ~15
    noise = b""
    while len(noise) < addr - start + len(data):
        noise += hashlib.sha256(b"%d" % (start + len(noise))).digest()[:16]
    skip = addr - start
    return bytes([data[at] ^ noise[skip + at] for at in range(len(data))])


def _active(entries):
    """Return the index of the record that counts, or -1."""
    good = [not item.invalid and item.crc_right for item in entries]
    if good[0] and good[1]:
        return 1 if entries[1].seq > entries[0].seq else 0
    return 0 if good[0] else 1 if good[1] else -1


class Board:
    """One board: the flash, what the bootloader remembers, and the modules that Python sees.

    Attributes
      flash     the Flash
      rows      partition table as read at boot, with the "vfs" that 1.26 adds at run time
      running   row of the partition that runs, or None before the first boot
      cause     what machine.reset_cause() answers
      log       lines that the bootloader printed, newest last
      nvs       nvs.Storage of the partition "nvs", or None: there is none
      fuses     the secure version that is burned; None: firmware without anti-rollback
      encrypted flash encryption is on: applications and otadata are written in units of 16 bytes,
                and what is erased reads as noise
      watchdog  the Watchdog
    """

    def __init__(
        self,
        flash,
        chip="esp32",
        unique_id=b"\x24\x6f\x28\x01\x02\x03",
        revision=300,
        encrypted=False,
        fuses=None,
    ):
        self.flash = flash
        self.encrypted = encrypted
        self.fuses = fuses
        self.chip = chip
        self.unique_id = unique_id
        self.revision = revision
        self.rows = None
        self.running = None
        self.cause = PWRON_RESET
        self.log = []
        self.nvs = None
        self.watchdog = Watchdog(self)
        self.clock_offset = 0
        self._verified = {}
        self._replaced = {}

    # Life and death.

    def power_on(self, cause=PWRON_RESET, running=None):
        """Boot. Raises BootLoop when nothing can be booted, PowerCut when the flash says so.

        After a deep sleep or a soft reset no slot is chosen: what ran goes on. `running` is its
        label where this object does not know it.
        """
        self.flash.power_on()
        self.cause = cause
        self.watchdog.clear()
        self._read_table()
        goes_on = cause in (DEEPSLEEP_RESET, SOFT_RESET)
        if goes_on and running is not None:
            self.running = self.row(running)
        if not goes_on or self.running is None:
            self.running = None
            self._bootloader()
        self._start_nvs()

    def reset(self, cause=HARD_RESET):
        """Boot again without a power cut: machine.reset(), a watchdog, a panic, or waking."""
        self.power_on(cause)

    def live(self, program, cause=PWRON_RESET):
        """Boot, run `program()` with the simulated modules, and return how this life ended.

        That is "end" (it returned), "cut", or the class of the ChipReset that it raised.
        """
        try:
            self.power_on(cause)
            with self:
                program()
        except ChipReset as reset:
            return type(reset)
        except BaseException:
            # Closing a file that the cut broke raises something else on the way up; what a chip
            # without power "raises" means nothing.
            if self.flash.powered:
                raise
        return "end" if self.flash.powered else "cut"

    def __enter__(self):
        self.install()
        return self

    def __exit__(self, *_):
        self.uninstall()

    def install(self):
        """Let `import esp32, machine` mean this board. What is imported once stays right: the
        simulated modules always speak to the board that is installed."""
        global _installed
        _installed = self
        self._replaced = {}
        for name, module in (("esp32", esp32), ("machine", machine)):
            if sys.modules.get(name) is not module:
                self._replaced[name] = sys.modules.get(name)
                sys.modules[name] = module

    def uninstall(self):
        global _installed
        _installed = None
        for name, module in self._replaced.items():
            if module is None:
                sys.modules.pop(name)
            else:
                sys.modules[name] = module
        self._replaced = {}

    # Preparing and looking: for tests; nothing here is a numbered operation.

    def format(self, rows, image_bytes=None, slot=None):
        """Make an erased flash with this partition table, and an image in its first slot."""
        self.flash.wipe(0, self.flash.size)
        self.flash.write(table.ADDRESS, table.build(rows))
        self._read_table()
        if image_bytes is not None:
            self.put(slot or self._default()[4], image_bytes)

    def put(self, label, data):
        """Put `data` at the start of the erased partition."""
        row = self.row(label)
        self.flash.wipe(row[2], row[3])
        if self.is_encrypted(row):
            data = bytes(data) + b"\xff" * (-len(data) % 16)
            data = _crypt(row[2], data)
        self.flash.write(row[2], data)

    def peek(self, label, length, offset=0):
        buf = bytearray(length)
        self.read(self.row(label)[2] + offset, buf)
        return bytes(buf)

    def row(self, label):
        for row in self.rows:
            if row[4] == label:
                return row
        raise KeyError(label)

    def set_otadata(self, first=None, second=None):
        """Put these bytes (None: erased) into the two sectors."""
        row = self._otadata()
        self.flash.wipe(row[2], 2 * SECTOR)
        for sector, data in enumerate((first, second)):
            addr = row[2] + sector * SECTOR
            if self.encrypted:
                self.flash.write(addr, _crypt(addr, (data or b"") + b"\xff" * 32)[:32])
            elif data:
                self.flash.write(addr, data)

    def otadata(self):
        """Return both records as (seq, state), with "bad crc" added, or None for a blank one."""
        out = []
        for item in self._entries():
            if item.data() == b"\xff" * 32:
                out.append(None)
            elif item.crc_right:
                out.append((item.seq, item.state))
            else:
                out.append((item.seq, item.state, "bad crc"))
        return out

    # Flash encryption.

    def is_encrypted(self, row):
        return self.encrypted and (row[0] == table.APP or row[:2] == (table.DATA, 0))

    def read(self, addr, buf):
        """Read flash as the chip's cache does, which decrypts."""
        self.flash.read(addr, buf)
        for row in self.rows if self.encrypted else ():
            if row[2] <= addr < row[2] + row[3] and self.is_encrypted(row):
                buf[:] = _crypt(addr, buf)

    # The partition table and the records.

    def _read_table(self):
        data = bytearray(0xC00)
        self.flash.read(table.ADDRESS, data)
        rows = table.parse(data)
        if rows is None:
            raise BootLoop("partition table")
        end = max([row[2] + row[3] for row in rows] or [0])
        if end < self.flash.size and not [
            row for row in rows if row[0] == table.DATA and row[4] in ("vfs", "ffat")
        ]:
            rows.append((table.DATA, 0x81, end, self.flash.size - end, "vfs"))
        self.rows = rows

    def _start_nvs(self):
        rows = self.find(table.DATA, 2, "nvs")
        self.nvs = nvs.Storage(self.flash, *rows[0][2:4]) if rows else None
        if self.nvs:
            self.nvs.load()

    def find(self, kind, subtype=0xFF, label=None):
        return [
            row
            for row in self.rows
            if row[0] == kind and subtype in (0xFF, row[1]) and label in (None, row[4])
        ]

    def _first(self, kind, subtype):
        rows = self.find(kind, subtype)
        return rows[0] if rows else None

    def _otadata(self):
        return self._first(table.DATA, 0)

    def _factory(self):
        return self._first(table.APP, table.FACTORY)

    def _slots(self):
        """Return the rows of ota_0, ota_1, ... as far as they are contiguous."""
        slots = []
        while len(slots) < 16:
            row = self._first(table.APP, table.OTA_0 + len(slots))
            if row is None:
                break
            slots.append(row)
        return slots

    def _default(self):
        return self._factory() or (self._slots() or [None])[0]

    def _entries(self):
        buf = bytearray(32)
        entries = []
        for sector in (0, 1):
            self.read(self._otadata()[2] + sector * SECTOR, buf)
            entries.append(Entry(buf))
        return entries

    def _write_entry(self, number, item):
        addr = self._otadata()[2] + number * SECTOR
        self.flash.erase(addr)
        data = item.data()
        self.flash.program(addr, _crypt(addr, data) if self.encrypted else data)

    def _verify(self, row, booting=False):
        """Raise image.Invalid; what was good is not hashed again until its flash changes."""
        key = (row[2], booting)
        generation = self.flash.generation(row[2], row[3])
        if self._verified.get(key) != generation:
            image.verify(self.read, row[2], row[3], self.chip, self.revision, booting=booting)
            self._verified[key] = generation

    # The bootloader.

    def _bootloader(self):
        slots = self._slots()
        factory = self._factory()
        start, initial = self._select(slots, factory)
        order = list(range(start, -2, -1)) + list(range(start + 1, len(slots)))
        for index in order:
            row = factory if index < 0 else slots[index] if index < len(slots) else None
            if row is None:
                continue
            try:
                self._verify(row, booting=True)
            except image.Invalid as error:
                name = "Factory app" if index < 0 else "OTA app"
                self.log.append(
                    "E boot: {} partition slot {} is not bootable ({})".format(
                        name, index, error.args[0]
                    )
                )
                continue
            if initial and index >= 0:
                first = Entry(entry(index + 1, VALID))
                self._write_entry(0, first)
            self.running = row
            return
        raise BootLoop("no bootable partition")

    def _select(self, slots, factory):
        """Return the index to try first (-1: factory) and whether otadata is still initial."""
        if self._otadata() is None:
            return -1, False
        if self._otadata()[3] < 2 * SECTOR:
            raise BootLoop("otadata")
        entries = self._entries()
        for number in (0, 1):
            if entries[number].state == PENDING:
                entries[number].state = ABORTED
                self._write_entry(number, entries[number])
        if not slots or (entries[0].invalid and entries[1].invalid):
            if factory:
                return -1, False
            initial = all([item.seq == 0xFFFFFFFF or not item.crc_right for item in entries])
            return 0, initial
        active = _active(entries)
        if active < 0:
            return -1, False
        if entries[active].state == NEW:
            entries[active].state = PENDING
            self._write_entry(active, entries[active])
        return (entries[active].seq - 1 & 0xFFFFFFFF) % len(slots), False

    # The application's side: esp_ota_ops.c.

    def boot_partition(self):
        """Return the row that esp_ota_get_boot_partition names, or None."""
        if self._otadata() is None:
            return None
        entries = self._entries()
        slots = self._slots()
        if not slots or (entries[0].invalid and entries[1].invalid):
            return self._default()
        active = _active(entries)
        if active < 0:
            return self._default()
        return slots[(entries[active].seq - 1 & 0xFFFFFFFF) % len(slots)]

    def set_boot(self, row):
        try:
            self._verify(row)
        except image.Invalid:
            raise _esp_error(_VALIDATE_FAILED)
        if row[0] != table.APP:
            raise _esp_error(_INVALID_ARG)
        if row[1] == table.FACTORY:
            if self._otadata() is None:
                raise _esp_error(_NOT_FOUND)
            for sector in (0, 1):
                self.flash.erase(self._otadata()[2] + sector * SECTOR)
            return
        if self._otadata() is None:
            raise _esp_error(_NOT_FOUND)
        if self.fuses is not None and self._secure_version(row) < self.fuses:
            for at in range(row[2], row[2] + row[3], SECTOR):
                self.flash.erase(at)
            raise _esp_error(_SMALL_SEC_VER)
        slots = self._slots()
        wanted = row[1] & 0x0F
        if wanted >= len(slots):
            raise _esp_error(_INVALID_ARG)
        entries = self._entries()
        active = _active(entries)
        if active < 0:
            seq, number = wanted + 1, 0
        else:
            base = (wanted + 1) % len(slots)
            old = entries[active].seq
            rounds = 0 if old <= base else (old - base + len(slots) - 1) // len(slots)
            seq, number = (base + rounds * len(slots)) & 0xFFFFFFFF, 1 - active
        # The rest of the record is what it was: seq_label stays.
        item = entries[number]
        item.seq, item.state, item.crc = seq, NEW, crc_of(seq)
        self._write_entry(number, item)

    def mark_valid(self):
        if self._otadata() is None:
            raise _esp_error(_NOT_FOUND)
        entries = self._entries()
        active = _active(entries)
        if active < 0 or not self._slots():
            raise _esp_error(_FAIL)
        if entries[active].state != VALID:
            entries[active].state = VALID
            self._write_entry(active, entries[active])
            if self.fuses is not None:
                slots = self._slots()
                row = slots[(entries[active].seq - 1 & 0xFFFFFFFF) % len(slots)]
                self.fuses = max(self.fuses, self._secure_version(row))

    def _secure_version(self, row):
        buf = bytearray(4)
        self.read(row[2] + 36, buf)
        return struct.unpack("<I", buf)[0]

    def next_update(self, row):
        slots = self._slots()
        if not slots:
            raise OSError(_ENOENT)
        at = slots.index(row) if row in slots else -1
        return slots[(at + 1) % len(slots)]

    def check_write(self, addr, length):
        """abort() as ESP-IDF does for a write that would break what runs."""
        start, size = self.running[2:4]
        if (
            addr <= table.ADDRESS + 0xC00
            or start <= addr < start + size
            or addr < start < addr + length
        ):
            raise Panic("dangerous write", addr)


class Watchdog:
    """The task watchdog: what machine.WDT has set it to. Whoever owns time looks at `deadline`.

    `limit_ms` None: not armed. ESP-IDF counts half milliseconds in 32 bits, and sets a second
    stage at twice the time: a timeout of 2^30 ms or more wraps around.
    """

    def __init__(self, board):
        self._board = board
        self.on_change = None
        self.clear()

    def clear(self):
        self.limit_ms = None
        self.fed_at = None

    def arm(self, timeout_ms):
        self.limit_ms = timeout_ms % (1 << 30) if timeout_ms >= 1 << 30 else timeout_ms
        self.feed()

    def feed(self):
        self.fed_at = time.time()
        if self.on_change:
            self.on_change(self.limit_ms)


def _int32(value):
    return value & 0xFFFFFFFF


class Partition:
    """esp32.Partition. An object of an earlier life raises PowerCut: it went with its RAM."""

    BOOT = 0
    RUNNING = 1
    TYPE_APP = table.APP
    TYPE_DATA = table.DATA

    def __init__(self, *args):
        if not 0 < len(args) < 3:
            raise TypeError("function expected 1 or 2 positional arguments")
        id = args[0]
        block_size = args[1] if len(args) == 2 else SECTOR
        board = _current()
        if isinstance(id, tuple):  # a row: only from inside this module
            row = id
        elif isinstance(id, int):
            if id not in (self.BOOT, self.RUNNING):
                raise ValueError()
            row = board.running if id == self.RUNNING else board.boot_partition()
        else:
            rows = board.find(table.APP, label=id) or board.find(table.DATA, label=id)
            row = rows[0] if rows else None
        if row is None:
            raise OSError(_ENOENT)
        self._board = board
        self.flash = board.flash
        self._life = self.flash.lives
        self._row = row
        self._block_size = block_size

    def __repr__(self):
        return (
            "<Partition type={}, subtype={}, address={}, size={}, label={}, encrypted={}>"
        ).format(*self._row, int(self.info()[5]))

    @staticmethod
    def find(type=table.APP, subtype=0xFF, label=None, block_size=SECTOR):
        return [Partition(row, block_size) for row in _current().find(type, subtype, label)]

    def info(self):
        return self._row + (self._board.is_encrypted(self._row),)

    def ioctl(self, op, arg):
        if op in (1, 2, 3):
            return 0
        if op == 4:
            return self._row[3] // self._block_size
        if op == 5:
            return self._block_size
        if op == 6:
            if self._block_size != SECTOR:
                return -_EINVAL
            self._erase(_int32(arg * SECTOR), SECTOR)
            return 0
        return None

    def readblocks(self, block, buf, offset=0):
        self._alive()
        addr = _int32(block * self._block_size + offset)
        self._bounds(addr, len(buf))
        self._board.read(self._row[2] + addr, buf)

    def writeblocks(self, block, buf, offset=None):
        if isinstance(buf, str):
            buf = buf.encode()
        buf = memoryview(buf)
        addr = _int32(block * self._block_size + (offset or 0))
        if offset is None:
            if self._block_size >= SECTOR:
                self._erase(addr, len(buf))
            else:
                self._erase_around(addr, len(buf))
        self._program(addr, buf)

    def set_boot(self):
        self._alive()
        self._board.set_boot(self._row)

    def get_next_update(self):
        return Partition(self._board.next_update(self._row))

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        _current().mark_valid()

    def _alive(self):
        if self.flash.lives != self._life:
            raise PowerCut("an object of an earlier life")

    def _bounds(self, addr, length):
        if addr > self._row[3]:
            raise _esp_error(_INVALID_ARG)
        if addr + length > self._row[3]:
            raise _esp_error(_INVALID_SIZE)

    def _erase(self, addr, length):
        self._alive()
        self._bounds(addr, length)
        if length % SECTOR:
            raise _esp_error(_INVALID_SIZE)
        if addr % SECTOR:
            raise _esp_error(_INVALID_ARG)
        addr += self._row[2]
        self._board.check_write(addr, length)
        for at in range(addr, addr + length, SECTOR):
            self.flash.erase(at)

    def _program(self, addr, buf):
        self._alive()
        self._bounds(addr, len(buf))
        if self._board.is_encrypted(self._row):
            if addr % 16:
                raise _esp_error(_INVALID_ARG)
            if len(buf) % 16:
                raise _esp_error(_INVALID_SIZE)
            buf = _crypt(self._row[2] + addr, buf)
        addr += self._row[2]
        self._board.check_write(addr, len(buf))
        done = 0
        while done < len(buf):
            count = min(SECTOR - (addr + done) % SECTOR, len(buf) - done)
            self.flash.program(addr + done, bytes(buf[done : done + count]))
            done += count

    def _erase_around(self, addr, length):
        """Erase what lies under a write of less than a sector, and put the rest back."""
        top = addr + length
        at = addr // SECTOR * SECTOR
        before = addr % SECTOR
        cache = bytearray(SECTOR)
        while at < top:
            if before or top < at + SECTOR:
                self.readblocks(0, cache, at)
            self._erase(at, SECTOR)
            if before:
                self._program(at, cache[:before])
            if top < at + SECTOR:
                self._program(top, cache[top - at :])
            before = 0
            at += SECTOR


class NVS:
    """esp32.NVS: one namespace. What is set is in flash at once; `commit` has nothing to do."""

    def __init__(self, namespace):
        board = _current()
        self._flash = board.flash
        self._life = self._flash.lives
        self._storage = board.nvs
        if self._storage is None:
            raise _esp_error(nvs.NOT_INITIALIZED)
        self._space = self._do(self._storage.open, namespace)

    def __repr__(self):
        return "<NVS namespace>"

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        self._do(self._storage.set_i32, self._space, key, value)

    def get_i32(self, key):
        return self._do(self._storage.get_i32, self._space, key)

    def set_blob(self, key, value):
        self._do(self._storage.set_blob, self._space, key, bytes(value))

    def get_blob(self, key, buf):
        data = self._do(self._storage.get_blob, self._space, key)
        if len(buf) < len(data):
            raise _esp_error(nvs.INVALID_LENGTH)
        buf[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        self._do(self._storage.erase_key, self._space, key)

    def commit(self):
        pass

    def _do(self, function, *args):
        if self._flash.lives != self._life:
            raise PowerCut("an object of an earlier life")
        try:
            return function(*args)
        except nvs.Error as error:
            raise _esp_error(error.args[0])


class WDT:
    """machine.WDT: the task watchdog. It cannot be stopped; made again it has a new timeout."""

    def __init__(self, id=0, timeout=5000):
        if id != 0:
            raise ValueError()
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _current().watchdog.arm(timeout)

    def feed(self):
        _current().watchdog.feed()


class RTC:
    """machine.RTC: the clock that the simulated `time` of a device shows."""

    def datetime(self, value=None):
        board = _current()
        now = int(time.time()) + board.clock_offset
        if value is None:
            t = time.gmtime(now)
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0)
        year, month, day, _weekday, hour, minute, second = value[:7]
        board.clock_offset += seconds_of(year, month, day, hour, minute, second) - now
        return None


def seconds_of(year, month, day, hour, minute, second):
    """Return seconds since 1970 of a UTC date (the unix port's epoch too)."""
    if month < 3:
        year -= 1
        month += 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day
    return (days - 719469) * 86400 + hour * 3600 + minute * 60 + second


class _Esp32:
    """The module `esp32`."""

    Partition = Partition
    NVS = NVS


class _Machine:
    """The module `machine`, as far as an updater meets it."""

    PWRON_RESET = PWRON_RESET
    HARD_RESET = HARD_RESET
    WDT_RESET = WDT_RESET
    DEEPSLEEP_RESET = DEEPSLEEP_RESET
    SOFT_RESET = SOFT_RESET
    WDT = WDT
    RTC = RTC

    @staticmethod
    def reset():
        raise HardReset()

    @staticmethod
    def soft_reset():
        raise SystemExit()

    @staticmethod
    def deepsleep(time_ms=0):
        raise DeepSleep(time_ms)

    @staticmethod
    def reset_cause():
        return _current().cause

    @staticmethod
    def unique_id():
        return _current().unique_id

    @staticmethod
    def freq():
        return 160000000


esp32 = _Esp32()
machine = _Machine()
