# SPDX-License-Identifier: MIT
"""What NVS is for: a device that lost its file system does not go back below its floor.

The attacker of these tests has the first release, rightly signed, and metadata of that day; the
device has lost all it remembered in files.
"""

import shutil

import pytest

import world as worlds
from in_process import Device, Source, build, clone
from ota.updater import NOT_OFFERED, READY


@pytest.fixture(scope="module")
def worlds_of(tmp_path_factory):
    """(repository of the first day, of today): 2.0.0 is out, and nothing below it may run."""
    folder = tmp_path_factory.mktemp("world")
    first = worlds.World(folder / "first", 0x10000)
    first.release("1.0.0", build("1.0.0"))
    today = clone(first, folder / "today")
    today.release("2.0.0", build("2.0.0"), minseq=2)
    return first, today


@pytest.fixture
def device(tmp_path, worlds_of):
    """A device that was updated to 2.0.0 and has confirmed it."""
    made = Device(tmp_path / "device", worlds_of[1], build("1.0.0"))
    assert made.update().kind == READY
    made.reset()
    assert made.settle(lambda: True)
    yield made
    made.close()


def lose_files(device):
    shutil.rmtree(device.folder / "state")
    (device.folder / "state").mkdir()


def test_floor_outlives_the_file_system(device, worlds_of):
    assert device.boot.seq_floor == 2
    lose_files(device)
    device.source = Source(worlds_of[0].repository)
    device.reset()
    before = device.flash.ops
    event = device.update()
    assert (event.kind, event.reason) == (NOT_OFFERED, ("below the floor", 1, 2))
    assert device.flash.ops == before


def test_without_nvs_it_would_go_back(device, worlds_of):
    # So the test above fails without the floor: this is what it is there for.
    lose_files(device)
    device.flash.wipe(0x9000, 0x4000)
    device.source = Source(worlds_of[0].repository)
    device.reset()
    assert device.update().kind == READY


def test_floor_is_raised_again_by_the_files_when_nvs_is_lost(device):
    device.flash.wipe(0x9000, 0x4000)
    device.reset()
    assert device.boot.seq_floor == 0
    device.update()
    assert device.boot.seq_floor == 2
