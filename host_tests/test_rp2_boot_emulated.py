# SPDX-License-Identifier: MIT
"""The built RP2040 bootloader, the very bytes that users install, in the emulated chip.

Its applications are a vector table and one BKPT, whose number says which image runs.
"""

import itertools
import shutil
import struct
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import flash_map
import rp2_boot
from mpota import rp2040
from rp2040.pico import Pico, PowerCut

OWNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OFFLINE = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
KEYS = (rp2_boot.raw(OWNER), rp2_boot.raw(OFFLINE))
A, B = 1, 2  # numbers of BKPT
HANG = b"\xfe\xe7"  # b .
BLANK, MARKED = 0xFFFFFFFF, 0
FIRM_AT = flash_map.MARKS_AT + 12
MARGINAL = (4, 59, 102, 110)  # seeds of torn programs that read right at first

WATCHDOG_CTRL, WATCHDOG_LOAD, WATCHDOG_SCRATCH4 = 0x40058000, 0x40058004, 0x4005801C
WATCHDOG_TICK, PSM_WDSEL = 0x4005802C, 0x40010008
CLK_SYS_SELECTED, VTOR = 0x40008044, 0xE000ED08


def loader(repo, name="2mb", keys=KEYS):
    folder = repo / "boards" / "rp2040" / "boot"
    return rp2040.set_keys((folder / f"ota_boot_{name}.bin").read_bytes(), keys)


def an_image(k, *, key=OWNER, counter=5, first=None, place=None, name="2mb"):
    """An image for slot `k` that stops at a BKPT with its number, or begins with `first`."""
    address = rp2040.XIP_BASE + flash_map.MAPS[name].slots[k if place is None else place]
    code = bytearray(rp2_boot.vectors(address))
    code[0xC0:0xC2] = first or bytes((k + 1, 0xBE))
    return rp2_boot.make_image(address, key, code=bytes(code), counter=counter)


class Board:
    """A Pico that was set up with image A, and may get a B."""

    def __init__(self, pico, repo, name="2mb", keys=KEYS):
        self.pico = pico
        self.map = flash_map.MAPS[name]
        pico.power_off()
        pico.uncut()
        pico.write_flash(0, b"\xff" * self.map.flash_size)
        image = rp2040.parse_image(an_image(0, name=name))
        for offset, data in rp2040.bundle(loader(repo, name, keys), image).items():
            pico.write_flash(offset, data)
        pico.write_flash(self.map.records[0] + FIRM_AT, bytes(4))  # as after the first boot

    def install(self, image, *, seq=2, told=None):
        """Write slot B and its record as an installer would that was told `told`."""
        self.pico.write_flash(self.map.slots[1], image)
        # The tool's own parser would refuse what these tests install.
        told = told or image
        at = told.index(struct.pack("<HH", 0x50, 4)) + 4
        counter = int.from_bytes(told[at : at + 4], "little")
        claimed = rp2040.Image(told, 0, "", counter, "", None)
        record = rp2040.record(seq, self.map.slots[1], claimed, confirmed=False)
        self.pico.write_flash(self.map.records[1], record)

    def marks(self, k=1):
        at = self.map.records[k] + flash_map.MARKS_AT
        return struct.unpack("<4I", self.pico.read_flash(at, 16))

    def boot(self, **how):
        """Power up; return which image runs, or why none does."""
        self.pico.power_on()
        return self.end(**how)

    def end(self, **how):
        stop = self.pico.run(**{"seconds": 30, **how})
        return stop.which if stop.why == "bkpt" else stop.why


@pytest.fixture(scope="module")
def pico(built):
    built("node_modules/rp2040js")
    # Weak: bits that a cut left half written read differently each time until they are rewritten.
    with Pico(bkpt=True, strict=True, usb=False, weak=True) as pico:
        yield pico


@pytest.fixture
def board(pico, repo):
    return Board(pico, repo)


def test_confirmed_image_starts_as_after_a_reset(board):
    operations = board.pico.counters().operations
    assert board.boot() == A
    assert board.pico.counters().operations == operations
    vectors = rp2040.XIP_BASE + board.map.slots[0] + 0x100
    assert board.pico.register(VTOR) == vectors
    assert board.pico.register(CLK_SYS_SELECTED) == 1  # clk_ref: what crt0 expects to find
    assert not board.pico.register(WATCHDOG_CTRL) >> 30 & 1


