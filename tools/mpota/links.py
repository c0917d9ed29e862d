# SPDX-License-Identifier: MIT
"""The two links of a firmware for RP2040, and what they say about themselves.

A bootloader can only tell whether an image is as it was signed. Whether the firmware was whole
then, and for which board, is in the SDK's binary info (pico/binary_info/structure.h):

    header   within the first 256 bytes: magic | start, end of a table | address map | magic
    table    addresses of entries
    entry    u16 type | u16 tag | ..., here those that name a string, an int, or a block device

Addresses are those that the code runs at. Nothing is followed out of the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from mpota import rp2040
from mpota.errors import MpotaError

# PICO_BOARD of the boards in boards/rp2040, by what stands before the variant in a board's name.
PICO_BOARDS = {"OTA_PICO": "pico", "OTA_PICO_W": "pico_w"}
FACTORY = "ota_factory"  # frozen by OTA_FACTORY, see `mpota provision --frozen`

_HEADER = struct.Struct("<5I")
_HEADER_WITHIN = 0x100
_MAGIC, _END_MAGIC = 0x7188EBF2, 0xE71AA390
_MAX_ENTRIES = 1024
_MAX_TEXT = 512
_INT, _TEXT, _BLOCK_DEVICE = 5, 6, 7
_PICO, _MICROPYTHON = 0x5052, 0x504D  # tags: "RP", "MP"
_BINARY_END = 0x68F465DE
_BOARD = 0xB63CFFBB
_FROZEN = 0x4A99D719

# Which build has slots of a size, and how to come to it.
_MAPS = {
    0xE8000: ("2 MB", "without BOARD_VARIANT"),
    0x158000: ("4 MB", "with BOARD_VARIANT=FLASH_4M"),
}
_DAMAGED = "firmware is cut short or damaged"
_AGAIN = "build or copy it again"

Fact = tuple[int, int, int | str]  # tag, id, text; or a block device's address and size


@dataclass(frozen=True)
class Link:
    """A firmware as one slot holds it, without header and signature."""

    code: bytes
    slot: int  # number of the slot
    pico_board: str
    modules: frozenset[str]  # that are frozen in it
    facts: frozenset[Fact]  # all that does not depend on the slot


def read(code: bytes, slot_size: int, path: Path | str) -> Link:
    """Check one link for a board with slots of this size."""
    slot = _slot(code, slot_size, path)
    base = rp2040.XIP_BASE + rp2040.SLOT_A + slot * slot_size + rp2040.HEADER_SIZE
    ends, facts = _read_info(code, base, path)
    boards = [fact[2] for fact in facts if fact[:2] == (_PICO, _BOARD)]
    if len(ends) != 1 or len(boards) != 1:
        raise MpotaError("firmware does not say its board and its end", path, _AGAIN)
    length = ends[0] - base
    if length > len(code):
        raise MpotaError(f"firmware is cut short to {len(code)} of {length} bytes", path, _AGAIN)
    if length < len(code):
        what = f"{len(code) - length} other bytes follow the firmware"
        raise MpotaError(what, path, "give what the build made")
    modules = {str(fact[2]) for fact in facts if fact[:2] == (_MICROPYTHON, _FROZEN)}
    return Link(code, slot, str(boards[0]), frozenset(modules), facts)


def check_board(link: Link, board: str, path: Path | str) -> None:
    """Refuse a firmware for another board; of boards that are not ours nothing is known."""
    expected = PICO_BOARDS.get(board.partition("-")[0])
    if expected is not None and link.pico_board != expected:
        what = f"firmware for {link.pico_board}, but {board} is a {expected}"
        raise MpotaError(what, path, f"give the firmware of {board}, or name the right board")


def check_pair(a: Link, b: Link, paths: str) -> None:
    """Refuse two links that differ in more than where they are linked for."""
    if a.pico_board != b.pico_board:
        difference = f"for {a.pico_board} and {b.pico_board}"
    elif a.modules != b.modules:
        name = min(a.modules ^ b.modules)
        difference = f"{name} is in one only"
    elif len(a.code) != len(b.code):
        difference = f"{len(a.code)} and {len(b.code)} bytes"
    elif a.facts != b.facts:
        difference = "versions, dates or flash sizes differ"
    else:
        return
    todo = "give firmware-a.bin and firmware-b.bin of one build"
    raise MpotaError(f"links of two different builds ({difference})", paths, todo)


def _slot(code: bytes, slot_size: int, path: Path | str) -> int:
    """Return the number of the slot that the vectors lead into."""
    for size in (slot_size, *(other for other in _MAPS if other != slot_size)):
        for number in range(2):
            start = rp2040.XIP_BASE + rp2040.SLOT_A + number * size + rp2040.HEADER_SIZE
            if not rp2040.is_linked_at(code, start):
                continue
            if size == slot_size:
                return number
            todo = "give a build for the board's flash"
            if slot_size in _MAPS:
                todo = f"build it for {_MAPS[slot_size][0]}: {_MAPS[slot_size][1]}"
            raise MpotaError(f"linked for the {_MAPS[size][0]} map at {start:#x}", path, todo)
    todo = "give firmware-a.bin and firmware-b.bin of a board of boards/rp2040"
    raise MpotaError("not a firmware that is linked for a slot", path, todo)


def _read_info(code: bytes, base: int, path: Path | str) -> tuple[list[int], frozenset[Fact]]:
    """Return where the code ends, each time that it is said, and all other facts."""
    start, end = _table(code, base, path)
    ends: list[int] = []
    facts: set[Fact] = set()
    for at in range(start, end, 4):
        entry = _word(code, at, path) - base
        kind, tag = _word(code, entry, path) & 0xFFFF, _word(code, entry, path) >> 16
        if kind in (_INT, _TEXT):
            key, value = _word(code, entry + 4, path), _word(code, entry + 8, path)
            if kind == _TEXT:
                facts.add((tag, key, _text(code, value - base, path)))
            elif (tag, key) == (_PICO, _BINARY_END):
                ends.append(value)
        elif kind == _BLOCK_DEVICE:  # the flash that Python may use, which tells its size
            facts.add((kind, _word(code, entry + 8, path), _word(code, entry + 12, path)))
    return ends, frozenset(facts)


def _table(code: bytes, base: int, path: Path | str) -> tuple[int, int]:
    """Return where the table of entries is in the file."""
    for at in range(0, min(_HEADER_WITHIN, len(code) - _HEADER.size), 4):
        magic, start, end, _map, end_magic = _HEADER.unpack_from(code, at)
        if (magic, end_magic) == (_MAGIC, _END_MAGIC):
            start, end = start - base, end - base
            if not 0 <= start <= end <= len(code) or end - start > 4 * _MAX_ENTRIES:
                raise MpotaError(_DAMAGED, path, _AGAIN)
            return start, end
    raise MpotaError("firmware without binary info", path, "build it with boards/rp2040")


def _word(code: bytes, at: int, path: Path | str) -> int:
    if not 0 <= at <= len(code) - 4:
        raise MpotaError(_DAMAGED, path, _AGAIN)
    return int.from_bytes(code[at : at + 4], "little")


def _text(code: bytes, at: int, path: Path | str) -> str:
    text, nul, _ = code[at : at + _MAX_TEXT].partition(b"\0") if at >= 0 else (b"", b"", b"")
    if not nul:
        raise MpotaError(_DAMAGED, path, _AGAIN)
    return text.decode("ascii", "backslashreplace")
