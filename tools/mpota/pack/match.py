# SPDX-License-Identifier: MIT
"""Where parts of one image are in another: the longest common stretches, by suffix sorting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydivsufsort import divsufsort  # type: ignore[import-untyped]

from .references import Bytes, Numbers

_WORD = 8


def _as_words(data: Bytes, filler: int) -> NDArray[np.uint64]:
    """Return the 8 bytes from each offset on, as numbers; `filler` follows the data."""
    padded = np.concatenate([data, np.full(_WORD, filler, np.uint8)])
    out = np.zeros(len(data) + 1, np.uint64)
    for byte in range(_WORD):
        out |= padded[byte : byte + len(out)].astype(np.uint64) << np.uint64(8 * byte)
    return out


class Matcher:
    """Lengths of common stretches of `old` and `new`."""

    def __init__(self, old: Bytes, new: Bytes) -> None:
        self.old, self.new = old, new
        # Nothing matches beyond an end, as the fillers differ; and the lengths are cut besides.
        self._old_words, self._new_words = _as_words(old, 0), _as_words(new, 255)

    def lengths(self, at: Numbers, source: Numbers, most: int) -> Numbers:
        """Return how many bytes, at most `most`, new[at...] and old[source...] have in common."""
        out = np.zeros(len(at), np.int64)
        room = np.minimum(len(self.new) - at, len(self.old) - source)
        left = np.flatnonzero(room > 0)
        for step in range(0, most, _WORD):
            left = left[room[left] > step]
            if not len(left):
                break
            differ = self._old_words[source[left] + step] ^ self._new_words[at[left] + step]
            same = _low_zero_bytes(differ)
            out[left] = step + same
            left = left[same == _WORD]
        out[:] = np.minimum(out, room.clip(0)).clip(0, most)
        return out

    def neighbours(self) -> tuple[Numbers, Numbers]:
        """Return for each offset of `new` the two of `old` whose suffixes sort next to its own.

        One of them begins the longest stretch that both have in common. -1: there is none.
        """
        joined = np.concatenate([self.old, self.new])
        order = divsufsort(joined).astype(np.int64)
        size = len(self.old)
        is_old = order < size
        rank = np.arange(len(order))
        before = np.maximum.accumulate(np.where(is_old, rank, -1))
        after = np.minimum.accumulate(np.where(is_old, rank, len(order))[::-1])[::-1]
        order_or_none = np.append(order, -1)  # both -1 and the end mean none
        out = []
        for neighbour in (before, after):
            found = np.empty(len(self.new), np.int64)
            found[order[~is_old] - size] = order_or_none[neighbour[~is_old]]
            out.append(found)
        return out[0], out[1]


def _low_zero_bytes(words: NDArray[np.uint64]) -> Numbers:
    lowest = words & (~words + np.uint64(1))
    out = np.full(len(words), _WORD, np.int64)
    some = lowest != 0
    # A power of two is exact as a float, whose exponent is the number of the bit.
    out[some] = (np.frexp(lowest[some].astype(np.float64))[1] - 1) >> 3
    return out
