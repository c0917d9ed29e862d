# SPDX-License-Identifier: MIT
"""Small cases of the rules by which packs copy (SPEC 7), worked out by hand.

RULES    name, arch, old image, old segments, new segments, map, (source, destination, length),
         what the copy gives
RECORDS  name, old image, home, record, length of the block, its bytes, or None: is to be refused.
         No code; the block is the only one of its image, with `pack_of` around the record
HEADS    name, bytes of a pack of one block of 4 bytes without base, that is to be refused

Images, records and packs are bytes in hex. A segment is (offset, address | code), a piece of the
map (address, shift).
"""

A = 0x10000000  # where the Thumb images run
X = 0x400D0000  # where the Xtensa images run
THUMB = ((0, A | 1),)
XTENSA = ((0, X | 1),)

RULES = (
    # No code: bytes.
    ("plain", 0, "00112233445566", (), (), (), (2, 0, 4), "22334455"),
    # 0x10000004 lies 4 behind the piece at 0x10000000: + 0x20. 0x10000100 is of the next: + 0.
    (
        "thumb word",
        1,
        "0400001000010010",
        THUMB,
        THUMB,
        ((A, 0x20), (A + 0x100, 0)),
        (0, 0, 8),
        "2400001000010010",
    ),
    # The first piece takes its own address, and nothing below.
    (
        "map edges",
        1,
        "ffffff0f00000010",
        THUMB,
        THUMB,
        ((A, 1),),
        (0, 0, 8),
        "ffffff0f01000010",
    ),
    # Before the first segment there is no code, but words there are.
    (
        "thumb before a segment",
        1,
        "0400001000f000f8",
        ((8, A | 1),),
        THUMB,
        ((A, 0x20),),
        (0, 0, 8),
        "2400001000f000f8",
    ),
    (
        "xtensa before a segment",
        2,
        "04000d4005000000",
        ((8, X | 1),),
        XTENSA,
        ((X, 0x20),),
        (0, 0, 8),
        "24000d4005000000",
    ),
    # Words with the top bit set are not addresses.
    (
        "word beyond the map",
        1,
        "000000800400007f",
        THUMB,
        THUMB,
        ((A, 4),),
        (0, 0, 8),
        "000000800800007f",
    ),
    # Old offset 2 is not 0 mod 4: no word, whatever its place in the copy.
    (
        "unaligned word",
        1,
        "00000400001000000000",
        THUMB,
        THUMB,
        ((A, 4),),
        (2, 0, 8),
        "0400001000000000",
    ),
    # Bytes 2 and 3 of 0x1000fffe + 4 = 0x10010002, alone: the word counts though it begins before.
    (
        "word over the begin",
        1,
        "feff001000000000",
        THUMB,
        THUMB,
        ((A, 4),),
        (2, 0, 4),
        "01100000",
    ),
    # Bytes 0 and 1 of the same, and the copy ends there.
    (
        "word over the end",
        1,
        "00000000feff0010",
        THUMB,
        THUMB,
        ((A, 4),),
        (0, 0, 6),
        "000000000200",
    ),
    # bl from 0x10000000 to 0x10000024, which moved by 8, seen from 0x10000100: back by 0xd8.
    (
        "bl",
        1,
        "00f010f8" + "00" * 8,
        THUMB,
        THUMB,
        ((A + 0x20, 8),),
        (0, 0x100, 4),
        "fff794ff",
    ),
    # Nothing moved but the bl itself: the target stays.
    ("bl alone moves", 1, "00f010f8", THUMB, THUMB, (), (0, 0x10, 4), "00f008f8"),
    # The second half of it, alone.
    ("bl over the begin", 1, "00f010f80000", THUMB, THUMB, (), (2, 0x12, 4), "08f80000"),
    # In data there is no bl.
    ("bl in data", 1, "00f010f8", ((0, A),), THUMB, (), (0, 0x10, 4), "00f010f8"),
    # The word 0xf810f000 is beyond the map; the word 0x1000f8ff at 4 becomes 0x1000f903, and with
    # the half before it, 0xf000, it makes a bl from 2 to 0x20c, which is at 0x210 now.
    (
        "word, then bl over it",
        1,
        "000000f0fff80010",
        THUMB,
        THUMB,
        ((A, 4),),
        (0, 0, 8),
        "000000f005f90010",
    ),
    # call8 from X to X + 0x44, which moved by 0x10, seen from X + 0x20: (0x54 - 0x24) / 4 = 12.
    (
        "xtensa call",
        2,
        "250400" + "08" * 9,
        XTENSA,
        XTENSA,
        ((X + 0x40, 0x10),),
        (0, 0x20, 4),
        "25030008",
    ),
    # l32r at X + 4 loads from X + 4 - 8, which moved by -4; its place moves by 0x10.
    (
        "xtensa l32r",
        2,
        "08" * 4 + "21feff",
        XTENSA,
        XTENSA,
        ((X - 0x10, -4),),
        (4, 0x14, 3),
        "21f9ff",
    ),
    # The walk steps 2 (nibble 8) and 3 (nibble 0) and finds the call at 5, to X + 0x48; from X + 9
    # that is (0x48 - 8 - 4) / 4 = 15.
    (
        "xtensa walk",
        2,
        "180000000025040000000000",
        XTENSA,
        XTENSA,
        (),
        (0, 4, 12),
        "1800000000e5030000000000",
    ),
    # A copy from the middle of the call: the walk begins before the copy.
    (
        "xtensa call over the begin",
        2,
        "250400000000",
        XTENSA,
        XTENSA,
        (),
        (1, 5, 3),
        "030000",
    ),
    # The call at 510 reaches over 512 bytes and is no reference; the next 512 begin anew, with one
    # that is.
    (
        "xtensa window",
        2,
        "08" * 510 + "250425040000",
        XTENSA,
        XTENSA,
        (),
        (508, 512, 8),
        "08082504e5030000",
    ),
    # The call at 2 becomes e5030c, and its last byte is the first of the word at 4, which wins.
    (
        "xtensa word over call",
        2,
        "082525040c00003f",
        XTENSA,
        XTENSA,
        ((0x3F000000, 0x10), (X, 0)),
        (0, 4, 8),
        "0825e5031c00003f",
    ),
    ("xtensa data", 2, "250400", ((0, X),), XTENSA, (), (0, 0x20, 3), "250400"),
)


