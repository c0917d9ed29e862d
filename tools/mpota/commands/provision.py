# SPDX-License-Identifier: MIT
"""Put library, trusted root, configuration and a first application onto a device.

DEVICE is a board at a cable: `auto` for the only one, a serial port, socket://host:port; or a
folder that becomes the device's file system. A board is asked what it is: where its firmware
cannot be updated, its application is. It gets the one of --app-folder, or a small one that only
updates itself. The clock is set, and the board is reset at the end.

Doing it again finishes what was interrupted, brings the library up to date and leaves alone what
is yours: boot.py, main.py, the application, a changed configuration, another trusted root. The
exit code is 1 if that is not what the options ask for; --force replaces it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpota.commands import common

if TYPE_CHECKING:
    from mpota import provision
    from mpota.board import Board
    from mpota.probe import Found
    from mpota.workspace import Board as BoardKind
    from mpota.workspace import Workspace

EXAMPLE = "mpota provision --app panel --app-folder ./app --wifi workshop"
WIFI_ENV = "MPOTA_WIFI_PASSWORD"
_NTP = "pool.ntp.org"
_TRIAL_S = 300  # time for an application to come up and prove itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "device",
        metavar="DEVICE",
        nargs="?",
        default="auto",
        help="board at a cable, or folder of the device (%(default)s)",
    )
    common.add_where(parser)
    parser.add_argument(
        "--app",
        metavar="NAME",
        help="product of its applications (the first of the repository, where the board cannot"
        " update its firmware)",
    )
    parser.add_argument(
        "--app-folder",
        metavar="FOLDER",
        type=Path,
        help="the first application (one that only updates itself)",
    )
    parser.add_argument(
        "--board", metavar="NAME", help="board (as it says; for a folder the first one)"
    )
    parser.add_argument(
        "--wifi",
        metavar="SSID",
        help=f"network to join; its password comes from {WIFI_ENV} or is asked for",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        action="append",
        help="where updates are; repeatable, tried in order. Without it: this computer, port 8443,"
        " as `publish --serve` without --port serves",
    )
    parser.add_argument(
        "--ca", metavar="FILE", type=Path, help="CA of the server, PEM or DER (development CA)"
    )
    parser.add_argument(
        "--ntp",
        metavar="HOST",
        help="time server that it asks, or none (at a cable pool.ntp.org: after a power cut most"
        " boards do not know the time, and TLS has to)",
    )
    parser.add_argument(
        "--group", metavar="NAME", action="append", default=[], help="group; repeatable"
    )
    parser.add_argument(
        "--trial",
        metavar="SECONDS",
        type=common.seconds,
        default=_TRIAL_S,
        help="length of a trial (%(default)s)",
    )
    parser.add_argument(
        "--mpy",
        action=argparse.BooleanOptionalAction,
        help="compile the library with mpy-cross (at a cable: if there is one)",
    )
    parser.add_argument(
        "--frozen",
        action="store_true",
        help="write a module into DEVICE, for a firmware to freeze, that stands in for the files",
    )
    parser.add_argument("--force", action="store_true", help="replace what is yours as well")
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be done, change nothing there"
    )


def run(args: argparse.Namespace) -> None:
    from mpota import board, names, provision
    from mpota.errors import UsageError
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    if args.frozen and (args.dry_run or args.force or args.mpy):
        raise UsageError("--frozen writes one file and takes no such option", args.device)
    for url in args.url or ():
        names.base_url(url)
    if args.url and args.ca is None:
        raise UsageError("no CA for these URLs", args.url[0], "give --ca")
    wifi = (args.wifi, _wifi_password(args.wifi)) if args.wifi is not None else None
    if not board.is_cable(args.device):
        _provision(args, workspace, provision.Folder(Path(args.device)), wifi)
        return
    if args.frozen:
        raise UsageError("--frozen writes into a folder", args.device)
    with board.connect(args.device) as there:
        _provision_board(args, workspace, there, wifi)


def _provision_board(
    args: argparse.Namespace, workspace: Workspace, there: Board, wifi: tuple[str, str] | None
) -> None:
    from mpota import names, probe, provision

    found = probe.probe(there)
    for line in _about(found):
        common.talk(args, line)
    done = False
    try:
        if not args.dry_run:
            there.set_clock(names.utc_now())
        _provision(args, workspace, provision.Cable(there), wifi, found)
        done = True
    finally:
        if done and not args.dry_run:
            there.reset()
        else:
            there.resume()


def _about(found: Found) -> list[str]:
    flash = f"{found.fs or 'file system'} {found.fs_size // 1024} KB, {found.fs_free // 1024} free"
    lines = [
        f"{found.port}: {found.name} ({found.machine}), MicroPython {found.version}, {flash}",
        f"possible updates: {found.possible()}",
    ]
    if found.frozen:
        lines.append(f"ota {found.frozen} is frozen in its firmware")
    if not found.network:
        lines.append("no network in its firmware: updates come by mpota push")
    return lines


def _provision(
    args: argparse.Namespace,
    workspace: Workspace,
    place: provision.Place,
    wifi: tuple[str, str] | None,
    found: Found | None = None,
) -> None:
    from dataclasses import asdict

    from mpota import devtls, names, provision
    from mpota.errors import MpotaError
    from mpota.serve import DEFAULT_PORT
    from mpota.workspace import Board, add_board, known_board

    with workspace.lock():
        if found is None:
            name = workspace.board(args.board)
            kind = workspace.settings.boards.get(name) or known_board(name) or Board()
        else:
            name = args.board or found.name
            kind = found.kind
            _check_kind(workspace, name, kind, found)
            if not args.dry_run:
                workspace = add_board(workspace, name, kind)
        product, app_product = _products(args, workspace, kind, found)
        ca = args.ca
        if ca is None:
            ca = devtls.ensure(workspace.tls, devtls.own_names(), names.utc_now()).ca_pem
        frozen = kind.chip == "rp2040" and kind.slot > 0
        if found is not None:
            frozen = found.frozen is not None
        wanted = provision.Wanted(
            product=product,
            app=app_product,
            board=name,
            channel=args.channel,
            urls=args.url or [f"https://{devtls.own_address()}:{DEFAULT_PORT}/"],
            ca=devtls.to_der(ca),
            groups=args.group,
            utc=names.time_text(names.utc_now()),
            trial_s=args.trial,
            mpy=_compiles(args, found),
            frozen=frozen,
            ntp=_ntp(args, found),
            wifi=wifi,
            tree=_tree(args, kind, found, frozen) if app_product else {},
            arch=kind.arch if found else "",
        )
        if args.frozen:
            actions = [provision.factory(workspace, Path(args.device), wanted)]
        else:
            actions = provision.provision(
                workspace, place, wanted, force=args.force, dry_run=args.dry_run
            )
    kept = {action.path for action in actions if action.what == "keep"}
    config = provision.config_of(wanted)
    unmet = []  # what was asked for and is otherwise in what was kept
    if provision.CONFIG in kept:
        config, asked = provision.read_config(place), config
        unmet = [name for name in _given(args) if config.get(name) != asked.get(name)]
    if provision.CA in kept and args.ca is not None:
        unmet.append("ca")
    urls = config.get("urls")
    urls = urls if isinstance(urls, list) else []
    for action in actions:
        if action.what == "keep":
            if unmet and action.path in (provision.CONFIG, provision.CA):
                continue  # the failure says it
            if action.why == provision.HAS_APP and not args.app_folder:
                continue  # nobody asked for another one
            common.warn(f"left alone: {place.name}/{action.path}; {action.why}")
        elif args.dry_run:
            common.warn(f"would {action.what} {action.path}")
        else:
            common.talk(args, f"{action.what} {action.path}")
    count = sum(action.what != "keep" for action in actions)
    verb = "would change" if args.dry_run else "changed"
    facts: dict[str, Any] = {
        "device": place.name,
        "board": name,
        "product": product,
        "app": app_product,
        "found": asdict(found) if found else None,
        "urls": urls,
        "actions": [asdict(action) for action in actions],
        "dry_run": args.dry_run,
    }
    where = " ".join(str(url) for url in urls) or "nothing that can be read"
    if config.get("ntp"):
        where += f", asks {config['ntp']} for the time"
    lines = [f"{place.name}: {verb} {count} files, looks at {where}"]
    if found:
        lines = [*_about(found), *lines]
    if unmet:
        if not args.json:  # with --json the facts go out together with the failure
            common.show(args, {}, lines)
        what = f"{', '.join(unmet)} stayed as before"
        raise MpotaError(what, f"{place.name}/{provision.STATE}", "--force replaces it", facts)
    if found and not args.dry_run:
        has_wifi = wifi is not None or place.exists(provision.WIFI)
        lines += _next(args, app_product is not None, found, has_wifi)
    common.show(args, facts, lines)


def _check_kind(workspace: Workspace, name: str, kind: BoardKind, found: Found) -> None:
    """Refuse a board that is not what a release for this name is made for."""
    from mpota.errors import MpotaError
    from mpota.workspace import known_board

    wanted = workspace.settings.boards.get(name) or known_board(name)
    if wanted is None:
        return
    todo = "plug in the one that is meant, or name this one with --board"
    if wanted.chip and kind.chip and wanted.chip != kind.chip:
        raise MpotaError(f"wrong board: {name} has chip {wanted.chip}", found.machine, todo)
    if wanted.slot and kind.slot and wanted.slot != kind.slot:
        what = f"wrong board: {name} has slots of {wanted.slot} bytes, this one of {kind.slot}"
        raise MpotaError(what, found.machine, todo)


def _products(
    args: argparse.Namespace, workspace: Workspace, kind: BoardKind, found: Found | None
) -> tuple[str | None, str | None]:
    """Return whose firmware and whose applications the device takes."""
    from mpota.errors import UsageError

    product, app = args.product, args.app
    if product is not None and workspace.settings.products.get(product) == "app":
        product, app = None, product
    if product is None and app is None and args.app_folder is None:
        if kind.slot and workspace.settings.of_kind("firmware"):
            return workspace.product(None, "firmware"), None
        return None, workspace.product(None, "app")
    if product is not None and found is not None and not found.has_slots:
        raise UsageError("this board cannot update its firmware", found.name, found.possible())
    if app is not None or args.app_folder is not None:
        app = workspace.product(app, "app")
    return product and workspace.product(product, "firmware"), app


def _ntp(args: argparse.Namespace, found: Found | None) -> str | None:
    """Return the time server, which is told to the user."""
    default = _NTP if found is not None and found.network else None
    return default if args.ntp is None else None if args.ntp == "none" else str(args.ntp)


def _compiles(args: argparse.Namespace, found: Found | None) -> bool:
    from mpota import mpycross

    if found is None or args.mpy:
        return bool(args.mpy)
    if args.mpy is not None or found.mpy != mpycross.VERSION:
        return False
    if mpycross.find() is None:
        common.warn("no mpy-cross: the library goes there as source, and starts slower")
        return False
    return True


def _tree(
    args: argparse.Namespace, kind: BoardKind, found: Found | None, frozen: bool
) -> dict[str, bytes]:
    """Return the files of the first application."""
    from mpota import app, library, provision

    esp32 = not kind.chip or kind.chip.startswith("esp32")
    source = args.mpy is False or (found is not None and found.mpy != "6.3")
    built = app.build(
        args.app_folder or provision.starter(),
        archs={kind.arch},
        esp32=esp32,
        with_library=not frozen and not source,
    )
    for warning in built.warnings:
        common.warn(warning)
    files = dict(built.files)
    if source and not frozen and not any(path.startswith("lib/ota/") for path in files):
        sources = library.sources(esp32=esp32)
        files |= {f"lib/{name}": path.read_bytes() for name, path in sources.items()}
    return files


def _next(args: argparse.Namespace, is_app: bool, found: Found, has_wifi: bool) -> list[str]:
    lines = ["the clock is set, the board starts again"]
    if is_app and found.network and not has_wifi:
        lines.append("no --wifi: the application has to join a network by itself")
    what = "./app" if is_app else "micropython.bin"
    way = "mpota publish --serve" if found.network else "mpota push"
    lines.append(f"next: mpota release {what} --version 1.0.0, then {way}")
    return lines


def _wifi_password(ssid: str) -> str:
    import getpass

    from mpota.errors import MpotaError

    given = os.environ.get(WIFI_ENV)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise MpotaError("no Wi-Fi password, and nobody to ask", ssid, f"set {WIFI_ENV}")
    return getpass.getpass(f"password of {ssid} (empty: an open network): ")


def _given(args: argparse.Namespace) -> list[str]:
    """Return the fields of the configuration that the command line asks for."""
    options = {
        "product": args.product,
        "app": args.app,
        "board": args.board,
        "channel": args.channel != common.CHANNEL,
        "urls": args.url,
        "ntp": args.ntp is not None,
        "groups": args.group,
        "trial_s": args.trial != _TRIAL_S,
    }
    return [name for name, given in options.items() if given]
