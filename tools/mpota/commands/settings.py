# SPDX-License-Identifier: MIT
"""Send devices to other servers: sign base URLs and CA certificates, or show those in use.

A device takes them over at its next update, once a complete check over them has succeeded, and
keeps those before as fallback. So publish to the new server first, and to the old one for as long
as devices may still ask there. Without --ca devices keep the certificates they have.

Each URL is tried from here before anything is signed, unless --no-check says otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mpota.commands import common

if TYPE_CHECKING:
    from mpota.repository import Repository

EXAMPLE = "mpota settings --url https://updates.example.com/ --ca ca.pem --no-check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        metavar="URL",
        action="append",
        help="base URL; repeatable, tried in order. #flat at its end: a server without folders",
    )
    parser.add_argument(
        "--ca", metavar="FILE", type=Path, help="CA certificates of the servers, PEM or DER"
    )
    parser.add_argument("--product", metavar="NAME", help="product (all of the repository)")
    parser.add_argument(
        "--channel",
        metavar="NAME",
        action="append",
        help=f"channel; repeatable ({common.CHANNEL})",
    )
    parser.add_argument("--allow-http", action="store_true", help="allow URLs without TLS")
    parser.add_argument("--no-check", action="store_true", help="do not try the URLs")
    parser.add_argument("--dry-run", action="store_true", help="check everything, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import names, settings
    from mpota.errors import UsageError
    from mpota.repository import open_repository
    from mpota.workspace import open_workspace

    workspace = open_workspace(common.folder(args))
    products = list(workspace.settings.products)
    if args.product is not None:
        products = [workspace.product(args.product)]
    if not args.url:
        if args.ca or args.channel or args.dry_run:
            raise UsageError("no URL", "", "give --url; the ones in use as well, if they stay")
        _show(args, open_repository(workspace), products)
        return
    now = names.utc_now()
    urls = [names.base_url(url, allow_http=args.allow_http) for url in args.url]
    ca, warnings = settings.check_ca(args.ca, now) if args.ca else (None, [])
    content = settings.document(urls, ca)
    channels = list(dict.fromkeys(args.channel or [common.CHANNEL]))
    for channel in channels:
        names.check_name("channel", channel)
    with workspace.lock():
        repository = open_repository(workspace)
        if not args.no_check:
            for url in urls:
                warnings += settings.check_server(repository, url, ca, now)
        warnings += _left_alone(repository, products, channels)
        for warning in warnings:
            common.warn(warning)
        keyring = None
        if not args.dry_run:
            keyring = workspace.keyring(common.Passphrases(args.passphrase_file).ask)
        done = settings.sign(
            repository, keyring, now, products=products, channels=channels, content=content
        )
    facts = {**done.facts(), "dry_run": args.dry_run}
    paths = " ".join(one.path for one in done.settings)
    common.check_done(workspace, done.committed, "not signed yet", paths, facts)
    verb = "would sign" if args.dry_run else "signed"
    what = f"{' '.join(urls)}{'' if ca is None else f', CA of {len(ca)} bytes'}"
    lines = [f"{verb} {one.path} seq {one.seq}: {what}" for one in done.settings]
    if done.committed.written:
        lines.append(f"{common.NOT_SERVED}, to the servers before and the new ones")
    common.show(args, facts, lines)


def _left_alone(repository: Repository, products: list[str], channels: list[str]) -> list[str]:
    """Name the channels that devices follow and that are not meant."""
    followed = {
        path.split("/")[3] for path in repository.rollouts() if path.split("/")[1] in products
    }
    return [
        f"devices on channel {channel} keep their settings: --channel {channel}"
        for channel in sorted(followed - set(channels))
    ]


def _show(args: argparse.Namespace, repository: Repository, products: list[str]) -> None:
    from mpota import settings

    found = [
        {
            "path": target.path,
            "seq": target.custom["seq"],
            **settings.read(repository, target),
        }
        for product in products
        for target in settings.current(repository, product).values()
        if target.custom
    ]
    lines = []
    for one in found:
        ca = ", its own CA" if "ca" in one else ""
        lines.append(f"{one['path']} seq {one['seq']}: {' '.join(map(str, one['urls']))}{ca}")
    lines = lines or ["no settings are signed: devices use those of mpota provision"]
    common.show(args, {"settings": found}, lines)
