# SPDX-License-Identifier: MIT
"""Makes packs: the compressed one of an image, and those that build it from an older image.

A record is worth what it costs, so for each block every kind is tried and the shortest taken.
Nothing is trusted on the way: whatever the search suggests goes through decode.py, and where that
gives another byte a literal repairs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mpota.errors import MpotaError

from . import form
from .addresses import choose
from .decode import Source, apply_record
from .form import Head, Piece
from .layout import PLAIN, Layout
from .match import Matcher
from .parse import Step, parse
from .references import Image

# Pieces of a map, 8 bytes each in a device's memory: an RP2040 has less of it than an ESP32.
PIECES = {form.ARCH_NONE: 0, form.ARCH_THUMB: 512, form.ARCH_XTENSA: 640}

Block = tuple[int, int]


def blocks_of(length: int) -> list[Block]:
    """Return (start, length) of the blocks of a firmware image."""
    return [(at, min(form.BLOCK, length - at)) for at in range(0, length, form.BLOCK)]


def encode(
    old: bytes | None,
    new: bytes,
    blocks: Sequence[Block],
    *,
    was: Layout = PLAIN,
    now: Layout = PLAIN,
    base: bytes = bytes(8),
) -> bytes:
    """Return the pack that builds `new` from `old`, or alone if there is none.

    `blocks` are (offset, length) in `new`; `was` and `now` the layouts of both images; `base` the
    first 8 bytes of the old image's identity. Equal input gives equal output.
    """
    after = Image(new, now.segments, now.arch)
    if not old:
        head = Head(len(blocks), len(new), 0, now.arch, new_segments=now.segments)
        source = Source(head, b"")
        records = [_shortest(_compressed(source, after, new, block)) for block in blocks]
        return form.build(head, [0] * len(blocks), records)
    if was.arch != now.arch:
        raise MpotaError("images of two kinds of chip", "", "make a pack from the same board's")
    before = Image(old, was.segments, was.arch)
    pieces: tuple[Piece, ...] = ()
    if now.arch != form.ARCH_NONE:
        masked = Matcher(before.masked(), after.masked())
        pieces = choose(before, after, masked, PIECES[now.arch])
    head = Head(
        len(blocks),
        len(new),
        len(old),
        now.arch,
        base,
        0,
        was.segments,
        now.segments,
        pieces,
    )
    source = Source(head, old)
    matcher = Matcher(before.normal(pieces), after.normal())
    plans = parse(matcher, before.moved(pieces), after, blocks)
    homes, records = [], []
    ops_max = home = 0
    for block, plan in zip(blocks, plans, strict=True):
        home = _home(source, new, block, plan, home)
        record, ops = _record(source, after, new, block, plan, home)
        homes.append(home)
        records.append(record)
        ops_max = max(ops_max, ops)
    return form.build(replace(head, ops_max=ops_max), homes, records)


def _compressed(source: Source, after: Image, new: bytes, block: Block) -> list[tuple[int, bytes]]:
    """Return what can be in a record that needs no old image: kind, body before deflation."""
    start, length = block
    content = new[start : start + length]
    out = [(0, content), (form.DEFLATED, content)]
    if after.is_code(np.array([start]))[0]:
        absolute = after.absolute(start, start + length).tobytes()
        if source.relative(absolute, start) == content:
            out.append((form.DEFLATED | form.ABSOLUTE, absolute))
    return out


def _shortest(bodies: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the shortest record."""

    def size(item: tuple[int, bytes]) -> int:
        kind, body = item
        return len(form.deflate(body) if kind & form.DEFLATED else body)

    kind, body = min(bodies, key=size)
    return bytes([kind]) + (form.squeeze(body) if kind & form.DEFLATED else body)


def _home(source: Source, new: bytes, block: Block, plan: Sequence[Step], before: int) -> int:
    """Return the diagonal that the block starts with: of its first copy, or the one before."""
    if _is_copy(source, new, block, before):
        return before
    # A block whose longest copy gives all of it needs no record.
    copies = sorted((step for step in plan if step.length), key=lambda step: -step.length)
    for step in copies[:1]:
        if _is_copy(source, new, block, step.diagonal):
            return step.diagonal
    return next((step.diagonal for step in plan if step.length), before)


