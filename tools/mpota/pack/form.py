# SPDX-License-Identifier: MIT
"""The bytes of a pack (SPEC 7): head, index and the numbers in them.

    pack = header | segments | map | index | records

The head is all that lies before the records. A pack is untrusted: whatever it says is bounded
here, and what is built from it counts only when its digest is in the signed block list.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mpota.errors import MpotaError

MAGIC = b"OTP1"
ARCH_NONE, ARCH_THUMB, ARCH_XTENSA = range(3)
BLOCK = 4096
WINDOW_BITS = 12  # of every deflated part: a device inflates with 4 KB of window
HEAD_MAX = 32768
MAP_MAX = 4096  # deflated
PIECES_MAX = 1024
OPS_MAX = 2048
SEGMENTS_MAX = 16
ADDRESS_END = 1 << 31  # the map does not reach beyond: signed compares do

# Kinds of a record are sums of these.
DEFLATED, OPS, DIFFERENCE, ABSOLUTE = 1, 2, 4, 8
KINDS = (0, 1, 2, 3, 6, 7, 9)

# Operations of a token. 0 to 3 copy on a recent diagonal.
RECENT = 4
OP_NEW, OP_SELF, OP_LITERALS = 4, 5, 7
LITERALS_MORE, LENGTH_MORE = 3, 7  # the rest of the number is in the extras
SHORTEST = (1, 1, 1, 1, 4, 3)  # copy of each operation

_HEADER = struct.Struct("<4s4I3H3B3x8s")
_SEGMENT = struct.Struct("<2I")
_MASK = 0xFFFFFFFF
_FLUSH = b"\0\0\xff\xff"  # the end of what zlib calls a sync flush
_END = b"\1\0\0\xff\xff"  # an empty last block: read only where a flush has ended right


@dataclass(frozen=True)
class Segment:
    """A part of an image and the address where it runs; it ends where the next one begins."""

    offset: int
    address: int
    code: bool


@dataclass(frozen=True)
class Piece:
    """From `address` of the old firmware on, everything moved by `shift`."""

    address: int
    shift: int


@dataclass(frozen=True)
class Entry:
    """Where the record of a block is, and the diagonal at which the block's state starts."""

    offset: int
    length: int  # 0: no record, the block is one copy at home
    home: int


@dataclass(frozen=True)
class Head:
    """All that a pack says besides its records."""

    count: int
    length: int
    old_length: int
    arch: int = ARCH_NONE
    base: bytes = bytes(8)
    ops_max: int = 0
    old_segments: tuple[Segment, ...] = ()
    new_segments: tuple[Segment, ...] = ()
    pieces: tuple[Piece, ...] = ()
    entries: tuple[Entry, ...] = field(default=(), repr=False)


def put_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_signed(value: int) -> bytes:
    return put_varint(value << 1 if value >= 0 else ~value << 1 | 1)


class Reader:
    """Numbers of `data`, one after the other; raises MpotaError at its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        if self.at >= len(self.data):
            raise MpotaError("pack ends early", "", "make it again")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > _MASK:
                    break
                return value
        raise MpotaError("pack with an endless number", "", "make it again")

    def signed(self) -> int:
        value = self.varint()
        return ~(value >> 1) if value & 1 else value >> 1


def deflate(data: bytes) -> bytes:
    """Deflate `data` with an end that is not final: one inflater serves all records."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, 9)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_FLUSH)


def squeeze(data: bytes) -> bytes:
    """Deflate as far as it goes, which takes a while."""
    import zopfli.zlib  # type: ignore[import-untyped]

    best = deflate(data)
    if len(data) > 1 << WINDOW_BITS:  # zopfli's window is wider than the device's
        return best
    packed = bytearray(zopfli.zlib.compress(data, blocksplitting=False)[2:-4])
    packed[0] &= ~1  # its one block is not the final one
    # The flush begins with three zero bits. Whether the last byte has room for them shows when it
    # is read.
    for end in (b"", b"\0"):
        if len(packed) + len(end) < len(best) and _gives(bytes(packed) + end, data):
            return bytes(packed) + end
    return best


def _gives(packed: bytes, data: bytes) -> bool:
    try:
        return inflate(packed, len(data)) == data
    except MpotaError:
        return False


def inflate(data: bytes, most: int) -> bytes:
    """Inflate `data` to no more than `most` bytes."""
    unpacker = zlib.decompressobj(-WINDOW_BITS)
    try:
        out = unpacker.decompress(data + _FLUSH + _END, most + 1)
    except zlib.error as error:
        raise MpotaError("pack with bad compression", "", "make it again") from error
    if len(out) > most or not unpacker.eof or unpacker.unused_data:
        raise MpotaError("pack inflates to a wrong length", "", "make it again")
    return out


