# SPDX-License-Identifier: MIT
"""The packs that mpota makes, and its plain decoder (SPEC 7)."""

import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpota.errors import MpotaError
from mpota.pack import form
from mpota.pack.decode import Source, decode_block
from mpota.pack.encode import blocks_of, encode
from mpota.pack.form import Head, Piece, Segment
from mpota.pack.layout import PLAIN, Layout, layout_of
from mpota.pack.match import Matcher
from mpota.pack.references import Image
from vectors import pack_rules as rules

THUMB = Layout(form.ARCH_THUMB, (Segment(0, 0x10000000, True),))
THUMB_B = Layout(form.ARCH_THUMB, (Segment(0, 0x100F0000, True),))
XTENSA = Layout(
    form.ARCH_XTENSA, (Segment(32, 0x3F400020, False), Segment(2048, 0x400D0020, True))
)


def names(cases):
    return [case[0] for case in cases]


def segments(pairs):
    return tuple(Segment(offset, address & ~1, bool(address & 1)) for offset, address in pairs)


def source_of(old, arch=0, was=(), now=(), pieces=()):
    return Source(Head(1, 1 << 20, len(old), arch, bytes(8), 0, was, now, pieces), old)


def build(pack, old, blocks):
    head = form.parse(pack)
    return b"".join(decode_block(pack, old, i, block, head) for i, block in enumerate(blocks))


# ---- the rules, as the document says


@pytest.mark.parametrize("case", rules.RULES, ids=names(rules.RULES))
def test_rule(case):
    _, arch, old, was, now, pieces, (start, to, length), want = case
    pieces = tuple(Piece(*piece) for piece in pieces)
    source = source_of(bytes.fromhex(old), arch, segments(was), segments(now), pieces)
    assert source.copy(start, to, length).hex() == want


@pytest.mark.parametrize("case", rules.RECORDS, ids=names(rules.RECORDS))
def test_record(case):
    _, old, home, record, length, want = case
    old, record = bytes.fromhex(old), bytes.fromhex(record)
    pack = rules.pack_of(record, len(old), length, home)
    if want is None:
        with pytest.raises(MpotaError):
            decode_block(pack, old, 0, (0, length))
    else:
        assert decode_block(pack, old, 0, (0, length)).hex() == want


@pytest.mark.parametrize("case", rules.HEADS, ids=names(rules.HEADS))
def test_bad_head_is_refused(case):
    with pytest.raises(MpotaError):
        form.parse(bytes.fromhex(case[1]))


def test_good_head_is_not():
    pack = bytes.fromhex(rules.GOOD_HEAD)
    assert decode_block(pack, b"", 0, (0, 4)) == b"abcd"


def test_pack_of_another_base_is_refused():
    pack = encode(bytes(5000), bytes(5000), blocks_of(5000))
    with pytest.raises(MpotaError):
        decode_block(pack, bytes(4999), 0, (0, 4096))


# ---- images that look like firmware


def thumb_code(rng, functions, base, gap=0):
    """Return functions that call each other and words that point to them."""
    starts, out = [], bytearray()
    for _ in range(functions):
        starts.append(len(out))
        # No byte of a bl, so that what looks like one is one.
        out += bytes(byte % 0xF0 for byte in rng.randbytes(rng.randrange(20, 120) & ~3))
    for start in starts:
        target = rng.choice(starts) + gap
        if rng.random() < 0.5:
            value = (base + target | 1).to_bytes(4, "little")
        else:
            far = target - start - 4 >> 1
            value = (0xF000 | far >> 11 & 0x7FF).to_bytes(2, "little")
            value += (0xF800 | far & 0x7FF).to_bytes(2, "little")
        out[start : start + 4] = value
    return bytes(out)


def pair(arch):
    """Return two images of which the second is the first changed and moved, and their layouts."""
    rng = random.Random(arch)
    if arch == form.ARCH_THUMB:
        old = thumb_code(rng, 180, 0x10000000)
        new = thumb_code(random.Random(arch), 180, 0x100F0000)
        return old, new[:5000] + rng.randbytes(300) + new[5000:], THUMB, THUMB_B
    old = bytearray(rng.randbytes(13000))
    new = old[:6000] + rng.randbytes(100) + old[6000:]
    for _ in range(60):
        at = rng.randrange(len(new))
        new[at] = rng.randrange(256)
    layout = XTENSA if arch == form.ARCH_XTENSA else PLAIN
    return bytes(old), bytes(new), layout, layout


