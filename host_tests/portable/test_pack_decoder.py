# SPDX-License-Identifier: MIT
"""The device's decoder of packs: the rules, hostile packs, and the same bytes from every loop.

`pack_plain` and `pack_fast` are run side by side where both are to be had: on MicroPython. What
random records come out as has to be the same on every Python there is (`RANDOM`).
"""

import asyncio
import binascii
import unittest
from hashlib import sha256
from io import BytesIO

import ota.image.pack as pack
import ota.image.pack_plain as plain
from ota.errors import FetchError, ImageError
from ota.image.sources import Sources
from ram_store import RamStore
from vectors import pack_rules as rules

try:
    import ota.image.pack_fast as fast
except Exception:  # noqa: BLE001  (CPython, and ports without the compiler)
    fast = None

LOOPS = ("add", "jumps", "move", "thumb", "xtensa")
SEEDS = 40  # rounds of random records; host_tests/test_pack_device.py makes more of them
RANDOM = "168bae6623125c91"
GUARD = 64
# What follows in a stream is not looked at: the digest judges.
UNREAD = {"deflated, too long": b"\xaa\xbb\xcc\xdd", "deflated, a bomb": b"aaaa"}


class Old:
    def __init__(self, data):
        self.length = len(data)
        self._data = data

    def readinto(self, offset, buf):
        if not 0 <= offset <= self.length - len(buf):
            raise AssertionError("read outside the old image", offset, len(buf))
        buf[:] = self._data[offset : offset + len(buf)]


class List:
    """Of one block."""

    count = 1
    block_size = 4096

    def __init__(self, length, start=0):
        self.length = length
        self._start = start

    def start(self, block):
        return self._start

    def content(self, block):
        return self.length


def use(loops):
    for name in LOOPS:
        setattr(pack, name, getattr(loops, name))


def unhex(text):
    return binascii.unhexlify(text)


def decode(data, old, length):
    """Build the only block of a pack, as ota.image.sources does, and nothing beside it."""
    whole = bytearray(b"\xa5" * (4096 + 2 * GUARD))
    buf = memoryview(whole)[GUARD : GUARD + 4096]
    if len(data) < pack.HEADER:
        raise ImageError("ends early")
    head = pack.head_size(data)
    made = pack.Pack(
        BytesIO(data[:head]), List(length), buf, Old(old) if old else None, bytes(8 * bool(old))
    )
    begin, end = made.span(0, 1)
    record = data[begin:end]
    if len(record) != end - begin:
        raise ImageError("ends early")
    try:
        if record:
            buf[: len(record) - 1] = record[1:]
            made.build(0, buf, record[0], len(record) - 1)
        else:
            made.build(0, buf)
    finally:
        if bytes(whole[:GUARD] + whole[-GUARD:]) != b"\xa5" * (2 * GUARD):
            raise AssertionError("wrote beside the block")
    return bytes(buf[:length])


def stored(data):
    """Deflate without compressing."""
    size = rules.number(len(data), 2)
    return b"\0" + size + bytes(0xFF ^ b for b in size) + data + b"\0"