def build(head: Head, homes: Sequence[int], records: Iterable[bytes]) -> bytes:
    """Put a pack together; `entries` of the head are not looked at."""
    records = list(records)
    segments = b"".join(
        _SEGMENT.pack(s.offset, s.address | s.code) for s in head.old_segments + head.new_segments
    )
    packed_map = _build_map(head.pieces)
    if len(packed_map) > MAP_MAX:
        raise MpotaError("map of a pack is too long", "", "take fewer pieces")
    index = _build_index(homes, [len(record) for record in records], head.old_length > 0)
    size = _HEADER.size + len(segments) + len(packed_map) + len(index)
    if size > HEAD_MAX:
        raise MpotaError("image has too many blocks for a pack", "", "publish it without")
    header = _HEADER.pack(
        MAGIC,
        size,
        head.count,
        head.length,
        head.old_length,
        len(head.pieces),
        len(packed_map),
        head.ops_max,
        head.arch,
        len(head.old_segments),
        len(head.new_segments),
        head.base,
    )
    return b"".join([header, segments, packed_map, index, *records])


def _build_map(pieces: Sequence[Piece]) -> bytes:
    if not pieces:
        return b""
    before = [Piece(0, 0), *pieces]
    steps = zip(before, pieces)  # noqa: B905  (the first has one more)
    addresses, shifts = bytearray(), bytearray()
    for last, piece in steps:
        addresses += put_varint(piece.address - last.address)
        shifts += put_signed(piece.shift - last.shift)
    return deflate(bytes(addresses + shifts))


def _build_index(homes: Sequence[int], lengths: Sequence[int], has_base: bool) -> bytes:
    out = bytearray()
    home = at = 0
    while at < len(lengths):
        stop = at + 1
        if lengths[at]:
            out += put_varint(lengths[at] << 1 | 1)
        else:
            while stop < len(lengths) and not lengths[stop] and homes[stop] == homes[at]:
                stop += 1
            out += put_varint(stop - at << 1)
        if has_base:
            out += put_signed(homes[at] - home)
            home = homes[at]
        at = stop
    return bytes(out)


def parse(pack: bytes) -> Head:
    """Read and check the head of a pack."""
    if len(pack) < _HEADER.size or pack[:4] != MAGIC:
        raise MpotaError("not a pack", "", "make it again")
    (
        _,
        size,
        count,
        length,
        old_length,
        pieces,
        map_size,
        ops_max,
        arch,
        old_segments,
        new_segments,
        base,
    ) = _HEADER.unpack_from(pack)
    index = _HEADER.size + (old_segments + new_segments) * _SEGMENT.size + map_size
    if not (
        index <= size <= min(HEAD_MAX, len(pack))
        and pieces <= PIECES_MAX
        and map_size <= MAP_MAX
        and ops_max <= OPS_MAX
        and arch <= ARCH_XTENSA
        and max(old_segments, new_segments) <= SEGMENTS_MAX
    ):
        raise MpotaError("pack with an impossible head", "", "make it again")
    segments = [
        Segment(offset, address & ~1 & _MASK, bool(address & 1))
        for offset, address in _SEGMENT.iter_unpack(pack[_HEADER.size : index - map_size])
    ]
    return Head(
        count,
        length,
        old_length,
        arch,
        base,
        ops_max,
        tuple(segments[:old_segments]),
        tuple(segments[old_segments:]),
        _parse_map(pack[index - map_size : index], pieces),
        _parse_index(pack[index:size], count, size, old_length > 0, len(pack)),
    )


def _parse_map(packed: bytes, count: int) -> tuple[Piece, ...]:
    if not count:
        return ()
    reader = Reader(inflate(packed, count * 10))
    addresses = []
    address = -1
    for _ in range(count):
        step = reader.varint()
        if address >= 0 and not step:
            raise MpotaError("pack with a map out of order", "", "make it again")
        address = max(address, 0) + step
        addresses.append(address)
    if address >= ADDRESS_END:
        raise MpotaError("pack with a map out of order", "", "make it again")
    pieces = []
    shift = 0
    for address in addresses:
        shift += reader.signed()
        pieces.append(Piece(address, shift))
    return tuple(pieces)


def _parse_index(
    index: bytes, count: int, offset: int, has_base: bool, end: int
) -> tuple[Entry, ...]:
    reader = Reader(index)
    entries: list[Entry] = []
    home = 0
    while len(entries) < count:
        value = reader.varint()
        if has_base:
            home += reader.signed()
        blocks, length = (1, value >> 1) if value & 1 else (value >> 1, 0)
        if not (length or has_base) or not blocks or blocks > count - len(entries):
            raise MpotaError("pack with a bad index", "", "make it again")
        if not 0 <= length <= BLOCK + 1 or (value & 1 and not length):
            raise MpotaError("pack with a bad index", "", "make it again")
        entries += [Entry(offset, length, home)] * blocks
        offset += length
    if reader.at != len(index) or offset != end:
        raise MpotaError("pack with a bad index", "", "make it again")
    return tuple(entries)