def test_trial_runs_under_a_watchdog_that_resets_the_whole_chip(board):
    board.install(an_image(1))
    assert board.boot() == B
    assert board.marks() == (MARKED, BLANK, BLANK, BLANK)
    assert board.pico.register(VTOR) == rp2040.XIP_BASE + board.map.slots[1] + 0x100
    assert board.pico.register(PSM_WDSEL) == 0x1FFFC
    assert board.pico.register(WATCHDOG_TICK) & 0x3FF == 0x200 | 12
    assert board.pico.register(WATCHDOG_SCRATCH4) == 0
    ctrl = board.pico.register(WATCHDOG_CTRL)
    assert ctrl >> 30 & 1 and not ctrl >> 24 & 7  # armed, and a debugger does not pause it
    assert 8_200_000 * 2 < ctrl & 0xFFFFFF <= 8_300_000 * 2
    assert board.boot() == A
    assert board.marks() == (MARKED, BLANK, MARKED, BLANK)


def test_image_that_hangs_at_its_first_instruction_is_reset_and_given_up(board):
    board.install(an_image(1, first=HANG))
    before = board.pico.counters().nanoseconds
    assert board.boot(on_reset=True) == "reset"
    assert 8.2e9 < board.pico.counters().nanoseconds - before < 8.5e9
    assert board.end() == A
    assert [board.boot() for _ in range(2)] == [A, A]


def test_confirmed_image_stays_without_watchdog(board):
    board.install(an_image(1))
    assert board.boot() == B
    board.pico.write_flash(board.map.records[1] + flash_map.MARKS_AT + 4, bytes(4))
    assert [board.boot() for _ in range(2)] == [B, B]
    assert board.marks() == (MARKED, MARKED, BLANK, MARKED)
    assert not board.pico.register(WATCHDOG_CTRL) >> 30 & 1


def flipped(image):
    changed = bytearray(image)
    changed[0x1C3] ^= 0x20
    return bytes(changed)


@pytest.mark.parametrize("offset", [0, flash_map.MARKS_AT])
@pytest.mark.parametrize("seed", MARGINAL)
def test_weak_bits_of_a_confirmed_record_become_firm(board, offset, seed):
    """A record and its marks that were cut at their ends: once B was kept, it stays."""
    board.install(an_image(1))
    pico, at = board.pico, board.map.records[1] + offset
    pico.write_flash(board.map.records[1] + flash_map.MARKS_AT, bytes(8))
    page = pico.read_flash(at, 256)
    pico.write_flash(at, b"\xff" * 256)
    pico.cut(pico.counters().operations, "torn", seed)
    with pytest.raises(PowerCut):
        pico.program(at, page)
    pico.uncut()
    pico.power_off()
    assert pico.read_flash(at, 256) == page
    ends = [board.boot() for _ in range(12)]
    kept = ends.index(B)
    assert set(ends[kept:]) == {B}, ends


GOOD = an_image(1)
REFUSED = {
    "one flipped bit": (flipped(GOOD), GOOD),
    "one flipped bit and the record knows it": (flipped(GOOD), None),
    "linked for the other slot": (an_image(1, place=0), None),
    "cut short": (GOOD[:0x200], GOOD),
    "cut short and the record knows it": (GOOD[:-1], None),
    "lower security counter": (an_image(1, counter=4), None),
    "signed by a stranger": (an_image(1, key=STRANGER), None),
    "not signed": (an_image(1, key=None), None),
    "signature of another image": (GOOD[:-64] + an_image(1, counter=6)[-64:], None),
}


@pytest.mark.parametrize("why", REFUSED)
def test_image_written_straight_into_the_spare_slot_is_refused(board, why):
    image, told = REFUSED[why]
    board.install(image, told=told)
    if told and len(image) < len(told):
        board.pico.write_flash(board.map.slots[1] + len(image), b"\xff" * 0x400)
    assert [board.boot() for _ in range(2)] == [A, A]
    assert board.marks() == (MARKED, BLANK, MARKED, BLANK)


def test_second_key_is_as_good_as_the_first(board):
    board.install(an_image(1, key=OFFLINE))
    assert board.boot() == B


def test_without_keys_the_digest_alone_is_checked(pico, repo):
    for image, result in ((an_image(1, key=STRANGER), B), (flipped(GOOD), A)):
        board = Board(pico, repo, keys=())
        board.install(image)
        assert board.boot() == result


def test_usb_mode_when_nothing_is_left(board):
    """From a cold start: the ROM needs a crystal that runs, and only the bootloader starts it."""
    blank = b"\xff" * flash_map.SECTOR
    board.pico.write_flash(board.map.records[0], blank)
    assert board.boot() == "usb-boot"
    board.install(an_image(1, first=HANG))
    assert board.boot(on_reset=True) == "reset"
    assert board.end() == "usb-boot"
    assert board.boot() == "usb-boot"