def pack_of_rule(case):
    """Return a pack of one block that is one copy."""
    _, arch, old, was, now, pieces, (start, to, length), _ = case
    body = b""
    last = (0, 0)
    for piece in pieces:
        body += rules.varint(piece[0] - last[0])
        last = piece
    last = (0, 0)
    for piece in pieces:
        body += rules.signed(piece[1] - last[1])
        last = piece
    map = stored(body) if pieces else b""
    segments = b""
    for offset, address in was + now:
        segments += rules.number(offset, 4) + rules.number(address, 4)
    index = rules.varint(2) + rules.signed(start - to)
    head = b"OTP1"
    for value in (40 + len(segments + map + index), 1, length, len(old) // 2):
        head += rules.number(value, 4)
    for value in (len(pieces), len(map), 0):
        head += rules.number(value, 2)
    return head + bytes((arch, len(was), len(now), 0, 0, 0)) + bytes(8) + segments + map + index


class _Loops:
    loops = plain

    def setUp(self):
        self.before = {name: getattr(pack, name) for name in LOOPS}
        use(self.loops)

    def tearDown(self):
        for name in LOOPS:
            setattr(pack, name, self.before[name])

    def test_rules_of_the_document(self):
        for case in rules.RULES:
            _, _, old, _, _, _, (_, to, length), expected = case
            data = pack_of_rule(case)
            buf = memoryview(bytearray(4096))
            blocks = List(length, to)
            made = pack.Pack(BytesIO(data), blocks, buf, Old(unhex(old)), bytes(8))
            made.build(0, buf)
            self.assertEqual(bytes(buf[:length]), unhex(expected), case[0])

    def test_records_of_the_document(self):
        for name, old, home, record, length, expected in rules.RECORDS:
            old, record = unhex(old), unhex(record)
            data = rules.pack_of(record, len(old), length, home)
            if name in UNREAD:
                self.assertEqual(decode(data, old, length), UNREAD[name])
            elif expected is None:
                try:
                    self.fail((name, decode(data, old, length)))
                except ImageError:
                    pass
            else:
                self.assertEqual(decode(data, old, length), unhex(expected), name)

    def test_heads_of_the_document(self):
        self.assertEqual(decode(unhex(rules.GOOD_HEAD), b"", 4), b"abcd")
        for name, data in rules.HEADS:
            try:
                self.fail((name, decode(unhex(data), b"", 4)))
            except ImageError:
                pass

    def test_random_records_are_the_same_everywhere(self):
        self.assertEqual(play(0, SEEDS), RANDOM)


class TestPlain(_Loops, unittest.TestCase):
    pass


if fast:

    class TestFast(_Loops, unittest.TestCase):
        loops = fast


class TestBounds(unittest.TestCase):
    def test_pack_for_another_base_image_or_list(self):
        old = unhex(rules.OLD)
        data = rules.pack_of(b"\0abcd", len(old), 4, 0)

        def make(length=4, old=old, base=bytes(8)):
            buf = memoryview(bytearray(4096))
            return pack.Pack(BytesIO(data), List(length), buf, old and Old(old), base)

        make().build(0, memoryview(bytearray(4096)), 0, 4)
        for wrong in (
            {"length": 5},
            {"old": old[:-1]},
            {"old": None, "base": b""},
            {"base": b"\0\0\0\0\0\0\0\1"},
        ):
            self.assertRaises(ImageError, make, **wrong)

    def test_record_after_a_bad_one(self):
        """The inflater goes on: what one record left behind is not in the next."""
        inflater = pack.Inflater()
        out = memoryview(bytearray(8))
        for bad in (
            b"\7\xff\xff",
            stored(b"too short"[:3]),
            stored(b"far too long for it" * 40),
            b"",
        ):
            inflater.start(bad)
            try:
                inflater.readinto(out)
            except ImageError:
                pass
            for good in (b"12345678", b"abcdefgh"):
                inflater.start(stored(good))
                inflater.readinto(out)
                self.assertEqual(bytes(out), good)

    def test_output_that_a_bad_record_left_behind_is_dropped(self):
        """Of a pack that stops inside a match, the other one must not suffer."""
        bad = b"\1" + unhex("4a4c1c1e0000")  # 200 x "a"
        good = b"\1" + unhex("4a4a220e0000")
        packs = {"targets/v/bad": bad, "targets/v/good": good}
        packs = {name: rules.pack_of(record, 0, 40, 0) for name, record in packs.items()}
        taken = []

        def put(block):
            if bytes(buf[:40]) != b"b" * 40:
                raise ImageError("block is not what was signed", block)
            taken.append(block)

        buf = memoryview(bytearray(4096))
        found = Sources(Files(packs), RamStore(), "targets/v/raw", List(40), buf, lambda *_: None)
        for name in sorted(packs):
            found.add(name)
        asyncio.run(found.bring(0, 1, put))
        self.assertEqual(taken, [0])

    def test_record_longer_than_its_block_is_refused(self):
        """Or small files would cost 4 KB each."""
        packed = b"\0\0\0\xff\xff" * 9 + stored(b"abcd")
        data = rules.pack_of(b"\1" + packed, 0, 4, 0)
        made = pack.Pack(BytesIO(data), List(4), memoryview(bytearray(4096)))
        self.assertRaises(ImageError, made.size, 0)

    def test_span_of_a_run_from_each_of_its_blocks(self):
        class Three(List):
            count = 3

            def start(self, block):
                return 2 * block

            def content(self, block):
                return 2

        index = rules.varint(7) * 3
        head = b"OTP1"
        for value in (40 + len(index), 3, 6, 0):
            head += rules.number(value, 4)
        data = head + bytes(20) + index + b"\0ab\0cd\0ef"
        at = 40 + len(index)
        made = pack.Pack(BytesIO(data), Three(6), memoryview(bytearray(4096)))
        for block, stop in ((0, 3), (1, 3), (1, 2), (0, 1), (2, 3), (0, 2), (0, 3)):
            self.assertEqual(made.span(block, stop), (at + 3 * block, at + 3 * stop))
            self.assertEqual(made.size(block), 3)


class Files:
    """A fetcher of what is in a dict."""

    def __init__(self, files):
        self._files = files

    async def open(self, path, start=0, end=None):
        if path not in self._files:
            raise FetchError("absent", 404)
        return Body(self._files[path][start:end])


class Body:
    def __init__(self, data):
        self._file = BytesIO(data)

    async def readinto(self, buf):
        return self._file.readinto(buf)

    async def close(self):
        pass


class Dice:
    """The same numbers on every Python."""

    def __init__(self, seed):
        self._state = seed * 2 + 1

    def __call__(self, below):
        self._state = (self._state * 1103515245 + 12345) & 0x3FFFFFFF
        return (self._state >> 8) % below


def random_record(dice, length, old_length, home):
    """Return a record that is right: tokens, extras and literals that add up."""
    tokens, extras, literals = b"", b"", b""
    reps = [home] * 4
    pos = 0
    while pos < length:
        run = min(dice(12) if dice(3) else 0, length - pos)
        token = min(run, 3)
        if run >= 3:
            extras += rules.varint(run - 3)
        literals += bytes(dice(256) for _ in range(run))
        pos += run
        op = (0, 0, 0, 1, 2, 3, 4, 4, 5)[dice(9)]
        least = (1, 1, 1, 1, 4, 3)[op]
        count = min(least + dice(60 if dice(20) else 800), length - pos)
        if op < 4 and not 0 <= pos + reps[op] <= old_length - count:
            op, least = 4, 4
        if count < least or (op == 5 and not pos):
            if run:
                tokens += bytes((token | 7 << 5,))
            elif count:
                tokens += b"\xe1"
                literals += b"\x5a"
                pos += 1
            continue
        tokens += bytes((token | min(count - least, 7) << 2 | op << 5,))
        if count - least >= 7:
            extras += rules.varint(count - least - 7)
        if op == 4:
            new = dice(old_length - count) - pos
            extras += rules.signed(new - reps[0])
            reps = [new] + reps[:3]
        elif op == 5:
            extras += rules.varint(dice(pos))
        else:
            reps.insert(0, reps.pop(op))
        pos += count
    sizes = b"".join(rules.varint(len(part)) for part in (tokens, extras, literals))
    body = sizes + tokens + extras + literals
    kind = 2 + 4 * dice(2)
    if dice(3) == 0:
        return bytes((kind | 1,)) + stored(body)
    return bytes((kind,)) + body


def random_pack(dice, old_length):
    """Return a pack of one block, with references, and the length of the block."""
    length = 1 + dice(1500)
    arch = dice(3)
    pieces = sorted({0x10000000 + 4 * dice(0x4000) for _ in range(dice(30))})
    map = b""
    for at, address in enumerate(pieces):
        map += rules.varint(address - (pieces[at - 1] if at else 0))
    for _ in pieces:
        map += rules.signed(dice(0x20000) - 0x10000)
    map = stored(map) if pieces else b""
    segments = b""
    for offset in (dice(64), 600 + dice(600), 8 * dice(2)):
        segments += rules.number(offset, 4) + rules.number(
            0x10000000 + dice(0x8000) * 4 + dice(2), 4
        )
    home = dice(old_length - length) if length < old_length else 0
    record = random_record(dice, length, old_length, home)
    if dice(40) == 0:
        record = b"\x09" + stored(bytes(0xF0 + dice(16) for _ in range(max(1, length - 6))))
        length = max(1, length - 6)
    index = rules.varint(len(record) << 1 | 1) + rules.signed(home)
    head = b"OTP1"
    for value in (40 + len(segments + map + index), 1, length, old_length):
        head += rules.number(value, 4)
    for value in (len(pieces), len(map), 2000):
        head += rules.number(value, 2)
    head += bytes((arch, 2, 1, 0, 0, 0)) + bytes(8) + segments + map + index
    return head + record, length, record[0] & 1


def random_old(dice):
    """Return bytes with jumps, calls and addresses in them."""
    out = b""
    while len(out) < 3000:
        kind = dice(5)
        if kind == 0:
            out += rules.number(0x10000000 + dice(0x10000), 4)
        elif kind == 1:
            out += rules.number(0xF000 | dice(0x800), 2) + rules.number(0xF800 | dice(0x800), 2)
        elif kind == 2:
            out += bytes((0x05 | dice(16) << 4, dice(256), dice(256)))
        elif kind == 3:
            out += bytes((0x01 | dice(16) << 4, dice(256), dice(256)))
        else:
            out += bytes((dice(256), dice(256)))
    return out


def play(first, last, loops=None):
    """Decode random packs, and each with bytes changed; return a digest of what came of it."""
    seen = sha256()
    good = 0
    for seed in range(first, last):
        dice = Dice(seed)
        old = random_old(dice)
        data, length, deflated = random_pack(dice, len(old))
        for change in range(1 if deflated else 5):  # inflaters judge damage in their own ways
            spoilt = bytearray(data)
            for _ in range(change):
                spoilt[dice(len(data))] = dice(256)
            try:
                seen.update(decode(bytes(spoilt), old, length))
                good += 1
            except ImageError:
                seen.update(b"refused")
    seen.update(b"%d" % good)
    return binascii.hexlify(seen.digest()[:8]).decode()


if __name__ == "__main__":
    unittest.main()
