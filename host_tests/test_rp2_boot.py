# SPDX-License-Identifier: MIT
"""The RP2040's bootloader in C, on the host: its decision, records, images, and all of it at once.

The decision is asked about every state there is and compared with a twin in Python. The parser of
images meets images that attack it, under sanitizers, with `mpota`'s own parser and MCUboot's
imgtool as judges. Whole boots run over a small flash, with each mark cut and torn.
"""

import itertools
import random
import struct
import subprocess
import sys
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

import flash_map
import rp2_boot
from mpota import rp2040
from mpota.errors import MpotaError
from rp2_boot import (
    ABORT,
    ABORTED,
    BAD,
    BOOT,
    CHECK,
    COMPLETE,
    CONFIRMED,
    END_CUT,
    END_USB,
    FIRM,
    GOOD,
    PROVE,
    TRIAL,
    TRIED,
    UNKNOWN,
    USB,
)

XIP = flash_map.XIP_BASE
OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OFFLINE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
KEYS = (rp2_boot.raw(OWNER), rp2_boot.raw(OFFLINE))

# A flash as small as it can be: two slots of one sector.
SMALL = flash_map.Map(flash_size=0xA000, slot_size=0x1000)
SLOTS = tuple(XIP + slot for slot in SMALL.slots)


@pytest.fixture(scope="module")
def boot():
    return rp2_boot.load()


# ---- the decision


def twin(records):
    """What choose.h promises, said another way."""
    valid = [k for k in (0, 1) if records[k].valid]
    for k in valid:
        confirmed, firm = (records[k].marks & mark for mark in (CONFIRMED, FIRM))
        if records[k].torn or (confirmed and not firm):
            return COMPLETE, k
    if len(valid) == 2 and 0 < (records[1].seq - records[0].seq) % 2**32 < 2**31:
        valid.reverse()
    for k in valid:
        tried, confirmed, aborted = (
            bool(records[k].marks & mark) for mark in (TRIED, CONFIRMED, ABORTED)
        )
        answers = {
            (False, False, False): {UNKNOWN: PROVE, GOOD: TRIAL, BAD: ABORT},
            (True, False, False): {UNKNOWN: ABORT, GOOD: ABORT, BAD: ABORT},
            (False, True, False): {UNKNOWN: CHECK, GOOD: BOOT},
            (True, True, False): {UNKNOWN: CHECK, GOOD: BOOT},
        }.get((tried, confirmed, aborted), {})
        if records[k].verdict in answers:
            return answers[records[k].verdict], k
    return USB, 0


def test_choose_answers_as_its_twin_in_every_state(boot):
    one = list(itertools.product((0, 1), range(16), (0, 1), (UNKNOWN, GOOD, BAD)))
    orders = [(5, 5), (5, 6), (6, 5), (2**32 - 1, 0), (0, 2**32 - 1), (0, 2**31), (2**31, 0)]
    records = (rp2_boot.Record * 2)()
    asked = 0
    for states in itertools.product(one, repeat=2):
        for record, state in zip(records, states, strict=True):
            record.valid, record.marks, record.torn, record.verdict = state
        for records[0].seq, records[1].seq in orders:
            asked += 1
            assert boot.choose(records) == twin(records), (states, records[0].seq, records[1].seq)
    assert asked == 192 * 192 * 7


def test_nothing_boots_that_was_not_found_good(boot):
    records = (rp2_boot.Record * 2)()
    for fields in itertools.product((0, 1), range(16), (UNKNOWN, GOOD, BAD), repeat=2):
        for record, state in zip(records, (fields[:3], fields[3:]), strict=True):
            record.valid, record.marks, record.verdict = state
        action, k = boot.choose(records)
        if action in (BOOT, TRIAL):
            record = records[k]
            assert record.valid and record.verdict == GOOD and not record.marks & ABORTED
            assert (action == BOOT) == bool(record.marks & CONFIRMED)
            assert action == TRIAL or record.marks & FIRM
            assert action == BOOT or not record.marks & TRIED


# ---- records


def a_record(slot=0, seq=1, image=b"image", marks=(), counter=1, at=SMALL):
    """A record sector; `marks` is a word for each mark, or nothing: all blank."""
    words = (flash_map.RECORD_MAGIC, seq, at.slots[slot], len(image), zlib.crc32(image), counter)
    head = struct.pack("<6I", *words)
    page = (head + struct.pack("<I", zlib.crc32(head))).ljust(256, b"\xff")
    return (page + struct.pack(f"<{len(marks)}I", *marks)).ljust(4096, b"\xff")


def is_valid(boot, sector, slot=SMALL.slots[0]):
    return bool(boot.record(sector, slot, SMALL.slot_size).valid)


def test_record_says_what_the_installer_wrote(boot):
    sector = a_record(seq=7, image=b"some image", counter=3)
    record = boot.record(sector, SMALL.slots[0], SMALL.slot_size)
    assert (record.valid, record.marks, record.torn, record.verdict) == (1, 0, 0, UNKNOWN)
    assert (record.seq, record.length, record.counter) == (7, 10, 3)
    assert record.crc == zlib.crc32(b"some image") == boot.crc32(b"some image")


