# SPDX-License-Identifier: MIT
"""`mpota push`: signed releases through the cable, and what a board takes and refuses there."""

import json
import os
import shutil

import pytest

import cable
from mpota import board, cli, push, setup
from mpota.board import BoardError
from mpota.workspace import open_workspace
from mpota_world import NOW, nobody, put_image
from sim import table
from sim.chip import Board
from sim.flash import Flash

APP = """import machine
import ota
if not ota.settle(lambda: True):
    machine.reset()
print("runs", ota.status()["version"] or "the first")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory, micropython, mpy_cross):
    """A repository with release 1.0.0, and the flash of a board that was provisioned from it."""
    folder = tmp_path_factory.mktemp("push")
    (folder / "app").mkdir()
    (folder / "app/main.py").write_text(APP)
    flash = cable.make_flash(folder / "flash")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPY_CROSS", str(mpy_cross))
        assert cli.main(["init", "--no-passphrase"]) == 0
        with cable.esp32(micropython, flash, clock=cable.UNSET) as desk:
            assert cli.main(["provision", desk.port, "--app-folder", "app"]) == 0
            desk.wait("runs the first")
        release(folder, "1.0.0")
    return folder


def release(folder, version, *words):
    main = folder / "app/main.py"
    main.write_text(main.read_text() + f"# {version}\n")
    assert cli.main(["release", "app", "--version", version, *words]) == 0


@pytest.fixture
def here(world, tmp_path, monkeypatch, mpy_cross):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    return tmp_path


@pytest.fixture
def desk(here, micropython):
    """The board, after a power cut: its clock is not set."""
    with cable.esp32(micropython, here / "flash", clock=cable.UNSET) as desk:
        desk.wait("runs the first")
        yield desk


def test_release_comes_through_the_cable_is_tried_and_kept(here, desk, capsys):
    assert cli.main(["push", desk.port, "--reset", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["version"], told["product"]) == ("ready", "1.0.0", "app")
    desk.wait("runs 1.0.0")
    assert cli.main(["push", desk.port]) == 0
    assert capsys.readouterr().out.endswith("up to date\n")


def test_without_reset_the_next_one_tries_it(here, desk, capsys):
    assert cli.main(["push", desk.port]) == 0
    assert "its next reset tries it" in capsys.readouterr().out
    at = len(desk.console)
    desk.power_on()
    desk.wait("runs 1.0.0", since=at)


def test_only_what_changed_travels(here, desk, capsys):
    assert cli.main(["push", desk.port, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"] == 1


def test_bad_release_goes_back_and_is_refused_from_then_on(here, desk, capsys):
    (here / "app/main.py").write_text(APP.replace("lambda: True", "lambda: False"))
    release(here, "2.0.0")
    assert cli.main(["push", desk.port, "--reset"]) == 0
    desk.wait("runs the first", since=desk.console.index(b"ready"))
    capsys.readouterr()
    assert cli.main(["push", desk.port]) == 1
    assert "the board takes nothing: rejected by this device" in capsys.readouterr().err


def test_other_repository_is_refused_with_exit_3(here, desk, capsys, tmp_path):
    setup.init(
        tmp_path / "other", profile="solo", products=[], apps=["app"], boards={},
        passphrase=None, now=NOW,
    )  # fmt: skip
    assert cli.main(["push", desk.port, "--repo", str(tmp_path / "other")]) == 3
    assert "the board refuses it (TrustError)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "kind"),
    [("metadata/timestamp.json", "TrustError"), ("targets/**/*", "ImageError")],
)
def test_what_was_changed_after_signing_is_refused(here, desk, capsys, where, kind):
    for path in (here / "ota-repo/repository").glob(where):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    before = flash_of(desk)
    assert cli.main(["push", desk.port]) == 3
    assert f"the board refuses it ({kind})" in capsys.readouterr().err
    assert flash_of(desk) == before


def flash_of(desk):
    with board.connect(desk.port) as there:
        found = {"boot": there.read("/boot.py"), "tree": there.files(["/ota-app/b/.ota-list"])}
        there.resume()
    return found


def test_board_that_was_not_provisioned_says_so(here, tmp_path, micropython, capsys):
    flash = cable.make_flash(tmp_path / "new")
    with cable.esp32(micropython, flash) as desk:
        assert cli.main(["push", desk.port]) == 1
    assert "no ota that works on the board" in capsys.readouterr().err


def test_halted_rollout_is_not_pushed(here, desk, capsys):
    assert cli.main(["rollout", "--halt", "--product", "app"]) == 0
    assert cli.main(["push", desk.port]) == 1
    assert "the board takes nothing: halted" in capsys.readouterr().err


def test_cable_pulled_in_the_middle_leaves_what_ran_and_can_be_done_again(here, desk):
    """The application of the release is larger; the host goes away after its fifth block."""
    (here / "app/data.bin").write_bytes(os.urandom(40000))
    release(here, "2.0.0")
    calls = []

    def pull(*numbers):
        calls.append(numbers)
        if len(calls) == 5:
            raise BoardError("pulled")

    workspace = open_workspace(here / "ota-repo")
    with board.connect(desk.port) as there, pytest.raises(BoardError, match="pulled"):
        push.push(there, workspace.metadata.parent, progress=pull)
    at = len(desk.console)
    desk.power_on()
    desk.wait("runs the first", since=at)
    with board.connect(desk.port) as there:
        done = push.push(there, workspace.metadata.parent)
    assert done.ready and done.version == "2.0.0"


def test_firmware_comes_through_the_cable(tmp_path, micropython, monkeypatch, mpy_cross, capsys):
    """A board with two slots and stock firmware, which has the library as files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    main = "import ota, ota_esp32\nprint('slot', ota_esp32.Boot().running.subtype)\n"
    flash = cable.make_flash(tmp_path / "flash", table.OTA_4M_VFS, modules={"main.py": main})
    assert cli.main(["init", "--no-passphrase"]) == 0
    with cable.esp32(micropython, flash, build="ESP32_GENERIC-OTA") as desk:
        assert cli.main(["provision", desk.port]) == 0
        desk.wait("slot 16")
        image = put_image(tmp_path, "9", length=30000)
        assert cli.main(["release", str(image), "--version", "9"]) == 0
        capsys.readouterr()
        assert cli.main(["push", desk.port, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["product"], told["version"]) == ("ready", "firmware", "9")
    there = Board(Flash(flash.stat().st_size, str(flash)))
    there.power_on()
    assert there.running[4] == "ota_1"


def test_release_without_anybody_to_ask(here, desk):
    """`nobody` would say so: push needs no key."""
    open_workspace(here / "ota-repo").keyring(nobody)
    shutil.rmtree(here / "ota-repo/keys")
    assert cli.main(["push", desk.port]) == 0
