# SPDX-License-Identifier: MIT
"""The examples run as they are, on real MicroPython and a simulated board, with a real server.

Each one is updated by its own code to a second release of itself, and gives up a bad third one.
Those with Wi-Fi have a radio that is stricter than any board's (air/network.py).
"""

import contextlib
import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import servers
from mpota.publish import publish
from mpota.repository import open_repository
from sim import image, table
from sim.chip import Board
from sim.flash import Flash
from sim.supervisor import Supervisor
from world import World

GUARD = "import ota; ota.guard()\n"
SLOT = 0x10000
# Said at the start by what is released, besides what the example says for itself.
SAYS = "print('this is {}')\n"


class Slow(BaseHTTPRequestHandler):
    """A static server whose images take a second or so: time for something to happen."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, *args):
        pass

    def do_GET(self):
        file = self.folder / self.path.lstrip("/")
        if not file.is_file():
            return self.send_error(404)
        content = file.read_bytes()
        span = self.headers.get("Range")
        if span:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            if file.suffix == ".bin":
                time.sleep(0.06)
        return None


@pytest.fixture
def shelf(tmp_path, micropython, repo):
    """A board that runs an example, and the server with its releases."""
    handler = type("Handler", (Slow,), {"folder": tmp_path / "repo" / "repository"})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Shelf(tmp_path, micropython, repo, server)
        server.shutdown()


class Shelf:
    def __init__(self, folder, micropython, repo, server):
        self._folder = folder
        self._micropython = micropython
        self._repo = repo
        self.url = f"http://127.0.0.1:{server.server_port}/"
        self.handler = server.RequestHandlerClass
        self.world = World(folder / "repo", SLOT)
        self._board = Board(Flash(table.SMALL_SIZE, str(folder / "flash")))
        self._files = {}

    def image(self, name, says="", **changes):
        """Return an image of the example with `says` before it; `changes`: of its files."""
        files = {**self._files, **changes}
        files["main.py"] = SAYS.format(name) + says + files["main.py"]
        return image.build(length=60_000, version=name, modules={"boot.py": GUARD, **files})

    def take(self, example, replace=(), tries=None):
        """Provision a board with 1.0.0 of the example. Return its Supervisor."""
        for path in (self._repo / "examples" / example).glob("*.py"):
            self._files[path.name] = path.read_text()
        for old, new in replace:
            assert old in self._files["main.py"]
            self._files["main.py"] = self._files["main.py"].replace(old, new)
        frozen = [self._repo / "lib", self._repo / "boards" / "esp32"]
        if tries:
            frozen.append(self._repo / "host_tests" / "air")
            air = f"SSID = 'ssid'\nPASSWORD = 'password'\nTRIES = {tries!r}\n"
            (self._folder / "air").mkdir()
            (self._folder / "air" / "air.py").write_text(air)
            frozen.append(self._folder / "air")
        first = self.image("1.0.0")
        self.world.release("1.0.0", first)
        files = {
            "config.json": json.dumps(self.world.config([self.url])).encode(),
            "root.json": self.world.root,
            "wifi.json": json.dumps({"ssid": "ssid", "password": "password"}).encode(),
        }
        provision = "import os\nos.mkdir('/ota-state')\n"
        for name, content in files.items():
            provision += f"with open('/ota-state/{name}', 'wb') as f: f.write({content!r})\n"
        self._board.format(table.SMALL, image.build(modules={"main.py": provision}))
        device = Supervisor(self._folder / "flash", micropython=self._micropython, frozen=frozen)
        assert device.boot(timeout=20).lines == []
        self._board.put("ota_0", first)
        return device

    def release(self, version, **changes):
        self.world.release(version, self.image(version, **changes))


def until(text):
    return lambda line: text in line or "Traceback" in line


def seen(outcome, *texts):
    """These texts are on the console, in this order."""
    at = 0
    for text in texts:
        found = [n for n, line in enumerate(outcome.lines[at:], at) if text in line]
        assert found, (text, outcome.console.replace("at work\n", ""))
        at = found[0] + 1
    assert "Traceback" not in outcome.console


def test_minimal(shelf):
    device = shelf.take("minimal")
    outcome = device.boot(timeout=20, kill_when=until("up to date"))
    seen(outcome, "this is 1.0.0", "at work", "up to date")
    shelf.release("2.0.0")
    device.power_off()
    outcome = device.boot(timeout=20)
    assert outcome.kind == "reset"
    seen(outcome, "this is 1.0.0", "at work", "ready")
    outcome = device.boot(timeout=20, kill_when=until("up to date"))
    seen(outcome, "this is 2.0.0", "at work", "up to date")
    device.power_off()
    seen(device.boot(timeout=20, kill_when=until("at work")), "this is 2.0.0")


def test_minimal_gives_up_a_bad_release(shelf):
    device = shelf.take("minimal")
    main = shelf._files["main.py"].replace("return True", "return False")
    shelf.release("2.0.0", **{"main.py": main})
    assert device.boot(timeout=20).kind == "reset"
    outcome = device.boot(timeout=20)
    assert outcome.kind == "reset" and outcome.lines == ["this is 2.0.0"]
    outcome = device.boot(timeout=20, kill_when=until("not offered"))
    seen(outcome, "this is 1.0.0", "not offered: rejected")


def test_minimal_from_a_server_without_folders(shelf, tmp_path):
    """As on GitHub Releases: what `publish --flat` writes is what a #flat base URL asks for."""
    shelf.url += "#flat"
    flat = tmp_path / "repo" / "flat"
    shelf.handler.folder = flat
    device = shelf.take("minimal")
    shelf.release("2.0.0")
    publish(open_repository(shelf.world.workspace), flat, flat=True)
    assert not [path for path in flat.iterdir() if path.is_dir()]
    outcome = device.boot(timeout=20)
    assert outcome.kind == "reset"
    seen(outcome, "this is 1.0.0", "ready")
    seen(device.boot(timeout=20, kill_when=until("up to date")), "this is 2.0.0")


