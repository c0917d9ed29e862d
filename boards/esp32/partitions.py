#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turn a partition table from the CSV of ESP-IDF into the bytes at flash address 0x8000.

    python boards/esp32/partitions.py boards/esp32/partitions-4m.csv table.bin

ESP-IDF does this in a build; this is for boards that get a table under firmware that others built.
It knows what tables of this folder need, and refuses whatever the bootloader would, or `ota`.

    entry   32 bytes: AA 50 | type | subtype | u32 offset | u32 size | label[16] | u32 flags
    table   entries | EB EB FF.. and the MD5 of the entries | FF up to 0xC00

Source: ESP-IDF components/partition_table, api-guides/partition-tables.
"""

import hashlib
import struct
import sys
from pathlib import Path

FIRST = 0x9000  # the sector behind the table's own
LENGTH = 0xC00
APP, DATA = 0, 1
TYPES = {"app": APP, "data": DATA}
SUBTYPES = {
    APP: {"factory": 0x00, **{f"ota_{number}": 0x10 + number for number in range(16)}},
    DATA: {"ota": 0x00, "phy": 0x01, "nvs": 0x02, "coredump": 0x03, "nvs_keys": 0x04, "fat": 0x81},
}
FLAGS = {"": 0, "encrypted": 1}


class TableError(Exception):
    """What is wrong with a table, in words."""


def parse(text):
    """Return the rows of a CSV as (type, subtype, offset, size, label, flags)."""
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        fields = [field.strip() for field in line.split(",")]
        try:
            label, kind, subtype, offset, size, flags = (fields + [""])[:6]
            kind = TYPES[kind]
            row = (kind, SUBTYPES[kind][subtype], int(offset, 0), int(size, 0), label)
            rows.append((*row, FLAGS[flags]))
        except (KeyError, ValueError) as error:
            raise TableError(f"line {number}: {error}") from error
    return rows


def check(rows, flash):
    """Raise TableError unless a flash of `flash` bytes takes the table and `ota` can use it."""
    end = FIRST
    for kind, _, offset, size, label, _ in sorted(rows, key=lambda row: row[2]):
        unit = 0x10000 if kind == APP else 0x1000
        if not 0 < len(label) < 16 or not label.isascii():
            raise TableError(f"{label}: a label has 1 to 15 characters")
        if offset % unit or size % 0x1000 or size <= 0:
            raise TableError(f"{label}: offset a multiple of {unit:#x}, size of 0x1000")
        if offset < end:
            raise TableError(f"{label}: overlaps what is before it, up to {end:#x}")
        end = offset + size
    if end > flash:
        raise TableError(f"ends at {end:#x}, behind the flash of {flash:#x}")
    if len({row[4] for row in rows}) != len(rows):
        raise TableError("a label is there twice")
    for subtype, size in ((0x00, 0x2000), (0x02, 0x3000)):
        found = [row[3] for row in rows if row[:2] == (DATA, subtype)]
        if len(found) != 1 or found[0] < size or (subtype == 0 and found[0] != size):
            raise TableError("exactly one otadata of 0x2000 and one nvs of at least 0x3000 bytes")
    slots = [row[3] for row in rows if row[0] == APP and row[1] >= 0x10]
    names = {row[1] for row in rows if row[0] == APP and row[1] >= 0x10}
    if len(slots) < 2 or len(set(slots)) != 1 or names != set(range(0x10, 0x10 + len(slots))):
        raise TableError("two slots at least, ota_0, ota_1 and so on, all of one size")


def build(rows):
    """Return the bytes that go to flash address 0x8000."""
    entries = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, offset, size, label.encode(), flags)
        for kind, subtype, offset, size, label, flags in rows
    )
    table = entries + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(entries).digest()
    if len(table) >= LENGTH:
        raise TableError("too many partitions")
    return table.ljust(LENGTH, b"\xff")


def main(arguments):
    if len(arguments) != 2:
        sys.stderr.write("usage: partitions.py PARTITIONS.csv TABLE.bin\n")
        return 2
    source, target = map(Path, arguments)
    try:
        rows = parse(source.read_text())
        # Flash comes in powers of two; the bootloader knows how much there is.
        flash = 1 << (max(row[2] + row[3] for row in rows) - 1).bit_length()
        check(rows, flash)
        target.write_bytes(build(rows))
    except (TableError, OSError, ValueError) as error:
        sys.stderr.write(f"{source}: {error}\n")
        return 1
    sys.stderr.write(f"{target}: for flash of {flash >> 20} MB or more\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
