# SPDX-License-Identifier: MIT
"""The RP2040 adapter under CPython, on flash of the emulated chip: what it refuses, and what it
programs (see rp2_power_cuts.py, which has the modules that stand in for MicroPython's)."""

import importlib
import struct
import sys
from hashlib import sha512

import pytest

import rp2_power_cuts
from mpota import rp2040
from mpota.errors import MpotaError
from ota.errors import ImageError, StateError
from rp2_power_cuts import MAP, OWNER
from rp2040.pico import XIP, Pico

SPARE = MAP.slots[1]
CONFIRMED = MAP.records[0] + 0x104


@pytest.fixture(scope="module")
def chip(built):
    built("node_modules/rp2040js")
    with Pico() as pico:
        yield pico


@pytest.fixture(scope="module")
def device(chip, repo):
    """A board that runs version 1 in slot A; slot B has version 2 and no record."""
    device = rp2_power_cuts.Device(chip, repo, rp2_power_cuts.SCENARIOS["good"])
    chip.write_flash(SPARE, device.images[2, 1])
    device.start = chip.keep_flash()
    return device


@pytest.fixture
def pico(chip, device):
    chip.restore_flash(device.start)
    return chip


@pytest.fixture
def ota_rp2(pico):
    reset = XIP + MAP.slots[0] + 0x100 + rp2_power_cuts.ENTRY | 1
    with rp2_power_cuts._modules(pico, reset) as module:
        yield module


@pytest.fixture
def boot(ota_rp2):
    return ota_rp2.Boot()


def tlv(kind, value):
    return struct.pack("<HH", kind, len(value)) + value


def block(magic, *tlvs):
    return struct.pack("<HH", magic, 4 + len(b"".join(tlvs))) + b"".join(tlvs)


COUNTER = tlv(0x50, struct.pack("<I", 2))


def made(code=None, protected=(COUNTER,), more=(), again=()):
    """Return a signed image for the spare slot with whatever TLVs are asked for."""
    code = code or rp2_power_cuts.image(2, 1)[0x100:][: rp2_power_cuts.CODE]
    protected = block(0x6908, *protected) if protected else b""
    header = struct.pack(
        "<IIHHII8s", 0x96F3B83D, XIP + SPARE, 0x100, len(protected), len(code), 0x100, bytes(8)
    )
    data = header.ljust(32, b"\0").ljust(0x100, b"\xff") + code + protected
    digest = sha512(data).digest()
    tlvs = [tlv(0x12, digest), tlv(0x24, OWNER.sign(digest)), *more]
    return data + block(0x6907, *tlvs, *tlvs[: len(again)])


def vectors(stack=0x20040000, entry=rp2_power_cuts.ENTRY | 1):
    code = rp2_power_cuts.image(2, 1)[0x100:][: rp2_power_cuts.CODE]
    return struct.pack("<II", stack, XIP + SPARE + 0x100 + entry) + code[8:]