def test_record_that_is_torn_is_none(boot):
    """A cut program leaves any of the bits that it should have cleared."""
    whole = a_record()
    cleared = [bit for bit in range(28 * 8) if not whole[bit // 8] >> bit % 8 & 1]
    for missing in (1, 2):
        for bits in itertools.combinations(cleared, missing):
            torn = bytearray(whole)
            for bit in bits:
                torn[bit // 8] |= 1 << bit % 8
            assert not is_valid(boot, torn), bits
    rng = random.Random(1)
    for _ in range(20_000):
        keep = rng.randbytes(28)
        torn = bytes(a | b for a, b in zip(whole[:28], keep, strict=True)) + whole[28:]
        assert is_valid(boot, torn) == (torn == whole)
    for length in range(28):
        assert not is_valid(boot, whole[:length].ljust(4096, b"\xff"))


def test_record_of_another_slot_or_too_long_is_none(boot):
    assert not is_valid(boot, a_record(slot=1))
    assert is_valid(boot, a_record(slot=1), SMALL.slots[1])
    assert is_valid(boot, a_record(image=bytes(SMALL.slot_size)))
    assert not is_valid(boot, a_record(image=bytes(SMALL.slot_size + 1)))
    huge = bytearray(a_record())
    struct.pack_into("<I", huge, 12, 2**32 - 1)
    struct.pack_into("<I", huge, 24, zlib.crc32(huge[:24]))
    assert not is_valid(boot, huge)
    strange = bytearray(a_record())
    strange[0] ^= 1
    struct.pack_into("<I", strange, 24, zlib.crc32(strange[:24]))
    assert not is_valid(boot, strange)
    assert not is_valid(boot, b"\xff" * 4096)
    assert not is_valid(boot, bytes(4096))


def test_mark_counts_from_the_first_bit_lost(boot):
    words = [BLANK, 0, *(BLANK ^ 1 << bit for bit in range(32)), 1, 0x80000000]
    places = itertools.combinations(range(4), 2)
    for (i, k), one, other in itertools.product(places, words, words):
        marks = [BLANK] * 4
        marks[i], marks[k] = one, other
        record = boot.record(a_record(marks=marks), SMALL.slots[0], SMALL.slot_size)
        assert record.marks == sum(1 << i for i in range(4) if marks[i] != BLANK)
        assert record.torn == any(word not in (0, BLANK) for word in marks)


# ---- images


def hostile_images(address):
    """Name -> an image that must be refused, signed by the owner if that is possible at all."""

    def make(**how):
        return rp2_boot.make_image(address, OWNER, **how)

    good = make()
    code = rp2_boot.vectors(address)
    body, foot = good[: 0x100 + len(code)], good[0x100 + len(code) :]
    digest_at = good.index(b"\x12\x00\x40\x00")

    def resized(**fields):
        """The image with other sizes in its header, and a right digest and signature."""
        places = {"header": (8, "H"), "protected": (10, "H"), "code": (12, "I")}
        changed = bytearray(good[: digest_at - 4])
        for name, value in fields.items():
            at, kind = places[name]
            struct.pack_into(f"<{kind}", changed, at, value)
        return bytes(changed) + rp2_boot.seal(bytes(changed), OWNER)

    def with_protected(raw_tlvs, size=None):
        size = len(raw_tlvs) if size is None else size
        signed = bytearray(body + raw_tlvs)
        struct.pack_into("<H", signed, 10, size)
        return bytes(signed) + rp2_boot.seal(bytes(signed), OWNER)

    def with_tlvs(*values):
        return good[: digest_at - 4] + rp2_boot.tlvs(0x6907, values)

    digest = (0x12, good[digest_at + 4 : digest_at + 68])
    signature = (0x24, good[-64:])
    counter = (0x50, b"\1\0\0\0")

    def only_unsigned(value):
        image = with_protected(rp2_boot.tlvs(0x6908, []))
        unsigned = image[image.index(b"\x07\x69") + 4 :]
        foot = struct.pack("<HH", value[0], len(value[1])) + value[1] + unsigned
        return image[: -len(unsigned) - 4] + struct.pack("<HH", 0x6907, len(foot) + 4) + foot

    def only_protected(value):
        return make(protected=[value])[:-208] + rp2_boot.tlvs(0x6907, [signature])

    return {
        "empty": b"",
        "nothing behind the header": resized(code=0, protected=0)[:0x100],
        "a header alone": good[:32],
        "cut in the code": good[:0x200],
        "cut before the TLVs": body,
        "cut in the TLVs": good[:-1],
        "one byte more": good + b"\xff",
        "another magic": b"\0" + good[1:],
        "for the other slot": rp2_boot.make_image(address + 0x1000, OWNER),
        "for no slot": make(flags=0),
        "encrypted": make(flags=0x104),
        "to be loaded to RAM": make(flags=0x120),
        "header of 32 bytes": make(header=0x20),
        "header of 64 KB": make(header=0xFFFF),
        "no code": make(code=b""),
        "vectors cut short": make(code=code[:0xBF]),
        "code of 4 GB": resized(code=0xFFFFFFFF),
        "code that wraps round": resized(code=0x100000000 - 0x100),
        "code up to the end": resized(code=len(good) - 0x100),
        "protected TLVs of 64 KB": resized(protected=0xFFFF),
        "protected TLVs up to the end": resized(protected=len(good) - 0x100 - len(code)),
        "protected TLVs said to be absent": resized(protected=0),
        "stack outside RAM": make(code=rp2_boot.vectors(address, stack=0x20042008)),
        "stack below RAM": make(code=rp2_boot.vectors(address, stack=0x20000000)),
        "stack in flash": make(code=rp2_boot.vectors(address, stack=address + 0x1000)),
        "stack not aligned": make(code=rp2_boot.vectors(address, stack=0x20041FFC)),
        "entry in the vectors": make(code=rp2_boot.vectors(address, entry=0xBF)),
        "entry behind the code": make(code=rp2_boot.vectors(address, entry=0x201)),
        "entry before the code": make(code=rp2_boot.vectors(address, entry=-0xFF)),
        "entry in ARM code": make(code=rp2_boot.vectors(address, entry=0xC0)),
        "linked for the other slot": make(code=rp2_boot.vectors(address + 0x1000)),
        "no counter": with_protected(rp2_boot.tlvs(0x6908, [])),
        "two counters": make(protected=[counter]),
        "counter of 8 bytes": with_protected(rp2_boot.tlvs(0x6908, [(0x50, bytes(8))])),
        "counter not signed": only_unsigned(counter),
        "digest among the signed": only_protected(digest),
        "protected digest": make(protected=[digest]),
        "protected signature": make(protected=[signature]),
        "protected magic": with_protected(rp2_boot.tlvs(0x6907, [counter])),
        "protected TLV too long": with_protected(struct.pack("<6H", 0x6908, 12, 0x50, 5, 1, 0)),
        "protected TLV of 64 KB": with_protected(
            struct.pack("<6H", 0x6908, 12, 0x50, 0xFFFF, 1, 0)
        ),
        "half a TLV": with_protected(struct.pack("<8HB", 0x6908, 17, 0x50, 4, 1, 0, 0xA0, 0, 0)),
        "length of TLVs": good[: digest_at - 2] + b"\xff\xff" + good[digest_at:],
        "no digest": with_tlvs(signature),
        "two digests": with_tlvs(digest, digest, signature),
        "short digest": with_tlvs((0x12, digest[1][:32]), signature),
        "two signatures": with_tlvs(digest, signature, signature),
        "short signature": with_tlvs(digest, (0x24, signature[1][:63])),
        "SHA-256": with_tlvs(digest, (0x10, bytes(32)), signature),
        "unknown and not signed": with_tlvs(digest, signature, (0xA0, b"")),
        "unsigned counter": with_tlvs(digest, signature, counter),
        "signature over the image itself": with_tlvs(digest, (0x25, b"\1"), signature),
        "TLVs the other way round": body + foot[12:] + foot[:12],
    }


ADDRESS = SLOTS[0]


def test_image_of_the_owner_is_authentic(boot):
    for key in (OWNER, OFFLINE):
        for size in (0xC4, 0x200, 0x201, 0x203):
            image = rp2_boot.make_image(ADDRESS, key, code=rp2_boot.vectors(ADDRESS, size))
            assert boot.image(image, ADDRESS, KEYS) == 3
            assert rp2040.is_signed(rp2040.parse_image(image), KEYS)


def test_image_may_say_more_in_what_is_signed(boot):
    more = [(0xA0, b"anything"), (0xA1, b""), (0xA0, b"again")]
    assert boot.image(rp2_boot.make_image(ADDRESS, OWNER, protected=more), ADDRESS, KEYS) == 3


def test_hostile_image_is_refused(tmp_path):
    """By the bootloader, which reads no byte too many on the way, and by `mpota`."""
    hostile = hostile_images(ADDRESS)
    verdicts = rp2_boot.judge(hostile.values(), ADDRESS, KEYS, tmp_path)
    for (name, image), verdict in zip(hostile.items(), verdicts, strict=True):
        assert verdict == 0, name
        if name != "for the other slot":  # sound, but not here
            with pytest.raises(MpotaError):
                pytest.fail(f"mpota takes {name}: {rp2040.parse_image(image)}")


def test_image_that_no_key_signed_is_not_authentic(boot):
    images = {
        "a stranger's": rp2_boot.make_image(ADDRESS, STRANGER),
        "unsigned": rp2_boot.make_image(ADDRESS, None),
        "signature of another image": rp2_boot.make_image(ADDRESS, OWNER)[:-64]
        + rp2_boot.make_image(ADDRESS, OWNER, counter=2)[-64:],
        "signature of zeros": rp2_boot.make_image(ADDRESS, OWNER)[:-64] + bytes(64),
    }
    for name, image in images.items():
        assert boot.image(image, ADDRESS, KEYS) == 1, name
        assert not rp2040.is_signed(rp2040.parse_image(image), KEYS), name
        assert boot.image(image, ADDRESS, ()) == 3, name  # no keys: for damage only


def test_any_bit_flipped_in_an_image_is_noticed(boot):
    """But in the hint which key it was, which nothing relies on."""
    image = rp2_boot.make_image(ADDRESS, OWNER, code=rp2_boot.vectors(ADDRESS, 0xC4))
    hint = image.index(rp2_boot.key_hash(OWNER))
    for at in range(len(image)):
        changed = bytearray(image)
        changed[at] ^= 1 << at % 8
        expected = 3 if hint <= at < hint + 64 else None
        assert (boot.image(changed, ADDRESS, KEYS) == 3) == bool(expected), at


def mutated(image, rng):
    """The image with a few bytes changed where its structure is, or cut, or grown."""
    image = bytearray(image)
    structure = [*range(32), *range(0x100, 0x108), *range(len(image) - 220, len(image))]
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice(structure)
        image[at] = rng.choice((0, 1, 4, 0x12, 0x24, 0x40, 0x50, 0x69, 0x7F, 0x80, 0xFF))
    if rng.random() < 0.2:
        del image[rng.randrange(len(image)) :]
    return bytes(image)


def test_mutated_images_are_judged_alike_by_bootloader_and_tool(tmp_path, soak):
    rng = random.Random(4)
    whole = rp2_boot.make_image(ADDRESS, None, protected=[(0xA0, b"x")])
    images = [mutated(whole, rng) for _ in range(200_000 if soak else 5_000)]
    # With the digest made right again, where there is one, more than damage is judged.
    images += [resealed(image) for image in images]
    verdicts = rp2_boot.judge(images, ADDRESS, (), tmp_path)
    for image, verdict in zip(images, verdicts, strict=True):
        try:
            expected = rp2040.parse_image(image).address == ADDRESS
        except MpotaError:
            expected = False
        assert (verdict == 3) == expected, image.hex()
    assert sum(verdict == 3 for verdict in verdicts) > 100


def resealed(image):
    if len(image) < 32:
        return image
    protected, code = struct.unpack_from("<HI", image, 10)
    signed = image[: 0x100 + code + protected]
    return signed + rp2_boot.seal(signed, None)


# ---- imgtool


@pytest.fixture(scope="module")
def imgtool(tmp_path_factory):
    """sign(code, address, *options) and verify(image): MCUboot's own tool."""
    folder = tmp_path_factory.mktemp("imgtool")
    key = folder / "key.pem"
    pem = OWNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)

    def tool(*arguments):
        command = [sys.executable, "-m", "imgtool.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def sign(code, address, *options):
        (folder / "code").write_bytes(code)
        where = ("-H", 0x100, "--pad-header", "-S", 0xE8000, "--align", 4, "-F", address)
        done = tool(
            "sign", "--sha", 512, "-k", key, *where, *options, folder / "code", folder / "image"
        )
        assert done.returncode == 0, done
        return (folder / "image").read_bytes()

    def verify(image):
        (folder / "judged").write_bytes(image)
        return tool("verify", "-k", key, folder / "judged").returncode == 0

    return sign, verify


def test_imgtool_makes_what_the_bootloader_takes(boot, imgtool):
    sign, verify = imgtool
    for size in (0x200, 0x1FF):
        code = rp2_boot.vectors(ADDRESS, size)
        image = sign(code, ADDRESS, "-v", "1.2.3+4", "-s", 9)
        ours = rp2_boot.make_image(ADDRESS, OWNER, code=code, version=(1, 2, 3, 4), counter=9)
        assert image == ours
        assert boot.image(image, ADDRESS, KEYS) == 3
        read = rp2040.parse_image(image)
        assert (read.version, read.counter, read.address) == ("1.2.3+4", 9, ADDRESS)
        assert verify(image)


def test_imgtool_agrees_that_an_image_is_bad(boot, imgtool):
    _, verify = imgtool
    image = rp2_boot.make_image(ADDRESS, OWNER)
    for at in (0, 0x150, 0x2FF, 0x304, 0x320, len(image) - 1):
        changed = bytearray(image)
        changed[at] ^= 0x10
        assert not verify(changed) and boot.image(changed, ADDRESS, KEYS) != 3, hex(at)


# ---- whole boots


@pytest.fixture(scope="module")
def images():
    """What may lie in a slot, by name, for each slot."""

    def kinds(k):
        good = rp2_boot.make_image(SLOTS[k], OWNER, counter=5)
        broken = bytearray(good)
        broken[0x1F0] ^= 4
        return {
            "good": good,
            "older": rp2_boot.make_image(SLOTS[k], OFFLINE, counter=4),
            "broken": bytes(broken),
            "forged": rp2_boot.make_image(SLOTS[k], STRANGER, counter=5),
            "misplaced": rp2_boot.make_image(SLOTS[1 - k], OWNER, counter=5),
        }

    return kinds(0), kinds(1)


BLANK, MARKED, TORN = 0xFFFFFFFF, 0, 0xFFFEFFFF


def a_flash(*slots, keys=KEYS):
    """Flash with (record sector or None, image) in each slot."""
    flash = bytearray(b"\xff" * SMALL.flash_size)
    flash[flash_map.INFO_AT : flash_map.BOOT_SIZE] = flash_map.info_page(SMALL, keys)
    for k, (record, image) in enumerate(slots):
        if record:
            flash[SMALL.records[k] :][:4096] = record
            flash[SMALL.records[k] : SMALL.records[k] + 4096] = record
        flash[SMALL.slots[k] : SMALL.slots[k] + len(image)] = image
    return flash


def entry(images, k, kind, seq, marks=()):
    """What an installer leaves of that image, told the right CRC: (record, image)."""
    image = images[k][kind]
    whole = images[k]["good"] if kind == "broken" else image
    counter = 4 if kind == "older" else 5
    return a_record(k, seq, whole, marks, counter), image


CONFIRM = (BLANK, MARKED, BLANK, MARKED)
SLOT_A, SLOT_B = (SLOTS[0] + 0x100, SLOTS[1] + 0x100)


def outcome(run):
    return {END_USB: "usb", END_CUT: "cut"}.get(run.end) or (
        {SLOT_A: "A", SLOT_B: "B"}[run.vectors] + (" on trial" if run.watchdog else "")
    )


def marks_of(flash, k):
    return struct.unpack_from("<4I", flash, SMALL.records[k] + flash_map.MARKS_AT)


def test_trial_is_one(boot, images):
    flash = a_flash(entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "good", 2))
    assert [outcome(boot.run(flash)) for _ in range(4)] == ["B on trial", "A", "A", "A"]
    assert marks_of(flash, 1) == (MARKED, BLANK, MARKED, BLANK)


def test_confirmed_image_stays(boot, images):
    flash = a_flash(entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "good", 2))
    assert outcome(boot.run(flash)) == "B on trial"
    struct.pack_into("<I", flash, SMALL.records[1] + 260, MARKED)
    assert outcome(boot.run(flash)) == "B"
    assert marks_of(flash, 1) == (MARKED, MARKED, BLANK, MARKED)
    before = bytes(flash)
    runs = [boot.run(flash) for _ in range(3)]
    assert [(outcome(run), run.programs) for run in runs] == [("B", 0)] * 3
    assert flash == before


def test_firm_vouches_for_what_was_programmed_again(boot, images):
    """The record, then its marks, then those with `firm`; cut before, all of it comes again."""
    for torn in (BLANK, TORN):
        marks = (MARKED, MARKED, BLANK, torn)
        slots = entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "good", 2, marks)
        run = boot.run(a_flash(*slots))
        assert (outcome(run), run.programs) == ("B", 3 if torn == BLANK else 1)
    for cut in (1, 2, 3):
        flash = a_flash(*slots[:1], entry(images, 1, "good", 2, (MARKED, MARKED, BLANK, BLANK)))
        run = boot.run(flash, cut, b"\xff" * 16)
        assert outcome(run) == "cut" and marks_of(flash, 1)[3] == BLANK
        assert run.offset == SMALL.records[1] + (cut > 1) * flash_map.MARKS_AT
        assert boot.run(flash).programs == 3


