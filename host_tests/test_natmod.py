# SPDX-License-Identifier: MIT
"""The native module ota_ed25519, run: on emulated chips, and x64 in the unix port.

The same cases everywhere, and the same for the module that is compiled into a firmware. What is
tried is what is in the tree to be installed, which must be what the sources build.
"""

import contextlib
import hashlib
import importlib.util
import json
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import mpremote.mip
import pytest

import qemu
from native_module import CASES, KNOWN, SCRIPT, Device, try_everything, try_results
from raw_repl import ChildLine, DeviceError, RawRepl

# MP_NATIVE_ARCH_... of MicroPython's py/persistentcode.h.
ARCHITECTURES = {"x64": 2, "armv6m": 4, "armv7emsp": 7, "xtensawin": 10, "rv32imc": 11}
# armv7m, armv7em and armv7emdp: a Cortex-M takes code for those below it.
LESSER = {5: "armv6m", 6: "armv6m", 8: "armv7emsp"}
# The chip, and whose module it runs: its own, or that of a lesser one.
PAIRS = (
    ("unix", "x64"),
    ("usermod", None),
    ("armv6m", "armv6m"),
    ("armv7emsp", "armv6m"),
    ("armv7emsp", "armv7m"),
    ("armv7emsp", "armv7emsp"),
    ("rv32imc", "rv32imc"),
)


@pytest.fixture(scope="session")
def start(built):
    """start(chip): a context manager with a Device, its MicroPython freshly started."""

    @contextlib.contextmanager
    def unix(program):
        line = ChildLine([program, SCRIPT.with_name("raw_repl_server.py")])
        try:
            yield RawRepl(line)
        finally:
            line.close()

    @contextlib.contextmanager
    def start(chip):
        name = {"unix": "micropython"}.get(chip, f"micropython-{chip}")
        program = built(f"bin/{name}")
        runs = qemu.repl(chip, program) if chip in qemu.MACHINES else unix(program)
        with runs as repl:
            yield Device(repl.run)

    return start


@pytest.fixture(scope="module")
def get(repo):
    path = repo / "lib" / "ed25519" / "ota_ed25519_get.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules(built, repo, architecture):
    """Those to try: what is in the tree, and what this machine's compiler builds if it is another
    than the one that made that."""
    folder = repo / "lib" / "ed25519" / f"{architecture}_6.3"
    fresh = built(f"natmod/{architecture}/ota_ed25519.mpy")
    if not folder.exists():
        return [fresh.read_bytes()]
    kept = (folder / "ota_ed25519.mpy").read_bytes()
    if fresh.with_name("compiler.txt").read_text() == (folder / "compiler.txt").read_text():
        assert kept == fresh.read_bytes(), "not what the sources build: run `make natmod`"
        return [kept]
    return [kept, fresh.read_bytes()]


@pytest.mark.parametrize(("chip", "architecture"), PAIRS, ids=lambda name: name or "built-in")
def test_runs_on(chip, architecture, start, built, repo, get):
    for module in modules(built, repo, architecture) if architecture else (None,):
        with start(chip) as device:
            if module:
                device.put(module)
                wanted = get.folder(int(device.run("print(sys.implementation._mpy)")))
                assert wanted == f"{'x64' if chip == 'unix' else chip}_6.3"
            try_everything(device)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "armv7m"])
def test_is_what_the_sources_build(architecture, built, repo):
    assert modules(built, repo, architecture)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_is_for_the_architecture_of_its_folder(architecture, repo):
    module = repo / "lib" / "ed25519" / f"{architecture}_6.3" / "ota_ed25519.mpy"
    assert module.read_bytes()[:3] == bytes((*b"M\6", ARCHITECTURES[architecture] << 2 | 3))


def test_no_board_loads_a_module_of_another_architecture(start, repo):
    module = (repo / "lib" / "ed25519" / "armv7emsp_6.3" / "ota_ed25519.mpy").read_bytes()
    with start("armv6m") as device:
        device.put(module)
        with pytest.raises(DeviceError, match="incompatible"):
            device.run("import ota_ed25519")


# ---- getting it onto a board


@pytest.mark.parametrize(
    ("number", "architecture"),
    {**{number: name for name, number in ARCHITECTURES.items()}, **LESSER}.items(),
)
def test_the_folder_that_a_board_asks_for_exists(number, architecture, get, repo):
    folder = get.folder(6 | 3 << 8 | number << 10)
    assert folder == f"{architecture}_6.3"
    assert (repo / "lib" / "ed25519" / folder / "ota_ed25519.mpy").exists()


def test_the_flags_of_a_riscv_are_not_part_of_its_architecture(get):
    assert get.folder(6 | 3 << 8 | 11 << 10 | 1 << 16) == "rv32imc_6.3"


@pytest.mark.parametrize("number", [0, 1, 3, 9, 12, 15])
def test_an_architecture_without_a_build_is_told_so(number, get):
    with pytest.raises(NotImplementedError, match=r"for .+ in Python here"):
        get.folder(6 | 3 << 8 | number << 10)


@pytest.mark.parametrize("version", [(6, 2), (7, 3), (5, 3)])
def test_another_mpy_version_is_told_so(version, get):
    with pytest.raises(NotImplementedError, match=r"version %d\.%d" % version):
        get.folder(version[0] | version[1] << 8 | 4 << 10)