@pytest.mark.parametrize("arch", [form.ARCH_NONE, form.ARCH_THUMB, form.ARCH_XTENSA])
def test_delta_gives_back_the_image(arch):
    old, new, was, now = pair(arch)
    blocks = blocks_of(len(new))
    pack = encode(old, new, blocks, was=was, now=now, base=b"12345678")
    assert build(pack, old, blocks) == new
    assert form.parse(pack).base == b"12345678"
    assert len(pack) < len(new) / 4
    assert pack == encode(old, new, blocks, was=was, now=now, base=b"12345678")


@pytest.mark.parametrize("arch", [form.ARCH_NONE, form.ARCH_THUMB, form.ARCH_XTENSA])
def test_compressed_pack_gives_back_the_image(arch):
    _, new, _, now = pair(arch)
    new = new[:3000] + bytes(3000) + new[3000:]
    blocks = blocks_of(len(new))
    pack = encode(None, new, blocks, now=now)
    assert build(pack, b"", blocks) == new
    assert len(pack) < len(new) - 2000


def test_moved_image_needs_no_records():
    """What only moved to the other slot is a small map, and a copy at home for each block."""
    old = thumb_code(random.Random(1), 200, 0x10000000)
    new = thumb_code(random.Random(1), 200, 0x100F0000)
    pack = encode(old, new, blocks_of(len(new)), was=THUMB, now=THUMB_B)
    head = form.parse(pack)
    assert all(entry.length == 0 for entry in head.entries)
    assert len(pack) < 100


def test_blocks_of_files_have_any_length():
    rng = random.Random(3)
    files = [rng.randbytes(size) for size in (1, 4096, 17, 5000)]
    new = b"".join(files)
    old = files[1] + files[3] + files[0]
    blocks = [(0, 1), (1, 4096), (4097, 17), (4114, 4096), (8210, 904)]
    pack = encode(old, new, blocks)
    assert build(pack, old, blocks) == new
    assert len(pack) < 200


def test_tiny_images():
    for old, new in ((b"a", b"b"), (b"", b"b"), (b"abc", b"a"), (bytes(3), bytes(4097))):
        for layout in (PLAIN, THUMB, XTENSA):
            pack = encode(old, new, blocks_of(len(new)), was=layout, now=layout)
            assert build(pack, old, blocks_of(len(new))) == new


def test_noise_is_stored():
    new = random.Random(4).randbytes(9000)
    pack = encode(random.Random(5).randbytes(9000), new, blocks_of(9000))
    assert build(pack, random.Random(5).randbytes(9000), blocks_of(9000)) == new
    assert len(pack) < 9000 + 40 + 3 * 5


# ---- the encoder's fast view of an image is the decoder's


IMAGES = st.randoms(use_true_random=False).map(
    lambda rng: thumb_code(rng, 30, 0x10000000, gap=rng.choice([0, 2, 4])) + rng.randbytes(700)
)
MAPS = st.lists(
    st.tuples(st.integers(0x0FFFFF00, 0x10001000), st.integers(-3000, 3000)), max_size=6
).map(lambda pairs: tuple(Piece(*item) for item in sorted(dict(pairs).items())))


@settings(max_examples=60, deadline=None)
@given(IMAGES, MAPS, st.sampled_from([THUMB, XTENSA]), st.randoms(use_true_random=False))
def test_copies_are_what_the_encoder_thinks(old, pieces, layout, rng):
    if layout is XTENSA:
        pieces = tuple(Piece(piece.address + 0x300D0000, piece.shift) for piece in pieces)
    image = Image(old, layout.segments, layout.arch)
    source = source_of(old, layout.arch, layout.segments, layout.segments, pieces)
    moved = image.moved(pieces)
    low = 2100 if layout is XTENSA else 0  # one segment, as a copy takes its first byte's
    low = min(low, len(old) - 400)
    for _ in range(5):
        start = rng.randrange(low, len(old) - 300)
        length = rng.randrange(1, 300)
        to = rng.randrange(low, len(old))
        place = int(image.place(np.array([to]))[0])
        got = source.copy(start, to, length)
        want = moved.part(start, start + length, place).tobytes()
        words = (
            {  # words that only look like references are not in the encoder's view
                at
                for at in range(0, len(old) - 3, 4)
                if source.shift(int.from_bytes(old[at : at + 4], "little"))
            }
            - set(image.words.offset.tolist())
        )
        if not any(start - 4 < at < start + length + 4 for at in words):
            assert got == want


