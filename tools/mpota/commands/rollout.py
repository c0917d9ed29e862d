# SPDX-License-Identifier: MIT
"""Say which release a channel gets, for how many devices, and from when.

With VERSION: start its rollout, for everybody unless --percent says otherwise. Without: change the
rollout that there is. Only the online key signs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mpota.commands import common

if TYPE_CHECKING:
    from mpota.repository import Repository

EXAMPLE = "mpota rollout 1.0.0 --channel beta --percent 12.5 --group testers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("version", metavar="VERSION", nargs="?", help="release to start")
    common.add_where(parser)
    parser.add_argument(
        "--board",
        metavar="NAME",
        action="append",
        help="board; repeatable (the first of the repository; for an application all of its)",
    )
    common.add_share(parser)
    parser.add_argument("--no-groups", action="store_true", help="empty the list of groups")
    halt = parser.add_mutually_exclusive_group()
    halt.add_argument("--halt", action="store_true", default=None, help="stop offering it")
    halt.add_argument("--resume", dest="halt", action="store_false", help="offer it again")
    parser.add_argument(
        "--not-before", metavar="UTC", help='earliest moment, 2030-01-31T08:00:00Z; "" removes it'
    )
    parser.add_argument(
        "--retry", action="store_true", help="offer it again to devices that rejected it"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the result, sign nothing")
    common.add_passphrase(parser)


def run(args: argparse.Namespace) -> None:
    from mpota import names, rollout
    from mpota.errors import UsageError
    from mpota.repository import Committed, open_repository
    from mpota.workspace import open_workspace

    if args.group and args.no_groups:
        raise UsageError("--group and --no-groups contradict each other")
    what = rollout.Change(
        percent=args.percent,
        groups=[] if args.no_groups else args.group,
        halt=args.halt,
        not_before=args.not_before,
        retry=args.retry,
    )
    workspace = open_workspace(common.folder(args))
    workspace.product(args.product)
    if args.version is None and what == rollout.NO_CHANGE:
        raise UsageError("nothing to change", "", "name a VERSION or an option")
    with workspace.lock():
        repository = open_repository(workspace)
        product = common.product_of(args, repository, args.version)
        changed = {}
        for board in args.board or _boards(repository, product, args):
            path, custom = rollout.change(
                repository,
                product=product,
                board=board,
                channel=args.channel,
                version=args.version,
                what=what,
            )
            changed[path] = custom
        committed = Committed({})
        if not args.dry_run:
            keyring = workspace.keyring(common.Passphrases(args.passphrase_file).ask)
            committed = repository.commit(keyring, names.utc_now())
    done = [rollout.RolledOut(path, custom, committed) for path, custom in changed.items()]
    facts = {**done[0].facts(), "paths": list(changed), "dry_run": args.dry_run}
    common.check_done(workspace, committed, "not rolled out yet", " ".join(changed), facts)
    lines = [
        f"{path}: {custom['release']} seq {custom['seq']}, for {common.audience(custom)}"
        for path, custom in changed.items()
    ]
    if committed.written:
        lines.append(common.NOT_SERVED)
    common.show(args, facts, lines)


def _boards(repository: Repository, product: str, args: argparse.Namespace) -> list[str]:
    """Return the boards that are meant when none is told."""
    workspace = repository.workspace
    if workspace.settings.products[product] != "app":
        return [workspace.board(None)]
    found: list[str] = []
    if args.version is None:
        for path in repository.rollouts():
            _, its, board, channel = path.split("/")
            if (its, channel) == (product, args.channel):
                found.append(board)
    else:
        for release, image in repository.images(product).items():
            if release.rpartition("/")[2] == args.version:
                found += [board for board in image.custom["boards"] if board not in found]
    return found or [workspace.board(None)]
