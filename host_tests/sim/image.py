# SPDX-License-Identifier: MIT
"""ESP32 application images: make them, read them, check them as the bootloader does.

The format is Espressif's (esptool reads what is built here):

    header   24 bytes: 0xE9, segments, ..., chip id at 12, revisions at 15 and 17, hash flag at 23
    segment  load address, length (multiple of 4), data; as often as the header says
    end      zeros up to a checksum byte that ends a block of 16, then SHA-256 of all before it

An image built here carries Python sources in its first segment, behind the application descriptor:
the Python that is frozen into a real firmware. So what a simulated device runs comes from the slot
that the bootloader chose, and from nowhere else.
"""

import hashlib
import struct

CHIPS = {"esp32": 0, "esp32s2": 2, "esp32c3": 5, "esp32s3": 9}
APP_OFFSET = 0x10000  # flash address of the first application in a combined firmware.bin
_MAGIC = 0xE9
_DESCRIPTOR = 0xABCD5432
_FROZEN = b"PYFZ"
_PAGE = 0x10000
_CHUNK = 4096

# DROM, IROM: flash mapped by the MMU. DRAM, IRAM: where an application's other segments go.
# Boot: RAM that the bootloader itself occupies while it loads an application.
_MEMORY = {
    "esp32": (
        (0x3F400000, 0x3F800000),
        (0x400D0000, 0x40400000),
        (0x3FFB0000, 0x40080000),
        ((0x3FFF0000, 0x3FFF8000), (0x40078000, 0x40080000)),
        0x1000,
    ),
    "esp32s2": (
        (0x3F000000, 0x3F3F0000),
        (0x40080000, 0x40800000),
        (0x3FFC0000, 0x40024000),
        ((0x3FFE0000, 0x3FFF0000), (0x4004C000, 0x40054000)),
        0x1000,
    ),
    "esp32c3": (
        (0x3C000000, 0x3C800000),
        (0x42000000, 0x42800000),
        (0x3FC90000, 0x40380000),
        ((0x3FCD0000, 0x3FCE0000), (0x403CC700, 0x403D0000)),
        0,
    ),
    "esp32s3": (
        (0x3C000000, 0x3E000000),
        (0x42000000, 0x44000000),
        (0x3FC90000, 0x40378000),
        ((0x3FCD0000, 0x3FCE0000), (0x403C8000, 0x403D0000)),
        0,
    ),
}


def _header(segments, chip, min_revision=0, max_revision=0xFFFF, hashed=1, entry=0x40081000):
    return struct.pack(
        "<BBBBI4sHBHH4sB",
        _MAGIC,
        segments,
        2,  # DIO
        0x20,  # 40 MHz, 4 MB
        entry,
        b"\xee\x00\x00\x00",
        CHIPS[chip],
        0,
        min_revision,
        max_revision,
        bytes(4),
        hashed,
    )


def _finish(out, segments, hashed=1):
    """Append padding, checksum and hash to the bytes of header and segments."""
    total = 0xEF
    for data in segments:
        total = _xor(total, data)
    out += bytes(15 - len(out) % 16)
    out += bytes((total,))
    return out + hashlib.sha256(out).digest() if hashed else out


def _xor(total, data):
    """Return `total` xor every byte of `data`, a block at a time: one integer, then folded."""
    view = memoryview(data)
    wide = 0
    for at in range(0, len(data), _CHUNK):
        wide ^= int.from_bytes(bytes(view[at : at + _CHUNK]), "little")
    for byte in wide.to_bytes(_CHUNK, "little"):
        total ^= byte
    return total


def noise(seed, length):
    """Return `length` bytes that look like code to a compressor: half random, half repeated."""
    out = bytearray(length)
    block = b""
    number = 0
    for at in range(0, length, 64):
        if number % 64 == 0:
            block = hashlib.sha256(b"%s block %d" % (seed, number)).digest()
        piece = block + hashlib.sha256(b"%s %d" % (seed, number)).digest()
        out[at : at + 64] = piece[: length - at]
        number += 1
    return bytes(out)


def _descriptor(version, project, idf="v5.4.2", secure_version=0, elf=b""):
    """Return the 256-byte application descriptor. Stock MicroPython leaves the names empty."""
    return struct.pack(
        "<II8s32s32s16s16s32s32sHHB75s",
        _DESCRIPTOR,
        secure_version,
        bytes(8),
        version.encode(),
        project.encode(),
        b"12:00:00",
        b"Jan  1 2026",
        idf.encode(),
        elf,
        0,
        0xFFFF,
        16,
        bytes(75),
    )


