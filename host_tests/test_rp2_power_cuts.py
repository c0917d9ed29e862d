# SPDX-License-Identifier: MIT
"""Installs and boots of an RP2040, cut at every flash operation (see rp2_power_cuts.py)."""

import pytest

import rp2_power_cuts
from rp2040.pico import Pico

# Of the first cuts one in so many is tried; `make soak` and `make bench` try all of them.
SHARES = {"good": 149, "reverts": 89, "hangs": 83, "then hangs": 397, "after a bad one": 401}


@pytest.fixture(scope="module")
def pico(built):
    built("node_modules/rp2040js")
    with Pico() as pico:
        yield pico


def device(pico, repo, name="good"):
    return rp2_power_cuts.Device(pico, repo, rp2_power_cuts.SCENARIOS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARES)
def test_no_cut_loses_the_device(pico, repo, name, soak):
    board = device(pico, repo, name)
    shares = 1 if soak else SHARES[name]
    lost = rp2_power_cuts.sweep(board, share=shares // 2, shares=shares, second=1)
    assert list(lost) == []
    assert board.lives > 2


@pytest.mark.parametrize("mark", range(3))
def test_torn_mark_is_never_a_third_thing(pico, repo, mark):
    """The marks of a switch, each torn in every way: tried, confirmed, and aborted in a revert."""
    board = device(pico, repo, "reverts" if mark == 2 else "good")
    operations = board.operations()
    marks = [n for n, (kind, at) in enumerate(operations) if kind == "program" and at == 0x3100]
    place = marks[min(mark, 1)]
    for seed in rp2_power_cuts.TEARS:
        board.live([(place, "torn", seed)])


@pytest.mark.parametrize("name", ["then hangs", "after a bad one"])
def test_record_that_read_right_at_first_is_no_less_firm(pico, repo, name):
    """Each program of a record, cut at its very end, and each erase, from either end, in lives
    where a record has to outlast what comes after it."""
    board = device(pico, repo, name)
    seeds = {"program": rp2_power_cuts.TEARS[4], "erase": rp2_power_cuts.TEARS[5]}
    for number, (kind, offset) in enumerate(board.operations()):
        if offset & ~0xFFF in rp2_power_cuts.MAP.records:
            board.live([(number, "torn", seeds[kind])])


def test_sweep_sees_a_record_that_is_not_erased_first(pico, repo, monkeypatch):
    """An installer that keeps the spare slot's record while it writes the slot."""
    board = device(pico, repo)
    monkeypatch.setattr(
        rp2_power_cuts, "_prepare", lambda boot: setattr(boot, "_erase_record", int)
    )
    with pytest.raises((rp2_power_cuts.Lost, rp2_power_cuts.ChipError)):
        board.live([])


def test_sweep_sees_a_record_that_may_lose_its_marks_first(pico, repo, monkeypatch):
    """An installer that does not clear the aborted record before it erases it."""

    def erase(boot):
        if not boot._record_erased:
            boot._records.ioctl(6, boot.spare.number)
            boot._record_erased = True

    board = device(pico, repo, "after a bad one")
    monkeypatch.setattr(
        rp2_power_cuts,
        "_prepare",
        lambda boot: setattr(boot, "_erase_record", lambda: erase(boot)),
    )
    erases = [
        n for n, (kind, at) in enumerate(board.operations()) if (kind, at) == ("erase", 0x3000)
    ]
    with pytest.raises(rp2_power_cuts.Lost, match="nobody asked for"):
        board.live([(erases[1], "torn", rp2_power_cuts.TEARS[5])])


def test_sweep_sees_a_device_that_does_not_boot(pico, repo):
    """A confirmed record beside an image that it does not describe."""
    board = device(pico, repo)
    stranger = rp2_power_cuts.image(1, 0, key=rp2_power_cuts.STRANGER)
    pico.restore_flash(board.start)
    pico.write_flash(0x8000, stranger)
    board.start = pico.keep_flash()
    with pytest.raises(rp2_power_cuts.Lost, match="usb-boot"):
        board.live([])