@contextlib.contextmanager
def serve(folder):
    """URL of a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def served(repo):
    """URL of the root folder."""
    with serve(repo) as url:
        yield url


class FolderTransport:
    """A folder of this machine in the place of a board's file system, for mpremote."""

    def __init__(self, folder):
        self.folder = folder

    def fs_exists(self, path):
        return (self.folder / path.lstrip("/")).exists()

    def fs_mkdir(self, path):
        (self.folder / path.lstrip("/")).mkdir()

    def fs_writefile(self, path, data, progress_callback=None):
        (self.folder / path.lstrip("/")).write_bytes(data)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", ["url", "folder"])
def test_mpremote_installs_a_folder(source, architecture, served, repo, tmp_path):
    path = f"lib/ed25519/{architecture}_6.3"
    package = f"{served}/{path}" if source == "url" else f"{repo / path}/package.json"
    mpremote.mip._install_package(
        FolderTransport(tmp_path), package, index="", target="/lib", version=None, mpy=True
    )
    installed = tmp_path / "lib" / "ota_ed25519.mpy"
    assert installed.read_bytes() == (repo / path / "ota_ed25519.mpy").read_bytes()


def test_packages_are_of_the_version_of_the_project(repo):
    wanted = json.loads((repo / "package.json").read_text())["version"]
    packages = sorted((repo / "lib" / "ed25519").rglob("package.json"))
    assert len(packages) == len(ARCHITECTURES) + 1
    assert {json.loads(path.read_text())["version"] for path in packages} == {wanted}


@pytest.fixture
def install(micropython, built, tmp_path):
    """Runs `ota_ed25519_get.install` on a board whose library folder is tmp_path, then more."""
    libraries = built("src/micropython") / "lib" / "micropython-lib"
    mip = next(libraries.glob("*/mip")), next(libraries.glob("*/requests"))

    def install(base, more=""):
        program = f"ota_ed25519_get.install({base!r}, {str(tmp_path)!r})\n{more}"
        return subprocess.run(
            [micropython, "-c", f"import ota_ed25519_get\n{program}"],
            env={"MICROPYPATH": ":".join(map(str, (".frozen", tmp_path, *mip)))},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return install


def test_a_board_installs_what_fits_it(served, install, tmp_path):
    mpremote.mip._install_package(
        FolderTransport(tmp_path), f"{served}/lib/ed25519", "", "/", version=None, mpy=True
    )
    case = KNOWN[0]
    verify = f"ota_ed25519.verify({case.key}, {case.message}, {case.signature})"
    for _ in range(2):
        done = install(f"{served}/lib/ed25519", f"import ota_ed25519\nprint({verify})")
        assert done.stdout.splitlines()[-1:] == ["True"], done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ota_ed25519.mpy",
        "ota_ed25519_get.py",
    ]


@pytest.mark.parametrize("damage", ["cut short", "another", "none"])
def test_a_board_installs_nothing_else(install, repo, built, tmp_path, damage):
    """Half a module would stop a board at its start, another one could accept any signature."""
    source = repo / "lib" / "ed25519"
    shutil.copy(source / "ota_ed25519_get.py", tmp_path)
    (tmp_path / "ota_ed25519.mpy").write_text("the old one")
    folder = tmp_path / "served" / "x64_6.3"
    folder.mkdir(parents=True)
    module = (source / "x64_6.3" / "ota_ed25519.mpy").read_bytes()
    if damage != "none":
        changed = module[:3000] if damage == "cut short" else bytes([*module[:-1], module[-1] ^ 1])
        (folder / "ota_ed25519.mpy").write_bytes(changed)
    with serve(tmp_path / "served") as base:
        done = install(base)
    assert "OSError: not the ota_ed25519.mpy that belongs" in done.stderr
    assert (tmp_path / "ota_ed25519.mpy").read_text() == "the old one"


def test_digests_are_those_of_the_modules_in_git(repo, get):
    found = {
        path.parent.name.removesuffix("_6.3"): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in repo.glob("lib/ed25519/*_6.3/ota_ed25519.mpy")
    }
    assert found == get._SHA256, "run `make natmod`"


# ---- would the test notice?

SOUND = """
from ota.trust.ed25519 import Verifier
from ota.trust.sha512 import Sha512

def verify(key, message, signature):
    check = Verifier(key, signature)
    check.update(message)
    return check.ok()

class sha512:
    def __init__(self, data=b""):
        self.data = data
    def update(self, data):
        self.data += data
    def digest(self):
        return Sha512(self.data).digest()
"""
UNSOUND = {
    "accepts": ("return check.ok()", "return True"),
    "refuses": ("return check.ok()", "return check.ok() and False"),
    "truthy": ("return check.ok()", "return int(check.ok())"),
    "pieces": ("check.update(message)", "check.update(message[:255])"),
    "digest": ("Sha512(self.data)", "Sha512(self.data[:128])"),
}


@pytest.mark.parametrize("change", [None, *UNSOUND.values()], ids=["sound", *UNSOUND])
def test_an_unsound_module_is_noticed(change, start, mpy_cross, tmp_path):
    source, result = tmp_path / "module.py", tmp_path / "module.mpy"
    assert not change or SOUND.count(change[0]) == 1
    source.write_text(SOUND.replace(*change) if change else SOUND)
    subprocess.run([mpy_cross, "-o", result, source], check=True)
    with start("unix") as device:
        device.run("sys.path.append('lib')")
        device.put(result.read_bytes())
        with pytest.raises(AssertionError) if change else contextlib.nullcontext():
            try_results(device, [*KNOWN[:4], *CASES[30:34]])