def build(
    chip="esp32", modules=None, length=None, version="", project="", secure_version=0, **changes
):
    """Return an application image.

    `modules` is a dict: name of a frozen file ("main.py") to its source. `length` (bytes, a
    multiple of 16) is filled up with noise that depends on `version`; without it the image is as
    short as it can be. `changes` go to the header: min_revision, max_revision, hashed.
    """
    drom, irom, ram, _boot, _base = _MEMORY[chip]
    hashed = changes.get("hashed", 1)
    directory = b""
    for name in sorted(modules or {}):
        source = modules[name]
        if isinstance(source, str):
            source = source.encode()
        directory += struct.pack("<BI", len(name), len(source)) + name.encode() + source
    seed = version.encode()
    elf = hashlib.sha256(seed + directory).digest()
    first = _descriptor(version, project, secure_version=secure_version, elf=elf)
    first += _FROZEN + struct.pack("<I", len(directory)) + directory
    first += bytes(-len(first) % 4)
    dram = noise(b"dram" + seed, 512)
    iram = noise(b"iram" + seed, 1024)
    fixed = 24 + 4 * 8 + len(first) + len(dram) + len(iram)
    tail = 32 if hashed else 0
    if length is None:
        length = (fixed + 64) // 16 * 16 + 16 + tail
    # The checksum is the last byte of a block of 16 that begins after the code.
    code_length = length - tail - 16 - fixed
    if code_length < 0 or length % 16:
        raise ValueError("length", length, fixed + 16 + tail)
    code = noise(b"code" + seed, code_length)

    out = [_header(4, chip, **changes)]
    at = 24
    for load, data in (
        (drom[0] + 24 + 8, first),
        (ram[0], dram),
        (ram[1], iram),
        (None, code),
    ):
        at += 8
        if load is None:
            load = irom[0] + at % _PAGE
        out.append(struct.pack("<II", load, len(data)))
        out.append(data)
        at += len(data)
    return _finish(b"".join(out), (first, dram, iram, code), hashed)


def bootloader(chip="esp32"):
    """Return an image like that of a second-stage bootloader: valid, but no application."""
    boot = _MEMORY[chip][3]
    data = noise(b"boot data", 6 * 1024)
    code = noise(b"boot code", 10 * 1024)
    out = _header(2, chip)
    out += struct.pack("<II", boot[0][0] + 0x30, len(data)) + data
    out += struct.pack("<II", boot[1][0], len(code)) + code
    return _finish(out, (data, code))


def combined(app, table, chip="esp32"):
    """Return a firmware.bin for a first flashing: bootloader, partition table, application."""
    base = _MEMORY[chip][4]
    out = bootloader(chip)
    out += b"\xff" * (0x8000 - base - len(out)) + table
    return out + b"\xff" * (APP_OFFSET - base - len(out)) + app


def identity(image):
    """Return the appended digest in hex: what `Boot.identity` reads from a slot."""
    return "".join(["%02x" % byte for byte in image[-32:]])


class Invalid(Exception):
    """Why the bootloader refuses an image."""


def verify(read, addr, size, chip="esp32", revision=300, booting=False):
    """Return the length of the image at `addr` in a partition of `size` bytes, or raise Invalid.

    `read(addr, buf)` reads flash. `booting`: the bootloader's own additional check, that no
    segment goes where it runs itself; `set_boot` does not make it.
    """
    drom, irom, _ram, boot, _base = _MEMORY[chip]
    if size > 16 << 20:
        raise Invalid("partition too large")
    head = bytearray(24)
    read(addr, head)
    if head[0] != _MAGIC:
        raise Invalid("magic")
    if not 0 < head[1] <= 16:
        raise Invalid("segments")
    if struct.unpack_from("<H", head, 12)[0] != CHIPS[chip]:
        raise Invalid("chip id")
    lowest, highest = struct.unpack_from("<HH", head, 15)
    if lowest > revision or (highest not in (0, 0xFFFF) and highest < revision):
        raise Invalid("chip revision")
    digest = hashlib.sha256(head)
    total = 0xEF
    at = 24
    buf = bytearray(_CHUNK)
    view = memoryview(buf)
    for _ in range(head[1]):
        if at + 8 > size:
            raise Invalid("does not fit")
        read(addr + at, view[:8])
        digest.update(view[:8])
        load, length = struct.unpack_from("<II", buf)
        at += 8
        if length % 4 or length >= 16 << 20:
            raise Invalid("segment length")
        mapped = drom[0] <= load < drom[1] or irom[0] <= load < irom[1]
        if mapped and (addr + at - load) % _PAGE:
            raise Invalid("segment address")
        if booting and any(load < high and load + length > low for low, high in boot):
            raise Invalid("overlaps bootloader data")
        if at + length > size:
            raise Invalid("does not fit")
        wide = 0
        left = length
        while left:
            count = min(left, _CHUNK)
            read(addr + at, view[:count])
            digest.update(view[:count])
            wide ^= int.from_bytes(bytes(view[:count]), "little")
            at += count
            left -= count
        for byte in wide.to_bytes(_CHUNK, "little"):
            total ^= byte
    pad = 16 - at % 16
    if at + pad + 32 * (head[23] == 1) > size:
        raise Invalid("does not fit")
    read(addr + at, view[:pad])
    digest.update(view[:pad])
    if buf[pad - 1] != total:
        raise Invalid("checksum")
    at += pad
    if head[23] == 1:
        read(addr + at, view[:32])
        if bytes(view[:32]) != digest.digest():
            raise Invalid("digest")
        at += 32
    return at


def frozen(read, addr):
    """Return a dict of the Python files in the application at `addr`: name to source bytes."""
    head = bytearray(24 + 8 + 256 + 8)
    read(addr, head)
    if bytes(head[288:292]) != _FROZEN:
        return {}
    length = struct.unpack_from("<I", head, 292)[0]
    data = bytearray(length)
    read(addr + 296, data)
    modules = {}
    at = 0
    while at < length:
        name, count = struct.unpack_from("<BI", data, at)
        at += 5
        modules[bytes(data[at : at + name]).decode()] = bytes(data[at + name : at + name + count])
        at += name + count
    return modules
