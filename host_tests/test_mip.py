# SPDX-License-Identifier: MIT
"""`mpremote mip install` of the packages in this repository, with mpremote's own code.

From a folder, from a web server, and from GitHub as mpremote spells it: all that is installed
comes from the fork and the tag that were named. Real MicroPython then runs it.
"""

import importlib.util
import io
import json
import subprocess
import threading
import urllib.error
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mpremote import mip

VERIFIERS = [f"lib/ed25519/{arch}_6.3" for arch in
             ("armv6m", "armv7emsp", "rv32imc", "xtensawin", "x64")]  # fmt: skip
PACKAGES = ["", "mpy", "lib/ed25519", *VERIFIERS]

# Every module that has no board under it can be imported, and the lazy names are there.
TRY = """
import ota
for name in ("updater", "trial", "wiring", "watch", "settings", "running", "trust.client",
             "image.tree", "image.install", "adapters.http", "adapters.ntp", "adapters.store",
             "adapters.appdir", "adapters.folder"):
    __import__("ota." + name)
print(ota.Updater.__name__, ota.StateError.__name__, ota.__version__)
"""


class Board:
    """mpremote's transport, with a folder of this computer as the file system of a board."""

    def __init__(self, folder):
        self.folder = folder
        self.written = []

    def _path(self, path):
        assert path.startswith("/lib/") or path == "/lib", path
        return self.folder / path.lstrip("/")

    def fs_exists(self, path):
        return self._path(path).exists()

    def fs_mkdir(self, path):
        self._path(path).mkdir()

    def fs_writefile(self, path, data, progress_callback=None):
        self._path(path).write_bytes(data)
        self.written.append(path)


@pytest.fixture
def board(tmp_path):
    (tmp_path / "lib").mkdir()
    return Board(tmp_path)


def install(board, package, version=None):
    mip._install_package(board, package, "https://index.invalid", "/lib", version, True)


def is_the_library(board, micropython):
    """What was installed is the library of this checkout, and real MicroPython runs it."""
    done = subprocess.run(
        [micropython, "-c", TRY],
        env={"MICROPYPATH": f".frozen:{board.folder}/lib"},
        cwd=board.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    import ota

    assert done.stdout == f"Updater StateError {ota.__version__}\n", done.stderr


@pytest.fixture
def served(repo):
    handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_message": lambda *args: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(repo)))
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("package", ["", "mpy"])
def test_from_a_folder(repo, board, any_micropython, package):
    install(board, str(repo / package / "package.json"))
    is_the_library(board, any_micropython)
    endings = {path.rpartition(".")[2] for path in board.written}
    assert "/lib/ota_esp32." + ("mpy" if package else "py") in board.written
    assert endings == ({"mpy", "py"} if package else {"py"})


@pytest.mark.parametrize("package", ["", "mpy"])
def test_from_a_web_server(served, board, micropython, package):
    install(board, f"{served}/{package}")
    is_the_library(board, micropython)


@pytest.fixture
def github(repo, monkeypatch):
    """Plays raw.githubusercontent.com for this checkout; returns the URLs that were asked for."""
    asked = []

    def urlopen(url):
        asked.append(url)
        prefix = "https://raw.githubusercontent.com/acme/fork/v9/"
        path = repo / url.removeprefix(prefix)
        # A path that climbs is none there.
        if not url.startswith(prefix) or ".." in url or not path.is_file():
            raise urllib.error.HTTPError(url, 404, "Not Found", None, None)
        return io.BytesIO(path.read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


@pytest.mark.parametrize("package", PACKAGES)
def test_from_a_fork_and_a_tag_on_github(repo, board, github, package):
    """Every file is the fork's, and of that tag: nothing names another place or version."""
    install(board, f"github:acme/fork/{package}".rstrip("/"), "v9")
    assert len(github) == len(board.written) + 1
    for path in board.written:
        assert (board.folder / path.lstrip("/")).stat().st_size > 0 or path.endswith("__init__.py")


def test_files_of_the_packages_are_in_git(repo):
    """Compiled files are ignored elsewhere; here a clone has to bring them along."""
    if not (repo / ".git").exists():
        return  # an unpacked archive of the repository: what is there came with it
    command = ["git", "-C", str(repo), "ls-files"]
    tracked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    for package in PACKAGES:
        folder = repo / package
        for _, source in json.loads((folder / "package.json").read_text())["urls"]:
            assert (folder / source).relative_to(repo).as_posix() in tracked


def test_native_verifier_is_found_beside_the_library(repo, board, micropython):
    install(board, str(repo / "package.json"))
    install(board, str(repo / "lib/ed25519/x64_6.3/package.json"))
    code = "from ota.trust.keys import native; print(bool(native))"
    done = subprocess.run(
        [micropython, "-c", code],
        env={"MICROPYPATH": f".frozen:{board.folder}/lib"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_packages_are_what_would_be_built(repo, mpy_cross, monkeypatch):
    """Fails after a change of the library: run `make packages`."""
    monkeypatch.setenv("MPY_CROSS", str(mpy_cross))
    path = repo / "tools" / "setup" / "mip_packages.py"
    spec = importlib.util.spec_from_file_location("mip_packages", path)
    packages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packages)
    fresh = packages.trees()
    files = [path for path in (repo / "mpy").rglob("*") if path.is_file()]
    kept = {path.relative_to(repo).as_posix(): path.read_bytes()
            for path in [repo / "package.json", *files]}  # fmt: skip
    assert sorted(fresh) == sorted(kept), "run: make packages"
    # Another compiler makes other bytes of the same source: then only the lists are compared.
    same = fresh["mpy/compiler.txt"] == kept["mpy/compiler.txt"]
    for name, content in fresh.items():
        if same or name.endswith((".json", ".py")):
            assert kept[name] == content, f"{name}: run make packages"
