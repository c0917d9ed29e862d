# SPDX-License-Identifier: MIT
"""One random pack, every decoder there is: the same bytes, or all refuse it.

The device's in plain Python on CPython, and with both kinds of loops on MicroPython 64- and
32-bit; and mpota's own, which is another program.
"""

import contextlib
import sys
from pathlib import Path

import pytest

from mpota.errors import MpotaError
from mpota.pack.decode import decode_block

sys.path.append(str(Path(__file__).parent / "portable"))

import test_pack_decoder as decoder
from test_pack_decoder import Dice, random_old, random_pack

FIRST = 1000


@pytest.fixture
def rounds(soak):
    return 4000 if soak else 60


@pytest.mark.parametrize("loops", ["pack_plain", "pack_fast"])
def test_loops_agree(any_micropython, run_micropython, rounds, loops):
    done = run_micropython(
        any_micropython, "host_tests/mp/pack_play.py", loops, str(FIRST), str(FIRST + rounds)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == decoder.play(FIRST, FIRST + rounds)


def test_mpota_decodes_the_same(rounds):
    both = 0
    for seed in range(FIRST, FIRST + rounds):
        dice = Dice(seed)
        old = random_old(dice)
        data, length, deflated = random_pack(dice, len(old))
        for change in range(1 if deflated else 5):
            spoilt = bytearray(data)
            for _ in range(change):
                spoilt[dice(len(data))] = dice(256)
            mine = theirs = None
            with contextlib.suppress(MpotaError):
                theirs = decode_block(bytes(spoilt), old, 0, (0, length))
            with contextlib.suppress(decoder.ImageError):
                mine = decoder.decode(bytes(spoilt), old, length)
            # mpota knows the old image's length and not the list; a device has it the other way
            # round, and so each refuses some that the other does not.
            if change == 0 or (mine is not None and theirs is not None):
                assert mine == theirs, (seed, change)
                both += mine is not None
    assert both > rounds