def ask(port):
    """Return the page, and how long it took."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        page = b""
        while piece := client.recv(4096):
            page += piece
    return page.decode(), time.monotonic() - begin


class Visitor:
    """Asks again and again while something else happens; `pages` is what it was given."""

    def __init__(self, port):
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.pages = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._thread.join()

    def _visit(self):
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                self.pages.append(ask(self._port))
            time.sleep(0.02)


def test_async_app_serves_while_it_downloads(shelf):
    port = servers.free_port()
    device = shelf.take("async_app", replace=[("PORT = 8080", f"PORT = {port}")])
    shelf.release("2.0.0")
    with Visitor(port) as visitor:
        outcome = device.boot(timeout=20)
    assert outcome.kind == "reset"
    seen(outcome, "this is 1.0.0", "downloading", "ready")
    during = [seconds for page, seconds in visitor.pages if "update downloading" in page]
    assert len(during) > 5 and max(during) < 1, during
    # On trial it serves too, and its first page is what confirms it.
    with Visitor(port) as visitor:
        outcome = device.boot(timeout=20, kill_when=until("up to date"))
    seen(outcome, "this is 2.0.0", "up to date")
    assert "version 2.0.0" in visitor.pages[-1][0]
    device.power_off()
    seen(device.boot(timeout=20, kill_when=until("up to date")), "this is 2.0.0")


def test_battery_never_sleeps_on_the_way_into_a_new_release(shelf):
    device = shelf.take("battery", tries=["up"])
    outcome = device.boot(timeout=20)
    assert (outcome.kind, outcome.sleep_ms) == ("sleep", 6 * 3600 * 1000)
    seen(outcome, "this is 1.0.0", "measured", "up to date")
    shelf.release("2.0.0")
    outcome = device.boot(timeout=20)
    assert outcome.kind == "reset"
    seen(outcome, "this is 1.0.0", "ready")
    outcome = device.boot(timeout=20)
    assert outcome.kind == "sleep"
    seen(outcome, "this is 2.0.0", "up to date")
    # Power fails while it sleeps: kept is kept.
    device.power_off()
    outcome = device.boot(timeout=20)
    assert outcome.kind == "sleep"
    seen(outcome, "this is 2.0.0")


def test_battery_goes_back_from_a_release_that_cannot_measure(shelf):
    device = shelf.take("battery", tries=["up"])
    main = shelf._files["main.py"].replace("    return 3.9", "    raise OSError(5)")
    shelf.release("2.0.0", **{"main.py": main})
    # It ends at the REPL, as any error does, and the watchdog would end that, or somebody turns it
    # off; the third such end is the last.
    for kind in ("reset", "reset", "reset", "sleep"):
        outcome = device.boot(timeout=20)
        assert outcome.kind == kind
        seen(outcome, "this is 1.0.0")
        if kind == "reset":
            outcome = device.boot(timeout=20, kill_when=lambda line: "OSError" in line)
            assert outcome.lines[0] == "this is 2.0.0" and outcome.kind == "killed"
            device.power_off()
    seen(outcome, "not offered")


def test_battery_without_network_or_charge_sleeps(shelf):
    device = shelf.take(
        "battery", [("NETWORK_WITHIN_S = 15", "NETWORK_WITHIN_S = 1")], tries=["nobody"]
    )
    outcome = device.boot(timeout=20)
    assert outcome.kind == "sleep"
    seen(outcome, "this is 1.0.0", "no network")


def test_battery_that_is_low_declines(shelf):
    device = shelf.take("battery", [("return 3.9", "return 3.5")], tries=["up"])
    shelf.release("2.0.0")
    outcome = device.boot(timeout=20)
    assert outcome.kind == "sleep"
    seen(outcome, "this is 1.0.0", "declined")


def test_pico_w_gets_into_the_network_again_and_again(shelf):
    tries = ["wrong password", "raises", "lost", "up"]
    fast = [("connecting =", "wifi._CONNECT_S = wifi._LOOK_S = 1; connecting =")]
    device = shelf.take("pico_w", fast, tries=tries)
    outcome = device.boot(timeout=20, kill_when=lambda line, ups=[]: ups.append(line) or (
        sum("wifi: up" in up for up in ups) == 2 or "Traceback" in line
    ))  # fmt: skip
    seen(outcome, "at work", "wifi: not up, status -3", "wifi: Wifi", "wifi: not up",
         "wifi: up", "wifi: lost", "wifi: up")  # fmt: skip
    # It worked all the time.
    lost = next(n for n, line in enumerate(outcome.lines) if "lost" in line)
    assert outcome.lines[:lost].count("at work") > 3


def test_pico_w_is_updated(shelf):
    device = shelf.take("pico_w", tries=["up"])
    shelf.release("2.0.0")
    outcome = device.boot(timeout=20)
    assert outcome.kind == "reset"
    seen(outcome, "this is 1.0.0", "wifi: up", "ready")
    outcome = device.boot(timeout=20, kill_when=until("up to date"))
    seen(outcome, "this is 2.0.0", "wifi: up", "up to date")


def test_examples_are_applications_as_they_stand(repo, mpy_cross, tmp_path):
    """Every file compiles, and every folder would be released: see `mpota release FOLDER`."""
    from mpota import app

    for folder in ("minimal", "async_app", "battery", "pico_w"):
        files = {p.name: p.read_bytes() for p in (repo / "examples" / folder).iterdir()}
        assert "main.py" in files
        assert app.file_list(files)
    assert shutil.which(mpy_cross)