REFUSED = {
    "digest twice": made(again=(1,)),
    "counter twice": made(protected=(COUNTER, COUNTER)),
    "unknown TLV that is not signed": made(more=(tlv(0x77, b"?"),)),
    "counter that is not signed": made(protected=(tlv(0x77, b"12345678"),), more=(COUNTER,)),
    "second counter that is not signed": made(more=(COUNTER,)),
    "short counter": made(protected=(tlv(0x50, b"12"), tlv(0x77, b"12"))),
    "no protected TLVs": made(protected=()),
    "no counter": made(protected=(tlv(0x77, b"12345678"),)),
    "stack that is not aligned": made(vectors(stack=0x20040004)),
    "stack outside of RAM": made(vectors(stack=0x20042008)),
    "entry in the vectors": made(vectors(entry=0xBF)),
    "entry that is not Thumb": made(vectors(entry=0xC2)),
    "entry behind the code": made(vectors(entry=rp2_power_cuts.CODE + 1)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_bootloader_refuses_is_refused(pico, boot, what):
    data = REFUSED[what]
    with pytest.raises(MpotaError):
        rp2040.parse_image(data)
    pico.write_flash(SPARE, data)
    before = pico.counters().operations
    with pytest.raises(ImageError):
        boot.try_next(boot.spare)
    assert boot.identity(boot.spare) is None
    assert pico.counters().operations == before
    if "stack" in what or "entry" in what or what == "no protected TLVs":
        with pytest.raises(ImageError):
            boot.check_image(data[:4096], len(data))


@pytest.mark.parametrize("protected", [(COUNTER,), (COUNTER, tlv(0x77, b"?"))])
def test_what_the_bootloader_takes_is_taken(pico, boot, protected):
    data = made(protected=protected)
    rp2040.parse_image(data)
    pico.write_flash(SPARE, data)
    boot.check_image(data[:4096], len(data))
    boot.try_next(boot.spare)
    assert boot.switch_pending


def test_lower_counter_is_known_before_anything_is_written(boot):
    assert boot.counter == 1


# What is programmed


def operations(pico, act):
    recording = pico.record()
    act()
    return [(kind, offset) for kind, offset, *_ in recording.operations]


def test_every_page_is_firm_before_the_image_may_run(pico, device, boot):
    done = operations(pico, lambda: boot.try_next(boot.spare))
    pages = range(SPARE, SPARE + len(device.images[2, 1]), 256)
    record = MAP.records[1]
    assert done[: len(pages)] == [("program", at) for at in pages]
    assert done[-3:] == [("program", record), ("erase", record), ("program", record)]
    assert pico.read_flash(SPARE, len(device.images[2, 1])) == device.images[2, 1]


def test_record_that_is_not_firm_is_made_so_before_the_other_is_erased(pico, boot):
    pico.write_flash(CONFIRMED + 8, b"\xff" * 4)
    own, other = MAP.records
    done = operations(pico, lambda: boot.spare.erase(0))
    assert done == [
        *(("program", own), ("program", own + 0x100)),
        *(("program", other), ("erase", other), ("erase", SPARE)),
    ]
    assert pico.read_flash(CONFIRMED + 8, 4) == bytes(4)
    assert operations(pico, lambda: boot.spare.erase(0)) == [("erase", SPARE)]


def test_confirmed_record_is_programmed_twice(pico, boot):
    own = MAP.records[0]
    pico.write_flash(own + 0x100, bytes(4) + b"\xff" * 12)
    page = pico.read_flash(own, 256)
    done = operations(pico, boot.confirm)
    assert done == [("program", own), ("program", own + 0x100), ("program", own + 0x100)]
    assert pico.read_flash(own, 256) == page
    marks = pico.read_flash(own + 0x100, 256)
    assert marks == (bytes(8) + b"\xff" * 4 + bytes(4)).ljust(256, b"\xff")
    assert not boot.on_trial
    assert operations(pico, boot.confirm) == []


def test_nothing_is_written_while_what_runs_is_not_confirmed(pico, boot):
    pico.write_flash(MAP.records[0] + 0x100, b"\xff" * 16)  # nor tried: whoever did that
    for act in (lambda: boot.spare.erase(0), lambda: boot.try_next(boot.spare)):
        with pytest.raises(StateError):
            act()


# Other boards


def test_map_of_a_larger_flash_is_refused(pico, ota_rp2):
    pico.write_flash(0x101F00, pico.read_flash(0x1F00, 256))
    with pytest.raises(StateError, match="smaller"):
        ota_rp2.Boot()
    with pytest.raises(StateError, match="smaller"):
        ota_rp2.info()


def test_stock_firmware_names_what_is_possible(pico, ota_rp2, monkeypatch):
    pico.write_flash(0x1F00, b"\x12" * 256)
    monkeypatch.delitem(sys.modules, "ota_rp2")
    monkeypatch.setitem(sys.modules, "ota_ed25519", None)
    with pytest.raises(StateError, match="only application updates"):
        importlib.import_module("ota_rp2")
