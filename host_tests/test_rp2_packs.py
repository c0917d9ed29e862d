# SPDX-License-Identifier: MIT
"""An RP2040 updates itself by deltas alone: from the link for slot A to that for B, and back."""

import pytest

from mpota.repository import open_repository
from rp2_world import PRODUCT, World, copy_uf2
from rp2040.pico import Pico

pytestmark = pytest.mark.slow


def leave_deltas(world, version, name):
    """Let nothing be had of a release but its lists and deltas; return their bytes."""
    made = world.release(version, deltas=1)
    length = 0
    for part in made.parts:
        packs = made_packs(world, version, part.name)
        for path in (world.folder / "www/targets" / made.path).iterdir():
            if path.name.endswith(part.name) or path.name == packs[""]:
                path.unlink()
            elif path.name in packs.values() and part.name == name:
                length = path.stat().st_size
    return length


def made_packs(world, version, name):
    targets = open_repository(world.workspace).role(f"img-{PRODUCT}").signed.targets
    (custom,) = (t.custom for path, t in targets.items() if path.endswith(f"/{version}/{name}"))
    return custom["packs"]


def test_delta_from_one_slot_to_the_other_and_back(built, tmp_path):
    links = [built(f"rp2040/test/firmware-{slot}.bin") for slot in "ab"]
    world = World(tmp_path, links)
    world.release("1.0.0")
    with Pico() as pico:
        copy_uf2(pico, world.uf2())
        pico.power_on()
        world.provision(pico)
        for version, slot in (("2.0.0", "b"), ("3.0.0", "a")):
            length = leave_deltas(world, version, f"firmware-{slot}.bin")
            assert length < len(links[0].read_bytes()) * 0.008
            assert world.update(pico) == f"ready: {version}"
            pico.begin("import machine; machine.reset()")
            assert "does g" in pico.run(until="settled", seconds=30).text
