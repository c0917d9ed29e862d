# SPDX-License-Identifier: MIT
"""The verifier on an emulated RP2040: in the firmware OTA_PICO, and the .mpy that any firmware for
it loads."""

import pytest

from native_module import CASES, Device, try_everything
from rp2_world import World, copy_uf2
from rp2040.pico import Pico

FEW = [*CASES[:4], *CASES[4::24]]


@pytest.fixture(scope="module")
def device(built, tmp_path_factory):
    """A board that runs, straight from its UF2."""
    built("node_modules/rp2040js")
    links = [built(f"rp2040/test/firmware-{slot}.bin") for slot in "ab"]
    world = World(tmp_path_factory.mktemp("world"), links)
    world.release("1.0.0")
    with Pico() as pico:
        copy_uf2(pico, world.uf2())
        pico.power_on()
        yield Device(lambda source: pico.exec(source).replace("\r\n", "\n"))


def test_runs_in_the_firmware(device):
    assert "from" not in device.run("import ota_ed25519; print(ota_ed25519)")
    try_everything(device, FEW)


def test_runs_from_mpy(device, repo):
    device.run("NAME = 'from_mpy'")  # the other name is taken, see above
    device.put((repo / "lib/ed25519/armv6m_6.3/ota_ed25519.mpy").read_bytes())
    assert "/ram/from_mpy.mpy" in device.run("import from_mpy; print(from_mpy)")
    try_everything(device, FEW)
