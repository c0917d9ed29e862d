# SPDX-License-Identifier: MIT
"""What the documents say is so: files exist, examples run, lists are complete."""

import json
import re
import shutil
import threading
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

import app_world
from mpota import library
from sim import image, table
from sim.chip import Board
from sim.flash import Flash
from sim.supervisor import Supervisor
from world import World

DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    *(f"docs/{name}.md" for name in ("DESIGN", "SPEC", "THREATS", "PORTING", "CLI", "SERVERS")),
    "docs/API.md",
    *(f"boards/{name}/README.md" for name in ("app", "esp32", "rp2040")),
    "examples/README.md",
    "examples/board_template/README.md",
    "lib/ed25519/README.md",
)


def code(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(repo, name):
    text = (repo / name).read_text()
    folder = (repo / name).parent
    for link in re.findall(r"\]\(\s*(?!https?:)([^)#]+)\)", text):
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


def test_readme_prints_what_starts_applications(repo):
    boot = code((repo / "README.md").read_text(), "python")[1]
    file = (repo / "boards" / "app" / "boot.py").read_text()
    assert boot == file.partition("\n")[2]


def test_example_of_the_readme_runs(repo, micropython, run_micropython, tmp_path, serve):
    """As printed, in a tree of a board with stock firmware that runs what is released."""
    text = (repo / "README.md").read_text()
    work = "import asyncio\nasync def run(works):\n    print('at work')\n    works.set()\n"
    work += "    await asyncio.sleep(99)\n"
    files = {f"lib/{n}": p.read_bytes() for n, p in library.sources(esp32=False).items()}
    files["main.py"], files["app.py"] = code(text, "python")[0].encode(), work.encode()
    world = World(tmp_path / "repo", 0, app="display")
    world.release_app("1.0.0", files)

    content = tmp_path / "content"
    app_world.write_tree(content / "ota-app" / "a", files)
    (content / "boot.py").write_text(code(text, "python")[1])
    shutil.copy(repo / "boards" / "app" / "main.py", content)
    (content / "ota-state").mkdir()
    config = world.config([serve(world.repository)])
    (content / "ota-state" / "config.json").write_text(json.dumps(config))
    (content / "ota-state" / "root.json").write_bytes(world.root)
    flash = tmp_path / "flash"
    rows = (*table.FACTORY_4M[:3], (table.DATA, 0x81, 0x200000, 0x100000, "vfs"))
    Board(Flash(0x300000, str(flash))).format(rows, image.build())
    done = run_micropython(micropython, "host_tests/mp/fill_flash.py", flash, content)
    assert done.returncode == 0, done.stderr

    device = Supervisor(flash, micropython=micropython)
    outcome = device.boot(kill_when=lambda line: "up to date" in line or "Error" in line)
    assert outcome.lines == ["at work", "up to date"]
