# SPDX-License-Identifier: MIT
"""`mpota doctor`: what is wrong with a board, in words; also when its `ota` is broken."""

import base64
import contextlib
import json
import random
import shutil
import struct
from datetime import timedelta

import pytest

import cable
from mpota import board, cli, devtls, doctor, probe, setup
from mpota_world import NOW
from sim import table
from sim.chip import PENDING, VALID, Board, entry
from sim.flash import Flash

APP = "print('runs')\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory, micropython, mpy_cross):
    """A repository, and the flash of a board that was provisioned from it."""
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "app").mkdir()
    (folder / "app/main.py").write_text(APP)
    flash = cable.make_flash(folder / "flash")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MPY_CROSS", str(mpy_cross))
        assert cli.main(["init", "--no-passphrase"]) == 0
        with cable.esp32(micropython, flash) as desk:
            assert cli.main(["provision", desk.port, "--app-folder", "app"]) == 0
            desk.wait("runs")
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def desk(here, micropython):
    with cable.esp32(micropython, here / "flash") as desk:
        desk.wait("runs")
        yield desk


def ask(desk, capsys, *words):
    """Return (exit code, what --json says)."""
    code = cli.main(["doctor", desk.port, "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def put(desk, files, remove=()):
    with board.connect(desk.port) as there:
        for path, data in files.items():
            there.write(path, data)
        for path in remove:
            there.remove(path)


def test_healthy_board_is_exit_0_and_goes_on_afterwards(desk, capsys):
    at = len(desk.console)
    code, told = ask(desk, capsys)
    assert (code, told["healthy"]) == (0, True)
    assert told["application"]["running"] == "a" and told["ota"]
    assert told["config"]["app"] == "app" and len(told["ca"]) == 1
    desk.wait("runs", since=at)
    assert cli.main(["doctor", desk.port]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "nothing has to be done" and err == ""


def test_it_reads_and_writes_nothing(here, desk, capsys):
    def everything():
        with board.connect(desk.port) as there:
            paths = there.walk("/", 0)
            for folder in ("/lib", "/ota-app", "/ota-state"):
                paths += there.walk(folder, 9)
            return {path: there.read(path) for path in paths}

    before = everything()
    ask(desk, capsys)
    after = everything()
    assert "/boot.py" in before and "/ota-state/config.json" in before
    assert before == after


@pytest.mark.parametrize(
    ("files", "remove", "what"),
    [
        ({"/ota/__init__.py": b""}, (), "/ota hides the library"),
        ({"/ota.py": b""}, (), "/ota.py hides the library"),
        ({"/lib/x.py": b"", "/lib/x.mpy": b""}, (), "/lib/x.py and /lib/x.mpy are both there"),
        ({"/ota-app/a/x.py": b"", "/ota-app/a/x.mpy": b""}, (), "/ota-app/a/x.py and"),
        ({"/ota-state/config.json": b"{"}, (), "configuration is not JSON"),
        ({"/ota-state/config.json": b"[" * 5000}, (), "configuration is not JSON"),
        ({"/ota-state/config.json": b"{}"}, (), "configuration has no URLs"),
        ({}, ("/ota-state/config.json",), "never provisioned"),
        ({}, ("/ota-state/root.json",), "no trusted root"),
        ({"/ota-state/root.json": b"{}"}, (), "trusted root is not of the repository"),
        ({}, ("/ota-state/ca.der",), "no CA certificate"),
        ({"/ota-state/ca.der": b"0\x84\xff\xff\xff\xff"}, (), "CA file is no certificate"),
        ({"/ota-app/a/main.py": b"print('mine')\n"}, (), "application is damaged: main.py"),
        ({}, ("/ota-app/a/main.py",), "application is damaged: main.py"),
        ({"/ota-app/a/.ota-list": b"nonsense"}, (), "application is damaged"),
        ({}, ("/ota-app/a/.ota-list",), "no application: neither"),
        ({}, ("/boot.py",), "no boot.py that starts the application"),
        ({"/main.py": b"import mine\n"}, (), "main.py is not the one that starts"),
        ({"/ota-app/a/lib/ota/wiring.py": b"1/0\n"}, (), "wiring.py and"),
        ({"/ota-app/a/lib/ota/__init__.py": b"1/0\n"}, (), "ota cannot be loaded"),
        ({"/ota-app/a/lib/ota/__init__.py": b"("}, (), "ota cannot be loaded"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(desk, capsys, files, remove, what):
    put(desk, files, remove)
    code, told = ask(desk, capsys)
    wrong = [finding for finding in told["findings"] if finding["level"] == "wrong"]
    assert code == 1 and [finding for finding in wrong if what in finding["what"]], wrong
    assert all(finding["todo"] for finding in wrong)


def record(data):
    head = b"OTA1" + struct.pack("<II", 9, len(data))
    return head + data + struct.pack("<I", doctor.binascii.crc32(head + data))


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"/ota-state/update-app.0": record(b"[" * 3000)}, "of another version"),
        ({"/ota-state/update-app.0": record(b'{"images": 5}')}, "of another version"),
        ({"/ota-state/update-app.0": b"OTA1torn"}, "memory of app updates is damaged"),
        ({"/ota-state/trust.0": record(b"\xff\n[]")}, "of another version"),
        ({"/ota-state/trust.0": b"torn"}, "accepted metadata is damaged"),
        ({"/.mpota-part": b"half"}, "an earlier mpota was interrupted"),
        ({"/lib/ota/__init__.py": b""}, "/lib/ota is not used"),
        (
            {"/ota-app/b/main.py": b"", "/ota-app/b/.ota-list": b"nonsense"},
            "the spare application in tree b is damaged",
        ),
        (
            {
                "/ota-state/update-app.0": record(
                    b'{"images":{},"minseq":3,"trial":null,"rejected":[],"last":'
                    b'{"outcome":"rejected","version":"2","why":"health check\\u001b[2J said no"}}'
                )
            },
            "the last app update went back: 'health check\\x1b[2J said no'",
        ),
    ],
)
def test_what_is_odd_is_a_note(desk, capsys, files, what):
    put(desk, files)
    _, told = ask(desk, capsys)
    notes = [one["what"] for one in told["findings"] if one["level"] == "note"]
    assert [note for note in notes if what in note], notes


@pytest.mark.parametrize(("days", "what"), [(-1, "expired on"), (20, "expires on")])
def test_dates_of_the_ca_are_looked_at(desk, capsys, tmp_path, monkeypatch, days, what):
    monkeypatch.setattr(devtls, "_CA_LIFE", timedelta(days=days))
    ca = devtls.ensure(tmp_path / "old", ["h"], NOW).ca_der.read_bytes()
    put(desk, {"/ota-state/ca.der": ca})
    code, told = ask(desk, capsys)
    assert code == 1 and [one for one in told["findings"] if what in one["what"]]


def test_other_repository_is_noticed(here, desk, capsys, tmp_path):
    setup.init(
        tmp_path / "other", profile="solo", products=[], apps=["app"], boards={},
        passphrase=None, now=NOW,
    )  # fmt: skip
    code, told = ask(desk, capsys, "--repo", str(tmp_path / "other"))
    assert code == 1 and "trusted root is not of" in told["findings"][0]["what"]


def test_it_does_without_a_repository(desk, capsys, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, told = ask(desk, capsys)
    assert code == 0 and told["findings"][0]["level"] == "note"


def test_clock_and_a_watchdog_of_ones_own(here, micropython, capsys):
    with cable.esp32(micropython, here / "flash", clock=cable.UNSET) as desk:
        put(desk, {"/ota-app/a/main.py": b"wdt = machine.WDT(timeout=5000)\n"})
        _, told = ask(desk, capsys)
    notes = " ".join(one["what"] for one in told["findings"])
    assert "its clock is not set (2000-01-01T" in notes and "watchdog of its own" in notes


def test_new_board_is_told_to_be_provisioned(tmp_path, here, micropython, capsys):
    flash = cable.make_flash(tmp_path / "new")
    with cable.esp32(micropython, flash) as desk:
        assert cli.main(["doctor", desk.port]) == 1
    out, err = capsys.readouterr()
    assert "wrong: it was never provisioned" in out and "1 thing to do" in err


@pytest.mark.parametrize(
    ("first", "what"),
    [
        (entry(1, VALID), "firmware: ota_0 runs, kept; spare ota_1"),
        (entry(1, PENDING), "firmware: ota_0 runs, given up"),
    ],
)
def test_slots_are_read(tmp_path, here, micropython, capsys, first, what):
    flash = cable.make_flash(tmp_path / "two", table.OTA_4M_VFS)
    there = Board(Flash(flash.stat().st_size, str(flash)))
    there.power_on()
    there.set_otadata(first, None)
    with cable.esp32(micropython, flash, build="ESP32_GENERIC-OTA") as desk:
        cli.main(["doctor", desk.port])
    assert what in capsys.readouterr().out


def test_a_folder_is_no_board(here, capsys):
    assert cli.main(["doctor", "device"]) == 2
    assert "not a board at a cable" in capsys.readouterr().err


# A board that is not what it seems


class Liar(board.Board):
    """Answers each question with something of a wrong type, wrong size, or that steers screens."""

    def __init__(self, seed):
        super().__init__(None, "port")
        self._dice = random.Random(seed)

    def soft_reset(self):
        pass

    def resume(self):
        pass

    def run(self, source, **limits):
        if "tell(" in source:
            return f"\x02{spell(self._answer(source))}\x03"
        content = base64.b64encode(self._content(source)).decode()
        return "\x02" if self._dice.random() < 0.3 else content + ",\x03"

    def _answer(self, source):
        dice = self._dice
        if source.endswith(probe._SOURCE) and dice.random() < 0.97:
            facts = {
                "version": (1, 25, 0),
                "platform": dice.choice(["esp32", "rp2"]),
                "esp32": ("ota_0", "ota_1", 5, 2, 0),
                "rp2": ("A", "B", 5, 2, 0),
                "space": (1, 1),
            }
            for key in (*facts, "machine", "build", "mpy", "path", "heap", "fs", "clock"):
                if dice.random() < 0.06:
                    facts[key] = self._lie()
            return {**facts, "name": "micropython"}
        if "ilistdir" in source and dice.random() < 0.98:
            names = "config.json ca.der trust.0 tree.0 update.0 ota x\x1b[2J.py x\x1b[2J.mpy"
            return [(name, dice.choice([None, 5, 7, 7, 7, 7, 7, 7, 7])) for name in names.split()]
        return self._lie()

    def _content(self, source):
        urls = self._dice.choice([["https://a/"], ["https://\x1b[2J/"], [5], 5])
        config = {"app": "\x1b[2J", "board": 5, "urls": urls, "ca": "ca.der"}
        return self._dice.choice(
            [b"\xff" * 40, json.dumps(config).encode(), b"\5a\x1b[2J\1\0\0\0"]
        )

    def _lie(self):
        return self._dice.choice(LIES)


HUGE = int("f" * 6000, 16)
LIES = [None, True, -1, 1.5, "\x1b[2J\n", b"", [], [5], [("a",)], (1, 2), (1, 2, 3, 4)]
LIES += [{}, {(1, 2): 3}, {1}, 1j, HUGE, [HUGE], (HUGE, HUGE), {"a": {"b": HUGE}}]


def spell(value):
    """Write a value as Python does, with integers of any length."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{spell(k)}:{spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        text = "".join(spell(item) + "," for item in value)
        return f"({text})" if isinstance(value, tuple) else f"[{text}]"
    return hex(value) if type(value) is int else repr(value)


def test_lying_board_is_judged_or_refused_in_printable_lines(monkeypatch, capsys, soak):
    judged = 0
    for seed in range(20_000 if soak else 150):

        @contextlib.contextmanager
        def connect(port, seed=seed):
            yield Liar(seed)

        monkeypatch.setattr(board, "connect", connect)
        for words in (), ("--json",):
            assert cli.main(["doctor", "socket://", *words]) in (0, 1), seed
            out, err = capsys.readouterr()
            judged += "to do" in err
            assert all(line.isprintable() for line in (out + err).split("\n")), seed
            if words:
                json.loads(out)
    assert judged > 30


def test_file_system_without_an_end_is_left(monkeypatch):
    class Endless(Liar):
        def _answer(self, source):
            return [("x", None), ("y", None), ("z", 5)]

    there = Endless(0)
    with pytest.raises(board.BoardError, match="too many files"):
        there.walk("/lib", 100)
    assert there.walk("/lib", 1) == ["/lib/x/z", "/lib/y/z", "/lib/z"]