def varint(value):
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value):
    return varint(2 * value if value >= 0 else -2 * value - 1)


def number(value, size):
    return value.to_bytes(size, "little")


def pack_of(record, old_length, length, home):
    """Return the pack of one block with this record."""
    index = varint(len(record) << 1 | 1 if record else 2)
    if old_length:
        index += signed(home)
    head = b"OTP1" + b"".join(number(n, 4) for n in (40 + len(index), 1, length, old_length))
    head += number(0, 2) + number(0, 2) + number(2048, 2) + bytes(6) + bytes(8)
    return head + index + record


OLD = "000102030405060708090a0b0c0d0e0f"

_RECORDS = (
    ("no record: a copy at home", OLD, 2, "", 4, "02030405"),
    ("no record, home before the image", OLD, -1, "", 4, None),
    ("no record, home beyond the image", OLD, 13, "", 4, None),
    ("stored", OLD, 0, "00aabbccdd", 4, "aabbccdd"),
    ("stored, too short", OLD, 0, "00aabbcc", 4, None),
    ("stored, too long", OLD, 0, "00aabbccddee", 4, None),
    # A stored block of deflate, then the three bits of the flush.
    ("deflated", OLD, 0, "01000400fbffaabbccdd00", 4, "aabbccdd"),
    ("deflated, too long", OLD, 0, "01000500faffaabbccddee00", 4, None),
    ("deflated, too short", OLD, 0, "01000300fcffaabbcc00", 4, None),
    ("deflated, not at all", OLD, 0, "0107ffffffff", 4, None),
    # 258 times the same byte, as a back reference of three bytes: more than the block takes.
    ("deflated, a bomb", OLD, 0, "014a4c1c05a360148c8251300a8602000000", 4, None),
    # Counts of tokens, extras, literals, then these. Token 0xe2: 2 literals, nothing else.
    ("literals", OLD, 0, "02010002e2aabb", 2, "aabb"),
    ("literals, one left over", OLD, 0, "02010003e2aabbcc", 2, None),
    ("literals, one missing", OLD, 0, "02010001e2aa", 2, None),
    ("literals beyond the block", OLD, 0, "02010002e2aabb", 1, None),
    ("literals, none", OLD, 0, "02020001e0e1aa", 1, None),
    ("literals with a length", OLD, 0, "02010001e5aa", 1, None),
    # 3 + 1 of them, the 1 from the extras.
    ("literals, counted by an extra", OLD, 0, "02010104e301aabbccdd", 4, "aabbccdd"),
    ("literals without number", OLD, 0, "02010004e3aabbccdd", 4, None),
    # 0x0d: 1 literal, then 4 bytes on the first recent diagonal, which is home.
    ("copy", OLD, 1, "020100010daa", 5, "aa02030405"),
    ("copy before the image", OLD, -2, "020100010daa", 5, None),
    ("copy beyond the image", OLD, 12, "020100010daa", 5, None),
    ("copy beyond the block", OLD, 0, "020100010daa", 4, None),
    # 0x1c: 1 + 7 bytes and 2 from the extras.
    ("long copy", OLD, 0, "020101001c02", 10, "00010203040506070809"),
    ("endless number", OLD, 0, "020106001cffffffffff01", 10, None),
    # 0x80: 4 bytes on a new diagonal, 2 more than home.
    ("new diagonal", OLD, 0, "020101008004", 4, "02030405"),
    # ... 5 less than home.
    ("diagonal back", OLD, 8, "020101008009", 4, "03040506"),
    # The diagonals 2, then 0 again (second of the recent ones), then 2 again (second, too).
    ("recent diagonals", OLD, 0, "0203010080202004", 6, "020304050407"),
    # Of four recent ones the last is home; on it the copy would be of byte 12. After one more it
    # is out, and the last is the first of the new ones, 1: byte 17, beyond the image.
    ("fourth diagonal", OLD, 0, "0204030080808060020101", 13, "01020304040506070708090a0c"),
    ("diagonal pushed out", OLD, 0, "02050400808080806002010101", 17, None),
    # 0xa1: 1 literal, then 3 bytes of the block itself, from 1 before.
    ("self copy", OLD, 0, "02010101a100aa", 4, "aaaaaaaa"),
    ("self copy before the block", OLD, 0, "02010101a101aa", 4, None),
    ("unknown operation", OLD, 0, "02010000c0", 4, None),
    ("tokens left over", OLD, 0, "02020002e2e1aabb", 2, None),
    ("tokens missing", OLD, 0, "02000000", 2, None),
    ("extras left over", OLD, 0, "02010102e200aabb", 2, None),
    ("more tokens than there are", OLD, 0, "02ff0f0002e2aabb", 2, None),
    ("too many tokens", OLD, 0, "028110000000", 2, None),
    # Differences to old[home ...]: 2 + 1, 3 - 1.
    ("difference", OLD, 2, "06010002e201ff", 2, "0302"),
    # After a copy on diagonal 4: to old[4 + 4], old[5 + 4].
    ("difference behind a copy", OLD, 0, "0602010280e2080101", 6, "04050607090a"),
    # One of the two would be outside, so both are as they are.
    ("difference over the end", OLD, 15, "06010002e201ff", 2, "01ff"),
    ("difference before the begin", OLD, -1, "06010002e201ff", 2, "01ff"),
    ("ops, deflated", OLD, 0, "03000600f9ff010002e2aabb00", 2, "aabb"),
    ("ops without base", "", 0, "02010101a100aa", 4, "aaaaaaaa"),
    ("copy without base", "", 0, "020100010daa", 5, None),
    ("no record and no base", "", 0, "", 4, None),
    ("jumps where no code is", OLD, 0, "09000400fbffaabbccdd00", 4, None),
)
RECORDS = _RECORDS + tuple(
    ("kind %d" % kind, OLD, 0, "%02xaabbccdd" % kind, 4, None)
    for kind in (4, 5, 8, 10, 11, 12, 15, 16, 0x80, 0xFF)
)


