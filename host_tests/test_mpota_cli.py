# SPDX-License-Identifier: MIT
"""The command line: exit codes, JSON, one-line errors, examples that run, true documents."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cable
import ota
from mpota import board, cli, clidoc, devtls
from mpota.commands import common
from mpota.errors import EXIT_CODES
from mpota.repository import open_repository
from mpota.workspace import Board, open_workspace
from mpota_world import (
    BOARD,
    BOARDS,
    DAY,
    NOW,
    ROLLOUT,
    build,
    clone,
    make,
    make_pico,
    make_pico_release,
    make_release,
)
from sim import image, table


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    boards = {**BOARDS, BOARD: Board("esp32", 0x180000)}  # slots of the board on the desk
    workspace = make(tmp_path_factory.mktemp("first") / "r", boards=boards)
    make_release(workspace, "1")
    return workspace


@pytest.fixture(scope="module")
def pico(tmp_path_factory):
    workspace = make_pico(tmp_path_factory.mktemp("pico") / "r")
    make_pico_release(workspace, "1")
    return workspace


@pytest.fixture(scope="module")
def desk(tmp_path_factory, micropython):
    """A board with two slots, which has nothing on it yet."""
    flash = cable.make_flash(tmp_path_factory.mktemp("desk") / "flash", table.OTA_4M_VFS)
    with cable.esp32(micropython, flash, build=BOARD) as desk:
        yield desk


@pytest.fixture
def plugged(first, desk, tmp_path, monkeypatch, mpy_cross):
    """The board of the desk is the only one at this computer, and provisioned."""
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    monkeypatch.setattr(board, "find", lambda device: desk.port)
    url = "--url https://updates.example.com/ --ca ca.pem"
    clone(first, tmp_path / "again")
    shutil.copy(devtls.ensure(tmp_path / "tls", ["localhost"], NOW).ca_pem, tmp_path / "ca.pem")
    line = f"provision --repo again --force {url}"
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        assert cli.main(line.split()) == 0
    shutil.rmtree(tmp_path / "again")


@pytest.fixture
def here(first, pico, tmp_path, monkeypatch):
    """A folder with a repository, an image and a CA in it; the current one."""
    clone(first, tmp_path / "ota-repo")
    clone(pico, tmp_path / "pico")
    (tmp_path / "app.bin").write_bytes(build("2"))
    shutil.copy(devtls.ensure(tmp_path / "tls", ["localhost"], NOW).ca_pem, tmp_path / "ca.pem")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(common.PASSPHRASE_ENV, raising=False)
    return tmp_path


# A command line of each verb that succeeds in `here`.
GOOD = {
    "init": "init --repo fresh --no-passphrase",
    "release": "release app.bin --version 2",
    "rollout": "rollout --percent 12.5 --group roof",
    "settings": "settings --url https://updates.example.com/ --ca ca.pem --no-check",
    "publish": "publish www",
    "provision": "provision device --url https://updates.example.com/ --ca ca.pem",
    "push": "push",
    "doctor": "doctor",
    "verify": "verify",
    "refresh": "refresh",
    "uf2": "uf2 sensor.uf2 --repo pico",
}


def test_every_verb_is_tried():
    assert set(GOOD) == set(cli.VERBS)


@pytest.fixture
def ready(request, verb):
    """What a verb needs besides the folder `here`."""
    if verb in ("push", "doctor"):
        request.getfixturevalue("plugged")
        request.getfixturevalue("capsys").readouterr()


@pytest.mark.parametrize("verb", cli.VERBS)
def test_success_is_exit_0_and_json_is_one_object(here, verb, ready, capsys):
    assert cli.main([*GOOD[verb].split(), "--json"]) == 0
    out, err = capsys.readouterr()
    assert isinstance(json.loads(out), dict) and err == ""


@pytest.mark.parametrize("verb", cli.VERBS)
def test_success_says_little_and_nothing_on_stderr(here, verb, ready, capsys):
    assert cli.main(GOOD[verb].split()) == 0
    out, err = capsys.readouterr()
    lines = 16 if verb == "doctor" else 12  # a report has more to say
    assert len(out.splitlines()) < lines and err == ""


def test_json_of_a_release_has_what_a_script_needs(here, capsys):
    assert cli.main(["release", "app.bin", "--version", "2", "--minseq", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"]["img-sensor"] == 3 and told["missing"] == []
    assert (told["release"], told["seq"], told["minseq"]) == ("fw/sensor/board/2", 2, 1)
    assert told["identity"] == image.identity(build("2"))


@pytest.mark.parametrize("line", ["release app.bin --version 2", "rollout --percent 5"])
def test_what_was_signed_but_is_not_served_yet_is_told(here, line, capsys):
    assert cli.main(["publish"]) == 0 and cli.main(["verify"]) == 0
    assert "up to date" not in capsys.readouterr().err
    assert cli.main(line.split()) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "not served yet: run mpota publish"
    assert cli.main(["verify"]) == 0
    assert capsys.readouterr().err.endswith("public is not up to date; run mpota publish\n")
    assert cli.main(["refresh"]) == 0  # nothing due, nothing written
    assert "not served yet" not in capsys.readouterr().out


def test_release_may_start_small(here, capsys):
    line = "release app.bin --version 2 --percent 12.5 --group roof"
    assert cli.main(line.split()) == 0
    told = f"rolled out to 12.5 %, and groups roof: {ROLLOUT.format('stable')}"
    assert told in capsys.readouterr().out.splitlines()
    custom = open_repository(open_workspace(here / "ota-repo")).rollouts()[
        ROLLOUT.format("stable")
    ]
    assert (custom["percent"], custom["groups"]) == (1250, ["roof"])


def test_fleet_release_cannot_start_small(here, capsys):
    assert cli.main("init --repo fleet --profile fleet --no-passphrase".split()) == 0
    line = "release app.bin --version 2 --percent 5 --repo fleet"
    assert cli.main(line.split()) == 2
    assert "mpota rollout" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "number"), [("5", 5), ("12.5", 12.5), ("0.01", 0.01)])
def test_json_has_percentages_as_people_write_them(here, capsys, text, number):
    assert cli.main(["rollout", "--percent", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["percent"] == number
    assert cli.main(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rollouts"][0]["percent"] == number


@pytest.mark.parametrize(
    "line",
    [
        "release absent.bin --version 2",
        "release ca.pem --version 2",
        "release app.bin --version 1",
        "release app.bin --version 2 --board nameless",
        "release app.bin --version 2 --product other",
        "release app.bin --version 2 --seq 1",
        "rollout 9",
        "publish www --repo absent",
        "publish ota-repo/repository",
        "publish ota-repo",
        "publish ota-repo/keys",
        "publish . --serve",
        "init --repo other --passphrase-file app.bin",
        "provision device --url http://plain/ --ca ca.pem",
        "provision device --url https://h/ --ca app.bin",
        "verify absent",
        "init",
        "init --repo other",
        "refresh --repo absent",
    ],
)
def test_failure_is_exit_1_and_one_line_with_what_to_do(here, line, capsys):
    assert cli.main([*line.split(), "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("mpota: ") and err.count("\n") == 1 and "; " in err
    told = json.loads(out)
    assert told["exit"] == 1 and told["error"]["what"] and told["error"]["todo"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "release",
        "release app.bin",
        "release app.bin --again 1",
        "release app.bin --version 2 --minseq many",
        "release app.bin --version 2 --slot-size big",
        "rollout",
        "rollout --percent 101",
        "rollout --percent 1.234",
        "rollout --percent -1",
        "rollout --halt --resume",
        "rollout --group a --no-groups",
        "publish --cert a.pem",
        "publish --serve --dry-run",
        "publish --serve --port 65536",
        "publish --serve --port -1",
        "provision device --url https://h/",
        "provision device --trial 0",
        "provision device --trial -1",
        "release app.bin --version 2 --group roof",
        "release app.bin --version 2 --percent 101",
        "init --profile army",
        "init --repo x --no-passphrase --board nameless",
    ],
)
def test_wrong_usage_is_exit_2_and_changes_nothing(here, line, capsys):
    before = sorted(here.rglob("*"))
    assert cli.main(line.split()) == 2
    assert capsys.readouterr().err
    assert sorted(here.rglob("*")) == before


def test_refused_is_exit_3(here, capsys):
    later = (NOW + 400 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert cli.main(["verify", "--at", later, "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["exit"] == 3 and "ExpiredError" in err


def test_exit_codes_are_in_one_table():
    assert [code for code, _ in EXIT_CODES] == [0, 1, 2, 3]


def test_expired_and_not_renewable_is_exit_1_with_the_facts(here, capsys, monkeypatch):
    (here / "ota-repo/keys/online.pem").unlink()
    monkeypatch.setattr("mpota.names.utc_now", lambda: NOW + 400 * DAY)
    assert cli.main(["refresh", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {r["role"] for r in told["roles"] if r["state"] == "expired"} == {
        *("timestamp", "snapshot", "rollout"),
    }


@pytest.mark.parametrize("verb", ["release", "rollout", "publish", "provision", "refresh"])
def test_dry_run_changes_nothing(here, verb):
    if verb == "provision":
        cli.main(GOOD[verb].split())  # so that its own lock file is there
    before = {p: p.read_bytes() for p in here.rglob("*") if p.is_file() and p.name != ".lock"}
    assert cli.main([*GOOD[verb].split(), "--dry-run"]) == 0
    after = {p: p.read_bytes() for p in here.rglob("*") if p.is_file() and p.name != ".lock"}
    assert after == before


@pytest.mark.parametrize(
    ("key", "line", "what"),
    [
        ("owner", "release app.bin --version 2", "not released yet: fw/sensor/board/2"),
        ("online", "rollout --percent 5", f"not rolled out yet: {ROLLOUT.format('stable')}"),
    ],
)
def test_missing_signatures_are_exit_1_and_say_which_key(here, capsys, key, line, what):
    (here / f"ota-repo/keys/{key}.pem").unlink()
    assert cli.main([*line.split(), "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"mpota: {what}; waits in pending/ for ") and err.count("\n") == 1
    assert f" 1 more of file:keys/{key}.pem (" in err and ": run mpota refresh" in err
    told = json.loads(out)
    assert told["missing"] and told["written"] == {} and not told.get("rollouts")


def test_refresh_says_when_to_come_again(here, capsys):
    assert cli.main(["refresh"]) == 0
    due = (NOW + 365 * DAY / 2).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert capsys.readouterr().out == f"nothing due before {due}\n"


def test_unknown_board_is_answered_with_the_known_ones_and_an_example(here, capsys):
    assert cli.main("init --repo x --no-passphrase --board S3".split()) == 2
    err = capsys.readouterr().err
    assert "ESP32_GENERIC-OTA" in err and "--chip esp32s3 --slot-size 2M" in err
    line = "init --repo x --no-passphrase --board S3 --chip esp32s3 --slot-size 2M"
    assert cli.main(line.split()) == 0


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("publish --serve --host 999.1.1.1", "choose another --host"),
        ("provision device --url http://h/", "not https"),
        ("publish ca.pem", "not a folder: ca.pem"),
        ("provision ca.pem", "not a folder: ca.pem"),
        ("verify --root nope", "No such file or directory: correct --root"),
        ("rollout --product thrmo", "no such product: thrmo; this repository has: sensor"),
    ],
)
def test_failure_names_what_was_wrong(here, line, text, capsys):
    assert cli.main(line.split()) == 1
    assert text in capsys.readouterr().err


def test_version_is_told(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mpota {ota.__version__}\n"


def test_provision_that_keeps_other_than_asked_is_exit_1_and_says_what_is_in_force(here, capsys):
    assert cli.main(GOOD["provision"].split()) == 0
    (here / "device/lib/ota/errors.py").unlink()
    capsys.readouterr()
    line = "provision device --url https://new.example.com/ --ca ca.pem"
    assert cli.main([*line.split(), "--json"]) == 1
    out, err = capsys.readouterr()
    assert err == "mpota: urls stayed as before: device/ota-state; --force replaces it\n"
    assert json.loads(out)["urls"] == ["https://updates.example.com/"]
    assert (here / "device/lib/ota/errors.py").exists()  # the rest was done
    assert cli.main([*line.split(), "--force"]) == 0
    assert "looks at https://new.example.com/\n" in capsys.readouterr().out


def test_time_server_that_stays_against_ones_wish_is_exit_1(here, capsys):
    assert cli.main([*GOOD["provision"].split(), "--ntp", "pool.ntp.org"]) == 0
    assert cli.main(["provision", "device", "--ntp", "none"]) == 1
    assert "ntp stayed as before" in capsys.readouterr().err
    assert cli.main(["provision", "device", "--ntp", "pool.ntp.org"]) == 0


def test_provision_again_without_options_brings_the_library_up_to_date(here, capsys):
    assert cli.main(GOOD["provision"].split()) == 0
    capsys.readouterr()
    assert cli.main(["provision", "device"]) == 0
    out, err = capsys.readouterr()
    assert "looks at https://updates.example.com/\n" in out
    assert "config.json; differs from these options; --force replaces it" in err
    (here / "device/ota-state/config.json").write_text('{"urls": 5}')
    assert cli.main(["provision", "device"]) == 0
    assert "looks at nothing that can be read" in capsys.readouterr().out


def test_working_folder_is_found_from_inside(here, monkeypatch):
    monkeypatch.chdir(here / "ota-repo")
    assert cli.main(["verify"]) == 0


# Passphrases


def test_passphrase_from_the_environment(here, monkeypatch):
    monkeypatch.setenv(common.PASSPHRASE_ENV, "secret")
    assert cli.main(["init", "--repo", "locked"]) == 0
    assert cli.main(["refresh", "--repo", "locked"]) == 0
    assert b"ENCRYPTED" in (here / "locked/keys/owner.pem").read_bytes()
    line = f"release app.bin --version 1 --repo locked --board {BOARD} --chip esp32"
    assert cli.main([*line.split(), "--slot-size", "64K"]) == 0
    monkeypatch.setenv(common.PASSPHRASE_ENV, "wrong")
    assert cli.main(["rollout", "1", "--percent", "1", "--repo", "locked"]) == 1


def test_passphrase_from_a_file(here):
    (here / "pass").write_text("secret\n")
    assert cli.main(["init", "--repo", "locked", "--passphrase-file", "pass"]) == 0
    (here / "pass").write_text("\n")
    assert cli.main(["init", "--repo", "locked2", "--passphrase-file", "pass"]) == 1


def test_nobody_to_ask_is_exit_1_and_leaves_nothing(here, capsys):
    assert cli.main(["init", "--repo", "fresh"]) == 1
    assert "MPOTA_PASSPHRASE" in capsys.readouterr().err and not (here / "fresh").exists()


def test_person_who_does_not_answer_is_one_line(here, monkeypatch, capsys):
    def getpass(prompt):
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", getpass)
    assert cli.main(["init", "--repo", "fresh"]) == 1
    assert capsys.readouterr().err == "mpota: interrupted: init; run it again\n"
    assert not (here / "fresh").exists()


def test_person_types_a_new_passphrase_twice_and_an_old_one_once(here, monkeypatch):
    typed = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def getpass(prompt):
        typed.append(prompt)
        return answers.pop(0)

    monkeypatch.setattr("getpass.getpass", getpass)
    answers = ["one", "another"]
    assert cli.main(["init", "--repo", "locked"]) == 1
    answers = ["secret", "secret"]
    assert (
        cli.main(f"init --repo locked --board {BOARD} --chip esp32 --slot-size 64K".split()) == 0
    )
    typed.clear()
    answers = ["typo", "secret"]
    assert cli.main(["release", "app.bin", "--version", "1", "--repo", "locked"]) == 0
    assert typed == ["passphrase of key owner: "] * 2  # `online` opens with what was typed


def test_no_passphrase_or_key_is_ever_shown(here, capfd, monkeypatch):
    monkeypatch.setenv(common.PASSPHRASE_ENV, "pssst-secret")
    for line in ("init --repo locked -v", "refresh --repo locked -v", "verify --repo locked -v"):
        cli.main([*line.split(), "--json"])
    monkeypatch.setenv(common.PASSPHRASE_ENV, "pssst-wrong")
    cli.main(["rollout", "1", "--repo", "locked", "-v"])
    out, err = capfd.readouterr()
    assert "pssst" not in out + err and "PRIVATE" not in out + err


def test_text_that_others_signed_cannot_steer_the_terminal(capsys):
    common.show(cli.make_parser().parse_args(["verify"]), {}, ["fine", "bad \x1b[2J"])
    assert "\x1b" not in capsys.readouterr().out


# Documents


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_ends_with_an_example(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    text = capsys.readouterr().out.rstrip()
    assert text.endswith(cli.command(verb).EXAMPLE)


def test_examples_of_the_helps_run_one_after_the_other(
    pico, tmp_path, monkeypatch, micropython, mpy_cross
):
    monkeypatch.chdir(tmp_path)
    clone(pico, tmp_path / "pico")
    monkeypatch.setenv(common.PASSPHRASE_ENV, "secret")
    monkeypatch.setenv("MPOTA_WIFI_PASSWORD", "secret words")
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('hello')\n")
    shutil.copy(devtls.ensure(tmp_path / "tls", ["localhost"], NOW).ca_pem, tmp_path / "ca.pem")
    flash = cable.make_flash(tmp_path / "flash", table.OTA_4M_VFS)
    with cable.esp32(micropython, flash, build="ESP32_GENERIC-OTA") as desk:
        monkeypatch.setattr(board, "find", lambda device: desk.port)
        for verb in cli.VERBS:
            program, *line = shlex.split(cli.command(verb).EXAMPLE)
            assert (program, cli.main(line)) == ("mpota", 0), verb


def test_docs_are_current(repo):
    path = repo / "docs" / "CLI.md"
    assert path.read_text() == clidoc.markdown(), "run: python -m mpota.clidoc > docs/CLI.md"


def test_module_runs_as_a_program(repo):
    paths = [str(repo / name) for name in ("tools", "lib")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "mpota", "verify", "--repo", "/nowhere"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def test_help_imports_nothing_heavy(repo):
    code = "import sys, mpota.cli as c; c.make_parser(); print([m for m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(Path(repo) / "tools")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    for heavy in (b"'tuf'", b"'aiohttp'", b"'cryptography'", b"'securesystemslib'"):
        assert heavy not in done.stdout