def test_usb_mode_when_the_info_page_is_damaged(board):
    page = board.pico.read_flash(flash_map.INFO_AT, 256)
    board.pico.write_flash(flash_map.INFO_AT, page[:80] + bytes((page[80] ^ 1,)) + page[81:])
    assert board.boot() == "usb-boot"


def test_bootloader_for_4_mb(repo, built):
    built("node_modules/rp2040js")
    with Pico(bkpt=True, strict=True, usb=False, size=4 << 20) as pico:
        board = Board(pico, repo, name="4mb")
        board.install(an_image(1, name="4mb"))
        assert [board.boot() for _ in range(2)] == [B, A]


def test_bootloader_for_4_mb_on_2_mb_writes_nothing(repo, built):
    """Half of the map is the other half again there: installs would overwrite the bootloader."""
    built("node_modules/rp2040js")
    with Pico(bkpt=True, strict=True, usb=False, size=2 << 20, loose=True) as pico:
        for offset, data in rp2040.bundle(
            loader(repo, "4mb"), rp2040.parse_image(an_image(0, name="4mb"))
        ).items():
            pico.write_flash(offset, data)
        pico.power_on()
        assert pico.run(seconds=1).why == "usb-boot"
        assert pico.counters().operations == 0


@pytest.mark.slow
@pytest.mark.parametrize("scene", ["trial", "abort", "refuse", "complete", "firm"])
def test_power_cut_at_each_operation_of_the_bootloader(board, scene, soak):
    """Two cuts in a row, each before, in or after a flash operation; then it has settled."""
    image, marks, settled = {
        "trial": (GOOD, (BLANK, BLANK, BLANK), A),
        "abort": (GOOD, (MARKED, BLANK, BLANK), A),
        "refuse": (an_image(1, key=STRANGER), (BLANK, BLANK, BLANK), A),
        "complete": (GOOD, (MARKED, 0xFFF0FFFF, BLANK), B),
        "firm": (GOOD, (MARKED, MARKED, BLANK), B),
    }[scene]
    pico = board.pico
    board.install(image)
    pico.write_flash(board.map.records[1] + flash_map.MARKS_AT, struct.pack("<3I", *marks))
    kept = pico.keep_flash()
    kinds = [("before", 0), ("after", 0), *(("torn", seed) for seed in range(8 if soak else 1))]
    for cuts in itertools.product(kinds, repeat=2):
        pico.power_off()
        pico.restore_flash(kept)
        ends = []
        for kind, seed in cuts:
            pico.cut(pico.counters().operations, kind, seed)
            ends.append(board.boot())
            pico.uncut()
        ends += [board.boot() for _ in range(3)]
        assert ends[0] == "cut", (cuts, ends)
        assert ends[-2:] == [settled, settled], (cuts, ends)
        if scene == "trial":
            assert set(ends) <= {"cut", A, B} and ends.count(B) <= 1, (cuts, ends)
        else:
            assert set(ends) <= {"cut", settled}, (cuts, ends)
    pico.forget_flash(kept)


# ---- what is in git


def test_bootloaders_in_git_differ_in_their_maps_only(repo):
    files = {name: loader(repo, name, ()) for name in flash_map.MAPS}
    assert len({file[: flash_map.INFO_AT] for file in files.values()}) == 1
    for name, file in files.items():
        assert file[flash_map.INFO_AT :] == flash_map.info_page(flash_map.MAPS[name])
        assert len(file) == flash_map.BOOT_SIZE <= 8192


@pytest.mark.slow
def test_bootloaders_in_git_are_what_the_sources_make(repo, built, tmp_path):
    """The same bytes from the compiler that made them; any other has to fit them in."""
    folder = repo / "boards" / "rp2040" / "boot"
    sdk = built("src/pico-sdk")
    if not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("no arm-none-eabi-gcc: see `make setup chips`")
    subprocess.run(["make", "-s", "-C", folder, f"OUT={tmp_path}", f"SDK={sdk}"], check=True)
    version = subprocess.check_output(["arm-none-eabi-gcc", "--version"], text=True)
    kept = (folder / "ota_boot.txt").read_text().strip()
    for name in flash_map.MAPS:
        made = (tmp_path / f"ota_boot_{name}.bin").read_bytes()
        rp2040.read_info(made)
        if version.splitlines()[0] == kept:
            same = made == (folder / f"ota_boot_{name}.bin").read_bytes()
            assert same, "not what the sources build: run `make bootloader`"
