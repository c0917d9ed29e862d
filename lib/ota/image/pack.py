# SPDX-License-Identifier: MIT
"""Build a block of the new image from its record in a pack (SPEC, Packs).

A pack is a file that nobody signed. What it says is bounded before it is used: records and copies
lie inside what they are taken from, a step ends with more output or with the record, and nothing
is allocated by a number of the pack but its map (8 KB) and its operations (2 KB). Whether the
result is right is not judged here: who asked compares it with the signed list.

The loops over bytes are in `pack_fast`, compiled to machine code where the port can, or else in
`pack_plain`.
"""

import struct
from array import array

from ota import const
from ota.errors import ImageError

try:
    from ota.image.inflate import Inflater
except ImportError:
    from ota.image.inflate_zlib import Inflater
try:
    from ota.image.pack_fast import add, jumps, move, thumb, xtensa
except Exception:  # noqa: BLE001  (no machine code here, or that of another chip)
    from ota.image.pack_plain import add, jumps, move, thumb, xtensa

HEADER = const(40)
_FORMAT = "<4sIIIIHHHBBB3x8s"
_HEAD_MAX = const(32768)
_SEGMENTS_MAX = const(16)
_PIECES_MAX = const(1024)
_MAP_MAX = const(4096)  # it is inflated out of the block buffer
_OPS_MAX = const(2048)
_WINDOW = const(512)  # of the rule for Xtensa; the loops know it
_CHUNK = const(64)
_BEYOND = const(16)  # bytes that an operation may read behind the extras before that is noticed

_THUMB = const(1)
_XTENSA = const(2)

# Bits of a record's kind.
_DEFLATED = const(1)
_OPS = const(2)
_DIFFERENCES = const(4)
_JUMPS = const(8)

# Places in the cursor of the index.
_AT = const(0)  # of the next item, in the head
_FIRST = const(1)  # block of this item
_STOP = const(2)  # first block behind it
_OFFSET = const(3)  # of its record, in the pack
_SIZE = const(4)  # of its record
_HOME = const(5)


def head_size(header):
    """Return the length of the head that begins with these 40 bytes. Raises ImageError."""
    size = struct.unpack_from("<I", header, 4)[0]
    if bytes(header[:4]) != b"OTP1" or not HEADER < size <= _HEAD_MAX:
        raise ImageError("not a pack")
    return size