def _is_copy(source: Source, new: bytes, block: Block, diagonal: int) -> bool:
    start, length = block
    if not 0 <= start + diagonal <= len(source.old) - length:
        return False
    return source.copy(start + diagonal, start, length) == new[start : start + length]


def _record(
    source: Source, after: Image, new: bytes, block: Block, plan: Sequence[Step], home: int
) -> tuple[bytes, int]:
    """Return the shortest record of a block, and the size of its operations."""
    start, length = block
    content = new[start : start + length]
    if _is_copy(source, new, block, home):
        return b"", 0
    bodies = _compressed(source, after, new, block)
    steps = _without_short(_repaired(source, new, block, plan), home)
    ops = 0
    for difference in (0, form.DIFFERENCE):
        body, size = _write(source, content, start, steps, home, bool(difference))
        if size <= form.OPS_MAX:
            bodies += [(form.OPS | more | difference, body) for more in (0, form.DEFLATED)]
            ops = max(ops, size)
    record = _shortest(bodies)
    if apply_record(source, record, start, length, home) != content:
        raise MpotaError("pack does not give back the image", f"offset {start}", "report this")
    return record, ops if record[0] & form.OPS else 0


def _repaired(source: Source, new: bytes, block: Block, plan: Sequence[Step]) -> list[Step]:
    """Return the steps with copies only where they give the right bytes."""
    start, _ = block
    out: list[Step] = []
    at = literals = 0
    for step in plan:
        literals += step.literals
        at += step.literals
        left = step.length
        while left:
            here = start + at
            got = source.copy(here + step.diagonal, here, left)
            want = new[here : here + left]
            good = left if got == want else next(i for i in range(left) if got[i] != want[i])
            # Where a copy ends decides about references that would reach beyond it.
            while good and source.copy(here + step.diagonal, here, good) != want[:good]:
                good -= 1
            if good:
                out.append(Step(literals, step.diagonal, good))
                literals = 0
            at, left = at + good, left - good
            if left:
                literals, at, left = literals + 1, at + 1, left - 1
    if literals:
        out.append(Step(literals, 0, 0))
    return out


def _without_short(steps: Sequence[Step], home: int) -> list[Step]:
    """Return the steps with literals for copies that are too short for a new diagonal."""
    recent = [home] * form.RECENT
    out: list[Step] = []
    literals = 0
    for step in steps:
        literals += step.literals
        if not step.length:
            continue
        if step.diagonal in recent:
            recent.remove(step.diagonal)
        elif step.length < form.SHORTEST[form.OP_NEW]:
            literals += step.length
            continue
        else:
            recent.pop()
        recent.insert(0, step.diagonal)
        out.append(Step(literals, step.diagonal, step.length))
        literals = 0
    if literals:
        out.append(Step(literals, 0, 0))
    return out


def _write(
    source: Source, content: bytes, start: int, steps: Sequence[Step], home: int, difference: bool
) -> tuple[bytes, int]:
    """Return operations that make `content`, and the size of tokens and extras."""
    tokens, extras, literals = bytearray(), bytearray(), bytearray()
    recent = [home] * form.RECENT
    at = 0
    for step in steps:
        run = content[at : at + step.literals]
        literals += _differences(source.old, run, start + at + recent[0]) if difference else run
        at += step.literals
        token = min(step.literals, form.LITERALS_MORE)
        if token == form.LITERALS_MORE:
            extras += form.put_varint(step.literals - token)
        if not step.length:
            tokens.append(token | form.OP_LITERALS << 5)
            continue
        op = recent.index(step.diagonal) if step.diagonal in recent else form.OP_NEW
        short = step.length - form.SHORTEST[op]
        token |= min(short, form.LENGTH_MORE) << 2 | op << 5
        if short >= form.LENGTH_MORE:
            extras += form.put_varint(short - form.LENGTH_MORE)
        if op == form.OP_NEW:
            extras += form.put_signed(step.diagonal - recent[0])
            recent.pop()
        else:
            recent.pop(op)
        recent.insert(0, step.diagonal)
        tokens.append(token)
        at += step.length
    sizes = b"".join(map(form.put_varint, (len(tokens), len(extras), len(literals))))
    return sizes + tokens + extras + literals, len(tokens) + len(extras)


def _differences(old: bytes, run: bytes, at: int) -> bytes:
    if not 0 <= at <= len(old) - len(run):
        return run
    return bytes(new - was & 0xFF for new, was in zip(run, old[at : at + len(run)], strict=True))
