# SPDX-License-Identifier: MIT
"""The RP2040's bootloader in CPython, a Python twin of its decision, and images to feed it.

    boot = rp2_boot.load()
    boot.choose(records) -> (action, slot)
    boot.record(sector, slot, slot_size) -> Record
    boot.run(flash) -> Run                             what it did to `flash`, and how it ended
    rp2_boot.judge(images, keys) -> verdicts           under address and undefined sanitizers
    rp2_boot.make_image(address, …) -> bytes           as imgtool makes it

Sources are compiled with gcc into build/rp2_boot/, once for each content.
"""

import ctypes
import hashlib
import os
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REPO = Path(__file__).resolve().parent.parent.parent
SOURCES = REPO / "boards" / "rp2040" / "boot"
VERIFIER = REPO / "lib" / "ed25519"
BUILD = REPO / "build" / "rp2_boot"

_C = [
    Path(__file__).with_name("harness.c"),
    *(SOURCES / f"{name}.c" for name in "boot bytes choose crc32 image info record".split()),
    *(VERIFIER / f"{name}.c" for name in "ed25519 sha512 field_int128 field_portable".split()),
]
_FLAGS = "-std=c11 -g -O1 -Wall -Wextra -Wconversion -Werror".split()
_SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

USB, COMPLETE, CHECK, PROVE, ABORT, TRIAL, BOOT = range(7)
UNKNOWN, GOOD, BAD = range(3)
TRIED, CONFIRMED, ABORTED, FIRM = 1, 2, 4, 8
END_USB, END_JUMP, END_CUT = range(3)


class Record(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint32) for name in "seq length crc counter".split()),
        *((name, ctypes.c_uint8) for name in "valid marks torn verdict".split()),
    ]


class Run(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in "end vectors watchdog programs offset".split()]


def _compile(name: str, *flags: str) -> Path:
    """Compile the harness unless it is there; return its path."""
    command = [os.environ.get("CC", "gcc"), *_FLAGS, *flags]
    content = hashlib.sha256(repr(command).encode())
    headers = [*SOURCES.glob("*.h"), *VERIFIER.glob("*.h"), SOURCES / "flash_map.py"]
    for path in sorted(headers) + _C:
        content.update(path.read_bytes())
    folder = BUILD / content.hexdigest()[:16]
    made = folder / name
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"{name}.{os.getpid()}"
        include = folder / f"include.{os.getpid()}"
        include.mkdir()
        text = subprocess.check_output([sys.executable, SOURCES / "flash_map.py", "header"])
        (include / "flash_map.h").write_bytes(text)
        command += [f"-I{include}", f"-I{SOURCES}", f"-I{VERIFIER}", *map(str, _C), "-o", str(new)]
        subprocess.run(command, check=True)
        new.replace(made)  # by rename: other workers may be at it too
    return made


class Bootloader:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._c = library
        self._c.host_boot.restype = Run
        self._c.host_crc32.restype = ctypes.c_uint32

    def crc32(self, data: bytes) -> int:
        return self._c.host_crc32(data, len(data))

    def choose(self, records) -> tuple[int, int]:
        """`records` is an array of two Record."""
        choice = self._c.host_choose(records)
        return choice & 0xFF, choice >> 8

    def record(self, sector: bytes, slot: int, slot_size: int) -> Record:
        record = Record()
        self._c.host_record(ctypes.byref(record), bytes(sector), slot, slot_size)
        return record

    def image(self, data: bytes, address: int, keys=()) -> int:
        """0: refused. 1: sound. 3: sound and authentic."""
        return self._c.host_image(bytes(data), len(data), address, b"".join(keys), len(keys))

    def run(
        self, flash: bytearray, cut: int = 0, keep: bytes = b"", *, stuck: bool = False
    ) -> Run:
        """Boot from `flash`, which changes; program number `cut` leaves the bits of `keep`."""
        memory = (ctypes.c_uint8 * len(flash)).from_buffer(flash)
        return self._c.host_boot(memory, cut, keep.ljust(256, b"\0"), stuck)


@cache
def load() -> Bootloader:
    return Bootloader(ctypes.CDLL(str(_compile("boot.so", "-shared", "-fPIC"))))


def judge(images, address: int, keys, folder: Path) -> list[int]:
    """Like `Bootloader.image` for each of them, but any byte read out of bounds is an error."""
    program = _compile("judge", "-DHARNESS_MAIN", *_SANITIZE)
    key_file = folder / "keys"
    key_file.write_bytes(b"".join(keys))
    cases = b"".join(struct.pack("<II", address, len(image)) + image for image in images)
    out = subprocess.run([program, key_file], input=cases, check=True, capture_output=True)
    return [int(line) for line in out.stdout.split()]


def vectors(address: int, size: int = 0x200, *, stack: int = 0x20042000, entry: int = 0xC1):
    """Code that is nothing but a vector table and an endless loop, for an image at `address`."""
    head = struct.pack("<II", stack, address + 0x100 + entry)
    return head + bytes(0xB8) + b"\xfe\xe7" * ((size - 0xC0) // 2) + bytes(size & 1)


def tlvs(magic: int, values) -> bytes:
    body = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in values)
    return struct.pack("<HH", magic, len(body) + 4) + body


def make_image(
    address: int,
    key: Ed25519PrivateKey | None,
    *,
    code: bytes | None = None,
    counter: int = 1,
    version: tuple[int, int, int, int] = (1, 0, 0, 0),
    protected=(),
    flags: int = 0x100,
    header: int = 0x100,
) -> bytes:
    """What `imgtool sign --sha 512 -F address -s counter` makes of `code`, with or without key."""
    code = vectors(address) if code is None else code
    signed_tlvs = tlvs(0x6908, [(0x50, struct.pack("<I", counter)), *protected])
    sizes = (header, len(signed_tlvs), len(code))
    head = struct.pack("<IIHHIIBBHII", 0x96F3B83D, address, *sizes, flags, *version, 0)
    signed = head.ljust(0x100, b"\xff") + code + signed_tlvs
    return signed + seal(signed, key)


def seal(signed: bytes, key: Ed25519PrivateKey | None) -> bytes:
    """The TLVs behind what is signed."""
    digest = hashlib.sha512(signed).digest()
    values = [(0x12, digest)]
    if key:
        values += [(0x01, key_hash(key)), (0x24, key.sign(digest))]
    return tlvs(0x6907, values)


def key_hash(key: Ed25519PrivateKey) -> bytes:
    der = bytes.fromhex("302a300506032b6570032100") + raw(key)
    return hashlib.sha512(der).digest()


def raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
