# SPDX-License-Identifier: MIT
"""An RP2040 with two slots: its bootloader, its images, and the UF2 that sets a board up.

The bytes are those of SPEC 6. Whatever the bootloader would refuse is refused here, with a reason.
The map comes from the info page of the bootloader in hand, since that is what will be installed.

    bootloader   boot2 | code | info page: map, keys of the owner, CRC
    record       what is in a slot, then four words that mark what became of it
    image        MCUboot's header, code, TLVs: made by `imgtool sign`
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha512
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mpota.errors import MpotaError

CHIP = "rp2040"
XIP_BASE = 0x10000000
SLOT_A = 0x8000  # of every flash map; slot B follows it
RAM = (0x20000000, 0x20042000)
SECTOR = 4096
PAGE = 256

BOOT_SIZE = 0x2000
_INFO_AT = BOOT_SIZE - PAGE
_INFO_MAGIC = 0x4941544F
_INFO_VERSION = 1
_INFO = struct.Struct("<13I")
_KEYS_AT = 64
_KEY_SIZE = 32
KEYS_MAX = 4

_RECORD_MAGIC = 0x5241544F
_RECORD = struct.Struct("<6I")
_MARK_CONFIRMED = PAGE + 4

_IMAGE_MAGIC = 0x96F3B83D
_IMAGE = struct.Struct("<IIHHIIBBHI")
HEADER_SIZE = 0x100
_FIXED_ADDRESS = 0x100
_VECTORS_SIZE = 0xC0
_TLVS, _PROTECTED_TLVS = 0x6907, 0x6908
_KEY_HASH, _SHA512, _ED25519, _COUNTER = 0x01, 0x12, 0x24, 0x50
_PLACE = {_KEY_HASH: _TLVS, _SHA512: _TLVS, _ED25519: _TLVS, _COUNTER: _PROTECTED_TLVS}

# SubjectPublicKeyInfo of an Ed25519 key, up to the raw key (RFC 8410).
_SPKI = bytes.fromhex("302a300506032b6570032100")

_UF2_BLOCK = struct.Struct("<8I476sI")
_UF2_FAMILY = 0xE48BFF56


@dataclass(frozen=True)
class Info:
    """What the bootloader knows about its flash: offsets, sizes, raw public keys."""

    flash_size: int
    records: tuple[int, int]
    floors: tuple[int, int]
    slots: tuple[int, int]
    slot_size: int
    fs: int
    fs_size: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True)
class Image:
    """A whole image: its bytes and what they say."""

    data: bytes
    address: int  # of the slot that it is linked for
    version: str
    counter: int  # the release's `minseq`
    identity: str  # hex of its SHA-512
    signature: bytes | None


class BootSigner(Protocol):
    """A key whose public half a bootloader holds."""

    @property
    def public(self) -> bytes:
        """The raw public key."""

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature."""


def read_info(boot: bytes, path: Path | str = "bootloader") -> Info:
    """Read the info page of a bootloader."""
    page = boot[_INFO_AT:BOOT_SIZE]
    if len(boot) != BOOT_SIZE or page[-4:] != struct.pack("<I", zlib.crc32(page[:-4])):
        raise MpotaError("not a bootloader of this project", path, "give ota_boot_….bin")
    magic, version, flash_size, *words, count = _INFO.unpack_from(page)
    if (magic, version) != (_INFO_MAGIC, _INFO_VERSION) or count > KEYS_MAX:
        raise MpotaError("bootloader of an unknown version", path, "update mpota")
    record_a, record_b, floor_a, floor_b, slot_a, slot_b, slot_size, fs, fs_size = words
    keys = page[_KEYS_AT:][: count * _KEY_SIZE]
    return Info(
        flash_size=flash_size,
        records=(record_a, record_b),
        floors=(floor_a, floor_b),
        slots=(slot_a, slot_b),
        slot_size=slot_size,
        fs=fs,
        fs_size=fs_size,
        keys=tuple(keys[at : at + _KEY_SIZE] for at in range(0, len(keys), _KEY_SIZE)),
    )


