# SPDX-License-Identifier: MIT
"""The promise to a newcomer: an empty board, five commands, an update (`first_update.py`)."""

import re

import pytest

from first_update import first_update

pytestmark = pytest.mark.slow


def test_five_commands_from_an_empty_board_to_its_first_update(tmp_path, micropython, mpy_cross):
    first = first_update(tmp_path, micropython, mpy_cross)
    typed = [re.sub(r" (/dev|socket:)\S+| --ntp none", "", line) for line, _ in first.commands]
    assert typed == [
        "pip install .",
        "mpota init",
        "mpota provision --wifi workshop",
        "mpota release ./app --version 1.0.0",
        "mpota publish --serve",
    ]
    said = first.console.replace(b"\r", b"").split(b"\n")
    assert said[said.index(b"hello from 1.0.0") - 1] == b"ready: 1.0.0"
    assert b"workshop secret" not in first.console
    assert b"Traceback" not in first.console
