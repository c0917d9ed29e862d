# SPDX-License-Identifier: MIT
"""References of whole images, for the encoder: where code and data name an address (SPEC 7).

Two images of one program differ mostly in addresses. In the *normal form* of an image a reference
is the address that it names instead of the distance to it, and in the old image the address where
its target is now, so that equal bytes of both normal forms are what a mapped copy gives.

The encoder only guesses with it: what counts is decode.py, which every record goes through.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import form

Bytes: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.int64]

_RAM = {  # addresses that data words may name besides those of the image
    form.ARCH_THUMB: ((0x20000000, 0x20100000),),
    form.ARCH_XTENSA: ((0x3C000000, 0x44000000),),
}
_XTENSA_WINDOW = 512


@dataclass(frozen=True)
class References:
    """References of an image: where each is, which kind, and the address that it names."""

    offset: Numbers
    kind: Numbers  # 4: word; 2: bl; 5: call; 1: l32r
    target: Numbers


class Image:
    """The bytes of an image with all references in it."""

    def __init__(self, data: bytes, segments: Sequence[form.Segment], arch: int) -> None:
        self.data: Bytes = np.frombuffer(data, np.uint8)
        self.segments = segments
        self.arch = arch
        self.ranges = _ranges(self)
        self.words = _find_words(self)
        if arch == form.ARCH_THUMB:
            self.jumps = _find_bl(self)
        elif arch == form.ARCH_XTENSA:
            self.jumps = _find_xtensa(self)
        else:
            self.jumps = _NOTHING

    def place(self, offsets: Numbers) -> Numbers:
        """Return the addresses of offsets."""
        starts = np.array([0] + [s.offset for s in self.segments], np.int64)
        bases = np.array([0] + [s.address - s.offset for s in self.segments], np.int64)
        return offsets + bases[np.searchsorted(starts[1:], offsets, "right")]

    def is_code(self, offsets: Numbers) -> NDArray[np.bool_]:
        flags = np.array([False] + [s.code for s in self.segments])
        starts = np.array([s.offset for s in self.segments], np.int64)
        return flags[np.searchsorted(starts, offsets, "right")]

    def normal(self, pieces: Sequence[form.Piece] = ()) -> Bytes:
        """Return the normal form; `pieces` say where targets are now."""
        out: Bytes = self.data.copy()
        if self.arch == form.ARCH_NONE:
            return out
        jumps, words = self.jumps, self.words
        target = jumps.target + shifts(pieces, jumps.target)
        if self.arch == form.ARCH_THUMB:
            _put_bl(out, jumps.offset, target >> 1)
        else:
            _put_xtensa(out, jumps.offset, jumps.kind, target >> 2)
        moved = shifts(pieces, words.target)
        changed = moved != 0
        _put(out, words.offset[changed], (words.target + moved)[changed], 4)
        return out

    def moved(self, pieces: Sequence[form.Piece]) -> Moved:
        """Return the image as copies see it."""
        return Moved(self, pieces)

    def between(self) -> list[tuple[int, int]]:
        """Return the end of each range, and how many words name something from there to the next.

        Such words are no references, and a map that goes on from the range would spoil them.
        """
        words = _all_words(self)
        out = []
        nexts = [start for start, _ in self.ranges[1:]] + [form.ADDRESS_END]
        for (_, stop), after in zip(self.ranges, nexts, strict=True):
            out.append((stop, int(np.count_nonzero((words >= stop) & (words < after)))))
        return out

    def absolute(self, start: int, stop: int) -> Bytes:
        """Return the bytes of a block with the addresses that its jumps name."""
        out: Bytes = self.data[start:stop].copy()
        low, high = np.searchsorted(self.jumps.offset, [start, stop])
        offset, kind = self.jumps.offset[low:high], self.jumps.kind[low:high]
        target = self.jumps.target[low:high]
        if self.arch == form.ARCH_THUMB:
            inside = offset + 4 <= stop
            _put_bl(out, offset[inside] - start, target[inside] >> 1)
        else:
            inside = (kind == 5) & (offset + 3 <= stop)
            _put_xtensa(out, offset[inside] - start, kind[inside], target[inside] >> 2)
        return out

    def masked(self) -> Bytes:
        """Return the bytes without what a reference names: equal for equal code anywhere."""
        out: Bytes = self.data.copy()
        jumps = self.jumps
        nowhere = np.zeros(len(jumps.offset), np.int64)
        if self.arch == form.ARCH_THUMB:
            _put_bl(out, jumps.offset, nowhere)
        elif self.arch == form.ARCH_XTENSA:
            _put_xtensa(out, jumps.offset, jumps.kind, nowhere)
        _put(out, self.words.offset, np.zeros(len(self.words.offset), np.int64), 4)
        return out


class Moved:
    """An old image of which any part can be had as it looks from another place, all at once."""

    def __init__(self, image: Image, pieces: Sequence[form.Piece]) -> None:
        words, jumps = image.words, image.jumps
        self.data: Bytes = image.data.copy()
        self._arch = image.arch
        if image.arch == form.ARCH_NONE:
            self._jumps, self._targets = jumps, jumps.target
            return
        moved = shifts(pieces, words.target)
        changed = moved != 0
        _put(self.data, words.offset[changed], (words.target + moved)[changed], 4)
        if image.arch == form.ARCH_THUMB:
            seen = copy(image)
            seen.data = self.data
            jumps = _find_bl(seen)  # what words became may look like one
        else:
            # A word wins over the instructions that it overlaps.
            starts = words.offset[changed]
            near = np.searchsorted(starts, jumps.offset - 3)
            padded = np.append(starts, len(self.data) + 8)
            free = padded[near] >= jumps.offset + 3
            jumps = References(jumps.offset[free], jumps.kind[free], jumps.target[free])
        self._jumps = jumps
        self._targets = jumps.target + shifts(pieces, jumps.target)

    def part(self, start: int, stop: int, place: int) -> Bytes:
        """Return the bytes of [start, stop) if its first one comes to the address `place`."""
        offsets = self._jumps.offset
        low, high = np.searchsorted(offsets, [start - 3, stop])
        if low == high:
            return self.data[start:stop]
        out = np.zeros(stop - start + 6, np.uint8)
        first = max(0, start - 3)
        last = min(len(self.data), stop + 3)
        out[first - start + 3 : last - start + 3] = self.data[first:last]
        offset = offsets[low:high]
        here = offset - start + place
        if self._arch == form.ARCH_THUMB:
            _put_bl(out, offset - start + 3, self._targets[low:high] - here - 4 >> 1)
        else:
            kind = self._jumps.kind[low:high]
            base = np.where(kind == 5, (here & ~3) + 4, here + 3 & ~3)
            _put_xtensa(out, offset - start + 3, kind, self._targets[low:high] - base >> 2)
        return out[3:-3]


_NOTHING = References(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


def shifts(pieces: Sequence[form.Piece], addresses: Numbers) -> Numbers:
    """Return by how much each address moved."""
    if not pieces:
        return np.zeros(len(addresses), np.int64)
    starts = np.array([piece.address for piece in pieces], np.int64)
    moved = np.array([0] + [piece.shift for piece in pieces], np.int64)
    out: Numbers = moved[np.searchsorted(starts, addresses, "right")]
    out[(addresses < 0) | (addresses >= form.ADDRESS_END)] = 0
    return out


def _ranges(image: Image) -> list[tuple[int, int]]:
    """Return the addresses that words may name, in order; no two ranges overlap."""
    if image.arch == form.ARCH_NONE:
        return []
    ranges = list(_RAM[image.arch])
    for segment, after in zip(image.segments, [*image.segments[1:], None], strict=True):
        end = len(image.data) if after is None else after.offset
        ranges.append((segment.address, segment.address + end - segment.offset))
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start <= joined[-1][1]:
            last_start, last_stop = joined.pop()
            start, stop = last_start, max(stop, last_stop)
        joined.append((start, stop))
    return joined


def _all_words(image: Image) -> Numbers:
    return image.data[: len(image.data) & ~3].view("<u4").astype(np.int64)


def _find_words(image: Image) -> References:
    words = _all_words(image)
    wanted = np.zeros(len(words), np.bool_)
    for start, stop in image.ranges:
        wanted |= (words >= start) & (words < stop)
    at = np.flatnonzero(wanted)
    return References(at * 4, np.full(len(at), 4), words[at])


def _find_bl(image: Image) -> References:
    whole = len(image.data) & ~1
    halves = image.data[:whole].view("<u2").astype(np.int64)
    is_bl = (halves[:-1] & 0xF800 == 0xF000) & (halves[1:] & 0xF800 == 0xF800)
    at = np.flatnonzero(is_bl)
    at = at[image.is_code(at * 2)]
    value = (halves[at] & 0x7FF) << 11 | halves[at + 1] & 0x7FF
    value -= (value >> 21) << 22
    return References(at * 2, np.full(len(at), 2), image.place(at * 2) + 4 + 2 * value)


def _find_xtensa(image: Image) -> References:
    """Walk all windows at once, as decode.py walks one."""
    data = np.concatenate([image.data, np.full(_XTENSA_WINDOW + 3, 8, np.uint8)])
    starts = np.arange(0, len(image.data), _XTENSA_WINDOW)
    ends = np.minimum(starts + _XTENSA_WINDOW, len(image.data))
    at = starts.copy()
    found = []
    while len(at):
        kind = data[at] & 15
        found.append(at[((kind == 1) | (kind == 5)) & (at + 3 <= ends)])
        at = at + np.where(kind >= 8, 2, 3)
        alive = at < ends
        at, ends = at[alive], ends[alive]
    offset = np.sort(np.concatenate(found))
    offset = offset[image.is_code(offset)]
    value = sum(data[offset + byte].astype(np.int64) << 8 * byte for byte in range(3))
    kind = value & 15
    place = image.place(offset)
    far = value >> 6
    far -= (far >> 17) << 18
    call = (place & ~3) + 4 + 4 * far
    load = (place + 3 & ~3) + 4 * ((value >> 8) - 65536)
    return References(offset, kind, np.where(kind == 5, call, load))


def _put(out: Bytes, offsets: Numbers, values: Numbers, size: int) -> None:
    for byte in range(size):
        out[offsets + byte] = values >> 8 * byte & 0xFF


def _put_bl(out: Bytes, offsets: Numbers, values: Numbers) -> None:
    high, low = 0xF000 | values >> 11 & 0x7FF, 0xF800 | values & 0x7FF
    _put(out, offsets, high | low << 16, 4)


def _put_xtensa(out: Bytes, offsets: Numbers, kinds: Numbers, values: Numbers) -> None:
    first = out[offsets].astype(np.int64)
    call = first & 0x3F | (values & 0x3FFFF) << 6
    load = first | (values & 0xFFFF) << 8
    _put(out, offsets, np.where(kinds == 5, call, load), 3)
