# SPDX-License-Identifier: MIT
"""ESP-IDF partition tables: the bytes at 0x8000, and the tables that tests use.

A row is (type, subtype, address, size, label). The table is 32-byte entries, then an entry with
the MD5 of those before it, then 0xFF.
"""

import hashlib
import struct

ADDRESS = 0x8000
APP = 0
DATA = 1
FACTORY = 0
OTA_0 = 0x10
_LENGTH = 0xC00
_ENTRY = "<2sBBII16sI"
_END = b"\xff" * 32
_MD5 = b"\xeb\xeb" + b"\xff" * 14

# ESP32_GENERIC, variant OTA. Before 1.26 its table listed vfs, since then it is made at run time.
OTA_4M = (
    (DATA, 2, 0x9000, 0x4000, "nvs"),
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (DATA, 1, 0xF000, 0x1000, "phy_init"),
    (APP, OTA_0, 0x10000, 0x180000, "ota_0"),
    (APP, OTA_0 + 1, 0x190000, 0x180000, "ota_1"),
)
OTA_4M_VFS = OTA_4M + ((DATA, 0x81, 0x310000, 0xF0000, "vfs"),)
# SIL_WESP32.
OTA_8M = (
    (DATA, 2, 0x9000, 0x4000, "nvs"),
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (DATA, 1, 0xF000, 0x1000, "phy_init"),
    (APP, OTA_0, 0x10000, 0x270000, "ota_0"),
    (APP, OTA_0 + 1, 0x280000, 0x270000, "ota_1"),
    (DATA, 0x81, 0x4F0000, 0x310000, "vfs"),
)
# ESP32_GENERIC without OTA.
FACTORY_4M = (
    (DATA, 2, 0x9000, 0x6000, "nvs"),
    (DATA, 1, 0xF000, 0x1000, "phy_init"),
    (APP, FACTORY, 0x10000, 0x1F0000, "factory"),
    (DATA, 0x81, 0x200000, 0x200000, "vfs"),
)
# ARDUINO_NANO_ESP32: other labels, otadata elsewhere, and a factory partition.
ARDUINO_16M = (
    (DATA, 2, 0x9000, 0x5000, "nvs"),
    (DATA, 0, 0xE000, 0x2000, "otadata"),
    (APP, OTA_0, 0x10000, 0x300000, "app0"),
    (APP, OTA_0 + 1, 0x310000, 0x300000, "app1"),
    (DATA, 0x81, 0x610000, 0x970000, "ffat"),
    (APP, FACTORY, 0xF80000, 0x80000, "factory"),
)
# For sweeps over every power cut: slots of 16 blocks, a small file system, 512 KiB in all.
SMALL = (
    (DATA, 2, 0x9000, 0x4000, "nvs"),
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (DATA, 1, 0xF000, 0x1000, "phy_init"),
    (APP, OTA_0, 0x10000, 0x10000, "ota_0"),
    (APP, OTA_0 + 1, 0x20000, 0x10000, "ota_1"),
    (DATA, 0x81, 0x30000, 0x50000, "vfs"),
)
SMALL_FACTORY = (
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (APP, FACTORY, 0x10000, 0x10000, "factory"),
    (APP, OTA_0, 0x20000, 0x10000, "ota_0"),
    (APP, OTA_0 + 1, 0x30000, 0x10000, "ota_1"),
    (DATA, 0x81, 0x40000, 0x40000, "vfs"),
)
SMALL_SINGLE = (
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (APP, OTA_0, 0x10000, 0x10000, "ota_0"),
    (DATA, 0x81, 0x20000, 0x60000, "vfs"),
)
SMALL_THREE = (
    (DATA, 0, 0xD000, 0x2000, "otadata"),
    (APP, OTA_0, 0x10000, 0x10000, "ota_0"),
    (APP, OTA_0 + 1, 0x20000, 0x10000, "ota_1"),
    (APP, OTA_0 + 2, 0x30000, 0x10000, "ota_2"),
    (DATA, 0x81, 0x40000, 0x40000, "vfs"),
)
SMALL_SIZE = 0x80000


def build(rows):
    """Return the table's bytes for these rows."""
    out = b""
    for kind, subtype, addr, size, label in rows:
        name = label.encode()
        name += bytes(16 - len(name))
        out += struct.pack(_ENTRY, b"\xaaP", kind, subtype, addr, size, name, 0)
    out += _MD5 + hashlib.md5(out).digest()
    return out + b"\xff" * (_LENGTH - len(out))


def parse(data):
    """Return the rows, or None for a table that the bootloader refuses."""
    rows = []
    for at in range(0, _LENGTH, 32):
        entry = bytes(data[at : at + 32])
        if entry == _END:
            return rows
        if entry[:16] == _MD5:
            if entry[16:] != hashlib.md5(data[:at]).digest():
                return None
            continue
        magic, kind, subtype, addr, size, label, _flags = struct.unpack(_ENTRY, entry)
        if magic != b"\xaaP":
            return None
        rows.append((kind, subtype, addr, size, label.rstrip(b"\x00").decode()))
    return rows
