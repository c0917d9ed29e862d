# SPDX-License-Identifier: MIT
"""Finds the address map of two images: what was where, and by how much it moved.

Equal code in both images votes: where the old one names an address and the new one, at the same
place of the same code, another, the first has moved to the second. A path through all named
addresses then decides which votes are worth a piece of the map.
"""

from __future__ import annotations

import numpy as np

from . import form
from .match import Matcher
from .references import Image, Numbers, References

_LEAST = 16  # bytes in common before a stretch may vote
_MOST = 4096
_VOTE = 3.0  # bytes that a wrong reference costs, about
_PIECE = 4.0  # bytes that a piece costs
_STATES = 1 << 26  # of the path, in memory at once


def align(matcher: Matcher) -> tuple[Numbers, Numbers]:
    """Return for each offset of the new image its best source in the old, and how much it is in.

    The second number is the length of the stretch that the offset lies in; 0: no source.
    """
    new = matcher.new
    at = np.arange(len(new))
    best, length = np.full(len(new), -1, np.int64), np.zeros(len(new), np.int64)
    for source in matcher.neighbours():
        known = np.where(source >= 0, source, len(matcher.old))
        found = matcher.lengths(at, known, _MOST)
        better = found > length
        best[better], length[better] = source[better], found[better]
    # A stretch reaches over all that it covers unless a longer one begins in it.
    diagonal = np.full(len(new), 0, np.int64)
    covered = np.zeros(len(new), np.int64)
    end = size = step = 0
    diagonals, lengths = (best - at).tolist(), length.tolist()
    for offset, found in enumerate(lengths):
        if offset >= end or found > size:
            if found < _LEAST:
                continue
            end, size, step = offset + found, found, diagonals[offset]
        diagonal[offset], covered[offset] = step, size
    return diagonal, covered


def choose(old: Image, new: Image, matcher: Matcher, most: int) -> tuple[form.Piece, ...]:
    """Return the map with which copies from `old` come nearest to `new`."""
    diagonal, covered = align(matcher)
    targets, moves = [], []
    for before, after in ((old.jumps, new.jumps), (old.words, new.words)):
        target, move = _votes(before, after, diagonal, covered)
        targets.append(target)
        moves.append(move)
    for stop, words in old.between():
        targets.append(np.full(words, stop, np.int64))
        moves.append(np.zeros(words, np.int64))
    target, move = np.concatenate(targets), np.concatenate(moves)
    inside = np.zeros(len(target), np.bool_)
    for start, stop in old.ranges:
        inside |= (target >= start) & (target <= stop)
    return _path(target[inside], move[inside], most)


def _votes(
    before: References, after: References, diagonal: Numbers, covered: Numbers
) -> tuple[Numbers, Numbers]:
    """Return what the old references name, and by how much the new ones differ."""
    if not len(before.offset):
        return before.target, before.target
    source = after.offset + diagonal[after.offset]
    at = np.searchsorted(before.offset, source).clip(0, len(before.offset) - 1)
    same = (before.offset[at] == source) & (before.kind[at] == after.kind)
    same &= covered[after.offset] > 0
    target = before.target[at[same]]
    return target, after.target[same] - target


def _path(target: Numbers, move: Numbers, most: int) -> tuple[form.Piece, ...]:
    if not len(target):
        return ()
    order = np.lexsort((move, target))
    target, move = target[order], move[order]
    names, first = np.unique(target, return_index=True)
    stops = np.append(first[1:], len(target))
    kinds, kind = np.unique(np.append(move, 0), return_inverse=True)
    kind = kind[:-1]
    counts = np.bincount(kind, minlength=len(kinds))
    # Too rare to pay for a piece, unless the state space is small anyway.
    room = max(_STATES // len(names), 16)
    if len(kinds) > room:
        counts[np.searchsorted(kinds, 0)] = len(target) + 1
        keep = np.sort(np.argsort(-counts, kind="stable")[:room])
        where = np.full(len(kinds), -1)
        where[keep] = np.arange(room)
        kinds, kind = kinds[keep], where[kind]
    price = _PIECE
    while True:
        pieces = _best_path(names, first, stops, kinds, kind, price)
        if len(pieces) <= most:
            return pieces
        price *= 1.25


def _best_path(
    names: Numbers, first: Numbers, stops: Numbers, kinds: Numbers, kind: Numbers, price: float
) -> tuple[form.Piece, ...]:
    zero = int(np.searchsorted(kinds, 0))
    cost = np.full(len(kinds), price, np.float64)
    cost[zero] = 0
    came = np.zeros((len(names), len(kinds)), np.bool_)
    best = np.empty(len(names), np.int64)
    for index in range(len(names)):
        best[index] = cost.argmin()
        limit = cost[best[index]] + price
        np.greater(cost, limit, out=came[index])
        np.minimum(cost, limit, out=cost)
        votes = kind[first[index] : stops[index]]
        cost += _VOTE * len(votes)
        np.subtract.at(cost, votes[votes >= 0], _VOTE)
    state = int(cost.argmin())
    path = []
    for index in range(len(names) - 1, -1, -1):
        path.append(state)
        if came[index, state]:
            state = int(best[index])
    path.reverse()
    return _pieces(names, kinds[np.array(path)])


def _pieces(names: Numbers, moves: Numbers) -> tuple[form.Piece, ...]:
    changed = np.flatnonzero(np.append([0], moves[:-1]) != moves)
    return tuple(form.Piece(int(names[at]), int(moves[at])) for at in changed)