def set_keys(boot: bytes, keys: Sequence[bytes]) -> bytes:
    """Return the bootloader with these raw public keys in place of those that it has.

    An image passes that any one of them signed. Without a key images are checked for damage only.
    """
    read_info(boot)
    if len(keys) > KEYS_MAX or len(set(keys)) != len(keys):
        raise MpotaError(f"a bootloader has room for {KEYS_MAX} different keys", len(keys))
    if any(len(key) != _KEY_SIZE for key in keys):
        raise MpotaError("not a raw Ed25519 public key", "", "give 32 bytes")
    page = bytearray(boot[_INFO_AT : BOOT_SIZE - 4])
    struct.pack_into("<I", page, _INFO.size - 4, len(keys))
    page[_KEYS_AT:] = b"".join(keys).ljust(len(page) - _KEYS_AT, b"\xff")
    return boot[:_INFO_AT] + page + struct.pack("<I", zlib.crc32(page))


def read_image(path: Path) -> Image:
    """Read the image in a file and check all but its signature."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MpotaError("cannot read", path, error.strerror or "check the path") from error
    return parse_image(data, path)


def parse_image(data: bytes, path: Path | str = "image") -> Image:
    """Check all of an image but its signature; `path` is for messages only."""
    sign = "sign it with imgtool as the documentation says"
    if len(data) < HEADER_SIZE or data[:4] != struct.pack("<I", _IMAGE_MAGIC):
        raise MpotaError("not an RP2040 image with MCUboot's header", path, sign)
    _, address, header, protected, code, flags, *version = _IMAGE.unpack_from(data)
    if header != HEADER_SIZE:
        raise MpotaError("image header of another size than 0x100", path, sign)
    if flags != _FIXED_ADDRESS:
        raise MpotaError("image without the address of its slot, or encrypted", path, sign)
    end = HEADER_SIZE + code
    signed_end = end + protected
    if code < _VECTORS_SIZE or signed_end > len(data):
        raise MpotaError("image is cut short", path, "build or copy it again")
    _check_vectors(data, address, code, path)
    values: dict[int, bytes] = {}
    _read_tlvs(data[end:signed_end], _PROTECTED_TLVS, values, path)
    _read_tlvs(data[signed_end:], _TLVS, values, path)
    if _COUNTER not in values:
        raise MpotaError("image without security counter", path, sign)
    digest = sha512(data[:signed_end]).digest()
    if values.get(_SHA512) != digest:
        raise MpotaError("SHA-512 of the image is wrong or absent", path, sign)
    return Image(
        data=data,
        address=address,
        version="{}.{}.{}+{}".format(*version),
        counter=int.from_bytes(values[_COUNTER], "little"),
        identity=digest.hex(),
        signature=values.get(_ED25519),
    )


def make_image(code: bytes, address: int, counter: int, version: str, signer: BootSigner) -> bytes:
    """Return what `imgtool sign --sha 512` would make of `code`, linked behind a slot's header."""
    protected = struct.pack("<HHHHI", _PROTECTED_TLVS, 12, _COUNTER, 4, counter)
    header = _IMAGE.pack(
        *(_IMAGE_MAGIC, address, HEADER_SIZE, len(protected), len(code), _FIXED_ADDRESS),
        *_version(version),
    )
    data = (header + bytes(4)).ljust(HEADER_SIZE, b"\xff") + code + protected
    digest = sha512(data).digest()
    values = {
        _SHA512: digest,
        _KEY_HASH: sha512(_SPKI + signer.public).digest(),
        _ED25519: signer.sign(digest),
    }
    tlvs = b"".join(struct.pack("<HH", k, len(v)) + v for k, v in values.items())
    return data + struct.pack("<HH", _TLVS, 4 + len(tlvs)) + tlvs