@settings(max_examples=60, deadline=None)
@given(IMAGES, MAPS, st.sampled_from([THUMB, XTENSA]), st.randoms(use_true_random=False))
def test_copy_in_parts_is_the_same(old, pieces, layout, rng):
    """A device may copy piece by piece, with the addresses of the whole copy's first byte."""
    source = source_of(old, layout.arch, layout.segments[-1:], layout.segments[-1:], pieces)
    low = layout.segments[-1].offset
    old_end = len(old) - 100
    start = rng.randrange(min(low, old_end), old_end)
    length = rng.randrange(2, 100)
    cut = rng.randrange(1, length)
    to = rng.randrange(low, 1 << 16)
    whole = source.copy(start, to, length)
    assert source.copy(start, to, cut) == whole[:cut]
    assert source.copy(start + cut, to + cut, length - cut) == whole[cut:]


# ---- strangers


@pytest.mark.parametrize("arch", [form.ARCH_NONE, form.ARCH_THUMB, form.ARCH_XTENSA])
def test_damaged_packs_are_wrong_or_refused_but_do_no_harm(arch, soak):
    old, new, was, now = pair(arch)
    blocks = blocks_of(len(new))
    pack = encode(old, new, blocks, was=was, now=now)
    rng = random.Random(6)
    refused = 0
    for _ in range(5000 if soak else 150):
        damaged = bytearray(pack)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            head = form.parse(bytes(damaged))
            index = rng.randrange(min(head.count, len(blocks)))
            block = decode_block(bytes(damaged), old, index, blocks[index], head)
            assert len(block) == blocks[index][1]
        except MpotaError:
            refused += 1
    assert refused


def test_bomb_is_cut_off():
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = packer.compress(bytes(1 << 22)) + packer.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(MpotaError):
        form.inflate(bomb[:-4], 4096)


# ---- what an image is


def test_layout_of_esp32():
    header = bytes([0xE9, 2]) + bytes(22)
    data = (0x3F400020).to_bytes(4, "little") + (8).to_bytes(4, "little") + bytes(8)
    code = (0x400D0020).to_bytes(4, "little") + (4).to_bytes(4, "little") + bytes(4)
    layout = layout_of(header + data + code, "esp32")
    assert layout.segments == (Segment(32, 0x3F400020, False), Segment(48, 0x400D0020, True))
    assert layout_of(header + data + code, "esp32c3") is PLAIN
    with pytest.raises(MpotaError):
        layout_of(header + data, "esp32s3")


def test_layout_of_rp2040():
    image = (0x96F3B83D).to_bytes(4, "little") + (0x10008000).to_bytes(4, "little")
    assert layout_of(image, "rp2040").segments == (Segment(0, 0x10008000, True),)
    with pytest.raises(MpotaError):
        layout_of(bytes(8), "rp2040")


def test_longest_match_is_found():
    rng = random.Random(7)
    old = np.frombuffer(bytes(rng.choice(b"ab") for _ in range(300)), np.uint8)
    new = np.frombuffer(bytes(rng.choice(b"ab") for _ in range(200)), np.uint8)
    matcher = Matcher(old, new)
    at = np.arange(len(new))
    best = np.zeros(len(new), np.int64)
    for source in matcher.neighbours():
        known = np.where(source < 0, len(old), source)
        best = np.maximum(best, matcher.lengths(at, known, 64))
    for index in range(len(new)):
        length = int(best[index])
        assert new[index : index + length].tobytes() in old.tobytes()
        if index + length < len(new):
            assert new[index : index + length + 1].tobytes() not in old.tobytes()