class Pack:
    def __init__(self, head, blocks, buf, old=None, base=b"", inflater=None):
        """Read the head of a pack: all that stands before its records.

        head      a file (seek, readinto): stays open, is read again for each record
        blocks    the signed list, BlockList or FileList
        buf       the block buffer; its content is lost
        old       the image that the pack was made against: `length` is its length, or that of
                  the slot, readinto(offset, buf) fills `buf`; None: there is none
        base      first 8 bytes of that image's identity, b"" without `old`
        inflater  of another pack, which is not used at the same time

        Raises ImageError when the pack is for another image, or none.
        """
        self._head = head
        self._chunk = bytearray(_CHUNK)
        self._chunk_at = -_CHUNK
        self._blocks = blocks
        self.inflater = inflater or Inflater()
        header = bytearray(HEADER)
        head.seek(0)
        _fill(head, header)
        self._end = head_size(header)
        fields = struct.unpack(_FORMAT, header)
        _, _, count, length, self._old, pieces, packed, ops, arch, olds, news, named = fields
        if (
            (count, length) != (blocks.count, blocks.length)
            or named != (base or bytes(8))
            or self._old > (old.length if old else 0)
            or (old and not self._old)
        ):
            raise ImageError("pack for another image", length, blocks.length)
        if (
            pieces > _PIECES_MAX
            or packed > _MAP_MAX
            or ops > _OPS_MAX
            or arch > _XTENSA
            or max(olds, news) > _SEGMENTS_MAX
        ):
            raise ImageError("pack beyond its bounds", pieces, ops, arch)
        self._arch = arch
        self._read = old.readinto if old else None
        self._olds = self._segments(olds)
        self._news = self._segments(news)
        self._was = self._now = (0, 0, 0, 0)  # the segments of the last copy
        self._ops = bytearray(ops + _BEYOND)
        # A piece of the old image, and as much room for the loops.
        self._window = bytearray(2 * _WINDOW if self._old else 0)
        self._from = self._to = 0  # which piece it is
        # The least and the greatest address that is elsewhere, then addresses and shifts by turns.
        self._map = array("I", bytes(8 + 8 * pieces))
        self._map[0] = 1
        if pieces:
            _fill(head, buf[:packed])
            self._load_map(buf[:packed], pieces)
        at = HEADER + 8 * (olds + news) + packed
        self._first = [at, 0, 0, self._end, 0, 0]
        self._cursor = self._first[:]
        self._stop = self._stop_at = 0

    def span(self, block, stop):
        """Return where the records of `block` begin and that of `stop` - 1 ends, in the pack."""
        self._seek(block)
        begin = self._cursor[_OFFSET]
        if stop != self._stop:  # it is the same for all blocks of a run
            kept = self._cursor[:]
            self._seek(stop - 1)
            self._stop = stop
            self._stop_at = self._cursor[_OFFSET] + self._cursor[_SIZE]
            self._cursor = kept
        return begin, self._stop_at

    def size(self, block):
        """Return the length of the record of `block`, 0 if there is none.

        Raises ImageError when it is longer than what it stands for.
        """
        self._seek(block)
        size = self._cursor[_SIZE]
        if size > 1 + self._blocks.content(block):
            raise ImageError("length of a record", size)
        return size

    def build(self, block, buf, kind=-1, length=0):
        """Put the content of `block` at the beginning of `buf`, a memoryview of a whole block.

        `kind` is the first byte of its record, and the `length` bytes behind it are at the
        beginning of `buf`. Without a record the block is a copy.

        Raises ImageError: damaged or hostile; or whatever reading the old image raises.
        """
        self._seek(block)
        home = self._cursor[_HOME]
        start = self._blocks.start(block)
        out = buf[: self._blocks.content(block)]
        if kind < 0:
            self._copy(start + home, start, out, 0, len(out))
            return
        base = kind & ~_JUMPS
        if base > 7 or base & 6 == _DIFFERENCES or (kind > base and base != _DEFLATED):
            raise ImageError("kind of record", kind)
        source = self.inflater if kind & _DEFLATED else _Bytes()
        source.start(buf[:length])
        if kind & _OPS:
            self._run(source, start, home, out, kind & _DIFFERENCES)
        elif kind or length == len(out):
            source.readinto(out)
        else:
            raise ImageError("length of a record", length)
        if kind & _JUMPS:
            self._relate(start, out)

    def _run(self, source, start, home, out, differences):
        """Follow the operations of a record: `out` begins at offset `start` of the new image."""
        tokens = _varint(source.byte)
        extras = tokens + _varint(source.byte)
        literals = _varint(source.byte)
        end = len(out)
        # What is left of the literals never exceeds what is left of the output, so they can wait
        # at its end.
        literal = end - literals
        ops = self._ops
        if not 0 < tokens <= extras <= len(ops) - _BEYOND or literal < 0:
            raise ImageError("streams of a record", tokens, extras, literals)
        source.readinto(memoryview(ops)[:extras])
        if literals:
            source.readinto(out[literal:])
        reps = [home] * 4
        at = pos = 0
        extra = tokens
        while pos < end:
            if at == tokens or extra > extras:
                raise ImageError("record ends early")
            token = ops[at]
            at += 1
            count = token & 3
            if count == 3:
                step = ops[extra]
                extra += 1
                if step > 127:
                    step, extra = self._long(step, extra)
                count += step
            if count:
                if literal + count > end:
                    raise ImageError("no literals left")
                old = start + pos + reps[0]
                if differences and 0 <= old <= self._old - count:
                    if self._from <= old and old + count <= self._to:
                        add(out, pos, literal, self._window, old - self._from, count)
                    else:
                        self._add(old, out, pos, literal, count)
                elif literal > pos:
                    move(out, pos, literal, count)
                pos += count
                literal += count
            op = token >> 5
            count = token >> 2 & 7
            if op == 7:
                if count or not token & 3:
                    raise ImageError("operation", token)
                continue
            if count == 7:
                step = ops[extra]
                extra += 1
                if step > 127:
                    step, extra = self._long(step, extra)
                count += step
            if op < 4:
                count += 1
                if op:
                    reps.insert(0, reps.pop(op))
            else:
                step = ops[extra]
                extra += 1
                if step > 127:
                    step, extra = self._long(step, extra)
                if op == 4:
                    count += 4
                    reps.insert(0, reps[0] + (-(step >> 1) - 1 if step & 1 else step >> 1))
                    reps.pop()
                else:
                    count += 3
            if pos + count > literal or op == 6:
                raise ImageError("operation", token)
            if op == 5:
                if step >= pos:
                    raise ImageError("copy from before the block", step)
                move(out, pos, pos - step - 1, count)
            else:
                new = start + pos
                self._copy(new + reps[0], new, out, pos, count)
            pos += count
        if at != tokens or extra != extras or literal != end:
            raise ImageError("record goes on")

    def _long(self, value, at):
        """Read the rest of a varint among the operations; return it and where it ends."""
        value &= 127
        shift = 7
        while True:
            step = self._ops[at]
            at += 1
            value |= (step & 127) << shift
            if step < 128:
                break
            shift += 7
            if shift > 28:
                raise ImageError("number in a pack")
        if value >> 32:
            raise ImageError("number in a pack")
        return value, at

    def _copy(self, old, new, out, pos, count):
        """Fill `count` bytes of `out` from `pos` on from offset `old` of the old image, as they
        are at offset `new` of the new one."""
        if not 0 <= old <= self._old - count:
            raise ImageError("copy outside the old image", old)
        if not self._arch:
            self._copy_plain(old, out, pos, count)
            return
        # Consecutive copies are of one segment mostly.
        low, high, a, code = self._was
        if not low <= old < high:
            self._was = low, high, a, code = _segment(self._olds, old)
        low, high, b, _ = self._now
        if not low <= new < high:
            self._now = low, high, b, _ = _segment(self._news, new)
        # From here on the differences of address and offset, so that of the first byte counts.
        b += new - old
        stop = pos + count
        while pos < stop:
            if self._arch == _THUMB:
                # With what references reach over the edges of this part.
                if count > _WINDOW - 12:
                    count = _WINDOW - 12
                begin = old - 3 & ~3 if old > 3 else 0
                end = old + count + 6 & ~3
                if end > self._old:
                    end = self._old
                at = self._from
                if begin < at or end > self._to:
                    at = begin
                    self._load(at, min(self._old, at + _WINDOW))
                a_at, b_at = a + begin, b + begin
                skip = old - begin
                begin -= at
                end -= at
                thumb(out, pos, count, self._window, begin, end, skip, a_at, b_at, code, self._map)
            else:
                begin = old & ~(_WINDOW - 1)
                end = min(self._old, begin + _WINDOW)
                if begin != self._from or end != self._to:
                    self._load(begin, end)
                count = min(stop - pos, end - old)
                window = memoryview(self._window)[: end - begin]
                part = out[pos : pos + count]
                part[:] = window[old - begin : old - begin + count]
                xtensa(part, window, old - begin, a + begin, b + begin, code, self._map)
            pos += count
            old += count
            count = stop - pos

    def _copy_plain(self, old, out, pos, count):
        if count > _WINDOW // 4:
            self._read(old, out[pos : pos + count])
            return
        # The next short one is near, mostly.
        if old < self._from or old + count > self._to:
            begin = old & ~3
            self._load(begin, min(self._old, begin + _WINDOW))
        old -= self._from
        out[pos : pos + count] = self._window[old : old + count]

    def _load(self, begin, end):
        """Have these bytes of the old image in the window."""
        self._to = 0
        self._read(begin, memoryview(self._window)[: end - begin])
        self._from = begin
        self._to = end

    def _add(self, old, out, pos, literal, count):
        """Add literals to what the old image has from `old` on."""
        while count:
            part = min(count, _WINDOW)
            if old < self._from or old + part > self._to:
                begin = old & ~3
                part = min(part, begin + _WINDOW - old)
                self._load(begin, min(self._old, begin + _WINDOW))
            add(out, pos, literal, self._window, old - self._from, part)
            old += part
            pos += part
            literal += part
            count -= part

    def _relate(self, start, out):
        """Make absolute jumps relative to where they are."""
        _, _, b, code = _segment(self._news, start)
        if not code or not self._arch:
            raise ImageError("jumps where no code is", start)
        b += start
        if self._arch == _THUMB:
            jumps(out, b)
            return
        for at in range(0, len(out), _WINDOW):
            part = out[at : at + _WINDOW]
            xtensa(part, part, 0, 0, b + at, 2, array("I", b"\1\0\0\0\0\0\0\0"))

    def _segments(self, count):
        """Read a table of (offset, address, 1 if it is code)."""
        found = []
        entry = bytearray(8)
        for _ in range(count):
            _fill(self._head, entry)
            offset, address = struct.unpack("<II", entry)
            if found and offset <= found[-1][0]:
                raise ImageError("segments run backwards", offset)
            found.append((offset, address & ~1, address & 1))
        return found

    def _load_map(self, packed, pieces):
        self.inflater.start(packed)
        byte = self.inflater.byte
        value = -1
        for at in range(2, 2 + 2 * pieces, 2):
            step = _varint(byte)
            value = step if value < 0 else value + step
            if value >> 31 or (at > 2 and not step):
                raise ImageError("map runs backwards", at)
            self._map[at] = value
        self._map[0] = self._map[2]
        self._map[1] = value
        value = 0
        for at in range(3, 3 + 2 * pieces, 2):
            value = value + _zigzag(byte) & 0xFFFFFFFF
            self._map[at] = value
        if value:  # the last shift is that of all that follows
            self._map[1] = 0x7FFFFFFF

    def _seek(self, block):
        """Stand on the item of the index that `block` belongs to."""
        if block < self._cursor[_FIRST]:
            self._cursor = self._first[:]
        cursor = self._cursor
        while block >= cursor[_STOP]:
            first = cursor[_STOP]
            item = _varint(self._byte)
            if self._old:
                cursor[_HOME] += _zigzag(self._byte)
            cursor[_OFFSET] += cursor[_SIZE]
            cursor[_FIRST] = first
            cursor[_SIZE] = size = item >> 1 if item & 1 else 0
            cursor[_STOP] = stop = first + (1 if item & 1 else item >> 1)
            if (
                not first < stop <= self._blocks.count
                or (not size and (item & 1 or not self._old))
                or size > 1 + self._blocks.block_size
                or (stop == self._blocks.count and cursor[_AT] != self._end)
            ):
                raise ImageError("index of a pack", first)

    def _byte(self):
        at = self._cursor[_AT]
        if at >= self._end:
            raise ImageError("index of a pack ends early")
        if not 0 <= at - self._chunk_at < _CHUNK:
            self._chunk_at = at
            self._head.seek(at)
            self._head.readinto(self._chunk)
        self._cursor[_AT] = at + 1
        return self._chunk[at - self._chunk_at]


class _Bytes:
    """In place of an inflater: what is not deflated."""

    def start(self, data):
        self._data = data
        self._at = 0

    def byte(self):
        self._at += 1
        if self._at > len(self._data):
            raise ImageError("record ends early")
        return self._data[self._at - 1]

    def readinto(self, out):
        end = self._at + len(out)
        if end > len(self._data):
            raise ImageError("record ends early")
        out[:] = self._data[self._at : end]
        self._at = end


def _varint(byte):
    value = shift = 0
    while True:
        b = byte()
        value |= (b & 127) << shift
        if b < 128:
            break
        shift += 7
        if shift > 28:
            raise ImageError("number in a pack")
    if value >> 32:
        raise ImageError("number in a pack")
    return value


def _zigzag(byte):
    value = _varint(byte)
    return -(value >> 1) - 1 if value & 1 else value >> 1


def _segment(segments, offset):
    """Return (from, to, address - offset, 1 if it is code) of an offset's segment."""
    low = by = code = 0
    for begin, address, flag in segments:
        if offset < begin:
            return low, begin, by, code
        low, by, code = begin, address - begin, flag
    return low, 1 << 32, by, code


def _fill(file, buf):
    if file.readinto(buf) != len(buf):
        raise ImageError("head of a pack ends early")
