# SPDX-License-Identifier: MIT
"""Provision, push and doctor through the USB serial port of an emulated RP2040, with the firmware
of boards/rp2040: mpremote's code on one side, MicroPython's own REPL on the other."""

import pytest

from mpota import cli
from pico_line import PicoLine
from rp2_world import World, copy_uf2
from rp2040.pico import Pico

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(built, tmp_path_factory):
    links = [built(f"rp2040/test/firmware-{slot}.bin") for slot in "ab"]
    world = World(tmp_path_factory.mktemp("world"), links)
    world.release("1.0.0")
    return world


def test_board_is_set_up_updated_and_examined_through_its_usb_port(world, capsys):
    def mpota(line):
        code = cli.main([*line.split(), "--repo", str(world.workspace.folder)])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return out

    with Pico() as pico:
        copy_uf2(pico, world.uf2("1.0.0"))
        pico.write_flash(world.slots[1], world.image(1, "1.5.0"))  # few blocks differ
        pico.power_on()
        pico.run(until="run mpota provision")
        with PicoLine(pico) as line:
            said = mpota(f"provision {line.port} --trial 2")
            assert "OTA_PICO" in said and "possible updates: firmware (slots of 928 KB)" in said
            world.release("2.0.0")
            said = mpota(f"push {line.port} --reset")
            assert " 2.0.0, " in said and "tries it now" in said
        assert "settled" in pico.run(until="settled", seconds=30).text
        with PicoLine(pico) as line:
            said = mpota(f"doctor {line.port}")
            assert "firmware: slot B runs, kept; 2 boot keys" in said
            assert "last: 2.0.0 confirmed" in said and "verifier in C" in said
