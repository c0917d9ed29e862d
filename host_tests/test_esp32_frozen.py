# SPDX-License-Identifier: MIT
"""A board of boards/esp32 from its first flashing to an update, with nothing but its firmware.

Library, `_boot.py`, root and configuration are frozen; no file is ever copied onto the device.
"""

import json

import pytest

import partitions
import servers
from sim import image
from sim.chip import PENDING, VALID, Board
from sim.flash import Flash
from sim.supervisor import Supervisor
from world import World

MAIN = """
import machine, ota
print("{version}", ota.status()["version"])
if not ota.settle(lambda: {healthy}):
    machine.reset()
event = ota.update()
print(event)
if event.ready:
    machine.reset()
"""
SLOT = 0x1C0000


@pytest.fixture
def url(tmp_path, world):
    cert, key = servers.Ca().issue(tmp_path / "tls", "localhost")
    with servers.nginx(tmp_path / "nginx", world.repository, cert, key) as server:
        yield server.http


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "repo", SLOT)


@pytest.fixture
def firmware(world, url, repo):
    """firmware(version, healthy): an image as `make` builds it with OTA_FACTORY and a manifest."""
    files = {"config.json": json.dumps(world.config([url])).encode(), "root.json": world.root}

    def build(version, healthy=True):
        modules = {
            "_boot.py": (repo / "boards/esp32/_boot.py").read_text(),
            "ota_factory.py": f"FILES = {files!r}",
            "main.py": MAIN.format(version=version, healthy=healthy),
        }
        return image.build(modules=modules, version=version, length=65536)

    return build


@pytest.fixture
def device(tmp_path, repo, micropython, firmware):
    """Flashed over USB: table and first firmware, everything else blank."""
    rows = partitions.parse((repo / "boards/esp32/partitions-4m.csv").read_text())
    board = Board(Flash(4 << 20, str(tmp_path / "flash")))
    board.format([row[:5] for row in rows], firmware("1.0.0"))
    made = Supervisor(
        tmp_path / "flash",
        micropython=micropython,
        frozen=[repo / "lib", repo / "boards/esp32"],
    )
    made.board = board
    return made


def is_over(line):
    """A watchdog that was disarmed still ends in days: nothing more happens before."""
    return line == "up to date"


def test_update_with_everything_frozen(device, firmware, world):
    world.release("1.0.0", firmware("1.0.0"), frozen=True)
    first = device.boot()
    assert first.lines == ["no file system: made anew", "1.0.0 ", "up to date"]
    world.release("2.0.0", firmware("2.0.0"), frozen=True, minseq=2)
    assert device.boot().kind == "reset"
    assert device.board.otadata()[0] == (1, VALID)
    second = device.boot(kill_when=is_over)
    assert (second.running, second.lines) == ("ota_1", ["2.0.0 2.0.0", "up to date"])
    assert device.board.otadata() == [(1, VALID), (2, VALID)]


def test_bad_release_is_left_again_and_a_lost_file_system_is_no_harm(device, firmware, world):
    world.release("1.0.0", firmware("1.0.0"), frozen=True)
    world.release("2.0.0", firmware("2.0.0", healthy=False), frozen=True)
    assert device.boot().kind == "reset"
    tried = device.boot()
    assert (tried.kind, tried.running) == ("reset", "ota_1")
    assert device.board.otadata()[1] == (2, PENDING)
    back = device.boot()
    assert (back.kind, back.running) == ("idle", "ota_0")
    assert "rejected by this device" in back.console
    device.board.flash.wipe(0x390000, 0x70000)
    world.release("3.0.0", firmware("3.0.0"), frozen=True)
    assert device.boot().kind == "reset"
    assert device.boot(kill_when=is_over).lines == ["3.0.0 3.0.0", "up to date"]