def test_flash_that_does_not_become_firm_boots_all_the_same(boot, images):
    marks = (MARKED, MARKED, BLANK, BLANK)
    flash = a_flash(entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "good", 2, marks))
    runs = [boot.run(flash, stuck=True) for _ in range(2)]
    assert [(outcome(run), run.programs) for run in runs] == [("B", 3)] * 2


@pytest.mark.parametrize("kind", ["older", "broken", "forged", "misplaced"])
def test_image_is_never_tried_if_it_is(boot, images, kind):
    flash = a_flash(entry(images, 0, "good", 1, CONFIRM), entry(images, 1, kind, 2))
    assert [outcome(boot.run(flash)) for _ in range(2)] == ["A", "A"]
    # Should `aborted` prove weak, `tried` says the same.
    assert marks_of(flash, 1) == (MARKED, BLANK, MARKED, BLANK)


def test_record_that_lies_about_the_counter_is_refused(boot, images):
    """The counter of the record becomes the floor once the image is confirmed."""
    image = images[1]["good"]
    for lie in (4, 6, 2**32 - 1):
        record = a_record(1, 2, image, counter=lie)
        flash = a_flash(entry(images, 0, "older", 1, CONFIRM), (record, image))
        assert outcome(boot.run(flash)) == "A"


