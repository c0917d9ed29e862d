# SPDX-License-Identifier: MIT
"""The flash map of a two-slot RP2040: every number of it, once.

      0x000000  bootloader          8 KB  boot2 first, the info page last
      0x002000  record of slot A    4 KB
      0x003000  record of slot B    4 KB
      0x004000  floors          2 x 4 KB  written by Python, never by the bootloader
      0x006000  note                4 KB  likewise: that the file system did not mount
      0x007000  unused              4 KB
      0x008000  slot A
                slot B              the same size
                file system         up to the end

An image is linked for the address of its slot, so slot addresses are fixed for ever: a device
that was set up with them can only ever run images that were linked for them.

Who reads what: linker scripts and the build of the bootloader read this file. The bootloader,
the device's Python and `mpota` read the *info page*, which is made here and lies in flash with
the bootloader: what is installed is the truth.

    flash_map.py 2mb                  the numbers of one map as NAME=VALUE
    flash_map.py header               the C header of the bootloader
    flash_map.py join 2mb BOOT2 CODE  boot2, code and info page as one file, on standard output
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

XIP_BASE = 0x10000000  # where the chip maps its flash
RAM = (0x20000000, 0x20042000)
SECTOR = 4096  # erase unit
PAGE = 256  # program unit

BOOT2_SIZE = 256
BOOT_SIZE = 0x2000
INFO_AT = BOOT_SIZE - PAGE
CODE_AT = BOOT2_SIZE
RECORDS = (0x2000, 0x3000)
FLOORS = (0x4000, 0x5000)
SLOT_A = 0x8000

# The image header is padded to this, so that the vector table behind it is aligned as the
# Cortex-M0+ wants it (256 bytes).
HEADER_SIZE = 0x100

# Info page, in words of 32 bits.
INFO_MAGIC = 0x4941544F  # "OTAI"
INFO_VERSION = 1
KEYS_AT = 64  # bytes
KEY_SIZE = 32
KEYS_MAX = 4

# Record sector: what an install writes, then words that only ever lose bits.
RECORD_MAGIC = 0x5241544F  # "OTAR"
MARKS_AT = PAGE


@dataclass(frozen=True)
class Map:
    """Offsets and sizes in bytes, from the start of flash."""

    flash_size: int
    slot_size: int
    records: tuple[int, int] = RECORDS
    floors: tuple[int, int] = FLOORS

    @property
    def note(self) -> int:
        return self.floors[1] + SECTOR

    @property
    def slots(self) -> tuple[int, int]:
        return SLOT_A, SLOT_A + self.slot_size

    @property
    def fs(self) -> int:
        return SLOT_A + 2 * self.slot_size

    @property
    def fs_size(self) -> int:
        return self.flash_size - self.fs

    def words(self) -> tuple[int, ...]:
        """The map as the info page has it, from word 2 on."""
        return (
            self.flash_size,
            *self.records,
            *self.floors,
            *self.slots,
            self.slot_size,
            self.fs,
            self.fs_size,
        )


# 928 KB hold a Pico W's firmware of 860 KB (MicroPython 1.26) with room to grow; what is left of
# 2 MB for files is 160 KB.
MAPS = {
    "2mb": Map(flash_size=0x200000, slot_size=0xE8000),
    "4mb": Map(flash_size=0x400000, slot_size=0x158000),
}


def info_page(flash_map: Map, keys: Sequence[bytes] = ()) -> bytes:
    """The last page of the bootloader. No key: images are checked for damage only."""
    if len(keys) > KEYS_MAX or any(len(key) != KEY_SIZE for key in keys):
        raise ValueError("keys", len(keys))
    head = (INFO_MAGIC, INFO_VERSION, *flash_map.words(), len(keys))
    page = struct.pack(f"<{len(head)}I", *head).ljust(KEYS_AT, b"\xff") + b"".join(keys)
    page = page.ljust(PAGE - 4, b"\xff")
    return page + struct.pack("<I", zlib.crc32(page))


def join(flash_map: Map, boot2: bytes, code: bytes) -> bytes:
    """The bootloader as it lies in flash: boot2 with its checksum, code, info page."""
    room = INFO_AT - CODE_AT
    if len(code) > room:
        raise ValueError(f"bootloader is {len(code) - room} bytes too large")
    return boot2_sealed(boot2) + code.ljust(room, b"\xff") + info_page(flash_map)


def boot2_sealed(boot2: bytes) -> bytes:
    """Fill the second stage up and append the checksum without which the ROM does not run it.

    RP2040 datasheet, 2.8.1.3.1: CRC-32, most significant bit first, nothing inverted at the end.
    """
    if len(boot2) > BOOT2_SIZE - 4:
        raise ValueError("boot2 is too large", len(boot2))
    boot2 = boot2.ljust(BOOT2_SIZE - 4, b"\0")
    crc = 0xFFFFFFFF
    for byte in boot2:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return boot2 + struct.pack("<I", crc)


def numbers(flash_map: Map) -> dict[str, int]:
    """What linker scripts and board definitions need."""
    slot_a, slot_b = flash_map.slots
    return {
        "OTA_FLASH_SIZE": flash_map.flash_size,
        "OTA_SLOT_A": slot_a,
        "OTA_SLOT_B": slot_b,
        "OTA_SLOT_SIZE": flash_map.slot_size,
        "OTA_HEADER_SIZE": HEADER_SIZE,
        "OTA_RECORD_A": flash_map.records[0],
        "OTA_FS": flash_map.fs,
        "OTA_FS_SIZE": flash_map.fs_size,
    }


def header() -> str:
    """The C header: what the bootloader cannot read from the info page."""
    lines = ["// Made by flash_map.py, which explains these numbers.", "#pragma once", ""]
    for name in (
        *("XIP_BASE", "SECTOR", "PAGE", "INFO_AT", "HEADER_SIZE", "INFO_MAGIC", "INFO_VERSION"),
        *("KEYS_AT", "KEY_SIZE", "KEYS_MAX", "RECORD_MAGIC", "MARKS_AT"),
    ):
        lines.append(f"#define {name} {globals()[name]:#x}u")
    lines += [f"#define RAM_START {RAM[0]:#x}u", f"#define RAM_END {RAM[1]:#x}u"]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["header"]:
            sys.stdout.write(header())
        case ["join", name, boot2, code] if name in MAPS:
            joined = join(MAPS[name], Path(boot2).read_bytes(), Path(code).read_bytes())
            sys.stdout.buffer.write(joined)
        case [name] if name in MAPS:
            for key, value in numbers(MAPS[name]).items():
                sys.stdout.write(f"{key}={value:#x}\n")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
