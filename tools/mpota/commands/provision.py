# SPDX-License-Identifier: MIT
"""Put the library, the trusted root and the configuration into a device's folder.

DEVICE is a folder that becomes the device's file system. Doing it again brings the library up to
date and leaves alone what is yours: boot.py, a changed configuration, another trusted root.
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
        help="where updates are; repeatable, tried in order (this computer's --serve)",
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
    parser.add_argument("--force", action="store_true", help="replace what is yours as well")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done")


def run(args: argparse.Namespace) -> None:
    from dataclasses import asdict

    from mpota import devtls, names, provision
    from mpota.errors import UsageError
    from mpota.serve import DEFAULT_PORT
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
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
        )
        actions = provision.provision(
            workspace, args.device, wanted, force=args.force, dry_run=args.dry_run
        )
    for action in actions:
        if action.what == "keep":
            common.warn(f"left alone: {args.device / action.path}; {action.why}")
        else:
            common.talk(args, f"{action.what} {action.path}")
    count = sum(action.what != "keep" for action in actions)
    verb = "would change" if args.dry_run else "changed"
    facts = {
        "device": str(args.device),
        "urls": wanted.urls,
        "actions": [asdict(action) for action in actions],
        "dry_run": args.dry_run,
    }
    common.show(args, facts, [f"{args.device}: {verb} {count} files, looks at {wanted.urls[0]}"])