def test_counter_of_an_image_that_was_never_confirmed_is_no_floor(boot, images):
    flash = a_flash(entry(images, 0, "good", 1), entry(images, 1, "older", 2))
    assert outcome(boot.run(flash)) == "B on trial"


def test_counter_of_a_torn_record_is_no_floor(boot, images):
    torn = bytearray(a_record(0, 1, images[0]["good"], CONFIRM, counter=9))
    torn[24] ^= 1
    flash = a_flash((torn, images[0]["good"]), entry(images, 1, "good", 2))
    assert outcome(boot.run(flash)) == "B on trial"


def test_without_keys_only_damage_is_refused(boot, images):
    for kind, result in {"forged": "B on trial", "broken": "A", "older": "A"}.items():
        slots = entry(images, 0, "good", 1, CONFIRM), entry(images, 1, kind, 2)
        assert outcome(boot.run(a_flash(*slots, keys=()))) == result, kind


def test_rotten_image_gives_way_to_the_one_before_and_comes_back(boot, images):
    slots = entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "broken", 2, CONFIRM)
    flash = a_flash(*slots)
    before = bytes(flash)
    assert outcome(boot.run(flash)) == "A"
    assert flash == before


@pytest.mark.parametrize(
    "slots",
    [
        lambda i: [(None, i[0]["good"]), (None, i[1]["good"])],
        lambda i: [(a_record(1, 1, i[0]["good"]), i[0]["good"]), (None, b"")],
        lambda i: [entry(i, 0, "broken", 1, CONFIRM), entry(i, 1, "broken", 2, CONFIRM)],
        lambda i: [entry(i, 0, "good", 1, (BLANK, BLANK, MARKED)), (None, i[1]["good"])],
        lambda i: [entry(i, 0, "good", 1, (MARKED, BLANK, BLANK)), (None, b"")],
        lambda i: [entry(i, 0, "misplaced", 1, CONFIRM), (None, b"")],
    ],
    ids=["no records", "record of B in A", "both rotten", "aborted", "tried", "misplaced"],
)
def test_no_unchecked_boot(boot, images, slots):
    assert outcome(boot.run(a_flash(*slots(images)))) == "usb"


