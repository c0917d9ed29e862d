# SPDX-License-Identifier: MIT
"""Application updates on an emulated RP2040 with the port's own firmware: nothing of ours in it.

The library is in the tree, as .mpy, with the native verifier; the repository is at the other end
of the USB cable. Here is what only a chip can show: what its resets clear, and its watchdog.
"""

import json
import struct

import pytest

import app_world
from mpota import library
from rp2040.pico import Pico

pytestmark = pytest.mark.slow

SERIAL = """
import struct, sys
import micropython
from ota.errors import FetchError
class Serial:
    needs_clock = False
    async def open(self, path, start=0, end=None):
        micropython.kbd_intr(-1)
        print("\\x02" + path, start, -1 if end is None else end)
        status, length = struct.unpack("<HI", sys.stdin.buffer.read(6))
        if status != 200:
            raise FetchError("server", path, status=status)
        return Body(length)
    def skip(self):
        return False
    async def close(self):
        micropython.kbd_intr(3)
class Body:
    def __init__(self, length):
        self.length = self.left = length
    async def readinto(self, buf):
        count = sys.stdin.buffer.readinto(memoryview(buf)[: self.left])
        self.left -= count
        return count
    async def close(self):
        while self.left:
            self.left -= len(sys.stdin.buffer.read(min(self.left, 256)))
"""
UPDATER = """
import asyncio, ota
from serial import Serial
updater = ota.Updater.from_config(fetcher=Serial(), log=print)
"""
SETTLE = UPDATER + "print(asyncio.run(updater.settle(lambda: True, 5)))"
UPDATE = UPDATER + "print(asyncio.run(updater.update()))"
STATUS = (
    UPDATER
    + """
from ota.adapters.appdir import Boot
s = updater.status()
print((Boot().running.letter, s["version"], s["on_trial"], s["loaded_from"], s["verifier"]))
"""
)


@pytest.fixture(scope="module")
def firmware(built):
    return built("rp2040/stock/firmware.bin").read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    library_files, _ = library.build("armv6m", esp32=False)
    both = {**library_files, "lib/serial.py": SERIAL.encode()}
    files = {
        name: {**both, "main.py": b"print('runs " + name.encode() + b"')\n"}
        for name in ("v1", "v2")
    }
    made = app_world.two_releases(tmp_path_factory.mktemp("world"), files, trial_s=6)
    made.files = files
    return made


def answer(world):
    """Serve what the device asks for (see Pico.exec)."""

    def serve(request):
        path, start, end = request.split(" ")
        file = world.repository / path
        if not file.is_file():
            return struct.pack("<HI", 404, 0)
        data = file.read_bytes()[int(start) : None if end == "-1" else int(end)]
        return struct.pack("<HI", 200, len(data)) + data

    return serve


def write(pico, path, data):
    """Write a file on the device, and the folders above it."""
    folders = [path[:at] for at in range(1, len(path)) if path[at] == "/"]
    pico.exec(
        "import os\n"
        f"for folder in {folders}:\n"
        " try: os.mkdir(folder)\n"
        " except OSError: pass\n"
        f"f = open({path!r}, 'wb')"
    )
    for at in range(0, len(data), 4096):
        pico.exec(f"f.write({data[at : at + 4096]!r})")
    pico.exec("f.close()")


def write_tree(pico, letter, files):
    for path, data in {**files, ".ota-list": app_world.app.file_list(files)}.items():
        write(pico, f"/ota-app/{letter}/{path}", data)


@pytest.fixture(scope="module")
def flash(firmware, world, repo):
    """Flash of a stock board after `mpota provision`, with v1 in tree a."""
    with Pico() as pico:
        pico.write_flash(0, firmware)
        pico.power_on()
        for name in ("config.json", "root.json"):
            write(pico, f"/ota-state/{name}", (world.folder / name).read_bytes())
        for name in ("boot.py", "main.py"):
            write(pico, f"/{name}", (repo / "boards/app" / name).read_bytes())
        write_tree(pico, "a", world.files["v1"])
        pico.power_off()
        return pico.read_flash()


@pytest.fixture
def pico(flash):
    """The board of `flash`, on."""
    with Pico() as pico:
        pico.write_flash(0, flash)
        pico.power_on()
        yield pico


def reset(pico, until):
    pico.begin("import machine; machine.reset()")
    assert pico.run(until=until, seconds=20).why == "text"


def status(pico):
    return eval(pico.exec(STATUS))


def put_trial(pico, files):
    """Put an application into tree b and the record that says to try it."""
    write_tree(pico, "b", files)
    pico.exec(
        "from ota.adapters.appdir import Boot\nboot = Boot()\nboot.try_next(boot.spare)",
        seconds=120,
    )