def _version(text: str) -> tuple[int, int, int, int]:
    """Return MCUboot's four numbers; what is not written like 1.2.3+4 has none. Only people read
    them: `seq` and the security counter decide."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\+(\d+))?", text)
    numbers = [int(n or 0) for n in found.groups()] if found else [0, 0, 0, 0]
    fits = all(
        n <= most for n, most in zip(numbers, (0xFF, 0xFF, 0xFFFF, 0xFFFFFFFF), strict=True)
    )
    return tuple(numbers) if fits else (0, 0, 0, 0)  # type: ignore[return-value]


def code_of(data: bytes, path: Path | str) -> bytes:
    """Return the code of an image, as it was before it was signed."""
    parse_image(data, path)
    return data[HEADER_SIZE:][: _IMAGE.unpack_from(data)[4]]


def is_linked_at(code: bytes, start: int) -> bool:
    """Tell whether the vectors that a raw firmware begins with fit it at this address."""
    if len(code) < _VECTORS_SIZE:
        return False
    stack, entry = (int(word) for word in struct.unpack_from("<II", code))
    return RAM[0] < stack <= RAM[1] and start < entry < start + len(code)


def _check_vectors(data: bytes, address: int, code: int, path: Path | str) -> None:
    stack, entry = struct.unpack_from("<II", data, HEADER_SIZE)
    entry -= address + HEADER_SIZE
    if not RAM[0] < stack <= RAM[1] or stack % 8:
        raise MpotaError("image does not begin with a vector table", path, "give the right file")
    if not _VECTORS_SIZE <= entry < code or entry % 2 == 0:
        raise MpotaError("image is linked for another address than it says", path, "check -F")


def _read_tlvs(block: bytes, magic: int, values: dict[int, bytes], path: Path | str) -> None:
    damaged = MpotaError("TLVs of the image are damaged or not ours", path, "sign it again")
    if len(block) < 4 or struct.unpack_from("<HH", block) != (magic, len(block)):
        raise damaged
    at = 4
    while at < len(block):
        if len(block) - at < 4:
            raise damaged
        kind, size = struct.unpack_from("<HH", block, at)
        value = block[at + 4 : at + 4 + size]
        at += 4 + size
        if len(value) != size:
            raise damaged
        if kind in _PLACE:
            if kind in values or magic != _PLACE[kind] or size != (4 if kind == _COUNTER else 64):
                raise damaged
            values[kind] = value
        elif magic != _PROTECTED_TLVS:
            raise damaged


def is_signed(image: Image, keys: Sequence[bytes]) -> bool:
    """Tell whether one of these raw public keys signed the image."""
    if image.signature is None:
        return False
    for key in keys:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(
                image.signature, bytes.fromhex(image.identity)
            )
            return True
        except InvalidSignature:
            pass
    return False


def record(seq: int, slot: int, image: Image, *, confirmed: bool) -> bytes:
    """Return the sector that says that `image` is in the slot at this offset.

    `firm` is left to the bootloader's first boot: whatever wrote the sector may have been cut.
    """
    length, crc = len(image.data), zlib.crc32(image.data)
    words = _RECORD.pack(_RECORD_MAGIC, seq, slot, length, crc, image.counter)
    sector = bytearray(b"\xff" * SECTOR)
    sector[: len(words) + 4] = words + struct.pack("<I", zlib.crc32(words))
    if confirmed:
        sector[_MARK_CONFIRMED : _MARK_CONFIRMED + 4] = bytes(4)
    return bytes(sector)


def bundle(boot: bytes, image: Image) -> dict[int, bytes]:
    """Return what a board's flash has to hold to boot `image` from slot A: bytes by offset.

    Also over a used board: an old record of slot B would win otherwise, old floors refuse,
    and an old note lets a file system be made anew.
    The file system stays as it is.
    """
    info = read_info(boot)
    blank = b"\xff" * SECTOR
    if image.address != XIP_BASE + info.slots[0]:
        raise MpotaError("image is not linked for slot A", f"{image.address:#x}", "give the other")
    if len(image.data) > info.slot_size:
        raise MpotaError("image is longer than the slot", len(image.data), "leave modules out")
    if info.keys and not is_signed(image, info.keys):
        raise MpotaError(
            "image is not signed by a key of the bootloader", "", "sign it with one of them"
        )
    return {
        0: boot,
        info.records[0]: record(1, info.slots[0], image, confirmed=True),
        info.records[1]: blank,
        info.floors[0]: blank,
        info.floors[1]: blank,
        info.floors[1] + SECTOR: blank,  # the note of a file system that did not mount
        info.slots[0]: image.data,
    }


def uf2(parts: Mapping[int, bytes]) -> bytes:
    """Return a file for the ROM's USB drive that writes these bytes at these offsets.

    The ROM erases a sector at each 16th block, whatever its address: so whole sectors only.
    """
    pages: list[tuple[int, bytes]] = []
    for offset in sorted(parts):
        part = parts[offset]
        part += b"\xff" * (-len(part) % SECTOR)
        if offset % SECTOR or (pages and offset < pages[-1][0] + PAGE):
            raise ValueError("parts overlap or are not aligned", offset)
        pages += [(offset + at, part[at : at + PAGE]) for at in range(0, len(part), PAGE)]
    return b"".join(
        _UF2_BLOCK.pack(
            *(0x0A324655, 0x9E5D5157, 0x2000, XIP_BASE + offset, PAGE),
            *(number, len(pages), _UF2_FAMILY, page, 0x0AB16F30),
        )
        for number, (offset, page) in enumerate(pages)
    )