def test_damaged_info_page_boots_nothing(boot, images):
    slots = entry(images, 0, "good", 1, CONFIRM), (None, b"")
    whole = a_flash(*slots)
    assert outcome(boot.run(bytearray(whole))) == "A"
    for at in range(flash_map.INFO_AT, flash_map.BOOT_SIZE):
        flash = bytearray(whole)
        flash[at] ^= 1
        assert outcome(boot.run(flash)) == "usb", hex(at)
    for at, value in ((0, 1), (4, 2), (48, 5)):  # another magic, another version, five keys
        flash = bytearray(whole)
        page = bytearray(flash_map.info_page(SMALL, KEYS))
        struct.pack_into("<I", page, at, value)
        struct.pack_into("<I", page, 252, zlib.crc32(page[:252]))
        flash[flash_map.INFO_AT : flash_map.BOOT_SIZE] = page
        assert outcome(boot.run(flash)) == "usb"


def test_flash_that_begins_again_in_its_second_half_boots_nothing(boot, images):
    half = SMALL.flash_size // 2
    whole = a_flash(entry(images, 0, "good", 1, CONFIRM), (None, b""))
    copy = slice(half + flash_map.INFO_AT, half + flash_map.BOOT_SIZE)
    whole[copy] = whole[flash_map.INFO_AT : flash_map.BOOT_SIZE]
    run = boot.run(bytearray(whole))
    assert (outcome(run), run.programs) == ("usb", 0)
    for at in (copy.start, copy.stop - 1):
        flash = bytearray(whole)
        flash[at] ^= 1
        assert outcome(boot.run(flash)) == "A", hex(at)


