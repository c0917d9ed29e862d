# SPDX-License-Identifier: MIT
"""Field arithmetic of Arm chips, in an emulator, against Python's integers."""

import pytest

import field_machine


@pytest.fixture(scope="module", params=["armv6m", "armv7m", "armv7em", "armv8m"])
def field(request, repo, tmp_path_factory):
    return field_machine.FieldMachine(request.param, repo, tmp_path_factory.mktemp("field"))


def test_edges(field):
    field_machine.check_edges(field)


def test_extreme_words(field, soak):
    field_machine.check_words(field, 300_000 if soak else 1_500)


def test_random_numbers(field, soak):
    field_machine.check_random(field, 100_000 if soak else 500)


def test_results_over_operands(field):
    field_machine.check_aliases(field)
