# SPDX-License-Identifier: MIT
"""A device as a process of real MicroPython, and what the world may do to it.

Garbage in its flash, its file system and its clock, servers that hang or are a captive portal, and
releases whose main.py is broken in every way: each time the device must live on, say what is
wrong, and get to the next good release by itself. More of each, in less than a whole device:
test_http.py, test_store.py, test_ota_esp32.py, test_updater.py.
"""

import json
import subprocess

import pytest

import servers
import world as worlds
from in_process import clone
from sim import image, table
from sim.chip import NEW, PENDING, VALID, Board, crc_of, entry
from sim.flash import Flash, random_bytes
from sim.supervisor import Supervisor

TRIAL_S = 4
BOOT = "import ota\nota.guard()\n"
# What the README says an application does; it only has less patience with servers.
MAIN = """
import asyncio, machine, ota
import ota.adapters.http as http

class Impatient(http.Http):
    def __init__(self, urls, **more):
        super().__init__(urls, **dict(more, timeout_s=1, tries=2))

http.Http = Impatient

async def main():
    updater = ota.Updater.from_config()
    if not await updater.settle(lambda: True, within_s=30):
        machine.reset()
    print("runs @VERSION@")
    print("last", updater.status()["last"])
    async for event in updater.watch(every_s=1):
        print(event)
        if event.ready:
            machine.reset()

asyncio.run(main())
"""
# Runs in a MicroPython of its own, with the device's file system mounted at /device.
ON_DISK = """
import os, sys
sys.path[:] = ["host_tests"]
from sim import disk
from sim.chip import Board
from sim.flash import Flash
board = Board(Flash(os.stat({flash!r})[6], {flash!r}))
board.power_on()
with board:
    disk.mount("/device")
    os.chdir("/device")
{code}
    os.chdir("/")
    disk.unmount("/device")
"""