def test_flash_that_takes_no_mark_gives_no_trial(boot, images):
    flash = a_flash(entry(images, 0, "good", 1, CONFIRM), entry(images, 1, "good", 2))
    assert outcome(boot.run(flash, stuck=True)) == "A"
    torn = a_flash(entry(images, 0, "good", 1, (BLANK, TORN, BLANK)), (None, b""))
    assert outcome(boot.run(torn, stuck=True)) == "A"


def test_half_written_marks_are_completed(boot, images):
    for marks in itertools.product((BLANK, MARKED, TORN), repeat=4):
        flash = a_flash(entry(images, 0, "good", 1, marks), entry(images, 1, "good", 0, CONFIRM))
        boot.run(flash)
        after = marks_of(flash, 0)
        for before, word in zip(marks, after, strict=True):
            assert word in (BLANK, MARKED) and (word == MARKED or before == BLANK)
        assert after[1] == BLANK or after[3] == MARKED


def expected(kinds, seqs, marks, images):
    """Where a boot ends, from what the records and images are: the rules in one piece."""
    order = sorted((0, 1), key=lambda k: (-seqs[k], k))
    for k in order:
        tried, confirmed, aborted, _ = (word != BLANK for word in marks[k])
        if aborted or kinds[k] == "none":
            continue
        if confirmed:
            if kinds[k] in ("good", "older", "forged"):
                return "AB"[k]
        elif not tried:
            floor = 0
            if kinds[1 - k] != "none" and marks[1 - k][1] != BLANK:
                floor = 4 if kinds[1 - k] == "older" else 5
            if kinds[k] == "good" or (kinds[k] == "older" and floor < 5):
                return "AB"[k] + " on trial"
    return "usb"


