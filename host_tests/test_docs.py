# SPDX-License-Identifier: MIT
"""What the documents say is so: files exist, examples run, lists are complete."""

import json
import re
import threading
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sim import image, table
from sim.chip import Board
from sim.flash import Flash
from sim.supervisor import Supervisor
from world import World

DOCUMENTS = ("README.md", "CHANGELOG.md", "docs/DESIGN.md", "docs/SPEC.md", "docs/THREATS.md",
             "docs/PORTING.md", "docs/CLI.md", "docs/API.md", "docs/SERVERS.md",
             "examples/README.md")  # fmt: skip


def code(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(repo, name):
    text = (repo / name).read_text()
    folder = (repo / name).parent
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (folder / link).exists(), link
    for path in re.findall(r"`((?:host_tests|lib|boards|tools|examples)/[\w./-]+)`", text):
        assert (repo / path).exists(), path


def test_tests_that_threats_names_exist(repo):
    sources = "".join(path.read_text() for path in (repo / "host_tests").rglob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", (repo / "docs" / "THREATS.md").read_text())
    assert len(names) > 50
    defined = set(re.findall(r"def (test_\w+)", sources))
    assert sorted(set(names) - defined) == []


def test_package_lists_the_device_library(repo):
    package = json.loads((repo / "package.json").read_text())
    listed = {source: target for target, source in package["urls"]}
    files = {path.relative_to(repo).as_posix() for path in (repo / "lib" / "ota").rglob("*.py")}
    files -= {"lib/ota/ports.py", "lib/ota/image/inflate_zlib.py"}  # words; for CPython alone
    assert set(listed) == files | {"boards/esp32/ota_esp32.py"}
    for source, target in listed.items():
        assert target == re.sub(r"^(lib|boards/esp32)/", "", source)


def test_versions_agree(repo):
    import ota

    package = json.loads((repo / "package.json").read_text())
    project = re.search(r'^version = "(.*)"', (repo / "pyproject.toml").read_text(), re.MULTILINE)
    assert ota.__version__ == package["version"] == project[1]
    assert ota.__version__ in (repo / "CHANGELOG.md").read_text()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def serve():
    """serve(folder) -> base URL"""
    with ExitStack() as stack:

        def start(folder):
            handler = partial(Quiet, directory=str(folder))
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/"

        yield start


def test_example_of_the_readme_runs(repo, micropython, tmp_path, serve):
    """Both files as printed, on a device that runs what is released."""
    boot, main = code((repo / "README.md").read_text(), "python")
    app = "import asyncio\nasync def run(works):\n    print('at work')\n    works.set()\n"
    app += "    await asyncio.sleep(99)\n"
    running = image.build(modules={"boot.py": boot, "main.py": main, "app.py": app})
    world = World(tmp_path / "repo", 0x10000)
    world.release("1.0.0", running)
    config = json.dumps(world.config([serve(world.repository)]))
    provision = "import os\nos.mkdir('/ota-state')\n"
    for name, content in (("config.json", config.encode()), ("root.json", world.root)):
        provision += f"with open('/ota-state/{name}', 'wb') as f: f.write({content!r})\n"

    flash = tmp_path / "flash"
    board = Board(Flash(table.SMALL_SIZE, str(flash)))
    board.format(table.SMALL, image.build(modules={"main.py": provision}))
    device = Supervisor(
        flash, micropython=micropython, frozen=[repo / "lib", repo / "boards" / "esp32"]
    )
    assert device.boot().kind == "idle"
    board.put("ota_0", running)
    outcome = device.boot(kill_when=lambda line: "up to date" in line or "Error" in line)
    assert outcome.lines == ["at work", "up to date"]
