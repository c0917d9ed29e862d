# SPDX-License-Identifier: MIT
"""Cuts blocks into literals and copies so that their records become small.

The state of a record is the diagonal (source minus destination) that was copied on last. Going on
there after a few literals is cheap, changing to another one is not. For each block the best path
over all diagonals that promise anything is found exactly (Viterbi's algorithm), many blocks at
once, since their paths do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import form
from .match import Matcher
from .references import Image, Moved, Numbers

# Bits that things cost after compression, about. Measured over the benches' images.
_LITERAL = 6.2
_TOKEN = 11.0  # a copy on the diagonal that was copied on last; less would be smaller and slower
_CHANGE = 20.0  # more for another one
_RETURN = 12.0  # more for one that the block uses often
_SHORTEST = 5  # a match that suggests a diagonal
_MOST = 256  # bytes that are looked at of a match
_DIAGONALS = 384  # of a block, at most
_WHOLE = 8  # that are tried for the whole block first
_AT_ONCE = 1 << 27  # bytes of decisions in memory
_NEVER = np.float32(1e9)
_AGAIN, _AFTER, _OTHER, _COPIED = 0, 1, 2, 4  # how a state was reached


@dataclass(frozen=True)
class Step:
    """`literals` bytes as they are, then `length` bytes (or none) copied on `diagonal`."""

    literals: int
    diagonal: int
    length: int


def parse(
    matcher: Matcher, moved: Moved, image: Image, blocks: Sequence[tuple[int, int]]
) -> list[list[Step]]:
    """Return the steps of each block (start, length) of the new `image`.

    `matcher` has the normal forms, which say where to look; what is equal is asked of `moved`.
    """
    diagonals = _candidates(matcher, blocks)
    out: list[list[Step]] = []
    hard = []  # blocks that are not one copy
    before = 0
    for index, (block, ranked) in enumerate(zip(blocks, diagonals, strict=True)):
        found = _whole(moved, image, block, [before, *ranked[:_WHOLE].tolist()])
        if found is None:
            hard.append(index)
            out.append([])
        else:
            before = found
            out.append([Step(0, found, block[1])])
    for again in (False, True):
        if again:  # with what was used alone, and cheaper where it was used often
            for index in hard:
                used = [step.diagonal for step in out[index] if step.length]
                diagonals[index] = np.unique(np.array([0, *used], np.int64))
        for group in _groups(hard, diagonals):
            prices = [_prices(diagonals[index], out[index]) for index in group]
            found_steps = _parse_group(
                [blocks[index] for index in group],
                [diagonals[index] for index in group],
                prices,
                moved,
                image,
            )
            for index, steps in zip(group, found_steps, strict=True):
                out[index] = steps
    return out


def _whole(moved: Moved, image: Image, block: tuple[int, int], diagonals: list[int]) -> int | None:
    """Return the first of these diagonals on which the whole block is equal."""
    start, length = block
    place = int(image.place(np.array([start]))[0])
    for diagonal in diagonals:
        if 0 <= start + diagonal <= len(moved.data) - length:
            source = moved.part(start + diagonal, start + diagonal + length, place)
            if np.array_equal(source, image.data[start : start + length]):
                return diagonal
    return None


def _groups(hard: Sequence[int], diagonals: Sequence[Numbers]) -> Iterable[list[int]]:
    """Yield blocks that are parsed at once, as many as memory allows, of similar size."""
    group: list[int] = []
    for index in sorted(hard, key=lambda index: len(diagonals[index])):
        if (len(group) + 1) * form.BLOCK * len(diagonals[index]) > _AT_ONCE and group:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _prices(diagonals: Numbers, steps: Sequence[Step]) -> NDArray[np.float32]:
    out = np.full(len(diagonals), _CHANGE, np.float32)
    if steps:
        used = np.array([step.diagonal for step in steps if step.length], np.int64)
        counts = (used[:, None] == diagonals[None, :]).sum(0)
        out[counts >= 3] = _RETURN
    return out


def _candidates(matcher: Matcher, blocks: Sequence[tuple[int, int]]) -> list[Numbers]:
    """Return for each block the diagonals on which it shares most with the old image."""
    new = matcher.new
    at = np.arange(len(new))
    parts = []
    for source in matcher.neighbours():
        known = np.flatnonzero(source >= 0)
        length = matcher.lengths(known, source[known], _MOST)
        good = length >= _SHORTEST
        parts.append((known[good], source[known][good] - known[good], length[good]))
    at, diagonal, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    out = []
    order = np.argsort(at, kind="stable")
    at, diagonal, length = at[order], diagonal[order], length[order]
    tops: list[Numbers] = []
    for start, size in blocks:
        inside = slice(*np.searchsorted(at, [start - _MOST, start + size]))
        first = np.maximum(at[inside], start)
        shared = np.minimum(at[inside] + length[inside], start + size) - first
        some = shared >= min(_SHORTEST, size)
        names, which = np.unique(diagonal[inside][some], return_inverse=True)
        # The longest match on a diagonal counts, and how many bytes there are on it at all.
        best = np.zeros(len(names), np.int64)
        np.maximum.at(best, which, shared[some])
        covered = np.bincount(which, minlength=len(names))
        score = best * 4 + covered
        ranked = np.argsort(-score, kind="stable")
        tops.append(names[ranked])
    for index, mine in enumerate(tops):
        near = [tops[other][:8] for other in (index - 1, index + 1) if 0 <= other < len(tops)]
        joined = np.concatenate([mine[:_DIAGONALS], *near, np.zeros(1, np.int64)])
        _, first = np.unique(joined, return_index=True)
        out.append(joined[np.sort(first)])
    return out


def _equal(
    moved: Moved,
    image: Image,
    blocks: Sequence[tuple[int, int]],
    diagonals: Sequence[Numbers],
) -> NDArray[np.bool_]:
    """Return whether a byte of a block equals the old one on a diagonal: [byte, block, diagonal].

    No byte beyond the block's end is equal to anything.
    """
    new, old_length = image.data, len(moved.data)
    longest = max(length for _, length in blocks)
    most = max(len(of) for of in diagonals)
    out = np.zeros((longest, len(blocks), most), np.bool_)
    for index, ((start, length), of) in enumerate(zip(blocks, diagonals, strict=True)):
        place = int(image.place(np.array([start]))[0])
        for column, diagonal in enumerate(of.tolist()):
            first = max(0, -start - diagonal)
            stop = min(length, old_length - start - diagonal)
            if first < stop:
                at = start + first
                source = moved.part(at + diagonal, start + stop + diagonal, place + first)
                out[first:stop, index, column] = new[at : start + stop] == source
    return out


def _parse_group(
    blocks: Sequence[tuple[int, int]],
    diagonals: Sequence[Numbers],
    prices: Sequence[NDArray[np.float32]],
    moved: Moved,
    new: Image,
) -> list[list[Step]]:
    equal = _equal(moved, new, blocks, diagonals)
    longest, count, most = equal.shape
    change = np.full((count, most), _NEVER, np.float32)
    for row, price in zip(change, prices, strict=True):
        row[: len(price)] = price
    change += np.float32(_TOKEN)
    # The cheapest way to the present byte if it ends in a copy on a diagonal, or in literals after
    # such a copy. The first diagonal is free: it is the block's home.
    copy = np.full((count, most), _NEVER, np.float32)
    literal = np.zeros((count, most), np.float32)
    how = np.zeros((longest, count, most), np.uint8)
    origin = np.zeros((longest, count), np.int32)  # best state: diagonal * 2 + (1: in literals)
    rows = np.arange(count)
    ends = np.array([length for _, length in blocks])
    finals: list[int] = [0] * count
    for byte in range(longest):
        in_copy, in_literal = copy.argmin(1), literal.argmin(1)
        best_copy, best_literal = copy[rows, in_copy], literal[rows, in_literal]
        is_literal = best_literal < best_copy
        origin[byte] = np.where(is_literal, in_literal * 2 + 1, in_copy * 2)
        best = np.where(is_literal, best_literal, best_copy)
        # to a copy
        after = literal + np.float32(_TOKEN)
        other = best[:, None] + change
        way = how[byte]
        is_after = after < copy
        to_copy = np.minimum(after, copy)
        is_other = other < to_copy
        np.minimum(to_copy, other, out=to_copy)
        way[is_after] = _AFTER
        way[is_other] = _OTHER
        # to a literal
        is_copied = copy < literal
        way |= is_copied.view(np.uint8) << 2
        literal = np.minimum(literal, copy) + np.float32(_LITERAL)
        copy = np.where(equal[byte], to_copy, _NEVER)
        for index in np.flatnonzero(ends == byte + 1):
            finals[index] = _last(copy[index], literal[index])
    return [
        _trace(how[:, index], origin[:, index], finals[index], blocks[index][1], diagonals[index])
        for index in range(count)
    ]


def _last(copy: NDArray[np.float32], literal: NDArray[np.float32]) -> int:
    a, b = int(copy.argmin()), int(literal.argmin())
    return b * 2 + 1 if literal[b] < copy[a] else a * 2


def _trace(
    how: NDArray[np.uint8],
    origin: NDArray[np.int32],
    state: int,
    length: int,
    diagonals: Numbers,
) -> list[Step]:
    """Walk back from the last state and return the steps in order."""
    column, in_literals = state >> 1, bool(state & 1)
    taken = [-1] * length  # the column that each byte is copied on
    for byte in range(length - 1, -1, -1):
        way = int(how[byte, column])
        if in_literals:
            in_literals = not way & _COPIED
            continue
        taken[byte] = column
        if way & 3 == _AFTER:
            in_literals = True
        elif way & 3 == _OTHER:
            came = int(origin[byte])
            column, in_literals = came >> 1, bool(came & 1)
    steps: list[Step] = []
    literals = at = 0
    while at < length:
        if taken[at] < 0:
            literals, at = literals + 1, at + 1
            continue
        stop = at + 1
        while stop < length and taken[stop] == taken[at]:
            stop += 1
        steps.append(Step(literals, int(diagonals[taken[at]]), stop - at))
        literals, at = 0, stop
    if literals:
        steps.append(Step(literals, 0, 0))
    return steps