def test_every_boot_ends_where_the_rules_say_and_writes_only_marks(boot, images, soak):
    """Pairs of images, marks and orders; then the next boot."""
    kinds = ("good", "older", "broken", "forged", "misplaced", "none")
    words = list(itertools.product((BLANK, MARKED, TORN), repeat=4))
    cases = list(itertools.product(itertools.product(kinds, words), repeat=2))
    cases = random.Random(5).sample(cases, 50_000 if soak else 2_000)
    for number, ((kind_a, marks_a), (kind_b, marks_b)) in enumerate(cases):
        seqs = ((1, 2), (2, 1), (3, 3))[number % 3]
        pair = ((kind_a, marks_a), (kind_b, marks_b))
        flash = a_flash(
            *(
                (None, b"") if kind == "none" else entry(images, k, kind, seqs[k], marks)
                for k, (kind, marks) in enumerate(pair)
            )
        )
        before = bytes(flash)
        kinds_now, marks_now = (kind_a, kind_b), (marks_a, marks_b)
        first = outcome(boot.run(flash))
        assert first == expected(kinds_now, seqs, marks_now, images), (pair, seqs)
        for at in (record + flash_map.MARKS_AT for record in SMALL.records):
            marks = flash[at : at + 16]
            assert all(new & old == new for new, old in zip(marks, before[at:], strict=False))
            before = before[:at] + bytes(marks) + before[at + 16 :]
        assert flash == before  # nothing but marks has changed
        marks_now = (marks_of(flash, 0), marks_of(flash, 1))
        second = outcome(boot.run(flash))
        assert second == expected(kinds_now, seqs, marks_now, images)
        assert not (first.endswith("trial") and second == first), "two tries"


def test_cut_in_any_mark_leaves_a_boot_that_the_rules_allow(boot, images, soak):
    """Each program of a boot is cut, torn in every way that matters; then come two more boots."""
    rng = random.Random(6)
    a = entry(images, 0, "good", 1, CONFIRM)
    scenes = {
        "trial": (a, entry(images, 1, "good", 2)),
        "abort": (a, entry(images, 1, "good", 2, (MARKED, BLANK, BLANK))),
        "refuse": (a, entry(images, 1, "forged", 2)),
        "complete": (a, entry(images, 1, "good", 2, (MARKED, TORN, BLANK))),
        "firm": (a, entry(images, 1, "good", 2, (MARKED, MARKED, BLANK))),
        "both": (
            entry(images, 0, "good", 1, (BLANK, TORN, BLANK)),
            entry(images, 1, "broken", 2, (TORN, BLANK, BLANK)),
        ),
    }
    allowed = {
        "trial": {"A", "B on trial"},
        "abort": {"A"},
        "refuse": {"A"},
        "complete": {"B"},
        "firm": {"B"},
        "both": {"A"},
    }
    lives = 0
    for name, slots in scenes.items():
        cut = 1
        while True:
            finished = False
            keeps = [b"", b"\xff" * 16, b"\xfe" + b"\xff" * 15, b"\xff" * 15 + b"\x7f"]
            keeps += [rng.randbytes(16) for _ in range(400 if soak else 40)]
            for keep in keeps:
                flash = a_flash(*slots)
                if boot.run(flash, cut, keep).end != END_CUT:
                    finished = True
                    break
                ends = [outcome(boot.run(flash)) for _ in range(3)]
                assert set(ends) <= allowed[name], (name, cut, keep.hex(), ends)
                assert ends.count("B on trial") <= 1 and ends[-1] == ends[-2]
                lives += 1
            if finished:
                break
            cut += 1
    assert lives > 100


# ---- the map and what is made of it


@pytest.mark.parametrize("name", flash_map.MAPS)
def test_map_has_no_overlap_and_fills_flash(name):
    this = flash_map.MAPS[name]
    parts = [(0, flash_map.BOOT_SIZE)]
    parts += [(at, flash_map.SECTOR) for at in (*this.records, *this.floors, this.note)]
    parts += [(at, this.slot_size) for at in this.slots] + [(this.fs, this.fs_size)]
    parts.sort()
    assert all(at % 4096 == size % 4096 == 0 for at, size in parts)
    assert all(at + size <= after for (at, size), (after, _) in itertools.pairwise(parts))
    assert parts[-1][0] + parts[-1][1] == this.flash_size == int(name[0]) << 20
    assert this.slot_size >= 928 << 10 and this.fs_size >= 160 << 10


def test_slot_addresses_are_fixed_for_ever():
    maps = {name: (m.slots, m.slot_size, m.fs) for name, m in flash_map.MAPS.items()}
    assert maps == {
        "2mb": ((0x8000, 0xF0000), 0xE8000, 0x1D8000),
        "4mb": ((0x8000, 0x160000), 0x158000, 0x2B8000),
    }


