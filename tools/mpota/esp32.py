# SPDX-License-Identifier: MIT
"""What an ESP32 image says about itself, and every reason not to release it.

The checks are those of the ESP-IDF bootloader (`esp_image_format.c`), plus two that it does not
make: the image has to be an application, not a bootloader, and it has to carry its SHA-256, which
is its identity on the device. A combined `firmware.bin` (bootloader, partition table, application)
is recognised by its partition table and the application is taken out.

    image    24-byte header | segments {u32 address, u32 length, data} | zeros, so that the
             checksum is the last byte of a 16-byte line | checksum | SHA-256 of all before
    signed   the same, 0xFF up to the end of a sector, a sector with signature blocks (secure boot
             version 2, signed apps: `espsecure sign-data --version 2`)
    table    32-byte entries: AA 50 | type | subtype | u32 offset | u32 size | label[16] | flags
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from mpota.errors import MpotaError

# esp_app_format.h, esp_chip_id_t; the names are those of MicroPython's and ESP-IDF's targets.
CHIPS = {
    0: "esp32",
    2: "esp32s2",
    5: "esp32c3",
    9: "esp32s3",
    12: "esp32c2",
    13: "esp32c6",
    16: "esp32h2",
    18: "esp32p4",
    20: "esp32c61",
    23: "esp32c5",
}

_MAGIC = 0xE9
_HEADER = 24
_MAX_SEGMENTS = 16
_MAX_SEGMENT = 16 << 20
_CHECKSUM_SEED = 0xEF
_APP_DESCRIPTOR = 32  # offset: header, then the first segment's own 8 bytes
_APP_MAGIC = 0xABCD5432

_SECTOR = 4096
_SIGNATURE_MAGIC = 0xE7
_SIGNATURE_CRC = 1196  # offset in a signature block of the CRC-32 of what is before it

_TABLE_AT = 0x8000  # flash address of the partition table
_FILE_BASES = (
    0x0,
    0x1000,
    0x2000,
)  # flash address of the bootloader, by chip: a file starts there
_TABLE_MAGIC = 0x50AA
_ENTRY = struct.Struct("<HBBII16sI")
_MAX_ENTRIES = 95
_APP, _FACTORY, _OTA_0 = 0x00, 0x00, 0x10


@dataclass(frozen=True)
class Image:
    """An application image: its bytes, exactly, and what they say."""

    data: bytes
    chip: str
    identity: str  # lower-case hex of the appended SHA-256
    idf: str  # ESP-IDF version that built it
    built: str  # date and time of the build


@dataclass(frozen=True)
class Partition:
    type: int
    subtype: int
    offset: int
    size: int
    label: str

    @property
    def is_ota(self) -> bool:
        return self.type == _APP and _OTA_0 <= self.subtype < _OTA_0 + 16


def read_image(path: Path) -> tuple[Image, int | None]:
    """Return the application image in `path`, and the slot size if a partition table tells it."""
    data = read_file(path)
    table = combined_table(data)
    if table is None:
        return parse_image(data, path), None
    base, partitions = table
    app = _app_in(data, base, partitions)
    if app is None:
        raise MpotaError("no application in this combined image", path, "give the app image")
    return parse_image(data[app.offset - base :][: app.size], path), slot_size(partitions)


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MpotaError("cannot read", path, error.strerror or "check the path") from error


def parse_image(data: bytes, path: Path) -> Image:
    """Check the application image at the start of `data`; `path` is for messages only.

    A signature sector that follows belongs to it. What follows then has to be filling (0xFF or
    0x00), and is cut off.
    """
    if len(data) < _HEADER + 8 or data[0] != _MAGIC:
        raise MpotaError("not an ESP32 image", path, "give micropython.bin or firmware.bin")
    chip = CHIPS.get(int.from_bytes(data[12:14], "little"))
    if chip is None:
        raise MpotaError("image for an unknown chip", path, "update mpota")
    if not _has_app_descriptor(data):
        raise MpotaError(
            "no app descriptor: a bootloader, not an application", path, "give micropython.bin"
        )
    if data[23] != 1:
        raise MpotaError("no SHA-256 appended", path, "build it without --dont-append-digest")
    end = _check_segments(data, path)
    digest = sha256(data[:end]).digest()
    if data[end : end + 32] != digest:
        raise MpotaError("SHA-256 of the image is wrong", path, "it is damaged: build it again")
    end = _behind_signature(data, end + 32)
    if data[end:].strip(b"\xff").strip(b"\x00"):
        raise MpotaError("other data follow the image", path, "give the app image alone")
    return Image(
        data=data[:end],
        chip=chip,
        identity=digest.hex(),
        idf=_text(data[144:176]),
        built=f"{_text(data[128:144])} {_text(data[112:128])}".strip(),
    )


def _has_app_descriptor(data: bytes) -> bool:
    return data[_APP_DESCRIPTOR : _APP_DESCRIPTOR + 4] == _APP_MAGIC.to_bytes(4, "little")


def _check_segments(data: bytes, path: Path) -> int:
    """Return the offset behind the checksum byte, once the checksum is right."""
    cut = MpotaError("image is cut short", path, "build or copy it again")
    if not 1 <= data[1] <= _MAX_SEGMENTS:
        raise MpotaError("image has a bad number of segments", path, "build it again")
    checksum = _CHECKSUM_SEED
    at = _HEADER
    for _ in range(data[1]):
        if at + 8 > len(data):
            raise cut
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if length % 4 or length >= _MAX_SEGMENT:
            raise MpotaError("image has a segment of bad length", path, "build it again")
        at += 8
        if at + length > len(data):
            raise cut
        checksum ^= _xor(data[at : at + length])
        at += length
    at = at // 16 * 16 + 16
    if at + 32 > len(data):
        raise cut
    if data[at - 1] != checksum:
        raise MpotaError("checksum of the image is wrong", path, "it is damaged: build it again")
    return at


def _behind_signature(data: bytes, end: int) -> int:
    """Return the offset behind the signature sector that follows `end`, or `end` without one."""
    at = (end + _SECTOR - 1) // _SECTOR * _SECTOR
    sector = data[at : at + _SECTOR]
    if len(sector) < _SECTOR or sector[0] != _SIGNATURE_MAGIC or data[end:at].strip(b"\xff"):
        return end
    crc = int.from_bytes(sector[_SIGNATURE_CRC : _SIGNATURE_CRC + 4], "little")
    return at + _SECTOR if crc == crc32(sector[:_SIGNATURE_CRC]) else end


def _xor(data: bytes) -> int:
    """XOR of all bytes, by folding one big integer in half again and again."""
    number = int.from_bytes(data, "little")
    size = len(data)
    while size > 1:
        size = (size + 1) // 2
        number = (number >> (8 * size)) ^ (number & ((1 << (8 * size)) - 1))
    return number


def combined_table(data: bytes) -> tuple[int, list[Partition]] | None:
    """Return (flash address of byte 0, partitions) if `data` is a combined image, else None."""
    if _has_app_descriptor(data):  # an application may hold the table's magic by chance
        return None
    for base in _FILE_BASES:
        partitions = parse_table(data[_TABLE_AT - base :])
        if partitions:
            return base, partitions
    return None


def parse_table(data: bytes) -> list[Partition]:
    """Return the partitions of a binary partition table; empty if it is none."""
    found = []
    for at in range(0, min(len(data), _MAX_ENTRIES * _ENTRY.size), _ENTRY.size):
        entry = data[at : at + _ENTRY.size]
        if len(entry) < _ENTRY.size:
            break
        magic, kind, subtype, offset, size, label, _flags = _ENTRY.unpack(entry)
        if magic != _TABLE_MAGIC:
            break
        found.append(Partition(kind, subtype, offset, size, _text(label)))
    return found


def read_table(path: Path) -> list[Partition]:
    """Return the partitions of a partition table, or of a combined image, in `path`."""
    data = read_file(path)
    combined = combined_table(data)
    partitions = combined[1] if combined else parse_table(data)
    if not partitions:
        raise MpotaError("no partition table", path, "give partition-table.bin or firmware.bin")
    return partitions


def slot_size(partitions: list[Partition]) -> int | None:
    """Return the size of the smallest OTA slot, or None if there are not two of them."""
    sizes = [partition.size for partition in partitions if partition.is_ota]
    return min(sizes) if len(sizes) >= 2 else None


def _app_in(data: bytes, base: int, partitions: list[Partition]) -> Partition | None:
    """Return the partition whose application is in the file: the first OTA slot, else factory."""
    apps = [p for p in partitions if p.is_ota or (p.type, p.subtype) == (_APP, _FACTORY)]
    for app in sorted(apps, key=lambda p: (not p.is_ota, p.subtype)):
        at = app.offset - base
        if at > 0 and data[at : at + 1] == bytes((_MAGIC,)):
            return app
    return None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("ascii", "replace")