def build(version, main=None):
    files = {"boot.py": BOOT, "main.py": MAIN.replace("@VERSION@", version)}
    if main is not None:
        files["main.py"] = main
    return image.build(modules=files, version=version, length=20000)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A world with 1.0.0 and 2.0.0, and the folder around it, which `web` serves."""
    folder = tmp_path_factory.mktemp("worlds")
    made = worlds.World(folder / "base", 0x10000)
    for version in ("1.0.0", "2.0.0"):
        made.release(version, build(version))
    return made


@pytest.fixture(scope="module")
def ca():
    return servers.Ca()


@pytest.fixture(scope="module")
def web(base, ca, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    cert, key = ca.issue(folder / "tls", "localhost")
    with servers.nginx(folder, base.folder.parent, cert, key) as server:
        yield server


class Roof:
    """A provisioned device with its own repository."""

    def __init__(self, folder, world, micropython, repo):
        self.world = world
        self.seen = []
        self._micropython = micropython
        self._repo = repo
        self.flash = folder / "flash"
        self.board = Board(Flash(table.SMALL_SIZE, str(self.flash)))
        self.board.format(table.SMALL, build("1.0.0"))
        self.device = Supervisor(
            self.flash,
            micropython=micropython,
            frozen=[repo / "lib", repo / "boards" / "esp32"],
            on_line=self.seen.append,
        )

    def provision(self, url, **more):
        config = self.world.config([url], trial_s=TRIAL_S, **more)
        files = {"config.json": json.dumps(config).encode(), "root.json": self.world.root}
        files.update({"ca.der": self.ca} if "ca" in more else {})
        code = "os.mkdir('ota-state')\n"
        for name, content in files.items():
            code += f"with open('ota-state/{name}', 'wb') as f: f.write({content!r})\n"
        self.on_disk(code)

    def on_disk(self, code):
        """Run code in the device's file system."""
        indented = "".join(f"    {line}\n" for line in code.splitlines())
        script = ON_DISK.format(flash=str(self.flash), code=indented)
        done = subprocess.run(
            [self._micropython, "-X", "heapsize=4m", "-c", script],
            cwd=self._repo,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.split()

    def until(self, text):
        """Let the device live until its console has this text, then switch it off."""
        return self.device.run(until=lambda line: text in line, timeout=60)

    def arrives_at(self, version):
        """It runs this version, confirmed, and finds nothing else to do."""
        outcome = self.until("up to date")
        assert f"runs {version}" in outcome.lines, outcome.console
        states = [record[1] for record in self.board.otadata() if record]
        assert VALID in states and NEW not in states and PENDING not in states


@pytest.fixture
def bare(tmp_path, base, micropython, repo, request):
    """A Roof that has still to be provisioned; its world may be changed."""
    own = clone(base, base.folder.parent / tmp_path.name)
    return Roof(tmp_path, own, micropython, repo)


def url_of(roof, server):
    return f"{server}{roof.world.folder.name}/repository/"


@pytest.fixture
def roof(bare, web):
    bare.provision(url_of(bare, web.http))
    return bare


# A trial from which there is no escape

BROKEN = {
    "syntax": "1 +",
    "raises": "raise ValueError('broken')",
    "loops": "while True: pass",
    "repl": "print('done')",
    "socket": "import socket\ns = socket.socket()\n"
    "s.bind(socket.getaddrinfo('127.0.0.1', 0)[0][-1])\ns.listen(1)\ns.accept()",
    "never settles": "import asyncio\nasyncio.run(asyncio.sleep(1000))",
    "soft resets": "import machine, time\ntime.sleep(0.5)\nmachine.soft_reset()",
    "exits": "import sys, time\ntime.sleep(0.5)\nsys.exit()",
    "deep sleeps": "import machine\nmachine.deepsleep(200)",
    "sleeps when it fails": "import machine\ntry:\n  1 / 0\nexcept Exception:\n"
    "  machine.deepsleep(200)",
    "settles too late": "import ota, time\nupdater = ota.Updater.from_config()\ntime.sleep(1000)",
    "hangs when asked": MAIN.replace("lambda: True, within_s=30", "hang, within_s=-7").replace(
        "async def main", "def hang():\n    while True: pass\n\nasync def main"
    ),
}
OVER_SLEEP = ("soft resets", "exits", "deep sleeps", "sleeps when it fails")


@pytest.mark.slow
@pytest.mark.parametrize("how", BROKEN)
def test_broken_main_cannot_escape_its_trial(roof, how):
    roof.world.release("3.0.0", build("3.0.0", BROKEN[how]))
    outcome = roof.device.boot(timeout=60)
    assert (outcome.kind, outcome.running) == ("reset", "ota_0"), outcome.console
    ends = []
    while "watchdog" not in ends:
        outcome = roof.device.boot(timeout=30)
        assert outcome.running == "ota_1"
        ends.append(outcome.kind)
        assert len(ends) < 20
    assert len(ends) == 1 or how in OVER_SLEEP
    roof.world.release("4.0.0", build("4.0.0"))
    outcome = roof.device.boot(timeout=60)
    assert (outcome.kind, outcome.running) == ("reset", "ota_0"), outcome.console
    assert "runs 1.0.0" in outcome.lines
    assert "ended without a word" in outcome.console
    roof.arrives_at("4.0.0")


@pytest.mark.slow
def test_broken_main_is_tried_three_times_and_never_again(roof):
    roof.world.release("3.0.0", build("3.0.0", "raise ValueError"))
    ends = []
    while "killed" not in ends:
        ends.append(
            roof.device.boot(kill_when=lambda line: "not offered" in line, timeout=60).kind
        )
    assert ends == ["reset", "watchdog"] * 3 + ["killed"]
    assert "tried without success" in roof.seen[-1]


# Flash full of garbage


def garbage(seed, length):
    return random_bytes(seed, 0, length)


GARBAGE = {
    "noise": garbage(1, 0x10000),
    "zeros": bytes(0x10000),
    "header and noise": build("x")[:24] + garbage(2, 0xFFE8),
    "endless segments": b"\xe9\x10" + b"\xff" * 22 + garbage(3, 0x8000),
    "image with a broken end": build("x")[:-1] + b"\0",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", GARBAGE)
def test_spare_slot_full_of_garbage(roof, what):
    roof.board.put("ota_1", GARBAGE[what])
    roof.arrives_at("2.0.0")


RECORDS = {
    "noise": (garbage(4, 4096), garbage(5, 4096)),
    "zeros": (bytes(4096), bytes(4096)),
    "one of them noise": (entry(1, VALID), garbage(6, 4096)),
    "torn": (entry(1, VALID), entry(2, NEW)[:20]),
    "wrong crc": (entry(1, VALID), entry(9, NEW, crc=1)),
    "no such state": (entry(1, 77), None),
    "empty slot": (entry(2, VALID), None),
    "highest number": (entry(0xFFFFFFFD, VALID), None),
    "sequence zero": (entry(0, VALID, crc=crc_of(0)), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", RECORDS)
def test_otadata_full_of_garbage(roof, what):
    roof.board.set_otadata(*RECORDS[what])
    roof.arrives_at("2.0.0")


# A file system that is full, or not ours

VANDALS = {
    "emptied": "content = b''",
    "cut in half": "content = content[:len(content) // 2]",
    "without their end": "content = content[:-1]",
    "of others": 'content = b\'{"this": "is not yours"}\' * 9',
    "binary": "content = bytes(range(256)) * 3",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", VANDALS)
def test_files_of_the_store(roof, how):
    """All records and documents at once, of a device that has some of everything."""
    roof.arrives_at("2.0.0")
    roof.world.release("3.0.0", build("3.0.0"))
    names = roof.on_disk(
        "for name in os.listdir('ota-state'):\n"
        "    if name not in ('config.json', 'root.json'):\n"
        "        print(name)\n"
        "        with open('ota-state/' + name, 'rb') as f: content = f.read()\n"
        f"        {VANDALS[how]}\n"
        "        with open('ota-state/' + name, 'wb') as f: f.write(content)\n"
    )
    assert {"update.0", "update.1", "trust.0", "trust.1", "blocks"} <= set(names)
    roof.arrives_at("3.0.0")


@pytest.mark.slow
def test_store_that_is_gone(roof):
    roof.arrives_at("2.0.0")
    roof.on_disk(
        "for name in os.listdir('ota-state'):\n"
        "    if name not in ('config.json', 'root.json'): os.remove('ota-state/' + name)\n"
    )
    roof.world.release("3.0.0", build("3.0.0"))
    roof.arrives_at("3.0.0")


FILL = """
f = open('filler', 'wb')
try:
    while True:
        f.write(bytes(256)); f.flush()
except OSError:
    pass
try:
    f.close()
except OSError:
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before the first update", "later"])
def test_no_space_on_the_file_system(roof, when):
    if when == "later":
        roof.arrives_at("2.0.0")
        roof.world.release("3.0.0", build("3.0.0"))
    roof.on_disk(FILL)
    outcome = roof.until("StoreError")
    assert any(line.startswith("runs ") for line in outcome.lines)  # the application is up
    roof.on_disk("os.remove('filler')")
    roof.arrives_at("3.0.0" if when == "later" else "2.0.0")


# Servers


def honest(connection, folder):
    """Serve the files below `folder` until the client goes away."""
    while True:
        answer(connection, connection.request(), folder)


def answer(connection, request, folder):
    file = folder / request.path.lstrip("/")
    if file.is_file():
        connection.serve(file.read_bytes(), request)
    else:
        connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def server_for(roof, lie):
    """A server that plays `lie(connection)` until the device has complained, then is honest."""

    def script(connection):
        if any("Error: " in line for line in roof.seen):
            honest(connection, roof.world.repository)
        lie(connection)

    return servers.Liar(script)


PORTALS = {
    "page": "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n<html>Accept terms</html>\r\n",
    "redirect": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/login\r\n\r\n",
    "redirect to https": "HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\n\r\n",
    "511": "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", PORTALS)
def test_captive_portal(bare, kind):
    def portal(connection):
        while True:
            connection.request()
            connection.send(PORTALS[kind])

    with server_for(bare, portal) as server:
        bare.provision(server.url)
        bare.arrives_at("2.0.0")
    assert any("Error: " in line for line in bare.seen)


@pytest.mark.slow
def test_captive_portal_with_tls(bare, web, ca, tmp_path):
    """It has a certificate, but of another CA."""
    cert, key = servers.Ca("Portal").issue(tmp_path / "tls", "localhost")
    with servers.Liar(lambda connection: connection.hang(), cert, key) as server:
        bare.ca = ca.der
        bare.provision(server.url, ca="ca.der")
        bare.until("FetchError: certificate")


HANGS = {
    "says nothing": ("", None),
    "in the head of the timestamp": ("timestamp.json", b"HTTP/1.1 200 OK\r\nContent-Le"),
    "after the head of the timestamp": ("timestamp.json", b""),
    "in the image metadata": ("img-thermo.json", 300),
    "in the block list": (".blocks", 9),
    "in the image": ("firmware.bin", 5000),
}


@pytest.mark.slow
@pytest.mark.parametrize("where", HANGS)
def test_server_that_hangs(bare, where):
    suffix, how = HANGS[where]

    def hanging(connection):
        while True:
            request = connection.request()
            if not request.path.endswith(suffix):
                answer(connection, request, bare.world.repository)
                continue
            if how is not None:
                content = (bare.world.repository / request.path.lstrip("/")).read_bytes()
                start, end = request.range or (0, len(content))
                part = content[start:end]
                status = "200 OK"
                if request.range:
                    status = "206 Partial Content\r\n"
                    status += f"Content-Range: bytes {start}-{end - 1}/{len(content)}"
                head = f"HTTP/1.1 {status}\r\nContent-Length: {len(part)}\r\n\r\n".encode()
                if isinstance(how, bytes):
                    connection.send(how or head)
                else:
                    connection.send(head, part[:how])
            connection.hang()

    with server_for(bare, hanging) as server:
        bare.provision(server.url)
        bare.arrives_at("2.0.0")
    assert any(line.startswith("FetchError: ") for line in bare.seen)


# The clock

CLOCKS = {"1970": 10, "2000": Supervisor.UNSET, "2100": 4102444800}


@pytest.mark.slow
@pytest.mark.parametrize("year", CLOCKS)
def test_clock_is_blamed_and_once_set_the_device_goes_on(bare, web, ca, year):
    bare.ca = ca.der
    bare.provision(url_of(bare, web.https), ca="ca.der")
    bare.device.clock = CLOCKS[year]
    outcome = bare.until("ClockError")
    assert "runs 1.0.0" in outcome.lines
    assert year in outcome.lines[-1]
    bare.device.clock = None
    bare.device.power_off()
    bare.arrives_at("2.0.0")


@pytest.mark.slow
@pytest.mark.parametrize("year", ["1970", "2000"])
def test_clock_that_was_never_set_needs_no_setting_without_tls(roof, year):
    roof.device.clock = CLOCKS[year]
    roof.arrives_at("2.0.0")