def _head(**changes):
    """Return the head of one block of 4 stored bytes, changed."""
    fields = (
        ("magic", b"OTP1", 4),
        ("head", 41, 4),
        ("count", 1, 4),
        ("length", 4, 4),
        ("old", 0, 4),
        ("pieces", 0, 2),
        ("map", 0, 2),
        ("ops", 0, 2),
        ("arch", 0, 1),
        ("old_segments", 0, 1),
        ("new_segments", 0, 1),
    )
    body = changes.pop("body", b"\x0b\x00abcd")
    out = b""
    for name, value, size in fields:
        value = changes.get(name, value)
        out += value if isinstance(value, bytes) else number(value, size)
    return (out + bytes(3) + bytes(8) + body).hex()


GOOD_HEAD = _head()
HEADS = (
    ("empty", ""),
    ("header cut short", _head()[:78]),
    ("another magic", _head(magic=b"OTP2")),
    ("head beyond the end", _head(head=200)),
    ("head too long", _head(head=32769, body=bytes(40000))),
    ("head before the index", _head(head=39)),
    ("index cut short", _head(head=40)),
    ("index too long", _head(head=42)),
    ("more blocks than the index has", _head(count=2)),
    ("no blocks", _head(count=0)),
    ("record longer than the file", _head(body=b"\x0d\x00abcd")),
    ("record without bytes", _head(body=b"\x01\x00abcd")),
    ("run of no blocks", _head(body=b"\x00\x00abcd")),
    ("endless number in the index", _head(head=46, body=b"\xff\xff\xff\xff\xff\x01")),
    ("more pieces than any map", _head(pieces=1025)),
    ("map beyond the head", _head(pieces=1, map=100)),
    ("map longer than any", _head(pieces=1, map=4097, head=4200, body=bytes(5000))),
    ("map that does not inflate", _head(pieces=1, map=2, head=43, body=b"\x07\xff\x0b\0abcd")),
    # A stored block of deflate: two pieces at the same address.
    (
        "map out of order",
        _head(pieces=2, map=10, head=51, body=b"\0\4\0\xfb\xff\1\0\0\0\0\x0b\0abcd"),
    ),
    (
        "map beyond the addresses",
        _head(
            pieces=1,
            map=12,
            head=53,
            body=b"\0\6\0\xf9\xff\x80\x80\x80\x80\x08\0\0\x0b\0abcd",
        ),
    ),
    ("more operations than any", _head(ops=2049)),
    ("unknown code", _head(arch=4)),
    ("more segments than any", _head(new_segments=17, head=177, body=bytes(136) + b"\x0b\0abcd")),
)
