# SPDX-License-Identifier: MIT
"""Rebuilds a block from a pack and the image before, by the letter of SPEC 7.

Plain and slow on purpose: this is what the device's decoder is compared with, and what the encoder
asks whether a record gives back its block. Every read of the old image is inside it, every copy
inside the block; anything else raises MpotaError.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from mpota.errors import MpotaError

from . import form

_MASK = 0xFFFFFFFF
_XTENSA_WINDOW = 512


class Source:
    """The old image, and how its bytes change on the way to another place."""

    def __init__(self, head: form.Head, old: bytes) -> None:
        if len(old) != head.old_length:
            raise MpotaError("pack is for another image", "", "make it from the one that runs")
        self.old = old
        self._arch = head.arch
        self._old_segments = head.old_segments
        self._new_segments = head.new_segments
        self._old_offsets = [segment.offset for segment in head.old_segments]
        self._new_offsets = [segment.offset for segment in head.new_segments]
        self._starts = [piece.address for piece in head.pieces]
        self._shifts = [piece.shift for piece in head.pieces]
        self._windows: dict[int, list[tuple[int, int, int]]] = {}

    def shift(self, address: int) -> int:
        """Return by how much what was at `address` has moved."""
        at = bisect_right(self._starts, address)
        return self._shifts[at - 1] if at and address < form.ADDRESS_END else 0

    def copy(self, start: int, to: int, length: int) -> bytes:
        """Return old[start : start + length] as it looks from offset `to` of the new image."""
        if start < 0 or start + length > len(self.old):
            raise MpotaError("pack copies from outside the image", "", "make it again")
        if self._arch == form.ARCH_NONE:
            return self.old[start : start + length]
        old_place, code = _place(self._old_segments, self._old_offsets, start)
        new_place, _ = _place(self._new_segments, self._new_offsets, to)
        if self._arch == form.ARCH_THUMB:
            # References that reach over an edge of the copy count with what is inside.
            first = max(0, start - 3 & ~3)
            out = bytearray(self.old[first : start + length + 6 & ~3])
            self._move_thumb_words(out)
            if code:
                self._move_bl(out, old_place + first - start, new_place + first - start)
            return bytes(out[start - first :][:length])
        out = bytearray(self.old[start : start + length])
        first = start & -_XTENSA_WINDOW
        for window in range(first, start + length, _XTENSA_WINDOW):
            if code:
                self._move_xtensa(out, window, start, old_place, new_place)
            self._move_xtensa_words(out, window, start)
        return bytes(out)

    def relative(self, content: bytes, start: int) -> bytes:
        """Return the content of the block at `start` with distances for the addresses of jumps."""
        place, code = _place(self._new_segments, self._new_offsets, start)
        if not code or self._arch == form.ARCH_NONE:
            raise MpotaError("pack with jumps where no code is", "", "make it again")
        out = bytearray(content)
        if self._arch == form.ARCH_THUMB:
            for at in range(0, len(out) - 3, 2):
                if out[at + 1] & 0xF8 == 0xF0 and out[at + 3] & 0xF8 == 0xF8:
                    value = _bl_value(out, at)
                    _put_bl(out, at, 2 * value - (place + at + 4) >> 1)
        else:
            for window in range(0, len(out), _XTENSA_WINDOW):
                for at, kind, value in _instructions(out[window : window + _XTENSA_WINDOW]):
                    if kind == 5:
                        here = place + window + at
                        far = 4 * (value >> 6) - (here & ~3) - 4 >> 2
                        value = value & 0x3F | (far & 0x3FFFF) << 6
                        _clip(out, window + at, value.to_bytes(3, "little"))
        return bytes(out)

    def _move_thumb_words(self, out: bytearray) -> None:
        for at in range(0, len(out) - 3, 4):
            word = int.from_bytes(out[at : at + 4], "little")
            shift = self.shift(word)
            if shift:
                out[at : at + 4] = (word + shift & _MASK).to_bytes(4, "little")

    def _move_bl(self, out: bytearray, old_place: int, new_place: int) -> None:
        for at in range(0, len(out) - 3, 2):
            if out[at + 1] & 0xF8 != 0xF0 or out[at + 3] & 0xF8 != 0xF8:
                continue
            value = _signed(_bl_value(out, at), 22)
            target = old_place + at + 4 + 2 * value & _MASK
            target += self.shift(target)
            _put_bl(out, at, target - (new_place + at + 4) >> 1)

    def _move_xtensa(
        self, out: bytearray, window: int, start: int, old_place: int, new_place: int
    ) -> None:
        for offset, kind, value in self._instructions(window):
            at = offset - start
            if not -3 < at < len(out):
                continue
            old, new = old_place + at, new_place + at
            if kind == 5:
                target = (old & ~3) + 4 + 4 * _signed(value >> 6, 18) & _MASK
                target += self.shift(target)
                far = target - (new & ~3) - 4 >> 2
                value = value & 0x3F | (far & 0x3FFFF) << 6
            else:
                target = (old + 3 & ~3) + 4 * ((value >> 8) - 65536) & _MASK
                target += self.shift(target)
                far = target - (new + 3 & ~3) >> 2
                value = value & 0xFF | (far & 0xFFFF) << 8
            _clip(out, at, value.to_bytes(3, "little"))

    def _move_xtensa_words(self, out: bytearray, window: int, start: int) -> None:
        end = min(window + _XTENSA_WINDOW, len(self.old))
        first = max(window, start - 3)
        for offset in range(first + 3 & ~3, min(end - 3, start + len(out)), 4):
            word = int.from_bytes(self.old[offset : offset + 4], "little")
            shift = self.shift(word)
            if shift:
                _clip(out, offset - start, (word + shift & _MASK).to_bytes(4, "little"))

    def _instructions(self, window: int) -> list[tuple[int, int, int]]:
        """Return (offset, kind, value) of each call (5) and l32r (1) of a window."""
        if window not in self._windows:
            found = _instructions(self.old[window : window + _XTENSA_WINDOW])
            self._windows[window] = [(window + at, kind, value) for at, kind, value in found]
        return self._windows[window]


def _instructions(data: bytes | bytearray) -> list[tuple[int, int, int]]:
    """Walk over Xtensa code; return (place, kind, value) of each call (5) and l32r (1)."""
    found = []
    at = 0
    while at < len(data):
        kind = data[at] & 15
        if kind >= 8:
            at += 2
            continue
        if kind in (1, 5) and at + 3 <= len(data):
            found.append((at, kind, int.from_bytes(data[at : at + 3], "little")))
        at += 3
    return found


def _bl_value(data: bytearray, at: int) -> int:
    return (data[at] | (data[at + 1] & 7) << 8) << 11 | data[at + 2] | (data[at + 3] & 7) << 8


def _put_bl(data: bytearray, at: int, value: int) -> None:
    high, low = value >> 11 & 0x7FF, value & 0x7FF
    data[at : at + 4] = bytes([high & 0xFF, 0xF0 | high >> 8, low & 0xFF, 0xF8 | low >> 8])


def _place(segments: Sequence[form.Segment], offsets: list[int], offset: int) -> tuple[int, bool]:
    """Return the address of `offset`, and whether instructions are there."""
    at = bisect_right(offsets, offset)
    if not at:
        return offset, False
    segment = segments[at - 1]
    return segment.address + offset - segment.offset & _MASK, segment.code


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def _clip(out: bytearray, at: int, data: bytes) -> None:
    """Put `data` at `at`, as far as it lies inside `out`."""
    for index, byte in enumerate(data, at):
        if 0 <= index < len(out):
            out[index] = byte


def apply_record(source: Source, record: bytes, start: int, length: int, home: int) -> bytes:
    """Return the block of `length` bytes at offset `start` of the new image."""
    if not record:
        return source.copy(start + home, start, length)
    kind, body = record[0], record[1:]
    if kind not in form.KINDS:
        raise MpotaError("pack with an unknown kind of record", "", "update mpota")
    is_ops = bool(kind & form.OPS)
    if kind & form.DEFLATED:
        body = form.inflate(body, length + (form.OPS_MAX + 16 if is_ops else 0))
    if not is_ops:
        if len(body) != length:
            raise MpotaError("pack with a record of a wrong length", "", "make it again")
        return source.relative(body, start) if kind & form.ABSOLUTE else body
    return _apply_ops(source, body, start, length, home, bool(kind & form.DIFFERENCE))


def _apply_ops(
    source: Source, body: bytes, start: int, length: int, home: int, difference: bool
) -> bytes:
    reader = form.Reader(body)
    tokens_size, extras_size, literals_size = (reader.varint() for _ in range(3))
    at = reader.at + tokens_size
    tokens = body[reader.at : at]
    extras = form.Reader(body[at : at + extras_size])
    literals = body[at + extras_size :]
    if tokens_size + extras_size > form.OPS_MAX or len(literals) != literals_size:
        raise MpotaError("pack with impossible operations", "", "make it again")
    out = bytearray()
    recent = [home] * form.RECENT
    taken = 0
    for token in tokens:
        run, short, op = token & 3, token >> 2 & 7, token >> 5
        if run == form.LITERALS_MORE:
            run += extras.varint()
        piece = bytearray(literals[taken : taken + run])
        taken += run
        if difference:
            _add(piece, source.old, start + len(out) + recent[0])
        out += piece
        if op == form.OP_LITERALS:
            if short or not run:
                raise MpotaError("pack with impossible operations", "", "make it again")
            continue
        if op > form.OP_SELF:
            raise MpotaError("pack with impossible operations", "", "make it again")
        size = short + form.SHORTEST[op]
        if short == form.LENGTH_MORE:
            size += extras.varint()
        if len(out) + size > length:
            raise MpotaError("pack writes beyond the block", "", "make it again")
        if op == form.OP_SELF:
            distance = extras.varint() + 1
            if distance > len(out):
                raise MpotaError("pack copies from before the block", "", "make it again")
            for _ in range(size):
                out.append(out[-distance])
            continue
        diagonal = recent[0] + extras.signed() if op == form.OP_NEW else recent.pop(op)
        recent.insert(0, diagonal)
        del recent[form.RECENT :]
        at = start + len(out)
        out += source.copy(at + diagonal, at, size)
    if len(out) != length or taken != literals_size or extras.at != extras_size:
        raise MpotaError("pack with impossible operations", "", "make it again")
    return bytes(out)


def _add(piece: bytearray, old: bytes, at: int) -> None:
    """Add the old bytes at `at` to differences; those outside the old image are taken as 0."""
    if 0 <= at <= len(old) - len(piece):
        for index, byte in enumerate(old[at : at + len(piece)]):
            piece[index] = piece[index] + byte & 0xFF


def decode_block(
    pack: bytes, old: bytes, index: int, block: tuple[int, int], head: form.Head | None = None
) -> bytes:
    """Return block `index`, the one at block[0] of the new image and block[1] bytes long."""
    head = head or form.parse(pack)
    entry = head.entries[index]
    record = pack[entry.offset : entry.offset + entry.length]
    return apply_record(Source(head, old), record, *block, entry.home)
