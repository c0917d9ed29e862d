# SPDX-License-Identifier: MIT
"""Copy what is signed to the folder that a web server serves; new files first, timestamp last.

Devices never see half of it, and it may be cut and run again at any time. With --serve it goes on
to serve that folder over HTTPS with Range, for development: a certificate authority is
made once, and `mpota provision` puts its certificate onto devices.

--flat is for servers without folders, such as GitHub Releases: upload the files of the folder, the
timestamp last, and give devices a base URL that ends in #flat.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mpota.commands import common

EXAMPLE = "mpota publish www"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        nargs="?",
        type=Path,
        help="folder to bring up to date (public, in the working folder)",
    )
    parser.add_argument(
        "--flat", action="store_true", help='write all into one folder, each "/" as "."'
    )
    parser.add_argument(
        "--prune",
        action="store_true",
        help="then remove images that no metadata has named for some time",
    )
    parser.add_argument(
        "--prune-days",
        metavar="N",
        type=common.days,
        default=30,
        help="that many days, so that no download is cut off (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be copied")
    serve = parser.add_argument_group("development server")
    serve.add_argument("--serve", action="store_true", help="serve it over HTTPS until Ctrl-C")
    serve.add_argument("--host", metavar="ADDRESS", default="0.0.0.0", help="(%(default)s)")
    serve.add_argument("--port", metavar="N", type=common.port, default=8443, help="(%(default)s)")
    serve.add_argument(
        "--name",
        metavar="HOST",
        action="append",
        default=[],
        help="further name or address for the certificate; repeatable",
    )
    serve.add_argument("--cert", metavar="FILE", type=Path, help="certificate chain to use (PEM)")
    serve.add_argument("--key", metavar="FILE", type=Path, help="its private key (PEM)")


def run(args: argparse.Namespace) -> None:
    from mpota import names, publish
    from mpota.errors import MpotaError, UsageError
    from mpota.repository import open_repository
    from mpota.workspace import open_workspace

    if (args.cert is None) != (args.key is None):
        raise UsageError("--cert and --key belong together")
    if args.serve and args.dry_run:
        raise UsageError("--serve and --dry-run contradict each other")
    workspace = open_workspace(common.folder(args))
    destination = args.destination or workspace.public
    if args.serve and destination.resolve() in workspace.folder.resolve().parents:
        what, todo = "private keys would be served", "choose a folder without the working folder"
        raise MpotaError(what, destination, todo)
    with workspace.lock():
        repository = open_repository(workspace)
        done = publish.publish(repository, destination, flat=args.flat, dry_run=args.dry_run)
        removed = []
        if args.prune:
            removed = publish.prune(
                repository,
                destination,
                names.utc_now(),
                days=args.prune_days,
                flat=args.flat,
                dry_run=args.dry_run,
            )
    for path in done.written:
        common.talk(args, f"wrote {path}")
    for path in removed:
        common.talk(args, f"removed {path}")
    facts = {
        "destination": str(done.destination),
        "version": done.version,
        "written": done.written,
        "removed": removed,
        "dry_run": args.dry_run,
    }
    if args.serve:
        _serve(args, destination, facts)
        return
    verb = "would write" if args.dry_run else "wrote"
    lines = [f"{destination}: {verb} {len(done.written)} files, timestamp {done.version}"]
    if removed:
        verb = "would remove" if args.dry_run else "removed"
        lines.append(f"{destination}: {verb} {len(removed)} files of old releases")
    common.show(args, facts, lines)


def _serve(args: argparse.Namespace, destination: Path, facts: dict[str, object]) -> None:
    import asyncio
    import sys

    from mpota import devtls, names, serve, sources
    from mpota.workspace import open_workspace

    ca = None
    if args.cert is None:
        wildcard = args.host in ("0.0.0.0", "::")
        hosts = {*devtls.own_names(), *args.name, *(() if wildcard else (args.host,))}
        tls = devtls.ensure(open_workspace(common.folder(args)).tls, hosts, names.utc_now())
        context, ca = serve.tls_context(tls.cert, tls.key), tls.ca_der
        address = devtls.own_address() if wildcard else args.host
    else:
        context = serve.tls_context(args.cert, args.key)
        address = args.host
    if args.name:
        address = args.name[0]

    def started(port: int) -> None:
        url = f"https://{f'[{address}]' if ':' in address else address}:{port}/"
        if args.flat:
            url += sources.FLAT
        lines = [f"serving {destination} at {url}"]
        if ca is not None:
            lines.append(f"CA certificate: {ca}")
        common.show(args, {**facts, "url": url, "ca": ca and str(ca)}, lines)
        sys.stdout.flush()

    server = serve.serve(
        destination,
        host=args.host,
        port=args.port,
        context=context,
        started=started,
        log=lambda text: common.talk(args, text),
    )
    try:
        asyncio.run(server)
    except KeyboardInterrupt:
        common.talk(args, "stopped")
