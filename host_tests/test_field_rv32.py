# SPDX-License-Identifier: MIT
"""Field arithmetic of RISC-V chips, in an emulator, against Python's integers."""

import random

import pytest

import field_machine


@pytest.fixture(scope="module")
def field(repo, tmp_path_factory):
    return field_machine.FieldMachine("rv32imc", repo, tmp_path_factory.mktemp("field"))


def test_edges(field):
    field_machine.check_edges(field)


def test_extreme_words(field, soak):
    field_machine.check_words(field, 300_000 if soak else 1_000)


def test_random_numbers(field, soak):
    field_machine.check_random(field, 100_000 if soak else 500)


def test_results_over_operands(field):
    field_machine.check_aliases(field)


def test_squares_of_numbers_whose_bit_255_carries_out_of_word_0(field):
    """One in 2^27 is squared as a product is made."""
    rng = random.Random(255)
    for low in range(2**32 - 20, 2**32):
        middle = rng.getrandbits(223) << 32
        for a in (2**255 + low, 2**255 + middle + low, 2**256 - 2**32 + low, middle + low):
            field.check(a, a)


def test_carries_that_run_through_all_words(field):
    """A sum or difference that leaves the range once is one thing, twice another."""
    top = field_machine.TOP
    for d in range(80):
        field.check(top - 1 - d, d)
        field.check(top - 1 - d, top - 1)
        field.check(d, top - 1)
        field.check(d, d + 1)