def soft_reset_raw(pico):
    """What mpremote does before it runs something: a soft reset that stays in the raw REPL."""
    pico.repl()
    pico.send(b"\x04")
    stop = pico.run(until="raw REPL; CTRL-B to exit\r\n>", seconds=20)
    assert "soft reboot" in stop.text
    return stop.text


def soft_reset(pico, until):
    pico.repl()
    pico.send(b"\x02")  # to the friendly REPL
    pico.run(until=">>> ", seconds=5)
    pico.send(b"\x04")
    pico._raw = False
    stop = pico.run(until=until, seconds=20)
    assert stop.why == "text", stop
    assert "soft reboot" in stop.text


LOADED = "/ota-app/{}/lib/ota"


def test_update_trial_and_confirmation(pico, world):
    assert pico.run(until="runs v1", seconds=20).why == "text"
    assert status(pico) == ("a", "", False, LOADED.format("a"), "native")
    config = json.loads((world.folder / "config.json").read_text())
    write(pico, "/ota-state/config.json", json.dumps({**config, "trial_s": 300}).encode())
    said = pico.exec(UPDATE, answer=answer(world), seconds=600)
    assert said.splitlines()[-1] == "ready: 2.0.0"

    reset(pico, "runs v2")
    on_trial = ("b", "2.0.0", True, LOADED.format("b"), "native")
    assert status(pico) == on_trial
    # Nothing but a reset of the chip ends the trial.
    assert "runs" not in soft_reset_raw(pico)
    assert status(pico) == on_trial
    soft_reset(pico, "runs v2")
    pico.send(b"\x03\x03")
    assert status(pico) == on_trial

    assert pico.exec(SETTLE).splitlines()[-1] == "True"
    kept = ("b", "2.0.0", False, LOADED.format("b"), "native")
    assert status(pico) == kept
    assert pico.run(seconds=20, on_reset=True).why != "reset"  # nothing is armed any more
    pico.power_on()
    assert pico.run(until="runs v2", seconds=20).why == "text"
    assert status(pico) == kept
    assert pico.exec(UPDATE, answer=answer(world)).splitlines()[-1] == "up to date"


def seconds_to_reset(pico, seconds=20):
    begin = pico.counters().nanoseconds
    stop = pico.run(seconds=seconds, on_reset=True)
    assert stop.why == "reset", stop
    return (pico.counters().nanoseconds - begin) / 1e9


def test_deadline_ends_a_trial_and_a_soft_reset_does_not_move_it(pico, world):
    put_trial(pico, world.files["v2"])
    reset(pico, "runs v2")
    begin = pico.counters().nanoseconds
    for _ in range(2):
        soft_reset(pico, "runs v2")
    seconds_to_reset(pico)
    passed = (pico.counters().nanoseconds - begin) / 1e9
    assert 4 < passed < 8
    assert pico.run(until="runs v1", seconds=20).why == "text"
    assert status(pico)[0] == "a"
    # The next trial has its whole time again.
    pico.exec("from ota.adapters.appdir import Boot\nboot = Boot()\nboot.try_next(boot.spare)")
    reset(pico, "runs v2")
    assert 4 < seconds_to_reset(pico) < 8


@pytest.mark.parametrize(
    ("does", "path", "source"),
    [
        ("hangs as soon as it is imported", "lib/ota.py", b"while True:\n    pass\n"),
        ("hangs in its main.py", "main.py", b"while True:\n    pass\n"),
        ("raises in its main.py", "main.py", b"1/0\n"),
        ("cannot be imported", "lib/ota.py", b"import no_such_module\n"),
        ("powers off", "main.py", b"print('runs v2')\n"),
    ],
)
def test_bad_application_goes_back(pico, world, does, path, source):
    files = dict(world.files["v2"], **{path: source})
    if path == "lib/ota.py":
        files = {name: data for name, data in files.items() if not name.startswith("lib/ota/")}
    put_trial(pico, files)
    if "off" in does:
        reset(pico, "runs v2")
        pico.power_on()
    else:
        pico.begin("import machine; machine.reset()")
    assert pico.run(until="runs v1", seconds=30).why == "text"
    assert status(pico)[:3] == ("a", "", False)
    pico.power_on()
    assert pico.run(until="runs v1", seconds=20).why == "text"


def test_interrupt_at_any_time_of_a_boot_keeps_the_try(pico, world):
    put_trial(pico, world.files["v2"])
    kept = pico.keep_flash()
    for after in range(100_000, 60_000_000, 17_000_003):
        pico.restore_flash(kept)
        pico.power_on()
        pico.run(cycles=after)
        pico.send(b"\x03")
        pico.run(seconds=1)
        letter, _, on_trial = status(pico)[:3]
        # Either it is tried, or it has not begun and will be.
        assert (letter, on_trial) in (("b", True), ("a", False))
        if letter == "a":
            reset(pico, "runs v2")
            assert status(pico)[:3] == ("b", "", True)