def test_specification_has_these_numbers(repo):
    section = (repo / "docs" / "SPEC.md").read_text().partition("## 6. RP2040")[2]
    for this in flash_map.MAPS.values():
        slot_kb, fs_kb = this.slot_size >> 10, this.fs_size >> 10
        for text in (
            *(f"0x{at:X}, {slot_kb:,} KB" for at in this.slots),
            f"0x{this.fs:X}, {fs_kb:,} KB",
            *(f"0x{at:X}, one sector" for at in (*this.records, this.note)),
        ):
            assert f"| {text} |" in section, text
    assert f"at 0x{flash_map.INFO_AT:X}" in section


@pytest.mark.parametrize("name", flash_map.MAPS)
def test_tool_reads_and_writes_the_info_page(name):
    this = flash_map.MAPS[name]
    boot = flash_map.join(this, b"boot2", b"code")
    assert len(boot) == flash_map.BOOT_SIZE
    info = rp2040.read_info(boot)
    for field in ("flash_size", "records", "floors", "slots", "slot_size", "fs", "fs_size"):
        assert getattr(info, field) == getattr(this, field)
    assert info.keys == ()
    keyed = rp2040.set_keys(boot, KEYS)
    assert keyed[: flash_map.INFO_AT] == boot[: flash_map.INFO_AT]
    assert keyed[flash_map.INFO_AT :] == flash_map.info_page(this, KEYS)
    assert rp2040.read_info(keyed).keys == KEYS
    assert rp2040.set_keys(keyed, ()) == boot


def test_tool_refuses_keys_that_make_no_sense():
    boot = flash_map.join(flash_map.MAPS["2mb"], b"", b"")
    for keys in ([bytes(31)], [KEYS[0], KEYS[0]], [bytes([i]) * 32 for i in range(5)]):
        with pytest.raises(MpotaError):
            rp2040.set_keys(boot, keys)
    for broken in (boot[:-1], boot[:-1] + b"\0", b"\xff" * 8192):
        with pytest.raises(MpotaError):
            rp2040.read_info(broken)


def test_bundle_boots_also_over_a_used_board(boot, images):
    """An older record of B, newer by its number, must not win against the image just written."""
    loader = flash_map.join(SMALL, b"boot2", b"code")
    image = rp2040.parse_image(images[0]["good"])
    flash = a_flash(entry(images, 0, "broken", 8, CONFIRM), entry(images, 1, "good", 9, CONFIRM))
    assert outcome(boot.run(flash)) == "B"
    notes = range(SMALL.floors[0], SMALL.note + flash_map.SECTOR)
    flash[notes.start : notes.stop] = bytes(len(notes))
    parts = rp2040.bundle(rp2040.set_keys(loader, KEYS), image)
    for offset, data in parts.items():
        flash[offset : offset + len(data)] = data
    assert [outcome(boot.run(flash)) for _ in range(2)] == ["A", "A"]
    assert marks_of(flash, 0) == CONFIRM  # the first boot makes it firm
    assert flash[notes.start : notes.stop] == b"\xff" * len(notes)


def test_bundle_refuses_what_would_not_boot(images):
    loader = rp2040.set_keys(flash_map.join(SMALL, b"", b""), KEYS)
    large = rp2_boot.make_image(SLOTS[0], OWNER, code=rp2_boot.vectors(SLOTS[0], 0x1000))
    for data in (images[1]["good"], images[0]["forged"], large):
        with pytest.raises(MpotaError):
            rp2040.bundle(loader, rp2040.parse_image(data))


def test_uf2_is_what_the_rom_takes():
    parts = {0x8000: b"image", 0: b"boot".ljust(0x2000, b"b"), 0x2000: bytes(4096)}
    file = rp2040.uf2(parts)
    blocks = [file[at : at + 512] for at in range(0, len(file), 512)]
    assert len(file) % 512 == 0 and len(blocks) == 16 * 4
    addresses = []
    for number, block in enumerate(blocks):
        head = struct.unpack_from("<8I", block)
        assert head[:3] == (0x0A324655, 0x9E5D5157, 0x2000)
        assert head[4:] == (256, number, len(blocks), 0xE48BFF56)
        assert struct.unpack_from("<I", block, 508) == (0x0AB16F30,)
        assert block[32 + 256 : 508] == bytes(220)
        addresses.append(head[3] - XIP)
    # Every 16th block begins a sector, and its 16 pages follow: the ROM erases by their count.
    for at in range(0, len(blocks), 16):
        assert addresses[at] % 4096 == 0
        assert addresses[at : at + 16] == list(range(addresses[at], addresses[at] + 4096, 256))
    assert addresses[::16] == [0, 0x1000, 0x2000, 0x8000]
    assert blocks[48][32:37] == b"image" and blocks[48][37:288] == b"\xff" * 251
    with pytest.raises(ValueError):
        rp2040.uf2({0: bytes(8192), 0x1000: b""})
    with pytest.raises(ValueError):
        rp2040.uf2({0x100: b""})
